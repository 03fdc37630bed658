# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The app that MONAI Label's server runs; needs monailabel."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.tasks.activelearning.epistemic import Epistemic
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.scoring.epistemic_v2 import EpistemicScoring
from monailabel.utils.others.generic import strtobool

from monai_vlsm import __version__
from monai_vlsm.apps.label.banks import Banks
from monai_vlsm.apps.label.datastore import GuardedDatastore, check_name
from monai_vlsm.apps.label.errors import refuse
from monai_vlsm.apps.label.infer import PromptInferTask, UncertainInferTask
from monai_vlsm.apps.label.labels import label_prompts
from monai_vlsm.apps.label.layout import AppFolderError, Model, find_models, model_names, read_targets
from monai_vlsm.apps.label.train import PromptTrainTask

__all__ = ["VLSMLabelApp"]

logger = logging.getLogger(__name__)


class VLSMLabelApp(MONAILabelApp):
    """Text-prompted segmentation: every trained file in the app's folder is a model, on one copy of its base.

    Args:
        app_dir: folder made by `monai_vlsm.apps.label.install_app`.
        studies: folder of images, or address of a DICOMweb server.
        conf: ``models`` (names of bundles, all if not given), ``skip_trainers``, ``epistemic_model`` (names of models
            to score), ``epistemic_dropout``, ``epistemic_simulation_size``, ``epistemic_max_samples``.

    Raises:
        AppFolderError: something in the folder is wrong; the message says what.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        wanted = [name.strip() for name in conf.get("models", "").split(",") if name.strip()]
        self.found = find_models(app_dir, wanted or None)
        self.targets = read_targets(app_dir)
        self.served = model_names(self.found, self.targets)
        self.banks = Banks()
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=dict(conf),
            name=f"monai_vlsm {__version__}",
            description="Text-prompted segmentation: type what you want to see segmented",
            version=__version__,
        )

    def init_datastore(self) -> Datastore:
        """A folder whose names are checked; remote stores are MONAI Label's own."""
        if self.studies.startswith(("http://", "https://")):
            return super().init_datastore()
        return GuardedDatastore(
            self.studies,
            extensions=settings.MONAI_LABEL_DATASTORE_FILE_EXT,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def init_infers(self) -> dict[str, PromptInferTask]:
        """One model for each file, and one for each file and target."""
        return {
            name: PromptInferTask(model, self.conf, self.banks, target, () if target else self.targets)
            for name, (model, target) in self.served.items()
        }

    def init_trainers(self) -> dict[str, PromptTrainTask]:
        """One for each file."""
        if strtobool(self.conf.get("skip_trainers", "false")):
            return {}
        training = Path(self.app_dir) / "training"
        return {model.name: PromptTrainTask(model, self.conf, training / model.name) for model in self.found}

    def init_strategies(self) -> dict[str, Any]:
        """Which image comes next: random, the first, or the one that the model is least sure of."""
        scored = {"epistemic": Epistemic()} if self._scored() else {}
        return {"random": Random(), "first": First(), **scored}

    def init_scoring_methods(self) -> dict[str, EpistemicScoring]:
        """Epistemic scoring of the models in ``epistemic_model``."""
        rate = float(self.conf.get("epistemic_dropout", "0.2"))
        sizes = {
            "max_samples": int(self.conf.get("epistemic_max_samples", "0")),
            "simulation_size": int(self.conf.get("epistemic_simulation_size", "5")),
        }
        tasks = {model.name: UncertainInferTask(model, self.conf, self.banks, rate) for model in self._scored()}
        return {name: EpistemicScoring(task, **sizes) for name, task in tasks.items()}

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> Any:
        """Answer a request for images of the datastore, uploaded ones and those of sessions, and for no other file."""
        if request.get("model") not in self._infers:
            raise refuse(404, f"there is no model {str(request.get('model'))[:80]!r}")
        check_name("label_tag", str(request.get("label_tag") or ""))
        image = request.get("image")
        if isinstance(image, str) and not self._is_ours(image, datastore or self.datastore()):
            raise refuse(404, f"there is no image {image[:80]!r}")
        return super().infer(request, datastore)

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Say what the label will be used as."""
        info = self.datastore().get_label_info(label_id, DefaultLabelTag.FINAL.value)
        if info:
            default = self.found[0].settings.get("default_prompt", "") if self.found else ""
            logger.info(
                "label of %s saved, prompts: %s", image_id, label_prompts(info, default, f"label of {image_id}")
            )

    def _is_ours(self, image: str, datastore: Datastore) -> bool:
        """Whether it is an image of the datastore, an upload as MONAI Label stores it, or in the folder of sessions."""
        if image in datastore.list_images():
            return True
        path, uploads, sessions = Path(image).resolve(), Path(tempfile.gettempdir()).resolve(), self.sessions()
        if path.parent == uploads and path.name.startswith(tempfile.gettempprefix()):
            return path.is_file()
        return sessions is not None and path.exists() and path.is_relative_to(Path(sessions.store_path).resolve())

    def _scored(self) -> list[Model]:
        names = [name.strip() for name in self.conf.get("epistemic_model", "").split(",") if name.strip()]
        unknown = sorted(set(names) - {model.name for model in self.found})
        if unknown:
            raise AppFolderError(f"epistemic_model: no model {', '.join(unknown)}")
        return [model for model in self.found if model.name in names]
