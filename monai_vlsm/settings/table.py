# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The settings of the bundles, and what each may be."""

from __future__ import annotations

from typing import Any

from monai_vlsm.adapters.placement import LARGEST
from monai_vlsm.errors import UserError
from monai_vlsm.settings.kinds import Kind, choice, device, flip_words, number, switch, table, text, triple, window

__all__ = ["SAME_AS", "SETTINGS", "SettingError", "checked"]

SETTINGS: dict[str, Kind] = {
    # folders, files and names
    "bundle_root": text(),
    "ckpt_dir": text(),
    "output_dir": text(),
    "dataset_dir": text(),
    "cache_dir": text(),
    "model_file": text(),
    "start_from": text(optional=True),
    "backbone": text(),
    "decoder": text(optional=True),
    "weights": text(optional=True),
    "dataset": text(optional=True),
    "train_split": text(),
    "val_split": text(),
    "fold": number(0, whole=True, optional=True),
    "planes": choice("axial", "coronal", "sagittal", "all"),
    "plane": choice("axial", "coronal", "sagittal", "all"),
    "channel": text(optional=True),
    "min_pixels": number(0, whole=True),
    "context": number(0, 2, whole=True),
    "slice_attention": switch(),
    "split_file": text(optional=True),
    # prompts
    "prompt": text(many=True, verbatim=True),
    "default_prompt": text(empty=True),
    "absent_prompts": text(many=True, optional=True),
    "val_style": text(),
    "styles": text(many=True),
    "targets": text(many=True, optional=True),
    "multi_prompt": switch(),
    "max_prompts": number(1, whole=True, optional=True),
    "fraction": number(0, 1, above=True),
    "negatives": number(0, 0.5),
    "probes": switch(),
    "case_scores": switch(),
    "save_cases": switch(),
    "surface_tolerance": number(0),
    "uncertainty": choice("single", "prompts", "flips", "dropout"),
    "rewordings": text(many=True, optional=True),
    "draws": number(2, whole=True),
    "text_cache": choice("off", "batch", "run"),
    # training
    "epochs": number(1, whole=True),
    "batch_size": number(1, whole=True),
    "num_workers": number(0, 1024, whole=True),
    "learning_rate": number(0),
    "beta2": number(0, 1),
    "max_norm": number(0, above=True),
    "by_image": switch(),
    "early_stop": number(-1, whole=True, optional=True),
    "val_interval": number(1, whole=True),
    "seed": number(0, 2**32 - 1, whole=True),
    "resume": switch(),
    "labels_only": switch(),
    "augment": switch(),
    "flips": choice("none", "horizontal", "vertical", "both"),
    "flip_words": flip_words(),
    "rotation": number(0, 180),
    "schedule": choice("plateau", "cosine"),
    "warmup": number(0, 1),
    "ema": number(0, 0.999999),
    "contrastive": number(0),
    # network
    "encoders": choice("v", "vl"),
    "adapter_width": number(1, LARGEST, whole=True),
    "condition_width": number(1, LARGEST, whole=True, optional=True),
    "trainable": choice("none", "decoder", "full"),
    "zero_shot": switch(),
    "existence_threshold": number(0, 1),
    "temperature": number(0, above=True),
    "fit_temperature": switch(),
    "attention": choice("sdpa", "eager"),
    "image_size": number(1, 4096, whole=True),
    "image_mean": triple(),
    "image_std": triple(above=0),
    # memory and speed
    "amp": switch(),
    "amp_dtype": choice("float16", "bfloat16"),
    "device": device(),
    "cache": choice("auto", "off", "memory", "disk"),
    "cache_rate": number(0, 1),
    "cache_features": switch(),
    "cache_dtype": choice("float32", "float16", "bfloat16"),
    "checkpointing": switch(),
    "deterministic": switch(),
    "tf32": switch(),
    "compile": switch(),
    "compile_kwargs": table(),
    # images
    "overlays": number(0, whole=True, words=("all", "none")),
    "window": window(),
}
"""Setting to its kind. A setting of a bundle that is not here has no rule of its own."""

SAME_AS = {
    "train::trainer::max_epochs": "epochs",
    "train::dataloader::batch_size": "batch_size",
    "train::dataloader::num_workers": "num_workers",
    "validate::dataloader::batch_size": "batch_size",
    "validate::dataloader::num_workers": "num_workers",
    "dataloader::batch_size": "batch_size",
    "network_def::attention": "attention",
    "network_def::image_size": "image_size",
    "optimizer::lr": "learning_rate",
}
"""Ids inside the parts of a config that people set, to the setting whose rule holds there."""

_SHOWN = 60


class SettingError(UserError, ValueError):
    """A setting of a bundle that does not exist, or a value that it cannot have."""


def checked(name: str, value: Any, kind: Kind | None = None) -> Any:
    """The value of a setting as the bundle takes it.

    Args:
        name: of the setting, as it is typed.
        value: what was given.
        kind: what it must be; None takes the rule of `SETTINGS`.

    Raises:
        SettingError: another value; the message says what was expected, what came and what to type.
    """
    rule = kind or SETTINGS[name]
    if value is None and rule.optional:
        return None
    try:
        return rule.take(value)
    except (ValueError, OverflowError) as error:
        expected = f"{str(error) or rule.expected}{' or None' if rule.optional else ''}"
        raise SettingError(f"{name}: expected {expected}, got {_short(value)}") from None


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."
