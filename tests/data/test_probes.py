# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which questions an image is asked."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.data import probe_records
from tests.data.files import save, square

Asked = list[tuple[str, str, str, tuple[int, ...]]]


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("masks")
    return {name: str(save(square(value=value), folder / f"{name}.png")) for name, value in (("X", 255), ("o", 0))}


def records(masks: dict[str, str], *rows: str) -> list[dict[str, Any]]:
    """``"a: lung X, liver o"``: image, and names of structures with a mask (X) or an empty one (o)."""
    made = []
    for row in rows:
        image, structures = row.split(": ")
        for structure in structures.split(", "):
            name, kind = structure.rsplit(" ", 1)
            common = {"image": f"/data/{image}.png", "name": f"{image}_{name}", "dataset": "mine"}
            made.append({**common, "label": masks[kind], "prompt": {"p0": "", "p1": name, "p2": f"large {name}"}})
    return made


def asked(found: list[dict[str, Any]]) -> Asked:
    return [(p.kind, p.record, p.prompt, p.asked) for record in found for p in record["probes"]]


CASES: list[tuple[str, list[str], Asked]] = [
    ("one structure everywhere", ["a: polyp X", "b: polyp X"], []),
    (
        "three structures in a circle",
        ["a: x X, y X, z X"],
        [("other", "a_x", "y", (1,)), ("other", "a_y", "z", (2,)), ("other", "a_z", "x", (0,))],
    ),
    (
        "an empty mask is no other structure",
        ["a: x X, y o, z X"],
        [("other", "a_x", "z", (2,)), ("other", "a_z", "x", (0,)), ("absent", "a_x", "y", ())],
    ),
    ("a normal image", ["a: polyp X", "b: no polyp o"], [("absent", "b_no polyp", "polyp", ())]),
    (
        "two masks of one structure",
        ["a: x X, x X, y X"],
        [("other", "a_x", "y", (2,)), ("other", "a_x", "y", (2,)), ("other", "a_y", "x", (0, 1))],
    ),
    ("what only another image has", ["a: x X", "b: y X"], [("absent", "a_x", "y", ()), ("absent", "b_y", "x", ())]),
]


@pytest.mark.parametrize(("rows", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_questions(rows: list[str], expected: Asked, masks: dict[str, str]) -> None:
    assert asked(probe_records(records(masks, *rows))) == expected


def test_record_asks_each_text_once(masks: dict[str, str]) -> None:
    (record,) = probe_records(records(masks, "a: x X, y X"), ["spleen"])
    assert record["prompt"] == ["y", "x", "spleen"]
    assert record["label"] == [masks["X"], masks["X"]]
    assert (record["image"], record["name"], record["dataset"]) == ("/data/a.png", "/data/a.png", "mine")
    probe = record["probes"][0]
    assert (probe.style, probe.tag, probe.own_prompt, probe.own) == ("p1", "class", "x", 0)


def test_no_question_twice_and_all_in_turn(masks: dict[str, str]) -> None:
    words = ["p", "q", "r"]
    two = [(p[1], p[2]) for p in asked(probe_records(records(masks, "a: x X, y X"), words)) if p[0] == "absent"]
    assert [name for name, _ in two] == ["a_x", "a_y"]
    assert len({word for _, word in two}) == 2
    many = asked(probe_records(records(masks, "a: v X, w X, x X, y X"), words))
    assert sorted(p[2] for p in many if p[0] == "absent") == words
    first = {asked(probe_records(records(masks, f"{i}: x X"), words))[0][2] for i in range(30)}
    assert first == set(words)


def test_same_questions_wherever_the_data_lie(masks: dict[str, str]) -> None:
    here = records(masks, *(f"{i}: x X" for i in range(9)))
    there = [{**record, "image": record["image"].replace("/data", "/elsewhere")} for record in here]
    words = ["p", "q", "r", "s"]
    assert asked(probe_records(here, words)) == asked(probe_records(there, words))


def test_own_prompts_to_compare_with(masks: dict[str, str]) -> None:
    rows = records(masks, "a: x X, x X, y o", "b: x X, y X", "c: no y o")
    found = asked(probe_records(rows, kinds=["own", "absent"]))
    assert [p for p in found if p[0] == "own"] == [
        ("own", "a_x", "x", (0, 1)),
        ("own", "b_x", "x", (0,)),
        ("own", "b_y", "y", (1,)),
    ]
    assert [(p[1], p[2]) for p in found if p[0] == "absent" and p[1] == "a_x"] == [("a_x", "y")]
    assert probe_records(records(masks, "a: x X", "b: x X"), kinds=["own", "absent"]) == []


def test_structures_together(masks: dict[str, str]) -> None:
    record = {"image": "a.png", "name": "a", "dataset": "", "label": [masks["X"], masks["X"]], "prompt": ["x", "y"]}
    (found,) = probe_records([record])
    assert [(p.record, p.prompt, p.own, p.asked, p.style) for p in found["probes"]] == [
        ("a", "y", 0, (1,), ""),
        ("a", "x", 1, (0,), ""),
    ]


def test_switched_off(masks: dict[str, str]) -> None:
    assert probe_records(records(masks, "a: x X, y X"), enabled=False) == []


def test_unknown_kind() -> None:
    with pytest.raises(ValueError, match="unknown kinds of probes wrong, known: own, other, absent"):
        probe_records([], kinds=["own", "wrong"])


def test_descriptions_are_not_asked(masks: dict[str, str], caplog: Any) -> None:
    with caplog.at_level(logging.WARNING):
        assert probe_records(records(masks, *(f"{i}: polyp {i} X, spot {i} X" for i in range(8)))) == []
    assert "no probes" in caplog.text
    assert "one image only" in caplog.text


def test_busi(shared: Path) -> None:
    from monai_vlsm.data import load_datalist

    found = probe_records(load_datalist(shared / "data" / "busi", "val", check=False))
    assert len(found) == 13
    assert {p[0] for p in asked(found)} == {"absent"}
    assert found[0]["probes"][0].own_prompt == "No tumor in the breast ultrasound image."
