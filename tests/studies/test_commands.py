# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The commands of the bundle for a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from monai_vlsm.studies import Study, plan_runs
from monai_vlsm.studies.commands import RESUME, evaluate_words, train_words


def test_training(place: Path, study: Callable[..., Study]) -> None:
    made = study(fractions=[0.25, 1.0], systems={"good": {"settings": {"encoders": "v"}}})
    part, whole = plan_runs(made)[:2]
    words = train_words(made, part, place / "run")
    assert words[:2] == ["run", f"--config_file=['{place / 'bundles/good/configs/train.json'}']"]
    expected = ["--encoders=v", "--epochs=2", "--seed=41", "--fraction=0.25", f"--dataset_dir={place / 'data/polyps'}"]
    assert set(expected) < set(words)
    assert not any("fraction" in word for word in train_words(made, whole, place / "run"))
    assert RESUME not in words
    (place / "run" / "training").mkdir(parents=True)
    (place / "run" / "training" / "last.pt").touch()
    assert RESUME in train_words(made, part, place / "run")


def test_an_evaluation_has_the_settings_of_its_own_dataset(place: Path, study: Callable[..., Study]) -> None:
    datasets = {"polyps": {"settings": {"encoders": "p"}}, "moles": {"train": False, "test_split": "val"}}
    made = study(datasets=datasets, transfer={"polyps": ["moles"]}, styles=["p1", "random"])
    run = plan_runs(made)[0]
    own, other = (evaluate_words(made, run, place / "run", name) for name in ("polyps", "moles"))
    assert "--encoders=p" in own and "--encoders=p" not in other
    assert {"--val_split=val", "--styles=['p1', 'random']", "--probes=False"} < set(other)
    assert (
        f"--model_file={place / 'run/training/model.pt'}" in other and f"--dataset_dir={place / 'data/moles'}" in other
    )


def test_an_evaluation_takes_the_adaptation_from_the_file(place: Path, study: Callable[..., Study]) -> None:
    given = {"adaptation": "$monai_vlsm.adapters.LoRAAdaptation(rank=4)"}
    made = study(systems={"good": {"settings": given}})
    run = plan_runs(made)[0]
    assert f"--adaptation={given['adaptation']}" in train_words(made, run, place / "run")
    assert not any("adaptation" in word for word in evaluate_words(made, run, place / "run", "polyps"))
