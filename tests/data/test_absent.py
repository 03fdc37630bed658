# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What is absent: which structures of a list an image lacks."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.data import (
    ClassPromptError,
    KnownFiles,
    NothingAbsentError,
    absent_probability,
    load_datalist,
    with_absent_prompts,
)
from monai_vlsm.data.absent import absent_structures, parts_by_image
from tests.data.files import save, square

TUMOR, NO_TUMOR = {"p1": "Tumor in the scan."}, {"p1": "No tumor in the scan."}
LUNG, LIVER = {"p1": "lung"}, {"p1": ["liver", "hepatic tissue"]}


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("masks")
    arrays = {"full": square(), "empty": square(value=0)}
    files = {name: str(save(array, folder / f"{name}.png")) for name, array in arrays.items()}
    noise = square(value=0)
    noise[20, 20] = 15
    return files | {"noise": str(save(noise, folder / "noise.jpg", quality=100))}


def record(image: str, prompt: Any, mask: str, **more: Any) -> dict[str, Any]:
    return {"image": image, "label": mask, "prompt": prompt, "name": image, "dataset": "mine", **more}


def found(records: list[dict[str, Any]], words: Any = None) -> dict[str, list[str]]:
    return {image: [s[0] for s in structures] for image, structures in absent_structures(records, words).items()}


CASES = [  # image, prompt, kind of mask; expected
    ("normal images", [("a", TUMOR, "full"), ("b", NO_TUMOR, "empty")], {"a": [], "b": ["Tumor in the scan."]}),
    ("an empty mask", [("a", TUMOR, "full"), ("b", TUMOR, "empty")], {"a": [], "b": ["Tumor in the scan."]}),
    ("noise of a JPEG", [("a", TUMOR, "full"), ("b", TUMOR, "noise")], {"a": [], "b": ["Tumor in the scan."]}),
    ("two structures", [("a", LUNG, "full"), ("b", LIVER, "full")], {"a": ["liver"], "b": ["lung"]}),
    ("both", [("a", LUNG, "full"), ("a", LIVER, "full"), ("b", LUNG, "full")], {"a": [], "b": ["liver"]}),
    ("one has it", [("a", LUNG, "empty"), ("a", LUNG, "full"), ("b", LIVER, "full")], {"a": ["liver"], "b": ["lung"]}),
    ("another wording", [("a", LIVER, "full"), ("b", {"p1": "hepatic  Tissue"}, "full")], {"a": [], "b": []}),
    ("in three wordings", [("a", {"p1": ["x", "y"]}, "full"), ("b", {"p1": ["y", "z"]}, "full")], {"a": [], "b": []}),
    ("case and spaces", [("a", {"p1": "Lung"}, "full"), ("b", {"p1": " lung "}, "full")], {"a": [], "b": []}),
    ("no class prompt", [("a", {"p2": "large"}, "full"), ("b", LUNG, "full")], {"a": ["lung"], "b": []}),
    ("text", [("a", "lung", "full"), ("b", "liver", "full")], {"a": ["liver"], "b": ["lung"]}),
]


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_absent(rows: list[tuple[str, Any, str]], expected: dict[str, list[str]], masks: dict[str, str]) -> None:
    assert found([record(image, prompt, masks[kind]) for image, prompt, kind in rows]) == expected


def test_structures_together(masks: dict[str, str]) -> None:
    both = {"prompt": [LUNG, LIVER], "name": "x", "dataset": ""}
    records = [
        {"image": "a", "label": [masks["full"], masks["empty"]], **both},
        {"image": "b", "label": [masks["full"], masks["full"]], **both},
    ]
    assert found(records) == {"a": ["liver"], "b": []}


def test_words_are_absent_everywhere_but_where_they_are_a_structure(masks: dict[str, str]) -> None:
    records = [record("a", LUNG, masks["full"]), record("b", LIVER, masks["full"])]
    assert found(records, ["spleen", "LIVER"]) == {"a": ["liver", "spleen"], "b": ["lung", "spleen"]}
    assert found(records[:1], "spleen") == {"a": ["spleen"]}


@pytest.mark.parametrize("word", ["", "  ", "no polyp", 3])
def test_words_must_name_something(word: Any, masks: dict[str, str]) -> None:
    with pytest.raises(ClassPromptError, match="names of things"):
        with_absent_prompts([record("a", LUNG, masks["full"])], 0.0, ["spleen", word])


def test_descriptions_are_no_names(masks: dict[str, str]) -> None:
    records = [record(f"{i}", {"p1": f"polyp number {i}"}, masks["full"]) for i in range(12)]
    with pytest.raises(ClassPromptError, match=r"12 of 12 class prompts.*one image only.*'polyp number 0'"):
        with_absent_prompts(records, 0.1)
    common = [record(f"c{i}", {"p1": f"organ {i % 13}"}, masks["full"]) for i in range(26)]
    assert len(found(records + common)["c0"]) == 24


def test_parts_know_what_the_prompt_gives_away(masks: dict[str, str]) -> None:
    official = record("a", {"p1": "No tumor in the breast ultrasound image."}, masks["empty"], dataset="busi")
    (normal,) = parts_by_image([official])["a"]
    assert (normal.style, normal.tag, normal.names) == ("p1", "mask-derived", ())
    (stated,) = parts_by_image([record("a", LUNG, masks["full"], tags={"p1": "metadata"})])["a"]
    assert (stated.prompt, stated.tag, stated.names) == ("lung", "metadata", ("lung",))


def test_unreadable_masks_are_not_empty(tmp_path: Path, masks: dict[str, str]) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    equally_bright = np.zeros((20, 30, 3), np.uint8)
    equally_bright[..., 0], equally_bright[:5, :, :] = 255, 255
    red_on_white = str(save(equally_bright, tmp_path / "red.png"))
    files = {str(broken), str(tmp_path / "nothing.png"), red_on_white, masks["empty"], masks["full"]}
    assert KnownFiles().empty_masks(files) == {masks["empty"]}


def class_prompts(records: list[dict[str, Any]]) -> list[list[list[str]] | None]:
    """The class prompts of each absent thing of each record."""
    return [None if one.get("absent") is None else [table["p1"] for table in one["absent"]] for one in records]


def test_records_get_all_that_is_absent(masks: dict[str, str]) -> None:
    records = [record("a", LUNG, masks["full"]), record("b", LIVER, masks["full"]), record("c", LIVER, masks["full"])]
    records.append(record("c", LUNG, masks["full"]))
    marked = with_absent_prompts(records, 0.25)
    assert class_prompts(marked) == [[["liver", "hepatic tissue"]], [["lung"]], None, None]
    assert all("absent" not in one for one in records)
    assert with_absent_prompts(records, 0.0) == records
    without = {name: value for name, value in records[0].items() if name != "prompt"}
    assert with_absent_prompts([*records, {**without, "image": "d"}], 0.25)[-1] == {**without, "image": "d"}


def test_absent_things_are_asked_for_in_the_styles_of_present_ones(masks: dict[str, str]) -> None:
    """Of a structure, in all its own prompts; of a word, in those of the structures with the word in their place."""
    polyps = [{"p0": "", "p1": "Polyp", "p5": f"{size} polyp", "p6": [f"{size} polyp, top", "growth"]} for size in "ab"]
    polyps.append({"p1": "Polyp", "p5": "no polyp"})
    records = [record(f"{i}", table, masks["full"]) for i, table in enumerate(polyps)]
    records.append(record("normal", {"p1": "lung", "p5": "dark lung"}, masks["full"]))
    tree, polyp = with_absent_prompts(records, 0.25, ["tree"])[-1]["absent"][::-1]
    assert polyp == {"p1": ["Polyp"], "p5": ["a polyp", "b polyp"], "p6": ["a polyp, top", "growth", "b polyp, top"]}
    assert tree == {
        "p1": ["tree"],
        "p5": ["a tree", "b tree", "dark tree"],
        "p6": ["a tree, top", "b tree, top"],
    }


def test_tables_stay_small(masks: dict[str, str]) -> None:
    records = [record(f"{i}", {"p1": "polyp", "p2": f"polyp {i}"}, masks["full"]) for i in range(100)]
    records.append(record("normal", LUNG, masks["full"]))
    (table,) = with_absent_prompts(records, 0.25)[-1]["absent"]
    assert len(table["p2"]) == 32


@pytest.mark.parametrize("share", [-0.1, 0.6])
def test_share_out_of_range(share: float) -> None:
    with pytest.raises(ValueError, match=r"negatives must be a share from 0 to 0\.5"):
        with_absent_prompts([], share)


def test_nothing_absent_says_what_to_do(masks: dict[str, str]) -> None:
    records = [record("a", {"p1": "polyp"}, masks["full"]), record("b", {"p1": "polyp"}, masks["full"])]
    with pytest.raises(NothingAbsentError, match=r"\(polyp\).*empty mask.*--absent_prompts"):
        with_absent_prompts(records, 0.1)
    assert len(with_absent_prompts(records, 0.1, ["pancreas"])[0]["absent"]) == 1


def test_missing_masks_are_left_to_the_check(tmp_path: Path) -> None:
    records = [record("a", {"p1": "polyp"}, str(tmp_path / "absent.png"))]
    assert with_absent_prompts(records, 0.1) == records


@pytest.mark.parametrize(
    ("able", "share", "expected"), [(10, 0.25, 0.25), (5, 0.25, 0.5), (5, 0.1, 0.2), (2, 0.25, 0.5), (0, 0.25, 0.0)]
)
def test_probability_gives_the_share_of_all(able: int, share: float, expected: float, caplog: Any) -> None:
    records = [{"absent": ["x"]} for _ in range(able)] + [{} for _ in range(10 - able)]
    with caplog.at_level(logging.WARNING):
        assert absent_probability(records, share) == pytest.approx(expected)
    assert ("only 2 of 10 records" in caplog.text) == (able == 2)
    assert absent_probability(records, 0.0) == 0.0


def test_busi_normal_images_lack_the_tumor(shared: Path) -> None:
    records = load_datalist(shared / "data" / "busi", "test", check=False)
    absent = found(records)
    lacking = {image for image, names in absent.items() if names}
    assert len(lacking) == 13
    assert all("normal" in Path(image).name for image in lacking)
    assert {name for names in absent.values() for name in names} == {"Tumor in the breast ultrasound image."}


def test_what_records_say_is_absent() -> None:
    """Label maps tell it themselves: a class of few pixels has no record and is not absent either."""
    liver, cyst = ({"prompt": prompt, "structure": "x"} for prompt in (LIVER, {"p1": "cyst"}))
    records = [record("a", LUNG, "a.nii::axial=1::label=1") | {"absent": [liver, cyst]}]
    records += [record("b", LUNG, "a.nii::axial=2::label=1") | {"absent": []}]
    found = class_prompts(with_absent_prompts(records, 0.5, ["brain", "lung"]))
    assert found == [[["liver", "hepatic tissue"], ["cyst"], ["brain"]], [["brain"]]]
    assert class_prompts(with_absent_prompts(records, 0.5)) == [[["liver", "hepatic tissue"], ["cyst"]], None]
    assert not any("absent" in one for one in with_absent_prompts(records, 0))
