# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from monai_vlsm.io import WriteError
from monai_vlsm.outputs import NotOursError
from monai_vlsm.prompts import MASK_DERIVED
from monai_vlsm.report import FILES, write_report
from monai_vlsm.statistics import words
from monai_vlsm.statistics.probes import DECIDES
from tests.folders import visible
from tests.report.test_page import Tags
from tests.statistics.runs import HOSTILE, RUN_JSON, calibration, full_run, make_run, probe, probes, score, scores

ELEMENTS = set(
    re.findall(
        r"\w+",
        "html head meta title style body h1 h2 h3 h4 p nav ul li a div table thead tbody tr th td span small details "
        "summary figure img figcaption strong br code footer",
    )
)
DASH = "\N{EN DASH}"


def written(folder: Path, *runs: Path, title: str | None = None) -> tuple[str, str, dict[str, object]]:
    files = write_report(runs, folder, title)
    assert [file.name for file in files] == list(FILES)
    page, text, data = (file.read_text(encoding="utf-8") for file in files)
    return page, text, json.loads(data)


def section(text: str, title: str) -> str:
    """A chapter or section of the Markdown, up to the next heading of any level below 4."""
    return re.split(r"\n#{1,3} ", text.split(f"# {title}\n", 1)[1])[0]


def test_structures_of_one_image_are_one_image(tmp_path: Path) -> None:
    rows = [score(f"img{i}_{part}", image_id=f"img{i}", structure=part) for i in range(13) for part in range(4)]
    text = written(tmp_path / "out", make_run(tmp_path / "mine", rows))[1]
    assert "13 images, 52 masks." in text


def test_without_probes_it_says_how_to_get_some(tmp_path: Path) -> None:
    text = written(tmp_path / "out", make_run(tmp_path / "mine"))[1]
    assert "--absent_prompts \"['pancreas','left kidney']\"" in text


def test_everything(tmp_path: Path) -> None:
    page, text, data = written(tmp_path / "out", full_run(tmp_path / "mine"))
    assert "Network CLIPSegNet, backbone clipseg-mini, DenseAdaptation. Data polyps, split test" in text
    assert "evaluated 2026-11-23 13:40 UTC" in text.replace("Evaluated", "evaluated")
    assert "31 images, 31 masks." in text
    assert text.index("Scores: class prompts") < text.index("Scores: mask-derived prompts")
    assert words.TAG_MEANING[MASK_DERIVED] in section(text, "Scores: mask-derived prompts")
    assert words.EMPTY_RULE in section(text, "Empty masks")
    assert "| class | set | p1 | 31 | 1 | 0 (0.0\N{NO-BREAK SPACE}%) | 30 | 0 " in section(text, "Empty masks")
    assert DECIDES in section(text, "Asked for another structure")
    assert "0.0\N{NO-BREAK SPACE}% of the image" in section(text, "Asked for something that is not there")
    assert "0.25" in section(text, "Existence: is it there at all?")
    assert f"| class | 1 | 0.0500 | {DASH} | 864 |" in section(text, "Calibration")
    assert page.count("data:image/svg+xml") == 3
    assert page.count("data:image/jpeg") == 13
    assert "To get" not in text and "python -m" not in section(text, "Cases")
    assert isinstance(data["runs"], list)


def test_only_scores_tells_what_to_run(tmp_path: Path) -> None:
    _, text, data = written(tmp_path / "out", make_run(tmp_path / "mine"))
    for title in ("Asked for another structure", "Asked for something that is not there", "Calibration", "Cases"):
        assert (
            len(
                re.findall(r"`python -m monai.bundle run .*evaluate.json'\]\" --dataset_dir DATA", section(text, title))
            )
            == 1
        )
    assert "run.json is missing" in section(text, "mine")
    assert "--overlays all" in section(text, "Cases")
    assert "not tested | not tested" in text
    assert data["comparisons"] == []


def test_probes_without_one_kind(tmp_path: Path) -> None:
    _, text, _ = written(tmp_path / "out", make_run(tmp_path / "mine", probed=probes(5, "absent")))
    assert "no image has a second structure" in section(text, "Asked for another structure")
    _, text, _ = written(tmp_path / "out", make_run(tmp_path / "mine", probed=probes(5)))
    assert "no prompt of something absent was asked" in section(text, "Asked for something that is not there")


def test_no_class_prompts(tmp_path: Path) -> None:
    _, text, _ = written(tmp_path / "out", make_run(tmp_path / "mine", scores(5, tag="mask-derived")))
    assert f"| mine | no class prompts | {DASH} | 0 | {DASH} | not tested | not tested |" in text
    assert "Scores: class prompts" not in text


def test_numbers_of_the_three_files_agree(tmp_path: Path) -> None:
    page, text, data = written(tmp_path / "out", make_run(tmp_path / "mine", [score("a", 0.25), score("b", 0.75)]))
    assert "| set | p1 | 2 | 2 | 0.500 (0.250 to 0.750) |" in text
    assert "0.500<small>0.250 to 0.750</small>" in page
    dice = data["runs"][0]["scores"]["class"][0]["dice"]  # type: ignore[index]
    assert dice == {"mean": 0.5, "low": 0.25, "high": 0.75, "left_out": 0}


def test_several_runs_are_compared_with_the_first(tmp_path: Path) -> None:
    first = full_run(tmp_path / "first")
    rows = scores(seed=0)
    second = make_run(tmp_path / "second", [{**row, "val_dice": row["val_dice"] - 0.1} for row in rows])
    other = make_run(tmp_path / "other", scores(4, dataset="elsewhere"))
    page, text, data = written(tmp_path / "out", first, second, other)
    found = section(text, "second against first")
    assert "30 masks of 30 images paired. Left out: 31 only in first." in found
    assert "| set | p1 | Dice | 30 |" in found
    assert "| -0.100 | 0 | 30 | &lt; 0.001 |" in found.replace("\N{MINUS SIGN}", "-")
    assert "No mask is in both runs, so they cannot be compared" in section(text, "other against first")
    assert "Runs: first, second, other." in Tags(page).text
    assert len(data["comparisons"]) == 2  # type: ignore[arg-type]
    assert text.count(words.INTERVALS) == 1  # explained once


def test_the_same_run_twice(tmp_path: Path) -> None:
    run = full_run(tmp_path / "mine")
    _, text, _ = written(tmp_path / "out", run, run)
    found = section(text, r"mine (2) against mine")
    assert f"| 0.000 | 0 | 0 | {DASH} |" in found


def test_the_same_bytes(tmp_path: Path) -> None:
    runs = [full_run(tmp_path / "a"), full_run(tmp_path / "b", seed=4)]
    first, second = (write_report(runs, tmp_path / name) for name in ("one", "two"))
    for one, two in zip(first, second, strict=True):
        assert one.read_bytes() == two.read_bytes()


def test_where_the_folders_lie_does_not_matter(tmp_path: Path) -> None:
    pages = [written(tmp_path / "out", full_run(tmp_path / place / "mine"))[0] for place in ("here", "there")]
    assert pages[0] == pages[1]


def test_names_of_users_are_escaped(tmp_path: Path) -> None:
    rows = [
        score(f"{HOSTILE}{i}", i / 9, dataset=HOSTILE, style=HOSTILE, prompt=HOSTILE, patient=HOSTILE) for i in range(9)
    ]
    rows += [{**row, "dataset": "other"} for row in rows[:3]]
    probed = [
        probe(f"{HOSTILE}{i}", kind, dataset=HOSTILE, style=HOSTILE, prompt=HOSTILE, own_prompt=HOSTILE)
        for i in range(9)
        for kind in ("other", "absent")
    ]
    info = {**RUN_JSON, HOSTILE: {HOSTILE: [HOSTILE]}, "dataset_dir": HOSTILE}
    run = make_run(tmp_path / "a<b>|`c`", rows, probed, calibration(), info)
    page, text, data = written(tmp_path / "out", run, run, title=HOSTILE)
    tags = Tags(page)
    assert tags.open == []
    assert set(tags.found) <= ELEMENTS
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    assert "\x07" not in page + text
    assert "<script" not in text
    assert data["title"] == HOSTILE.replace("\x07", "\N{REPLACEMENT CHARACTER}")
    widths = [
        [len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()]
        for table in text.split("\n\n")
        if table[0] == "|"
    ]
    assert len(widths) > 10
    assert all(len(set(table)) == 1 for table in widths)


def test_a_title(tmp_path: Path) -> None:
    page, text, _ = written(tmp_path / "out", make_run(tmp_path / "mine"), title="Polyps & more")
    assert "<title>Polyps &amp; more</title>" in page
    assert text.startswith("# Polyps &amp; more\n")


def test_one_mask(tmp_path: Path) -> None:
    _, text, _ = written(tmp_path / "out", make_run(tmp_path / "mine", [score("a", 0.5)], probes(1), calibration()))
    assert "| set | p1 | 1 | 1 | 0.500 | 0.333 | 25.0 |" in text
    assert words.FEW_TEXT in text


def test_all_masks_empty(tmp_path: Path) -> None:
    rows = [score(f"{i}", 0, truth_empty=1, truth_pixels=0, val_hd95="nan") for i in range(3)]
    _, text, data = written(tmp_path / "out", make_run(tmp_path / "mine", rows))
    assert f"| {DASH} (3 left out) |" in text
    assert data["runs"][0]["scores"]["class"][0]["hd95"]["mean"] is None  # type: ignore[index]


def test_ten_thousand_masks_take_seconds(tmp_path: Path) -> None:
    rows = [row for style in ("p1", "p2", "p6", "p7") for row in scores(2500, style=style)]
    run = make_run(tmp_path / "mine", rows)
    start = time.process_time()
    write_report([run], tmp_path / "out")
    assert time.process_time() - start < 10


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one folder"):
        write_report([], tmp_path)


def test_a_page_of_somebody_else_stays(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.md").write_text("of the user")
    with pytest.raises(NotOursError, match=r"report\.md"):
        write_report([run], tmp_path / "out")
    assert visible(tmp_path / "out") == {"report.md"}


def test_cannot_write(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine")
    with pytest.raises(WriteError, match=r"report\.html in .*metrics\.csv"):
        write_report([run], run / "metrics.csv")


def test_calibration_before_and_behind_a_temperature(tmp_path: Path) -> None:
    found = calibration()
    found["by_tag"]["class"] |= {"ece_masks": 0.07}
    found["by_tag"]["class"]["scaled"] = {**calibration()["by_tag"]["class"], "ece": 0.01, "ece_masks": 0.02}
    found["by_tag"]["class"]["scaled"]["temperature"] = 1.75
    text = section(written(tmp_path / "out", make_run(tmp_path / "mine", scores(), None, found))[1], "Calibration")
    assert "| class | 1 | 0.0500 | 0.0700 | 864 |" in text
    assert "| class | 1.75 | 0.0100 | 0.0200 | 864 |" in text


def test_uncertainty_is_claimed_where_the_curve_shows_it(tmp_path: Path) -> None:
    rows = scores()
    for row in rows:
        row["uncertainty"] = 1 - row["val_dice"]
    info = {"uncertainty": "flips"}
    page, text, data = written(tmp_path / "out", make_run(tmp_path / "mine", rows, info=info))
    told = section(text, "Uncertainty: does it know which masks are bad?")
    assert "Where the number comes from: flips." in told
    assert "it does: better than a random order" in told
    assert "random order" in page
    assert data["runs"][0]["selective"]["class"][0]["gain"]["mean"] == 1.0  # type: ignore[index]
    told = section(
        written(tmp_path / "none", make_run(tmp_path / "other"))[1], "Uncertainty: does it know which masks are bad?"
    )
    assert "has no column uncertainty" in told


def test_normal_images_are_counted_and_left_out(tmp_path: Path) -> None:
    rows = [*(score(f"t{index}", 0.6) for index in range(3)), score("n", 1.0, truth_empty=1)]
    told = section(written(tmp_path / "out", make_run(tmp_path / "mine", rows))[1], "Scores: class prompts")
    counted, left_out = told.split(words.PRESENT_RULE)
    assert "0.700" in counted
    assert "| set | p1 | 3 | 3 | 0.600 |" in left_out
