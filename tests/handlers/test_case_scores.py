# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine

from monai_vlsm.data.volumes import Address, open_stack, to_stack
from monai_vlsm.data.volumes.cases import MissingSlicesError
from monai_vlsm.handlers import CaseScoreWriter
from monai_vlsm.handlers.case_scores import case_summary
from monai_vlsm.outputs import NotOursError
from tests.data.volumes.label_maps import AFFINE, SIZE, box, save, slice_records

LIVER, SPLEEN = box(2, 2, 2, 8, 8, 10), box(9, 9, 9, 13, 13, 13)
CLASSES = {"liver": (1,), "spleen": (2,)}
SURE = {"both": 0.9, "liver": 0.7, "spleen": 0.8}
DIAGONAL = 16 * math.sqrt(25 + 2 * 0.64)
KEYS = ("label", "structure")
Found = Callable[[str], np.ndarray]  # structure to probabilities with the axes of the file


@pytest.fixture
def file(tmp_path: Path) -> str:
    return save(tmp_path / "data" / "labels.nii.gz", (LIVER + 2 * SPLEEN).astype(np.uint8))


def evaluate(
    folder: Path,
    records: Sequence[dict[str, Any]],
    found: Found,
    seen: Sequence[dict[str, Any]] | None = None,
    **settings: Any,
) -> CaseScoreWriter:
    """Run the handler over records, or those that this process sees, whose network finds what is given."""
    writer = CaseScoreWriter(folder, records, **settings)
    stacks: dict[Any, np.ndarray] = {}

    def slice_of(label: str, structure: str) -> torch.Tensor:
        at = Address.of(label)
        if (key := (at.plane, structure)) not in stacks:
            stacks[key] = to_stack(found(structure), open_stack(at.file, str(at.plane)).file_affine, str(at.plane))
        return torch.as_tensor(stacks[key][at.index or 0].copy())

    def step(engine: Engine, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        labels, names = ([one[key] if isinstance(one[key], list) else [one[key]] for one in batch] for key in KEYS)
        return [{"probabilities": torch.stack(list(map(slice_of, *pair)))} for pair in zip(labels, names, strict=True)]

    engine: Any = Engine(step)
    engine.state.key_metric_name = None
    writer.attach(engine)
    engine.run([[record] for record in seen or records])
    return writer


def read(folder: Path) -> list[dict[str, str]]:
    with (folder / "cases.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def perfect(structure: str) -> np.ndarray:
    return {"liver": LIVER, "spleen": SPLEEN}[structure] * np.float32(0.9)


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("multi_prompt", [False, True])
def test_what_is_right_and_what_is_a_slice_too_high(tmp_path: Path, file: str, plane: str, multi_prompt: bool) -> None:
    records = slice_records(file, CLASSES, plane, multi_prompt, patient="anna")

    def found(structure: str) -> np.ndarray:
        return np.roll(perfect(structure), 1, axis=2) if structure == "liver" else perfect(structure)

    evaluate(tmp_path / "out", records, found, tolerance=5.0)
    liver, spleen = read(tmp_path / "out")
    assert (liver["case"], liver["patient"], liver["structure"], liver["labels"]) == ("liver_1", "anna", "liver", "1")
    assert (liver["prompt"], liver["plane"], liver["tag"], liver["slices"]) == ("the liver", plane, "class", "16")
    scores = [float(liver[name]) for name in ("dice", "iou", "hd95_mm", "surface_dice")]
    assert scores == pytest.approx([7 / 8, 7 / 9, 5, 1], abs=1e-6)
    assert [float(spleen[name]) for name in ("dice", "iou", "hd95_mm", "surface_dice")] == [1, 1, 0, 1]
    assert [float(liver[name]) for name in ("truth_voxels", "pred_voxels", "tolerance_mm")] == [288, 288, 5]
    assert float(liver["truth_ml"]) == pytest.approx(288 * 0.8 * 0.8 * 5 / 1000, abs=1e-6)
    assert sorted(liver["spacing_mm"].split(" x ")) == ["0.8", "0.8", "5"]


def test_the_most_probable_class_has_a_voxel(tmp_path: Path, file: str) -> None:
    def found(structure: str) -> np.ndarray:  # the liver is also taken for a spleen, less surely or more so
        sure = np.where(np.arange(SIZE)[:, None, None] < 5, 0.95, 0.6)
        return np.where(LIVER, sure, 0.3) if structure == "spleen" else perfect(structure) * 0.9

    evaluate(tmp_path / "out", slice_records(file, CLASSES), found)
    liver, spleen = read(tmp_path / "out")
    assert [int(row["pred_voxels"]) for row in (liver, spleen)] == [3 * 6 * 8, 3 * 6 * 8]
    assert float(liver["dice"]) == pytest.approx(2 / 3, abs=1e-6)
    assert (float(spleen["dice"]), float(spleen["surface_dice"])) == (0, 0)


def test_a_region_does_not_compete_with_its_parts(tmp_path: Path, file: str) -> None:
    def found(structure: str) -> np.ndarray:  # surer of the region than of its parts, and unsure between these
        return {"both": LIVER | SPLEEN, "liver": LIVER | SPLEEN, "spleen": SPLEEN}[structure] * SURE[structure]

    records = slice_records(file, {"both": (1, 2), "liver": (1,), "spleen": (2,)})
    evaluate(tmp_path / "out", records, found, save=True)
    assert [float(row["dice"]) for row in read(tmp_path / "out")] == [1, 1, 1]
    both, parts = (nib.load(tmp_path / "out" / "cases" / f"liver_1{end}.nii.gz") for end in ("_both", ""))
    assert np.array_equal(np.asarray(both.dataobj), LIVER | SPLEEN)
    assert np.array_equal(np.asarray(parts.dataobj), LIVER + 2 * SPLEEN)


@pytest.mark.parametrize("plane", ["axial", "coronal"])
def test_label_maps_on_the_grid_of_the_file(tmp_path: Path, plane: str) -> None:
    oblique = AFFINE @ np.array([[0, 0, 1, 3], [0.9, 0.2, 0, 5], [-0.2, 0.9, 0, 0], [0, 0, 0, 1.0]])
    volume = (3 * LIVER + 700 * SPLEEN).astype(np.int16)[:, :, :14]
    file = save(tmp_path / "labels.nii", volume, oblique)
    records = slice_records(file, {"liver": (3,), "spleen": (700,)}, plane)
    evaluate(tmp_path / "out", records, lambda structure: perfect(structure)[:, :, :14], save=True)
    image = nib.load(tmp_path / "out" / "cases" / "liver_1.nii.gz")
    assert np.allclose(image.affine, oblique, atol=1e-5)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert np.array_equal(np.asarray(image.dataobj), volume)
    assert [float(row["dice"]) for row in read(tmp_path / "out")] == [1, 1]


def test_a_file_in_metres(tmp_path: Path) -> None:
    metres = np.diag([0.001, 0.001, 0.001, 1]) @ AFFINE
    file = save(tmp_path / "labels.nii.gz", (LIVER + 2 * SPLEEN).astype(np.uint8), metres, "meter")
    found = {"liver": np.roll(LIVER, 1, axis=2), "spleen": SPLEEN}
    evaluate(tmp_path / "out", slice_records(file, CLASSES), lambda name: found[name] * np.float32(0.9), save=True)
    (liver, _) = read(tmp_path / "out")
    assert float(liver["hd95_mm"]) == pytest.approx(5, abs=1e-5)
    assert float(liver["truth_ml"]) == pytest.approx(288 * 0.8 * 0.8 * 5 / 1000, abs=1e-5)
    image = nib.load(tmp_path / "out" / "cases" / "liver_1.nii.gz")
    assert image.header.get_xyzt_units()[0] == "meter"
    assert np.allclose(image.affine, metres)


def test_empty_masks(tmp_path: Path) -> None:
    file = save(tmp_path / "labels.nii.gz", (2 * SPLEEN).astype(np.uint8))
    evaluate(tmp_path / "out", slice_records(file, CLASSES), lambda structure: LIVER * 0.0)
    liver, spleen = read(tmp_path / "out")
    assert [float(liver[name]) for name in ("dice", "iou", "hd95_mm", "surface_dice")] == [1, 1, 0, 1]
    assert [float(spleen[name]) for name in ("dice", "iou", "surface_dice")] == [0, 0, 0]
    assert float(spleen["hd95_mm"]) == pytest.approx(DIAGONAL, abs=1e-5)


def test_one_volume_at_a_time(tmp_path: Path, file: str) -> None:
    records = [record for case in "abc" for record in slice_records(file, CLASSES, case=case)]
    sizes = []
    evaluate(tmp_path / "out", records, lambda structure: perfect(structure))
    writer = CaseScoreWriter(tmp_path, records)
    for record in records:
        for place in writer._places_of(record):
            writer._add([place], np.zeros((1, SIZE, SIZE)))
            sizes.append(len(writer._open))
    assert max(sizes) == 1
    assert [row["case"] for row in read(tmp_path / "out")] == ["a", "a", "b", "b", "c", "c"]


def test_styles_planes_and_tags(tmp_path: Path, file: str) -> None:
    records = [
        record | {"prompt_style": style, "prompt_tag": tag}
        for style, tag in (("p1", "class"), ("p6", "mask-derived"))
        for plane in ("axial", "coronal")
        for record in slice_records(file, CLASSES, plane)
    ]
    writer = evaluate(tmp_path / "out", records, perfect, save=True)
    rows = read(tmp_path / "out")
    assert [(row["style"], row["plane"], row["tag"]) for row in rows[::2]] == [
        ("p1", "axial", "class"),
        ("p1", "coronal", "class"),
        ("p6", "axial", "mask-derived"),
        ("p6", "coronal", "mask-derived"),
    ]
    assert sorted(path.name for path in (tmp_path / "out" / "cases").glob("*.nii.gz")) == [
        f"liver_1_{plane}_{told}.nii.gz" for plane in ("axial", "coronal") for told in ("p1_class", "p6_mask-derived")
    ]
    summary = writer.summary(None)
    assert summary is not None
    assert list(summary["by_tag"]) == ["class", "mask-derived"]
    assert summary["by_tag"]["class"]["by_plane"]["coronal"]["dice"] == 1


def test_what_is_no_volume_or_not_wanted(tmp_path: Path, file: str) -> None:
    records = slice_records(file, CLASSES)
    for writer in (CaseScoreWriter(tmp_path / "out", records, enabled=False), CaseScoreWriter(tmp_path / "out", [])):
        writer.attach(Engine(lambda engine, batch: None))  # type: ignore[arg-type]
        assert not writer.plans
        assert writer.summary(None) is None
    with pytest.raises(MissingSlicesError, match="liver lacks 0"):
        CaseScoreWriter(tmp_path / "out", records[1:])


def test_slices_that_were_not_evaluated(tmp_path: Path, file: str) -> None:
    writer = CaseScoreWriter(tmp_path, slice_records(file, CLASSES))
    for record in slice_records(file, CLASSES)[:-3]:
        for place in writer._places_of(record):
            writer._add([place], np.zeros((1, SIZE, SIZE)))
    with pytest.raises(MissingSlicesError, match=r"not evaluated: liver_1 \(14 to 15\)"):
        writer._write(Engine(lambda engine, batch: None))  # type: ignore[arg-type]
    assert not (tmp_path / "cases.csv").exists()


def test_files_of_others_stay(tmp_path: Path, file: str) -> None:
    save(tmp_path / "cases" / "mine.nii.gz", LIVER.astype(np.uint8))
    evaluate(tmp_path, slice_records(file, CLASSES), perfect)
    with pytest.raises(NotOursError, match=r"has cases/mine\.nii\.gz"):
        evaluate(tmp_path, slice_records(file, CLASSES), perfect, save=True)


def test_padding_of_a_batch_is_left_out(tmp_path: Path, file: str) -> None:
    writer = CaseScoreWriter(tmp_path, slice_records(file, CLASSES, multi_prompt=True))
    engine: Any = Engine(lambda engine, batch: None)
    for record in slice_records(file, CLASSES, multi_prompt=True):
        engine.state.batch, engine.state.output = [record], [{"probabilities": torch.zeros(5, SIZE, SIZE)}]
        writer._collect(engine)
    assert [row["pred_voxels"] for row in writer._gathered(engine)] == [0, 0]


def _evaluate_part(rank: int, folder: Path, file: str) -> None:
    torch.set_num_threads(1)  # a fork has no threads of OpenMP, and would wait for them
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    parts = [slice_records(file, CLASSES, case=case) for case in "abc"]
    records = [record for part in parts for record in part]
    own = [record for part in parts[rank::2] for record in part]
    writer = evaluate(folder / f"rank{rank}", records, perfect, own, save=True)
    summary = writer.summary(None)
    assert summary is not None and summary["by_tag"]["class"]["cases"] == 3
    torch.distributed.destroy_process_group()


def test_two_processes_make_one_table(tmp_path: Path, file: str) -> None:
    torch.multiprocessing.start_processes(_evaluate_part, args=(tmp_path, file), nprocs=2, start_method="fork")
    assert [row["case"] for row in read(tmp_path / "rank0")] == ["a", "a", "b", "b", "c", "c"]
    files = {path.name for path in (tmp_path / "rank0" / "cases").glob("*.nii.gz")}
    assert files == {"a.nii.gz", "b.nii.gz", "c.nii.gz"}
    assert not (tmp_path / "rank1").exists()


def test_means_over_structures() -> None:
    row = {"case": "a", "dataset": "d", "prompt": "", "style": "p1", "tag": "class", "plane": "axial"}
    row |= {"iou": 1.0, "hd95_mm": 2.0, "surface_dice": 0.0, "pred_voxels": 0}
    dice = [("liver", 1.0, 5), ("liver", 0.5, 5), ("spleen", 0.25, 0)]
    rows = [row | {"structure": name, "dice": value, "truth_voxels": size} for name, value, size in dice]
    found = case_summary(rows, 3.0)
    assert found["tolerance_mm"] == 3.0
    part = found["by_tag"]["class"]
    assert part["by_structure"]["liver"] == {"masks": 2, "dice": 0.75, "iou": 1, "hd95_mm": 2, "surface_dice": 0}
    assert part["mean"]["dice"] == 0.5
    assert (part["cases"], part["masks"], part["empty_truths"], part["empty_predictions"]) == (1, 3, 1, 3)
    assert json.dumps(found)
