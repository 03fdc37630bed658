# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Models of the app: any prompt, presets, polygons for CVAT; needs monailabel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.transforms import Invertd, SaveImaged
from monailabel.tasks.infer.bundle import BundleConstants, BundleInferTask
from torch import nn

from monai_vlsm.apps.label.banks import Banks
from monai_vlsm.apps.label.errors import answered, refuse
from monai_vlsm.apps.label.layout import Model, Target
from monai_vlsm.apps.label.polygons import polygons
from monai_vlsm.checkpoints import load_trained, read_settings
from monai_vlsm.transforms import LabelResultd

__all__ = ["PromptInferTask", "UncertainInferTask"]

TYPED = "(what is typed above)"


class FileConstants(BundleConstants):
    """Names of files in a bundle, with another trained file than ``models/model.pt``.

    Args:
        file: absolute path of the trained file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file.resolve()

    def model_pytorch(self) -> str:
        """Joined to the bundle's folder by MONAI Label; an absolute path stays what it is."""
        return str(self.file)


class PromptInferTask(BundleInferTask):
    """One trained file behind one model name; the networks of all of them share their base.

    In the option tables of 3D Slicer and OHIF ``prompt`` is a text box and ``preset`` a list. For a `Target` the prompt
    is fixed and the label has its name.

    Args:
        model: what is served.
        conf: of the server.
        banks: shared by all tasks of a server.
        target: the only thing this model segments; None for any prompt.
        presets: further targets to choose from.
        kwargs: further arguments of ``BundleInferTask``.
    """

    def __init__(
        self,
        model: Model,
        conf: Mapping[str, str],
        banks: Banks,
        target: Target | None = None,
        presets: Sequence[Target] = (),
        **kwargs: Any,
    ) -> None:
        self.model, self.banks, self.target = model, banks, target
        self.presets = {preset.label: preset.prompt for preset in presets}
        constants = FileConstants(model.file)
        super().__init__(str(model.bundle.resolve()), dict(conf), const=constants, type="segmentation", **kwargs)
        self._read_at = self._modified()
        self._config.pop("model_filename", None)  # each trained file is a model of its own
        if target:
            self.labels = {target.label: 1}
            self.description = f"{target.label}: {target.prompt}"
            return
        self._config["prompt"] = self.model.settings.get("default_prompt", "")
        if self.presets:
            self._config["preset"] = [TYPED, *self.presets]

    def __call__(self, request: Mapping[str, Any], callbacks: Any = None) -> tuple[Any, Any]:
        """Answer a request; a `monai_vlsm.errors.UserError` on the way is "400 bad request"."""
        self._read_again_if_changed()
        asked = {**request, "prompt": self._prompt(request)}
        with answered():
            file, result = super().__call__(asked, callbacks)
        if isinstance(result, dict) and not self.skip_writer and not self.target:
            prompt = result.get("prompt")
            texts = prompt if isinstance(prompt, list) else [prompt]
            result["label_names"] = {text or "prompt": value for value, text in enumerate(texts, 1)}
        return file, result

    def writer(self, data: dict[str, Any], extension: Any = None, dtype: Any = None) -> tuple[Any, Any]:
        """Write the mask, or answer with polygons when the client asks for JSON as CVAT's detectors do."""
        if data.get("output") != "json":
            written: tuple[Any, Any] = super().writer(data, extension, dtype)
            return written
        mask = torch.as_tensor(data[self.output_label_key]).squeeze()
        if mask.ndim != 2:
            raise refuse(400, f"polygons are for images, this image has the size {tuple(mask.shape)}")
        label = next(iter(self.labels))
        elements = [{"label": label, "contours": found} for found in [polygons(mask.T.numpy())] if found]
        named = {key: data.get(key) for key in ("model", "description")}
        return None, {**data["result"], **named, "annotations": [{"annotation": {"elements": elements}}]}

    def _prompt(self, request: Mapping[str, Any]) -> Any:
        """The prompt of a request; 3D Slicer sends lists as they were offered when nothing was chosen."""
        if self.target:
            return self.target.prompt
        preset = request.get("preset")
        preset = preset[0] if isinstance(preset, list) and preset else preset
        if isinstance(preset, str) and preset in self.presets:
            return self.presets[preset]
        prompt = request.get("prompt")
        return self._config["prompt"] if prompt is None else prompt

    def _load_bundle_config(self, path: str, config: str) -> ConfigParser:
        """The bundle's config for this file, without the network, which comes from the bank."""
        parser: ConfigParser = super()._load_bundle_config(path, config)
        parser["model_file"] = str(self.model.file.resolve())
        parser["network_def"] = {"_target_": "torch.nn.Identity"}
        parser["text_cache"] = "off"  # a cache of encoded prompts would ask the network that is not there
        return parser

    def _get_network(self, device: str, data: Any) -> nn.Module:
        return self.banks.network(self.model.settings["backbone"], str(device), self.model.file)

    def _modified(self) -> int:
        return self.model.file.stat().st_mtime_ns

    def _read_again_if_changed(self) -> None:
        """Default prompt, image size and threshold follow a file that training has replaced."""
        if self._modified() != self._read_at:
            self._read_at = self._modified()
            self.model = self.model._replace(settings=read_settings(self.model.file))
            self.bundle_config = self._load_bundle_config(self.bundle_path, self.bundle_config_path)


class UncertainInferTask(PromptInferTask):
    """The same model with dropout, for MONAI Label's epistemic scoring: probabilities that differ from call to call.

    Its network is built when scoring starts, and has a base of its own; MONAI Label scores in a process of its own.

    Args:
        model: what is scored.
        conf: of the server.
        banks: not used.
        dropout: probability of dropping an activation on its way to the decoder.
    """

    def __init__(self, model: Model, conf: Mapping[str, str], banks: Banks, dropout: float) -> None:
        left_out = [SaveImaged, Invertd, LabelResultd]
        super().__init__(model, conf, banks, train_mode=True, skip_writer=True, post_filter=left_out)
        self.rate = dropout

    def _get_network(self, device: str, data: Any) -> nn.Module:
        if device not in self._networks:
            parser = BundleInferTask._load_bundle_config(self, self.bundle_path, self.bundle_config_path)
            parser["model_file"] = str(self.model.file.resolve())
            parser["network_def#dropout"] = self.rate
            network: nn.Module = parser.get_parsed_content("network_def").to(device)
            load_trained(network, self.model.file)
            self._networks[device] = network.train()
        found: nn.Module = self._networks[device]
        return found
