# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_vlsm.data.volumes import open_stack
from monai_vlsm.data.volumes.cases import MissingSlicesError, Place, exclusive_groups, plan_cases, slice_runs
from tests.data.volumes.label_maps import SIZE, box, save, slice_records

CLASSES = {"liver": (1,), "spleen": (2, 3)}


@pytest.fixture
def file(tmp_path: Path) -> str:
    return save(tmp_path / "labels.nii.gz", (box(2, 2, 2, 8, 8, 8) + 2 * box(9, 9, 9, 12, 12, 12)).astype(np.uint8))


@pytest.mark.parametrize("multi_prompt", [False, True])
def test_a_volume_and_where_its_masks_belong(file: str, multi_prompt: bool) -> None:
    plans, places = plan_cases(slice_records(file, CLASSES, multi_prompt=multi_prompt))
    (plan,) = plans
    assert (plan.dataset, plan.case, plan.plane, plan.style, plan.tag) == ("toy", "liver_1", "axial", "", "class")
    assert [(one.structure, one.prompt) for one in plan.classes] == [("liver", "the liver"), ("spleen", "the spleen")]
    assert str(plan.classes[1].label) == f"{file}::label=2,3"
    assert plan.slices == SIZE
    if multi_prompt:
        assert places["toy", "liver_1_axial_03", ""] == [Place(0, 0, 3), Place(0, 1, 3)]
    else:
        assert places["toy", "liver_1_axial_03_spleen", ""] == [Place(0, 1, 3)]


def test_each_plane_style_and_tag_by_itself(file: str) -> None:
    records = [
        record | {"prompt_style": style, "prompt_tag": "class" if record["structure"] == "liver" else tag}
        for style, tag in (("p1", "class"), ("p6", "mask-derived"))
        for plane in ("axial", "sagittal")
        for record in slice_records(file, CLASSES, plane)
    ]
    records[40] = records[40] | {"prompt": "another", "prompt_tag": "metadata"}  # of the liver, sagittal, p1
    plans, places = plan_cases(records)
    assert [(p.plane, p.style, p.tag, [c.structure for c in p.classes]) for p in plans] == [
        ("axial", "p1", "class", ["liver", "spleen"]),
        ("sagittal", "p1", "metadata", ["liver"]),
        ("sagittal", "p1", "class", ["spleen"]),
        ("axial", "p6", "class", ["liver"]),
        ("axial", "p6", "mask-derived", ["spleen"]),
        ("sagittal", "p6", "class", ["liver"]),
        ("sagittal", "p6", "mask-derived", ["spleen"]),
    ]
    assert plans[1].classes[0].prompt == ""  # it is not the same in all slices
    assert places["toy", "liver_1_axial_00_spleen", "p6"] == [Place(4, 0, 0)]


def test_slices_that_are_missing_are_named(file: str) -> None:
    records = slice_records(file, CLASSES)
    lacking = [r for r in records if r["structure"] == "liver" or r["name"][14:16] not in ("03", "04", "05", "15")]
    with pytest.raises(
        MissingSlicesError, match=r"liver_1: .* all of its 16 axial slices, and spleen lacks 3 to 5, 15"
    ):
        plan_cases(lacking)


def test_records_of_whole_files_are_no_volumes() -> None:
    record = {"image": "a.png", "label": "b.png", "prompt": "x", "name": "a", "case": "", "dataset": "d"}
    assert plan_cases([record, record | {"name": "c", "case": "c"}]) == ([], {})


def test_records_that_cannot_be_told_apart(file: str) -> None:
    records = slice_records(file, CLASSES)
    with pytest.raises(ValueError, match="expected one record of each dataset, name and style"):
        plan_cases([*records, records[0]])


def test_two_prompts_of_one_class_are_two(file: str) -> None:
    records = slice_records(file, {"liver": (1,)})
    twins = [record | {"name": f"{record['name']}-2", "prompt": "hepar"} for record in records]
    plans, _ = plan_cases([one for pair in zip(records, twins, strict=True) for one in pair])
    assert [one.prompt for one in plans[0].classes] == ["the liver", "hepar"]
    assert exclusive_groups(plans[0].classes) == ([], [0, 1])


def test_which_classes_compete(file: str, tmp_path: Path) -> None:
    other = save(tmp_path / "other.nii.gz", np.zeros((SIZE,) * 3, np.uint8))
    classes = {"whole": (1, 2), "liver": (3,), "core": (2,), "spleen": (4, 5)}
    records = [
        *slice_records(file, classes),
        *slice_records(other, {"kidney": (1,), "vein": (2,), "a mask": ()}),
    ]
    (plan,), _ = plan_cases(records)
    assert exclusive_groups(plan.classes) == ([[1, 2, 3], [4, 5]], [0, 6])


def test_truth(file: str, tmp_path: Path) -> None:
    values = box(2, 2, 2, 8, 8, 8) * 255 - 254 * box(2, 2, 2, 4, 4, 4)  # 1 and 255: what is not 0 counts
    mask = save(tmp_path / "mask.nii.gz", values.astype(np.uint8))
    (plan,), _ = plan_cases([*slice_records(file, CLASSES), *slice_records(mask, {"": ()})])
    volumes = (np.asarray(open_stack(one.label.file, "axial").slices) for one in plan.classes)
    liver, spleen, own = (one.truth(volume) for one, volume in zip(plan.classes, volumes, strict=True))
    assert (liver.dtype, liver.sum(), spleen.sum()) == (bool, 6**3, 3**3)
    assert np.array_equal(own, liver)
    assert np.array_equal(plan.classes[0].truth(liver * np.float64(1.00002)), liver)  # scaled into 16 bits


def test_runs_of_slices() -> None:
    assert slice_runs([]) == ""
    assert slice_runs([4, 2, 5, 9]) == "2, 4 to 5, 9"
    assert slice_runs(range(0, 40, 2)) == "0, 2, 4, 6, 8, 10, 12, 14 and 12 more"
