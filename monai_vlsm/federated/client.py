# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What NVFlare starts on each site: ``python -m monai_vlsm.federated.client --bundle DIR --data DIR ...``."""

from __future__ import annotations

import argparse
import ast
import importlib
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_vlsm.errors import UserError
from monai_vlsm.federated.rounds import note_refusal, note_round
from monai_vlsm.federated.site import Site
from monai_vlsm.federated.terms import unpacked

__all__ = ["take_part"]


def take_part(flare: Any, model_class: Any, site: Site) -> None:
    """Train in each round until the server says that it is over.

    A site that cannot train says why in one line and sends neither weights nor scores; the average is then taken over
    the other sites, and the next round is tried again.

    Args:
        flare: ``nvflare.client``.
        model_class: its ``FLModel``.
        site: this site.
    """
    flare.init()
    while flare.is_running():
        received = flare.receive()
        if received is None:
            break
        flare.send(_answer(model_class, site, received))


def _answer(model_class: Any, site: Site, received: Any) -> Any:
    number = int(received.current_round or 0)
    try:
        outcome = site.train({name: np.asarray(value) for name, value in received.params.items()}, number)
    except Exception as error:  # whatever it is, the other sites go on
        if not isinstance(error, UserError):
            traceback.print_exc()
        line = _line(error)
        print(f"error: round {number}: {line}", flush=True)
        note_refusal(site.output, number, line)
        return model_class(metrics={"took_part": 0.0}, meta={"NUM_STEPS_CURRENT_ROUND": 0})
    note_round(site.output, number, outcome)
    params = {name: torch.as_tensor(values) for name, values in outcome.weights.items()}  # as NVFlare wants them here
    meta = {"NUM_STEPS_CURRENT_ROUND": outcome.images}
    return model_class(params=params, metrics=dict(outcome.scores), meta=meta)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _site(words: Sequence[str] | None = None) -> Site:
    parser = argparse.ArgumentParser(description="One site of a federation; NVFlare starts it.")
    parser.add_argument("script", nargs="?", help="NVFlare names a copy of this file here; not used")
    for name in ("bundle", "data", "output"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--terms", type=unpacked, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    values = vars(parser.parse_args(words))
    del values["script"]
    return Site(**{**values, "settings": read_settings(values["settings"])})


def read_settings(words: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` words as settings of a bundle; a value that is no Python literal is text.

    Raises:
        ValueError: a word without an equals sign.
    """
    pairs = [word.split("=", 1) for word in words]
    if any(len(pair) != 2 or not pair[0] for pair in pairs):
        raise ValueError(f"expected NAME=VALUE, got {' '.join(words)!r}")
    return {name: _value(text) for name, text in pairs}


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


if __name__ == "__main__":
    client: Any = importlib.import_module("nvflare.client")
    take_part(client, importlib.import_module("nvflare.app_common.abstract.fl_model").FLModel, _site())
