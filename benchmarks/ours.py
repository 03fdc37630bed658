# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Our side of each comparison: the network and the training step of the bundles, through their public parts."""

from __future__ import annotations

import torch
from conditions import Conditions, fill_adapters, settle
from torch import Tensor

from monai_vlsm.adapters import (
    Adaptation,
    AdaptFormerAdaptation,
    BitFitAdaptation,
    CrossModalAdaptation,
    DenseAdaptation,
    FineTuning,
    LoRAAdaptation,
    ShallowAdaptation,
    SSFAdaptation,
    TelescopicAdaptation,
    VisualPromptAdaptation,
    trainable_parameters,
)
from monai_vlsm.caches import prompt_encoding
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.losses import PromptedSegmentationLoss
from monai_vlsm.networks import CLIPSegNet

ADAPTATIONS: dict[str, Adaptation] = {
    "dense_v": DenseAdaptation("v"),
    "dense_vl": DenseAdaptation("vl"),
    "shallow_vl": ShallowAdaptation("vl"),
    "decoder": FineTuning("decoder"),
    "full": FineTuning("full"),
    "lora_qv": LoRAAdaptation(),
    "lora_qkvo": LoRAAdaptation(projections=("query", "key", "value", "out")),
    "lora_all": LoRAAdaptation(projections=("query", "key", "value", "out", "fc1", "fc2")),
    "dora_qv": LoRAAdaptation(dora=True),
    "ssf": SSFAdaptation(),
    "bitfit": BitFitAdaptation(),
    "visual_prompts": VisualPromptAdaptation(),
    "adaptformer": AdaptFormerAdaptation(),
    "telescopic": TelescopicAdaptation(),
    "cross_modal": CrossModalAdaptation(),
}


def our_network(kind: str, conditions: Conditions, checkpointing: bool = False) -> CLIPSegNet:
    """A network with the weights that `plain.PlainCLIPSeg` gets from `conditions.plain_base` too."""
    torch.manual_seed(0)
    network = CLIPSegNet(
        conditions.backbone,
        adaptation=ADAPTATIONS[kind],
        load_weights=conditions.quick,
        attention=conditions.attention,
        checkpointing=checkpointing,
    )
    settle(network.base)
    fill_adapters(network.named_parameters())
    return network.to(conditions.torch_device)


class OurTrainer:
    """The step that ``bundles/*/configs/train.json`` configures, without the engine around it.

    Args:
        network: as `our_network` makes it.
        conditions: device and precision.
        text_cache: the switch of the config, ``"off"``, ``"batch"`` or ``"run"``.
    """

    def __init__(self, network: CLIPSegNet, conditions: Conditions, text_cache: str = "off") -> None:
        self.network = network.train()
        if conditions.compile:
            network.compile(mode=conditions.compile)
        self.conditions = conditions
        self.inferer = PromptInferer(
            cpu_autocast=conditions.precision == "bf16", prompts=prompt_encoding(text_cache, network)
        )
        self.loss = PromptedSegmentationLoss()
        self.parameters = trainable_parameters(network)
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-3, weight_decay=1e-3, fused=True)
        self.scaler = torch.amp.GradScaler(conditions.device, enabled=conditions.precision == "fp16")

    def step(self, image: Tensor, input_ids: Tensor, attention_mask: Tensor, target: Tensor) -> None:
        self.optimizer.zero_grad()
        half = self.conditions.device == "cuda" and self.conditions.precision != "fp32"
        with torch.autocast("cuda", self.conditions.dtype, enabled=half):
            logits = self.inferer(image, self.network, input_ids, attention_mask)
        self.scaler.scale(self.loss(logits, target)).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.parameters, 0.5)
        self.scaler.step(self.optimizer)
        self.scaler.update()
