# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The systems side by side, counted on the real architectures: what ``models`` prints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

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
    count_parameters,
)
from monai_vlsm.backbones.catalogue import BIOMEDCLIP, PUBMEDCLIP
from monai_vlsm.networks import CLIPSegNet, CRISNet, PromptedNet, SANNet, TargetUNet
from monai_vlsm.tables import markdown_table

__all__ = ["SYSTEMS", "System", "models_table"]

_HEAD = (
    "system",
    "bundle",
    "total",
    "trainable",
    "image",
    "what is trained",
    "model.pt",
    "paper: trainable",
    "paper: Dice",
)


@dataclass(frozen=True)
class System:
    """One row of the table.

    Args:
        name: what it is called.
        bundle: folder below ``bundles`` that trains it, with the settings that choose it.
        build: makes the network at real size; called on torch's ``meta`` device, where it needs no memory.
        trains: what is trained, in words.
        paper_trainable: trainable parameters as table 1 of VLSM-Adapter prints them.
        paper_dice: mean over the eight datasets of the Dice scores (percent) in tables 1 and 2 of the paper.
    """

    name: str
    bundle: str
    build: Callable[[], PromptedNet]
    trains: str
    paper_trainable: str = ""
    paper_dice: float | None = None


def _clipseg(adaptation: Adaptation, backbone: str = "CIDAS/clipseg-rd64-refined") -> Callable[[], PromptedNet]:
    return lambda: CLIPSegNet(backbone, adaptation=adaptation, load_weights=False)


ATTENTION = ("query", "key", "value", "out")
SYSTEMS = (
    System("CLIPSeg, zero-shot", "clipseg, trainable none", _clipseg(FineTuning("none")), "nothing"),
    System("CLIPSeg, decoder", "clipseg", _clipseg(FineTuning("decoder")), "decoder", "150 M (1)", 79.53),
    System("CLIPSeg, full", "clipseg, trainable full", _clipseg(FineTuning("full")), "all that is used"),
    System("shallow V", "vlsm_shallow, encoders v", _clipseg(ShallowAdaptation("v")), "adapters", "", 78.75),
    System("shallow VL", "vlsm_shallow", _clipseg(ShallowAdaptation("vl")), "adapters", "4.2 M (2)", 78.91),
    System(
        "shallow VLC",
        "vlsm_shallow, condition_width 256",
        _clipseg(ShallowAdaptation("vl", condition_width=256)),
        "adapters",
        "",
        78.73,
    ),
    System("dense V", "vlsm_dense, encoders v", _clipseg(DenseAdaptation("v")), "adapters", "", 80.30),
    System("dense VL", "vlsm_dense", _clipseg(DenseAdaptation("vl")), "adapters", "3 M", 80.37),
    System(
        "dense VLC",
        "vlsm_dense, condition_width 256",
        _clipseg(DenseAdaptation("vl", condition_width=256)),
        "adapters",
        "",
        80.06,
    ),
    System("LoRA", "vlsm_dense, LoRAAdaptation", _clipseg(LoRAAdaptation()), "queries and values"),
    System(
        "LoRA, attention", "vlsm_dense, LoRAAdaptation", _clipseg(LoRAAdaptation(projections=ATTENTION)), "attention"
    ),
    System(
        "LoRA, MLP too",
        "vlsm_dense, LoRAAdaptation",
        _clipseg(LoRAAdaptation(projections=(*ATTENTION, "fc1", "fc2"))),
        "attention and MLP",
    ),
    System("DoRA", "vlsm_dense, LoRAAdaptation", _clipseg(LoRAAdaptation(dora=True)), "queries and values"),
    System("SSF", "vlsm_dense, SSFAdaptation", _clipseg(SSFAdaptation()), "factors and shifts"),
    System("BitFit", "vlsm_dense, BitFitAdaptation", _clipseg(BitFitAdaptation()), "biases"),
    System(
        "dense VL, BiomedCLIP", "vlsm_dense, backbone", _clipseg(DenseAdaptation("vl"), BIOMEDCLIP), "adapters, decoder"
    ),
    System(
        "dense VL, PubMedCLIP", "vlsm_dense, backbone", _clipseg(DenseAdaptation("vl"), PUBMEDCLIP), "adapters, decoder"
    ),
    System("Telescopic", "vlsm_dense, TelescopicAdaptation", _clipseg(TelescopicAdaptation()), "adapters"),
    System("visual prompts", "vlsm_dense, VisualPromptAdaptation", _clipseg(VisualPromptAdaptation()), "tokens"),
    System("AdaptFormer V", "vlsm_dense, AdaptFormerAdaptation", _clipseg(AdaptFormerAdaptation("v")), "adapters"),
    System("AdaptFormer VL", "vlsm_dense, AdaptFormerAdaptation", _clipseg(AdaptFormerAdaptation("vl")), "adapters"),
    System("cross-modal", "vlsm_dense, CrossModalAdaptation", _clipseg(CrossModalAdaptation()), "adapters"),
    System("CRIS", "cris", lambda: CRISNet(load_weights=False), "everything", "147 M", 82.59),
    System("SAN", "san", lambda: SANNet(load_weights=False), "side network", "8.4 M", 63.42),
    System("U-Net", "unet", TargetUNet, "everything, reads no text"),
)
"""All systems, in the order of the table."""


def models_table() -> str:
    """Count every system at real size.

    Returns:
        A Markdown table that is aligned for reading as plain text too.
    """
    return markdown_table(_HEAD, [_row(system) for system in SYSTEMS], aligned=True)


def _row(system: System) -> tuple[str, ...]:
    with torch.device("meta"):
        network = system.build()
    trains, total = count_parameters(network)
    state = network.state_dict()
    saved = sum(state[name].numel() * state[name].element_size() for name in network.trained_names)
    return (
        system.name,
        system.bundle,
        f"{total:,}",
        f"{trains:,}",
        f"{network.image_size} px",
        system.trains,
        f"{saved / 1e6:,.1f} MB" if saved else "none",
        system.paper_trainable,
        "" if system.paper_dice is None else f"{system.paper_dice:.1f}",
    )
