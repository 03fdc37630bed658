# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Make the folder of the app, and say how to start it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from monai_vlsm.apps.label.layout import NAME, AppFolderError, read_targets
from monai_vlsm.checkpoints import read_settings

__all__ = ["install_app", "start_command"]

TEMPLATE = Path(__file__).with_name("template")
NEEDED = ("configs/inference.json", "configs/train.json", "configs/metadata.json", "models/model.pt")


def install_app(output: str | Path, bundles: Sequence[str | Path] = (), adapters: Sequence[str | Path] = ()) -> Path:
    """Copy the app into a folder, with bundles and adapters to serve.

    A folder that holds the app already keeps its ``prompts.json`` and gets the bundles and adapters in addition.

    Args:
        output: the folder, made if needed.
        bundles: trained bundles, each with ``models/model.pt``.
        adapters: further trained files on the base of one of the bundles; the file name becomes the model name.

    Returns:
        the folder.

    Raises:
        AppFolderError: a folder with other things in it, a bundle without trained model, a name that is there already.
        ModelMismatchError: an adapter file that is none.
        ModelNotFoundError: an adapter file that is not there.
    """
    app = Path(output)
    if app.exists() and (not app.is_dir() or (any(app.iterdir()) and not (app / "prompts.json").is_file())):
        raise AppFolderError(f"{app} is in use by something else; give a new or empty folder")
    copies = [_bundle_copy(Path(bundle).resolve(), app) for bundle in bundles]
    copies += [_adapter_copy(Path(file), app) for file in adapters]
    _require_new([target for _, target in copies])
    for folder in ("model", "adapters"):
        (app / folder).mkdir(parents=True, exist_ok=True)
    for path in TEMPLATE.iterdir():
        if path.is_file() and not (app / path.name).exists():
            shutil.copy(path, app / path.name)
    for source, target in copies:
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("eval", "evaluation", "__pycache__", "label"))
        else:
            shutil.copy(source, target)
    _write_targets(app, [target / "models" / "model.pt" if target.is_dir() else target for _, target in copies])
    return app


def start_command(app: Path, studies: str = "/path/to/images") -> str:
    """The command that starts the server on this machine alone, without looking anything up on the internet."""
    return (
        f"python -m monailabel.main start_server --app {app} --studies {studies} --host 127.0.0.1 "
        "--conf zoo_source local --conf sam2 false"
    )


def _write_targets(app: Path, files: Sequence[Path]) -> None:
    """``prompts.json`` with the default prompts of the models; one that is there stays as it is."""
    if not (app / "prompts.json").is_file():
        prompts = [read_settings(file)["default_prompt"] for file in files]
        text = json.dumps({prompt: prompt for prompt in prompts if prompt}, indent=4, ensure_ascii=False)
        (app / "prompts.json").write_text(text + "\n", encoding="utf-8")
    read_targets(app)


def _bundle_copy(bundle: Path, app: Path) -> tuple[Path, Path]:
    missing = [name for name in NEEDED if not (bundle / name).is_file()]
    if missing:
        raise AppFolderError(f"{bundle} is no trained bundle, it lacks {', '.join(missing)}; train it first")
    return bundle, app / "model" / bundle.name


def _adapter_copy(file: Path, app: Path) -> tuple[Path, Path]:
    if file.suffix != ".pt" or not NAME.fullmatch(file.stem):
        raise AppFolderError(f"{file} must be named NAME.pt with a name of letters, digits and . - _; rename the file")
    read_settings(file)
    return file, app / "adapters" / file.name


def _require_new(targets: Sequence[Path]) -> None:
    names: list[str] = []
    for target in targets:
        name = target.stem if target.suffix == ".pt" else target.name
        places = (target.parents[1] / "model" / name, target.parents[1] / "adapters" / f"{name}.pt")
        if name in names or any(place.exists() for place in places):
            raise AppFolderError(f"there is a model {name!r} in {target.parents[1]} already; rename one of the two")
        names.append(name)
