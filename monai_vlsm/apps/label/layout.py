# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What lies in the folder of an app: bundles, adapters and named targets, and the model names that follow.

APP/model/NAME/            a bundle, with ``models/model.pt``; serves as model NAME
APP/adapters/NAME.pt       more trained files; each serves as model NAME
APP/prompts.json           named targets, ``{"white matter": "white matter"}``: name to prompt
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monai_vlsm.adapters import AdaptationNotImportedError, build_adaptation
from monai_vlsm.checkpoints import ModelMismatchError, ModelNotFoundError, read_settings
from monai_vlsm.errors import UserError

__all__ = ["AppFolderError", "Model", "Target", "model_names", "read_targets", "served_models"]

logger = logging.getLogger(__name__)

NAME = re.compile(r"\w[\w.-]*")


class AppFolderError(UserError, ValueError):
    """Something in the folder of an app is not as it must be."""


class Model(NamedTuple):
    """One trained file that is served.

    Args:
        name: what clients call it.
        bundle: folder of the bundle whose transforms it uses.
        file: the ``model.pt`` or adapter file.
        settings: what the file says about its network.
    """

    name: str
    bundle: Path
    file: Path
    settings: dict[str, Any]


class Target(NamedTuple):
    """A structure with a name of its own.

    Args:
        label: what the client shows, such as a label in CVAT.
        prompt: the text that the network gets.
    """

    label: str
    prompt: str

    @property
    def slug(self) -> str:
        """The label as part of a model name."""
        return re.sub(r"[^\w.-]+", "_", self.label).strip("_.")


def read_targets(app_dir: str | Path) -> list[Target]:
    """The named targets in ``prompts.json``; none without the file.

    Raises:
        AppFolderError: it is no JSON object of texts, or two labels make the same model name.
    """
    path = Path(app_dir) / "prompts.json"
    if not path.is_file():
        return []
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise AppFolderError(f"{path} is not JSON: {error}") from error
    if not isinstance(table, Mapping) or not all(isinstance(text, str) and text.strip() for text in table.values()):
        raise AppFolderError(f'{path} must be an object of names and prompts, such as {{"polyp": "one small polyp"}}')
    targets = [Target(label, prompt) for label, prompt in table.items()]
    if not all(target.slug for target in targets):
        raise AppFolderError(f"{path}: each name needs a letter or digit, got {list(table)}")
    _require_different([target.slug for target in targets], f"names in {path}")
    return targets


def served_models(app_dir: str | Path, bundles: Sequence[str] | None = None) -> list[Model]:
    """The bundles below ``model/`` and the files in ``adapters/``; what cannot be used is logged and left out.

    An adapter file uses the transforms of the first bundle that was made for its kind of network.

    Args:
        app_dir: folder of the app.
        bundles: names of bundles to serve, None for all.

    Raises:
        AppFolderError: a bundle that is not there, no bundle at all, names with other characters than letters, digits,
            dots, dashes and underscores, or two models of one name.
    """
    app = Path(app_dir)
    folders = _bundle_folders(app, bundles)
    files = {folder.name: (folder, folder / "models" / "model.pt") for folder in folders}
    adapters = sorted((app / "adapters").glob("*.pt"))
    names = [*files, *(path.stem for path in adapters)]
    wrong = [name for name in names if not NAME.fullmatch(name)]
    if wrong:
        raise AppFolderError(
            f"model names must be of letters, digits and . - _, got {wrong} in {app}; rename the files"
        )
    _require_different(names, f"names of models in {app / 'model'} and {app / 'adapters'}")
    found = [_model(name, folder, file) for name, (folder, file) in files.items()]
    found += [_adapter(path, folders) for path in adapters]
    return [model for model in found if model]


def model_names(models: Sequence[Model], targets: Sequence[Target]) -> dict[str, tuple[Model, Target | None]]:
    """Every name that clients see: each model for any prompt, and each model for each target, ``MODEL_TARGET``.

    Raises:
        AppFolderError: two of one name.
    """
    pairs = [(model.name, model, None) for model in models]
    pairs += [(f"{model.name}_{target.slug}", model, target) for model in models for target in targets]  # type: ignore[misc]
    _require_different([name for name, _, _ in pairs], "models and targets")
    return {name: (model, target) for name, model, target in pairs}


def _bundle_folders(app: Path, bundles: Sequence[str] | None) -> list[Path]:
    folders = sorted(path.parents[1] for path in (app / "model").glob("[!.]*/configs/inference.json"))
    known = {folder.name: folder for folder in folders}
    missing = sorted(set(bundles or ()) - set(known))
    if missing or not known:
        raise AppFolderError(
            f"no bundle {', '.join(missing)} in {app / 'model'}; there are: {', '.join(known) or 'none'}. Copy one: "
            "python -m monai_vlsm label --output APP --bundle bundles/vlsm_dense"
        )
    return [known[name] for name in dict.fromkeys(bundles or known)]


def _model(name: str, folder: Path, file: Path) -> Model | None:
    try:
        settings = read_settings(file)
        if "adaptation" in settings:
            build_adaptation(settings["adaptation"])
        return Model(name, folder, file, settings)
    except AdaptationNotImportedError as error:
        logger.error("left out: %s: %s", file, error)
        return None
    except (ModelMismatchError, ModelNotFoundError) as error:
        logger.error("left out: %s", error)
        return None


def _adapter(path: Path, folders: Sequence[Path]) -> Model | None:
    model = _model(path.stem, folders[0], path)
    if model is None:
        return None
    fitting = [folder for folder in folders if model.settings.get("network", "") in _network(folder)]
    if not fitting:
        logger.error("left out: %s is of a %s, and no bundle here is", path, model.settings.get("network"))
        return None
    return model._replace(bundle=fitting[0])


def _network(folder: Path) -> str:
    config = json.loads((folder / "configs" / "inference.json").read_text(encoding="utf-8"))
    return str(config["network_def"]["_target_"])


def _require_different(names: Sequence[str], what: str) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise AppFolderError(f"{what} must differ, twice there is {', '.join(twice)}; rename one")
