# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Training on a datastore's labels, each with the prompt that it was made for; needs monailabel."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.tasks.train.bundle import BundleTrainTask
from monailabel.utils.others.generic import device_list, device_map

from monai_vlsm.apps.label.labels import image_records, label_prompts
from monai_vlsm.apps.label.layout import Model
from monai_vlsm.data.volumes import chosen_plane
from monai_vlsm.errors import UserError
from monai_vlsm.io import write_json

__all__ = ["NothingLabelledError", "PromptTrainTask", "checked_request"]

logger = logging.getLogger(__name__)

OFFERED = ("device", "pretrained", "max_epochs", "val_split", "multi_gpu", "gpus")
FINAL = DefaultLabelTag.FINAL.value


class NothingLabelledError(UserError, ValueError):
    """Training was asked for, and there is no label that can be used."""


class TrainingFailedError(UserError, RuntimeError):
    """A training ended without a model."""


class TrainRequestError(UserError, ValueError):
    """A value of a request for training that is none."""


def checked_request(request: Mapping[str, Any]) -> dict[str, Any]:
    """What a request says about training, and nothing else: MONAI evaluates texts in it that start with ``$``.

    Raises:
        TrainRequestError: a value that is not of its kind.
    """
    device = request.get("device") or device_list()[0]
    device = device[0] if isinstance(device, list) else device
    known = {*device_list(), *device_map().values(), "cpu", "cuda"}
    if device not in known:
        raise TrainRequestError(f"device must be one of {', '.join(sorted(known))}, got {device!r}")
    gpus = str(request.get("gpus") or "all")
    if gpus != "all" and not gpus.replace(",", "").isdigit():
        raise TrainRequestError(f"gpus must be 'all' or numbers such as 0,1, got {gpus!r}")
    try:
        epochs, share = int(request.get("max_epochs", 50)), float(request.get("val_split", 0.2))
    except (TypeError, ValueError) as error:
        raise TrainRequestError(f"max_epochs and val_split must be numbers: {error}") from error
    if epochs < 1 or not 0 <= share < 1:
        raise TrainRequestError(f"max_epochs must be 1 or more and val_split from 0 to below 1, got {epochs}, {share}")
    flags = {key: request.get(key, True) is True for key in ("pretrained", "multi_gpu")}
    numbers = {"max_epochs": epochs, "val_split": share}
    fixed = {"run_id": "run", "tracking": "None", "model": str(request.get("model", ""))}
    return {"device": device, "gpus": gpus, **flags, **numbers, **fixed}


class PromptTrainTask(BundleTrainTask):
    """Train one model on all final labels of the datastore, and put the result in the place of its file at the end.

    Args:
        model: what is trained.
        conf: of the server.
        output: folder for curves, scores and the state of the run.
    """

    def __init__(self, model: Model, conf: Mapping[str, str], output: Path) -> None:
        super().__init__(str(model.bundle.resolve()), dict(conf))
        self.model, self.output = model, output.resolve()
        self._folder, self._pretrained = Path(), True

    def config(self) -> dict[str, Any]:
        """The options that clients show."""
        return {key: value for key, value in super().config().items() if key in OFFERED}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train.

        Raises:
            NothingLabelledError: no label can be used.
            TrainingFailedError: it ended without a model.
            TrainRequestError: a wrong value in the request.
        """
        checked = checked_request(request)
        self._pretrained = checked["pretrained"]
        trained = self.output / "model.pt"
        trained.unlink(missing_ok=True)  # of a training that did not end
        with TemporaryDirectory(prefix="monai_vlsm_") as folder:  # images of patients do not stay here
            self._folder = Path(folder)
            result: dict[str, Any] = super().__call__(checked, datastore)
        if not trained.is_file():
            raise TrainingFailedError(
                f"{self.model.name}: the training made no model, so {self.model.file} stays as it was; what went wrong "
                "stands in the log above"
            )
        trained.replace(self.model.file)
        logger.info("%s: trained, saved %s", self.model.name, self.model.file)
        return result

    def _run_command(self, cmd: Sequence[str], env: Mapping[str, str]) -> None:
        """Train in processes of torchrun, whose failure MONAI Label would only log."""
        logger.info("several GPUs: %s", " ".join(cmd))
        status = subprocess.run(cmd, env=env, check=False).returncode
        if status:
            raise TrainingFailedError(
                f"{self.model.name}: the training on several GPUs ended with status {status}, so {self.model.file} "
                "stays as it was; what went wrong stands in the log above"
            )

    def _fetch_datalist(self, request: Mapping[str, Any], datastore: Datastore) -> list[dict[str, str]]:
        datastore.datalist()  # remote stores fetch their labels by this
        records = [record for image in sorted(datastore.get_labeled_images()) for record in self._of(image, datastore)]
        if not records:
            raise NothingLabelledError("no final label can be used for training; save labels with the tag 'final'")
        return records

    def _of(self, image: str, datastore: Datastore) -> list[dict[str, str]]:
        label = datastore.get_label_by_image_id(image, FINAL)
        info = datastore.get_label_info(label, FINAL)
        prompts = label_prompts(info, self.model.settings.get("default_prompt", ""), f"label of {image}")
        try:
            places = datastore.get_image_uri(image), datastore.get_label_uri(label, FINAL)
            plane, context = chosen_plane(self.model.settings.get("plane")), self.model.settings.get("context") or 0
            return image_records(*places, prompts, self._folder, plane, context)
        except (UserError, ValueError, FileNotFoundError) as error:
            logger.error("%s is left out: %s", image, error)
            return []

    def _load_checkpoint(self, model_pytorch: str, pretrained: bool, train_handlers: list[Any]) -> None:
        """Nothing: the bundle itself starts from ``start_from``."""

    def _update_overrides(self, overrides: dict[str, Any]) -> dict[str, Any]:
        for split in ("train", "validate"):
            listed = self._folder / f"{split}.json"
            write_json(listed, overrides.get(f"{split}#dataset#data") or [])
            reader = {"_target_": "monai_vlsm.apps.label.read_records", "file": str(listed)}
            overrides[f"{split}#dataset#data"] = reader
        file = str(self.model.file.resolve())
        overrides["ckpt_dir"] = overrides["output_dir"] = str(self.output)
        overrides["start_from"] = file if self._pretrained else ""  # MONAI ignores overrides of None
        overrides["saved"] = {"_target_": "monai_vlsm.checkpoints.read_settings", "path": file}
        return overrides
