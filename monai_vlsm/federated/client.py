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
from monai_vlsm.federated.contribution import IMAGES, REFUSED, one_line
from monai_vlsm.federated.rounds import note_refusal, note_round
from monai_vlsm.federated.site import Site
from monai_vlsm.federated.terms import FederatedError, packed, unpacked

__all__ = ["read_settings", "site_words", "take_part"]

PRIVATE = "it cannot train, and why stands in its own log, for it may name files"


def take_part(flare: Any, model_class: Any, site: Site) -> None:
    """Train in each round until the server says that it is over.

    A site that cannot train says why in one line and sends neither weights nor scores; the average is then taken over
    the other sites, and the next round is tried again. The server hears the line too if it is a `FederatedError`, which
    names no files.

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
        flare.send(_answer(flare.get_site_name(), model_class, site, received))


def _answer(name: str, model_class: Any, site: Site, received: Any) -> Any:
    number = int(received.current_round or 0)
    try:
        outcome = site.train({key: np.asarray(value) for key, value in received.params.items()}, number)
    except Exception as error:  # whatever it is, the other sites go on
        if not isinstance(error, UserError):
            traceback.print_exc()
        line = one_line(error) or type(error).__name__
        print(f"error: site {name}, round {number}: {line}", flush=True)
        note_refusal(site.output, number, line)
        said = line if isinstance(error, FederatedError) else PRIVATE
        return model_class(params={REFUSED: torch.zeros(1)}, meta={IMAGES: 0, REFUSED: said})
    note_round(site.output, number, outcome)
    params = {key: torch.as_tensor(values) for key, values in outcome.weights.items()}  # as NVFlare wants them here
    return model_class(params=params, metrics=dict(outcome.scores), meta={IMAGES: outcome.images})


def site_words(site: Site) -> list[str]:
    """The words of the command that starts a site."""
    words = ["--bundle", str(site.bundle), "--terms", packed(site.terms), "--epochs", str(site.epochs)]
    words += [word for name, value in site.settings.items() for word in ("--set", f"{name}={_word(value)}")]
    return [*words, "--data", str(site.data), "--output", str(site.output), "--seed", str(site.seed)]


def _word(value: Any) -> str:
    """A setting as `read_settings` reads it back: a literal where Python has one."""
    return repr(value) if isinstance(value, str | int | float | list | tuple | dict | None) else str(value)


def read_site(words: Sequence[str] | None = None) -> Site:
    """The site that `site_words` are of; None takes the words of this process."""
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
    take_part(client, importlib.import_module("nvflare.app_common.abstract.fl_model").FLModel, read_site())
