# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs of a study, and what must be there for them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.studies import Study, StudyError, plan_runs, read_study
from monai_vlsm.studies.plan import require_parts

BUNDLES = Path(__file__).parents[2] / "bundles"
Make = Callable[..., Study]


def test_order_and_names(study: Make) -> None:
    runs = plan_runs(study(fractions=[0.25, 1.0], datasets=["polyps", "moles"]))
    assert len(runs) == 2 * 2 * 2 * 2
    assert [(run.seed, run.fraction, run.dataset, run.system) for run in runs[:3]] == [
        (41, 0.25, "polyps", "good"),
        (41, 0.25, "polyps", "better"),
        (41, 0.25, "moles", "good"),
    ]
    assert runs[0].name == f"polyps--good--seed41--25percent--{runs[0].digest}"


def test_the_system_wins_over_dataset_and_study(study: Make) -> None:
    made = study(
        settings={"epochs": 1, "encoders": "a"},
        datasets={"polyps": {"settings": {"encoders": "b", "learning_rate": 1}}},
        systems={"good": {"settings": {"encoders": "c"}}},
    )
    assert plan_runs(made)[0].settings == {"epochs": 1, "encoders": "c", "learning_rate": 1}


def test_digest_is_of_what_a_training_depends_on(study: Make) -> None:
    first = plan_runs(study())[0]
    assert first.digest == plan_runs(study(data="elsewhere", styles=["p2"], lease=5.0))[0].digest
    assert first.digest != plan_runs(study(settings={"epochs": 3}))[0].digest
    assert len({run.digest for run in plan_runs(study())}) == 4


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"systems": ["god"]}, ["system god", "no bundle 'god'", "did you mean good?"]),
        ({"systems": {"good": {"settings": {"epoch": 1}}}}, ["system good", "'epoch'", "did you mean epochs?"]),
        ({"settings": {"rate": 1}}, ["settings of the study", "'rate'"]),
        ({"datasets": ["polypes"]}, ["dataset polypes", "no folder", "did you mean polyps?"]),
        ({"datasets": {"polyps": {"test_split": "tset"}}}, ["no list of the split 'tset'"]),
        ({"datasets": {"x": {"folder": "sample:brian"}}}, ["dataset x", "unknown sample 'brian'"]),
        ({"bundles": "nowhere"}, ["nowhere holds no bundles", "--bundles"]),
    ],
)
def test_parts_that_are_not_there(study: Make, given: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(StudyError) as caught:
        require_parts(study(**given))
    assert all(word in str(caught.value) for word in words)


def test_a_style_that_the_published_lists_do_not_have(place: Path, study: Make) -> None:
    for split in ("train", "val", "test"):
        (place / "data" / "polyps" / "anns").mkdir(exist_ok=True)
        (place / "data" / "polyps" / "anns" / f"{split}.json").write_text('[{"prompts": {"p0": "", "p1": "polyp"}}]')
    require_parts(study(styles=["p1", "random"]))
    with pytest.raises(StudyError, match=r"dataset polyps: no prompt of style 'p5' in .*test\.json"):
        require_parts(study(styles=["p1", "p5"]))


def test_a_style_that_other_lists_do_not_have(place: Path, study: Make) -> None:
    require_parts(study(styles=["p1", "p4", "random"]))
    with pytest.raises(StudyError, match=r"dataset polyps: no prompt of style 'p5' in .*polyps/test\.json"):
        require_parts(study(styles=["p5"]))
    (place / "data" / "polyps" / "labels.json").write_text('{"1": {"p1": "polyp", "p5": "a polyp"}}')
    require_parts(study(styles=["p5"]))


def test_parts_of_a_bundle_may_be_set(study: Make) -> None:
    require_parts(study(settings={"network_def#dropout": 0.1}))


def test_shipped_studies_set_what_the_bundles_have() -> None:
    for name in ("paper", "low_data", "transfer", "peft", "peft_sample", "peft_volumes", "busi", "sample"):
        study = read_study(name)
        for run in plan_runs(study):
            config = json.loads((BUNDLES / run.bundle / "configs" / "train.json").read_text(encoding="utf-8"))
            assert set(run.settings) <= set(config), run.name


def test_systems_whose_names_are_one_for_a_folder(study: Make) -> None:
    """Bundle and settings keep their folders apart, as long as they differ."""
    longer = {"bundle": "good", "settings": {"epochs": 3}}
    made = study(systems={"Ours": {"bundle": "good"}, "Ours+": longer, "ours*": {"bundle": "better"}})
    names = [run.name.casefold() for run in plan_runs(made)]
    assert len(set(names)) == len(names) == 6 and all("--ours--" in name for name in names)
    with pytest.raises(StudyError, match=r"systems 'Ours' and 'Ours\+' are one name for a folder.*rename"):
        plan_runs(made.with_setting("epochs", 3))
    with pytest.raises(StudyError, match=r"systems 'Ours' and 'Ours\+' are one name"):
        study(systems={"Ours": {"bundle": "good"}, "Ours+": longer}, settings={"epochs": 3})
