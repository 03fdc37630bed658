# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The app that MONAI Label's server runs; needs monailabel."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.tasks.activelearning.epistemic import Epistemic
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random
from monailabel.tasks.scoring.epistemic_v2 import EpistemicScoring
from monailabel.utils.others.generic import strtobool

from monai_vlsm import __version__
from monai_vlsm.adapters import import_modules
from monai_vlsm.apps.label.banks import Banks
from monai_vlsm.apps.label.datastore import GuardedDatastore
from monai_vlsm.apps.label.errors import refuse
from monai_vlsm.apps.label.infer import PromptInferTask, UncertainInferTask
from monai_vlsm.apps.label.labels import label_prompts
from monai_vlsm.apps.label.layout import AppFolderError, Model, model_names, read_targets, served_models
from monai_vlsm.apps.label.requests import BATCH, INFERENCE, SCORING, checked, checked_images, checked_name_of
from monai_vlsm.apps.label.sessions import GuardedSessions
from monai_vlsm.apps.label.tasks import check_tasks_with
from monai_vlsm.apps.label.train import PromptTrainTask

__all__ = ["VLSMLabelApp"]

logger = logging.getLogger(__name__)

SYSTEM_TEMPORARY = tempfile.gettempdir()


class VLSMLabelApp(MONAILabelApp):
    """Text-prompted segmentation: every trained file in the app's folder is a model, on one copy of its base.

    Args:
        app_dir: folder made by `monai_vlsm.apps.label.install_app`.
        studies: folder of images, or address of a DICOMweb server.
        conf: ``models`` (names of bundles, all if not given), ``skip_trainers``, ``epistemic_model`` (names of models
            to score), ``epistemic_dropout``, ``epistemic_simulation_size``, ``epistemic_max_samples``, ``follow_links``
            (take images that are links to files outside of ``studies``), ``import`` (modules with adaptations of your
            own).

    Raises:
        AppFolderError: something in the folder is wrong; the message says what.
        ModuleImportError: a module that ``import`` names cannot be imported.
    """

    def __init__(self, app_dir: str, studies: str, conf: Mapping[str, str]) -> None:
        import_modules(_names(conf, "import"))
        wanted = _names(conf, "models")
        self.found = served_models(app_dir, wanted or None)
        self.targets = read_targets(app_dir)
        self.served = model_names(self.found, self.targets)
        self.banks = Banks()
        # uploads go to a folder of their own: the name of a file there is known to nobody but this process
        self._uploads = tempfile.TemporaryDirectory(prefix="monai_vlsm_uploads_", dir=SYSTEM_TEMPORARY)
        tempfile.tempdir = self._uploads.name
        check_tasks_with(self.check_task)
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
            follow_links=bool(strtobool(self.conf.get("follow_links", "false"))),
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
        model = checked_name_of("model", request.get("model"), self._infers)
        store, image = datastore or self.datastore(), request.get("image")
        if not isinstance(image, str) or not self._is_ours(image, request.get("session"), store):
            raise refuse(404, f"there is no image {image!r:.80}")
        asked = {**checked(request, INFERENCE), "model": model, "image": image}
        if image not in store.list_images() or not Path(image).exists():
            return super().infer(asked, store)
        # MONAI Label would take a file of this name in the folder that the server was started in
        result = super().infer({**asked, "image": store.get_image_uri(image)}, store)
        if asked.get("save_label") and result["file"]:
            info, tag = {"model": model, "params": result["params"]}, asked.get("label_tag", DefaultLabelTag.ORIGINAL)
            result["label"] = store.save_label(image, result["file"], tag, info)
        return result

    def infer_wsi(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> Any:
        """As `infer`: there are no whole slide images here."""
        return self.infer(request, datastore)

    def batch_infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> Any:
        """Segment images of the datastore."""
        return super().batch_infer(self._checked_batch(request, datastore), datastore)

    def scoring(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> Any:
        """Score images of the datastore."""
        return super().scoring(self._checked_scoring(request), datastore)

    def train(self, request: Mapping[str, Any]) -> Any:
        """Train; the task checks the other values of the request."""
        checked_name_of("model to train", request.get("model"), self._trainers)
        return super().train(request)

    def next_sample(self, request: Mapping[str, Any]) -> Any:
        """The image to label next."""
        strategy = request.get("strategy") or "random"
        return super().next_sample({"strategy": checked_name_of("strategy", strategy, self._strategies)})

    def check_task(self, method: str, request: Mapping[str, Any]) -> None:
        """Refuse a request for work in another process before it starts; the work itself checks again."""
        if "bundle_path" in request:  # MONAI Label would let Python import from there
            raise refuse(400, "bundle_path is not for clients")
        if method == "train":
            checked_name_of("model to train", request.get("model"), self._trainers)
            checked(request, {"gpus": BATCH["gpus"]})
        elif method == "batch_infer":
            self._checked_batch(request, None)
        else:
            self._checked_scoring(request)

    def bundle_path(self, model: Any) -> str:
        """Where Python may import from in another process. Never empty: MONAI Label would take one of the client."""
        found = super().bundle_path(model) if isinstance(model, str) else None
        return str(found or self.app_dir)

    def model_file(self, model: Any, validate: bool = True) -> Any:
        """The file of a model; clients cannot send another one in its place (``validate`` is False only then)."""
        if not validate:
            raise refuse(403, "models are replaced by training, or by files in the folder of the app")
        return super().model_file(model)

    def on_save_label(self, image_id: str, label_id: str) -> None:
        """Say what the label will be used as."""
        info = self.datastore().get_label_info(label_id, DefaultLabelTag.FINAL.value)
        if info:
            default = self.found[0].settings.get("default_prompt", "") if self.found else ""
            logger.info(
                "label of %s saved, prompts: %s", image_id, label_prompts(info, default, f"label of {image_id}")
            )

    def _checked_batch(self, request: Mapping[str, Any], datastore: Datastore | None) -> dict[str, Any]:
        model = checked_name_of("model", request.get("model"), self._infers)
        images = checked_images(request.get("images", "all"), (datastore or self.datastore()).list_images())
        asked = checked(request, BATCH)
        several = asked.get("multi_gpu", True) and torch.cuda.is_available()  # MONAI Label divides by their number
        return {**asked, "multi_gpu": several, "model": model, "images": images}

    def _checked_scoring(self, request: Mapping[str, Any]) -> dict[str, Any]:
        method = checked_name_of("scoring method", request.get("method"), self._scoring_methods)
        return {**checked(request, SCORING), "method": method}

    def _load_sessions(self, load: bool = False) -> GuardedSessions | None:
        if not load:
            return None
        return GuardedSessions(settings.MONAI_LABEL_SESSION_PATH, settings.MONAI_LABEL_SESSION_EXPIRY)

    def _is_ours(self, image: str, session: Any, datastore: Datastore) -> bool:
        """Whether it is an image of the datastore, a file that was just uploaded, or the image of the session."""
        if image in datastore.list_images():
            return True
        path = Path(image)
        if path.parent == Path(self._uploads.name):
            return path.is_file() and not path.is_symlink()
        name, sessions = session.get("name") if isinstance(session, Mapping) else None, self.sessions()
        found = sessions.get_session(name) if sessions is not None else None
        return found is not None and found.image == image

    def _scored(self) -> list[Model]:
        names = _names(self.conf, "epistemic_model")
        unknown = sorted(set(names) - {model.name for model in self.found})
        if unknown:
            raise AppFolderError(f"epistemic_model: no model {', '.join(unknown)}")
        return [model for model in self.found if model.name in names]


def _names(conf: Mapping[str, str], key: str) -> list[str]:
    """The names in one setting of the server, with commas between them."""
    return [name.strip() for name in conf.get(key, "").split(",") if name.strip()]
