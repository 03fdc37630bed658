# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the folder of the app, and say how to start it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from monai_vlsm.apps.label.layout import NAME, AppFolderError, read_targets
from monai_vlsm.checkpoints import read_settings
from monai_vlsm.copying import copy_whole
from monai_vlsm.io import write_json

__all__ = ["install_app", "start_command"]

TEMPLATE = Path(__file__).with_name("template")
NEEDED = ("configs/inference.json", "configs/train.json", "configs/metadata.json", "models/model.pt")
_LEFT_OUT = ("eval", "evaluation", "__pycache__", "label")  # of a bundle


def install_app(
    output: str | Path,
    bundles: Sequence[str | Path] = (),
    adapters: Sequence[str | Path] = (),
    overwrite: bool = False,
) -> Path:
    """Copy the app into a folder, with bundles and adapters to serve.

    A folder that holds the app already keeps its ``prompts.json`` and its other models, and gets the bundles and
    adapters in addition.

    Args:
        output: the folder, made if needed.
        bundles: trained bundles, each with ``models/model.pt``. The name of the folder becomes that of the model;
            ``NAME=PATH`` gives another.
        adapters: further trained files on the base of one of the bundles. The name of the file becomes that of the
            model; ``NAME=PATH`` gives another, for files that are all called model.pt.
        overwrite: put them in the place of models of the same name that the app has.

    Returns:
        the folder.

    Raises:
        AppFolderError: a folder with other things in it, a bundle without trained model, a name that is there already.
        ModelMismatchError: an adapter file that is none.
        ModelNotFoundError: no such adapter file.
        WriteError: the folder cannot be written.
    """
    app = Path(output)
    if app.exists() and (not app.is_dir() or (any(app.iterdir()) and not (app / "prompts.json").is_file())):
        raise AppFolderError(f"{app} is in use by something else; give a new or empty folder")
    copies = [_bundle_copy(*_named(bundle), app) for bundle in bundles]
    copies += [_adapter_copy(*_named(file), app) for file in adapters]
    _require_different([_name(target) for _, target in copies])
    if not overwrite:
        _require_new([target for _, target in copies])
    _write_targets(app, [source / "models" / "model.pt" if source.is_dir() else source for source, _ in copies])
    for folder in ("model", "adapters"):
        (app / folder).mkdir(exist_ok=True)
    for path in TEMPLATE.iterdir():
        if path.is_file() and not (app / path.name).exists():
            copy_whole(path, app / path.name)
    for source, target in copies:
        _put(source, target)
    return app


def _put(source: Path, target: Path) -> None:
    """Copy a bundle or file, and remove what else has its name."""
    copy_whole(source, target, _LEFT_OUT)
    for place in _places(target):
        if place == target:
            continue
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _named(given: str | Path) -> tuple[str, Path]:
    """Name and path of ``NAME=PATH``; an empty name where only a path is given, or one that has a ``=`` in it."""
    name, equals, path = str(given).partition("=")
    if not equals or Path(given).exists() or not NAME.fullmatch(name):
        return "", Path(given)
    return name, Path(path)


def start_command(app: Path, studies: str = "/path/to/images") -> str:
    """The command that starts the server on this machine alone, without looking anything up on the internet."""
    return (
        f"python -m monailabel.main start_server --app {app} --studies {studies} --host 127.0.0.1 "
        "--conf zoo_source local --conf sam2 false"
    )


def _write_targets(app: Path, files: Sequence[Path]) -> None:
    """``prompts.json`` with the default prompts of the models; one that is there stays as it is.

    It comes first: a folder with it is an app, and one whose making was cut short can be made again.
    """
    if not (app / "prompts.json").is_file():
        prompts = [read_settings(file)["default_prompt"] for file in files]
        write_json(app / "prompts.json", {prompt: prompt for prompt in prompts if prompt}, indent=4)
    read_targets(app)


def _bundle_copy(name: str, bundle: Path, app: Path) -> tuple[Path, Path]:
    bundle = bundle.resolve()
    missing = [part for part in NEEDED if not (bundle / part).is_file()]
    if missing:
        raise AppFolderError(f"{bundle} is no trained bundle, it lacks {', '.join(missing)}; train it first")
    return bundle, app / "model" / (name or bundle.name)


def _adapter_copy(name: str, file: Path, app: Path) -> tuple[Path, Path]:
    if not name and (file.suffix != ".pt" or not NAME.fullmatch(file.stem)):
        raise AppFolderError(
            f"{file} must be named NAME.pt with a name of letters, digits and . - _; give a name: NAME={file}"
        )
    read_settings(file)
    return file, app / "adapters" / f"{name or file.stem}.pt"


def _name(target: Path) -> str:
    return target.stem if target.parent.name == "adapters" else target.name


def _places(target: Path) -> tuple[Path, Path]:
    """Where a model of the name of ``target`` may be in its app."""
    app, name = target.parents[1], _name(target)
    return app / "model" / name, app / "adapters" / f"{name}.pt"


def _require_different(names: Sequence[str]) -> None:
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise AppFolderError(f"two models would be called {twice[0]!r}; give one another name: NAME=PATH")


def _require_new(targets: Sequence[Path]) -> None:
    for target in targets:
        if any(place.exists() for place in _places(target)):
            raise AppFolderError(
                f"there is a model {_name(target)!r} in {target.parents[1]} already; give the new one another name, "
                "NAME=PATH, or take --overwrite to put it in the place of the old one"
            )
