# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The loop of a site, with a server that stands in for NVFlare's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from monai_vlsm.federated import FederatedError, Outcome, Site
from monai_vlsm.federated.client import PRIVATE, read_settings, read_site, site_words, take_part
from monai_vlsm.federated.rounds import read_rounds


@dataclass
class Server:
    """Hands out rounds, each with a weight of its number, and keeps what comes back."""

    rounds: list[int]
    answers: list[Any] = field(default_factory=list)

    def init(self) -> None:
        """Nothing to prepare."""

    def is_running(self) -> bool:
        return bool(self.rounds)

    def receive(self) -> Any:
        number = self.rounds.pop(0)
        return SimpleNamespace(current_round=number, params={"weight": torch.tensor([float(number)])})

    def get_site_name(self) -> str:
        return "north"

    def send(self, answer: Any) -> None:
        self.answers.append(answer)


@dataclass
class Model:
    """What NVFlare's FLModel holds."""

    params: Any = None
    metrics: Any = None
    meta: Any = None


@dataclass(frozen=True)
class Adding(Site):
    """A site that adds one, and fails in some rounds."""

    failing: Mapping[int, BaseException] = field(default_factory=dict)

    def train(self, weights: Mapping[str, np.ndarray], number: int) -> Outcome:
        if number in self.failing:
            raise self.failing[number]
        return Outcome({name: values + 1 for name, values in weights.items()}, 12, {"val_dice": 0.5})


def adding(output: Path, failing: Mapping[int, BaseException] | None = None) -> Adding:
    return Adding(output, output, output, {}, failing=failing or {})


def test_weights_scores_and_images_go_back(tmp_path: Path) -> None:
    server = Server([0, 1])
    take_part(server, Model, adding(tmp_path))
    assert [answer.params["weight"].tolist() for answer in server.answers] == [[1.0], [2.0]]
    assert [answer.meta for answer in server.answers] == [{"NUM_STEPS_CURRENT_ROUND": 12}] * 2
    assert server.answers[0].metrics == {"val_dice": 0.5}
    assert read_rounds(tmp_path)[1] == {"round": 1, "images": 12, "bytes": 4, "val_dice": 0.5}


@pytest.mark.parametrize(
    ("error", "told"),
    [(FederatedError("no images\nhere"), "no images here"), (RuntimeError("/data/anna.png: no memory"), PRIVATE)],
)
def test_a_site_that_cannot_train_sends_nothing_and_goes_on_next_round(
    tmp_path: Path, error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server = Server([0, 1, 2])
    take_part(server, Model, adding(tmp_path, {1: error}))
    first, refused, last = server.answers
    assert {name: value.tolist() for name, value in refused.params.items()} == {"refused": [0.0]}
    assert refused.meta == {"NUM_STEPS_CURRENT_ROUND": 0, "refused": told} and refused.metrics is None
    assert (first.params["weight"].item(), last.params["weight"].item()) == (1.0, 3.0)
    line = " ".join(str(error).split())
    assert read_rounds(tmp_path)[1] == {"round": 1, "refused": line}
    assert f"error: site north, round 1: {line}\n" in capsys.readouterr().out


def test_a_site_whose_process_died_comes_back(tmp_path: Path) -> None:
    dying = Server([0, 1, 2])
    with pytest.raises(KeyboardInterrupt):
        take_part(dying, Model, adding(tmp_path, {1: KeyboardInterrupt()}))
    back = Server([3])
    take_part(back, Model, adding(tmp_path))
    assert back.answers[0].params["weight"].item() == 4.0
    assert [row["round"] for row in read_rounds(tmp_path)] == [0, 3]


def test_words_of_a_site_make_it_again(tmp_path: Path) -> None:
    settings = {"backbone": "1e3", "amp": False, "rate": 0.1, "adaptation": {"_target_": "a.B", "x": [1, None]}}
    terms = {"base": "abc", "adaptation": {"type": "B"}}
    site = Site(tmp_path / "a b", tmp_path, tmp_path / "out", terms, 3, 44, settings)
    assert read_site(site_words(site)) == site
    pytest.importorskip("nvflare")
    from nvflare.fuel.utils.json_scanner import JsonScanner
    from nvflare.fuel.utils.wfconf import resolve_var_refs

    config = {"command": site_words(site)}
    resolve_var_refs(JsonScanner(config), {"WORKSPACE": "/w"})  # which takes words in braces for its variables
    assert read_site(config["command"]) == site


def test_settings_of_a_command() -> None:
    assert read_settings(["amp=False", "backbone=a=b", "rate=0.1"]) == {"amp": False, "backbone": "a=b", "rate": 0.1}
    with pytest.raises(ValueError, match="expected NAME=VALUE"):
        read_settings(["amp"])
