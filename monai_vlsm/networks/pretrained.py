# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Models of transformers: from a folder, the Hugging Face cache or the Hub, and only with all of their own weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers.utils.logging import get_verbosity, set_tqdm_hook, set_verbosity, set_verbosity_error

from monai_vlsm.backbones.catalogue import MINI, not_available
from monai_vlsm.backbones.waiting import bound_waiting
from monai_vlsm.backbones.weights import not_finite
from monai_vlsm.errors import UserError
from monai_vlsm.progress import BAR

__all__ = ["BackboneWeightsError", "load_pretrained"]


class BackboneWeightsError(UserError, ValueError):
    """A weight file was found and does not fit CLIPSeg."""


def load_pretrained(model: Any, config: Any, source: str, mini: str = MINI) -> Any:
    """Load a transformers model in float32, in evaluation mode, and refuse weights that are not all its own.

    Args:
        model: class of the model.
        config: its architecture.
        source: a folder, or the id of a model in the Hugging Face cache or on the Hub.
        mini: name of the embedded backbone that the error suggests when the weights cannot be had.

    Raises:
        BackboneNotFoundError: when the weights cannot be had.
        BackboneWeightsError: when a file is damaged, or a weight is missing, has another name or another shape, or
            holds NaN or infinite values.
    """
    bound_waiting()
    try:
        with _bars_that_vanish(), _quiet():
            loaded, report = model.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                local_files_only=Path(source).is_dir(),
                ignore_mismatched_sizes=True,  # reported below, with the name of the folder
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise BackboneWeightsError(f"{source}: a weight file cannot be read: {error}. Copy the model again") from error
    except OSError as error:
        raise not_available("weights", source, mini) from error
    _check(report, source, model.config_class.model_type)
    if bad := not_finite(loaded.state_dict()):
        raise BackboneWeightsError(f"{source}: {bad}. The weights are damaged; copy the model again")
    return loaded.eval()


@contextmanager
def _bars_that_vanish() -> Iterator[None]:
    """The bars of transformers as those of this package; what another program set for them holds again afterwards."""
    before = set_tqdm_hook(lambda factory, args, kwargs: factory(*args, **{**kwargs, **BAR}))
    try:
        yield
    finally:
        set_tqdm_hook(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the table of keys that do not fit, which `_check` tells in one line."""
    before = get_verbosity()
    set_verbosity_error()
    try:
        yield
    finally:
        set_verbosity(before)


def _check(report: dict[str, Any], source: str, kind: str) -> None:
    missing = sorted(report["missing_keys"])
    # checkpoints written by transformers < 4.31 carry the position indices, which are no weights
    unexpected = sorted(key for key in report["unexpected_keys"] if not key.endswith("position_ids"))
    mismatched = sorted(str(key) for key in report["mismatched_keys"])
    if missing or unexpected or mismatched:
        raise BackboneWeightsError(
            f"{source}: the weights are not those of its config.json: {len(missing)} missing {missing[:3]}, "
            f"{len(unexpected)} unexpected {unexpected[:3]}, {len(mismatched)} of another shape {mismatched[:3]}. "
            f"Get the model again, or give the folder of a {kind} model"
        )
