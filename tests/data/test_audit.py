# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Each kind of finding on made-up datasets, the verdict, and the cost."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_vlsm.data.audit import Audit, audit_dataset
from monai_vlsm.data.audit_table import audit_json, audit_text
from monai_vlsm.data.facts import FileFacts
from monai_vlsm.data.findings import KINDS, DecodedDataset, Seen, find_all
from monai_vlsm.data.foreground import Extent
from monai_vlsm.data.rows import Row
from monai_vlsm.data.sources import DatasetFolderError, MissingFolderError
from tests.data.files import save, save_nifti, square

Lists = dict[str, list[dict[str, Any]]]


def grey(seed: int, size: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def entry(name: str, mask: str | None = None, **more: Any) -> dict[str, Any]:
    return {"img_name": name, "mask_name": mask or name, "prompts": {"p0": "", "p1": "tumor"}, **more}


def dataset(folder: Path, lists: Lists, skip: tuple[str, ...] = ()) -> Path:
    """Official lists with an image and a mask for each name that is not in ``skip``."""
    (folder / "anns").mkdir(parents=True)
    for split, entries in lists.items():
        (folder / "anns" / f"{split}.json").write_text(json.dumps(entries), encoding="utf-8")
        for record in entries:
            for part, name in (("images", record["img_name"]), ("masks", record["mask_name"])):
                path = folder / part / name
                if name not in skip and not path.exists():
                    save(grey(sum(name.encode())) if part == "images" else square(), path)
    return folder


def simple(folder: Path) -> Path:
    """A sound dataset of three images."""
    return dataset(folder, {"train": [entry("a.png")], "val": [entry("b.png")], "test": [entry("c.png")]})


def kinds(audit: Audit) -> Counter[str]:
    return Counter(finding.kind for finding in audit.findings)


def only(audit: Audit, kind: str) -> tuple[str, str, str]:
    (finding,) = (finding for finding in audit.findings if finding.kind == kind)
    return finding.split, finding.file, finding.detail


@pytest.mark.parametrize(("there", "found"), [("train", True), ("val", True), ("test", False)])
def test_copies_of_what_another_dataset_trains_on(there: str, found: bool, tmp_path: Path) -> None:
    """By pixels, whatever the format; a copy among the test images of the other one has taught nobody anything."""
    mine, other = simple(tmp_path / "mine"), simple(tmp_path / "other")
    for number, file in enumerate(sorted((other / "images").iterdir())):
        save(grey(100 + number), file)
    lists = dict(zip(("train", "val", "test"), "abc", strict=True))
    colour = np.repeat(grey(sum(b"c.png"))[..., None], 3, axis=2)
    save(colour, other / "images" / f"{lists[there]}.png")
    audit = audit_dataset(mine, against=other)
    assert audit_dataset(mine).findings == () and bool(audit.findings) is found and audit.status == found
    if found:
        place = ("test", "images/c.png", f"images/{lists[there]}.png ({there}) of {other}")
        assert only(audit, "copy in another dataset") == place


def test_another_dataset_that_nobody_trains_on(tmp_path: Path) -> None:
    other = dataset(tmp_path / "other", {"test": [entry("a.png")]})
    with pytest.raises(DatasetFolderError, match="has none of the lists train, val, found: test"):
        audit_dataset(simple(tmp_path / "mine"), against=other)


def test_a_sound_dataset(tmp_path: Path) -> None:
    audit = audit_dataset(simple(tmp_path / "mine"))
    assert (audit.status, audit.findings, audit.card, audit.patients) == (0, (), None, 0)
    assert [(c.split, c.records, c.images, c.masks, c.empty) for c in audit.counts] == [
        ("train", 1, 1, 1, 0),
        ("val", 1, 1, 1, 0),
        ("test", 1, 1, 1, 0),
    ]
    assert audit_text(audit).endswith("neither lists nor names tell of patients\n\nresult: sound")


def test_plain_lists(tmp_path: Path) -> None:
    save(grey(1), tmp_path / "images/a.png")
    save(square(), tmp_path / "masks/a.png")
    (tmp_path / "train.csv").write_text("image;mask;prompt;patient\nimages/a.png;masks/a.png;polyp;p1\n")
    (tmp_path / "val.json").write_text(
        json.dumps([{"image": "images/a.png", "mask": "masks/a.png", "prompt": "polyp", "patient": "p1"}])
    )
    audit = audit_dataset(tmp_path)
    assert (audit.status, audit.patients) == (1, 1)
    assert kinds(audit) == {"image in two splits": 1, "patient in two splits": 1}
    assert only(audit, "image in two splits") == ("train, val", "images/a.png", "")


def spoil(folder: Path, kind: str) -> tuple[str, str, str]:
    """Put one fault into the simple dataset; split, file and beginning of the detail that are expected."""
    image, mask = folder / "images/b.png", folder / "masks/b.png"
    if kind == "missing":
        mask.unlink()
        return "val", "masks/b.png", "expected a file, found nothing at this path"
    if kind == "unreadable":
        image.write_bytes(image.read_bytes()[:60])
        return "val", "images/b.png", "expected a readable image, found "
    if kind == "size":
        save(square((40, 61)), mask)
        return "val", "masks/b.png", "expected the size of its image b.png, 40 rows x 60 columns, found 40 rows x 61"
    if kind == "not binary":
        save(np.tile(np.repeat([0, 1, 2], 20), (40, 1)).astype(np.uint8), mask)
        return "val", "masks/b.png", "expected a binary mask (0 and 1, or 0 and 255), found a label map"
    if kind == "empty mask":
        save(square(value=0), mask)
        return "val", "masks/b.png", ""
    if kind == "stray pixels":
        save(grey(7, (250, 400)), image)
        specks = square((250, 400))
        specks[200, 3] = specks[210, 9] = 255
        save(specks, mask)
        return "val", "masks/b.png", "2 components"
    if kind == "copy in two splits":
        colour = np.stack([grey(sum(b"a.png"))] * 3, axis=-1)  # the same image, stored otherwise
        save(colour, image)
        return "train, val", "images/a.png", "images/a.png (train) = images/b.png (val)"
    if kind == "list":
        (folder / "anns/val.json").write_text('[{"img_name": "b.png"}]')
        return "val", f"{folder}/anns/val.json, record 1 (b.png)", "expected the keys img_name, mask_name, prompts"
    (folder / "anns/extra.json").write_text("[]")
    return "extra", "extra", ""


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("missing", 2),
        ("unreadable", 2),
        ("size", 2),
        ("not binary", 2),
        ("list", 2),
        ("copy in two splits", 1),
        ("empty mask", 0),
        ("stray pixels", 0),
        ("list not looked at", 0),
    ],
)
def test_each_kind(kind: str, status: int, tmp_path: Path) -> None:
    root = simple(tmp_path / "mine")
    split, file, detail = spoil(root, kind)
    audit = audit_dataset(root)
    assert (kinds(audit), audit.status) == ({kind: 1}, status)
    found = only(audit, kind)
    assert found[:2] == (split, file)
    assert found[2].startswith(detail)
    assert {"error": 2, "warning": 1, "note": 0}[KINDS[kind][0]] == status


def test_all_faults_at_once(tmp_path: Path) -> None:
    """A faulty record hides neither the others of its list nor their files."""
    root = simple(tmp_path / "mine")
    save(np.tile(np.repeat([0, 1, 2], 20), (40, 1)).astype(np.uint8), root / "masks/b.png")
    entries = [{"img_name": 7, "mask_name": "", "prompts": {"p1": 3}}, entry("b.png"), entry("nothing.png")]
    (root / "anns/val.json").write_text(json.dumps(entries))
    audit = audit_dataset(root)
    assert kinds(audit) == {"list": 3, "missing": 2, "not binary": 1}
    assert [counts.records for counts in audit.counts] == [1, 2, 1]


def test_a_volume(tmp_path: Path) -> None:
    root = dataset(tmp_path, {"train": [entry("v.nii", "m.png")]}, skip=("v.nii",))
    (root / "images").mkdir()
    save_nifti(np.zeros((4, 5, 6), np.uint8), root / "images/v.nii")
    assert kinds(audit_dataset(root)).keys() >= {"volume"}


def test_records_and_names(tmp_path: Path) -> None:
    train = [entry("x/a.png"), entry("x/a.png"), entry("y/a.png"), entry("x/a.png", "other.png")]
    audit = audit_dataset(dataset(tmp_path, {"train": train}))
    assert (audit.status, kinds(audit)) == (1, {"repeated record": 1, "same name": 1})
    assert only(audit, "repeated record") == ("train", "images/x/a.png", "2 times with masks/x/a.png")
    assert only(audit, "same name") == ("train", "a", "images/x/a.png, images/y/a.png")


def test_structures_of_one_name(tmp_path: Path) -> None:
    for name in ("a", "m1", "m2"):
        save(square(), tmp_path / f"{name}.png")
    structures = [{"name": "lung", "mask": f"m{i}.png", "prompt": "lung"} for i in (1, 2)]
    (tmp_path / "train.json").write_text(json.dumps([{"image": "a.png", "structures": structures}]))
    split, _, detail = only(audit_dataset(tmp_path), "same name")
    assert (split, detail) == ("train", "m1.png, m2.png")


def test_copy_within_a_split_is_a_note(tmp_path: Path) -> None:
    root = dataset(tmp_path, {"train": [entry("a.png"), entry("b.png")], "val": [entry("c.png")]})
    save(grey(sum(b"a.png")), root / "images/b.png")
    audit = audit_dataset(root)
    assert (audit.status, kinds(audit)) == (0, {"copy in one split": 1})


def test_equal_bytes_of_other_shape_or_depth_are_no_copies(tmp_path: Path) -> None:
    root = dataset(tmp_path, {"train": [entry("a.png", "m.png")], "val": [entry("b.png", "n.png")]})
    save(np.zeros((40, 60), np.uint8), root / "images/a.png")
    save(np.zeros((60, 40), np.uint8), root / "images/b.png")
    save(square((60, 40)), root / "masks/n.png")
    assert not audit_dataset(root).findings


def chest(patient: int) -> str:
    return f"patient{patient}_study1_view1_frontal.jpg"


def test_patients_by_name(tmp_path: Path) -> None:
    second = chest(64541).replace("view1", "view2")
    lists = {"train": [entry(chest(64541), "a.png"), entry(chest(64542), "b.png")], "test": [entry(second, "c.png")]}
    audit = audit_dataset(dataset(tmp_path, lists))
    assert audit.card is not None
    assert (audit.card.name, audit.patients, audit.status) == ("chexlocalize", 2, 1)
    assert only(audit, "patient in two splits") == ("train, test", "patient64541", "")


def test_lists_of_camus_as_they_are_published(tmp_path: Path) -> None:
    """Two people of one name: without ``data prepare`` they are one file."""
    record = [entry("patient0001_2CH_ED.png", "mask_1/patient0001_2CH_ED_gt.png")]
    audit = audit_dataset(dataset(tmp_path, {"val": record, "test": record}))
    assert kinds(audit) == {"image in two splits": 1, "patient in two splits": 1}
    assert "known defects: python -m monai_vlsm data show camus" in audit_text(audit)


@pytest.mark.parametrize(
    ("box", "value", "found"),
    [
        ([10, 8, 40, 24], 255, 0),
        ([9, 7, 43, 24], 255, 0),
        ([10, 8, 44, 24], 255, 1),
        ([60, 40, 0, 0], 0, 0),
        ([60, 40, 0, 0], 255, 1),
        ([10, 8, 40, 24], 0, 1),
        ("none", 255, 0),
    ],
)
def test_boxes(box: Any, value: int, found: int, tmp_path: Path) -> None:
    root = dataset(tmp_path, {"train": [entry("1_benign.png", bbox=box)]})
    save(square(value=value), root / "masks/1_benign.png")
    assert kinds(audit_dataset(root))["box"] == found


def test_wrong_folder(tmp_path: Path) -> None:
    lists = {"train": [entry(f"{i}_benign.png") for i in range(4)]}
    root = dataset(tmp_path / "busi", lists, skip=tuple(f"{i}_benign.png" for i in range(4)))
    for i in range(3):
        save(grey(i), root / "images" / f"ISIC_000000{i}.jpg")
    audit = audit_dataset(root)
    assert audit.status == 2
    assert audit.findings[0].kind == "wrong folder"
    assert audit.findings[0].detail == "4 of 4 images are missing; what is there looks like isic (ISIC-2016)"


def test_which_dataset(tmp_path: Path) -> None:
    dataset(tmp_path / "busi", {"train": [entry("1_benign.png")]})
    simple(tmp_path / "mine")
    assert audit_dataset(tmp_path, "busi").folder == tmp_path / "busi"
    assert audit_dataset(tmp_path / "busi", "busi").card is not None
    assert audit_dataset(tmp_path / "mine", "isic").card is None  # names that tell nothing do not contradict
    with pytest.raises(DatasetFolderError, match=r"expected isic \(ISIC-2016\), but its lists look like busi \(BUSI\)"):
        audit_dataset(tmp_path / "busi", "isic")
    (tmp_path / "busi").rename(tmp_path / "dfu")
    with pytest.raises(DatasetFolderError, match=r"expected dfu \(DFU-2022\), but its lists look like busi"):
        audit_dataset(tmp_path / "dfu")
    with pytest.raises(DatasetFolderError, match=r"holds several datasets: name one .* found: dfu, mine"):
        audit_dataset(tmp_path)
    with pytest.raises(DatasetFolderError, match=r"unknown dataset 'isic' in .*, found: dfu, mine"):
        audit_dataset(tmp_path, "isic")
    with pytest.raises(MissingFolderError, match="no such dataset folder"):
        audit_dataset(tmp_path / "nowhere")


def test_a_download_is_no_dataset(tmp_path: Path) -> None:
    save(grey(0), tmp_path / "Dataset_BUSI_with_GT/benign/benign (1).png")
    with pytest.raises(DatasetFolderError, match=r"holds no dataset: .*; it looks like busi \(BUSI\)$"):
        audit_dataset(tmp_path)


def test_no_known_split(tmp_path: Path) -> None:
    dataset(tmp_path, {"fold1": [entry("a.png")]})
    with pytest.raises(DatasetFolderError, match="has none of the lists train, val, test, found: fold1"):
        audit_dataset(tmp_path)


def test_text_and_json(tmp_path: Path) -> None:
    root = simple(tmp_path / "mine")
    train = [entry(f"{i}.png") for i in range(8)]
    (root / "anns/train.json").write_text(json.dumps(train))
    audit = audit_dataset(root)
    text = audit_text(audit)
    assert "error: missing\n  train: images/0.png: expected a file" in text
    assert "  and 11 more (--json FILE has all)" in text
    assert text.endswith("result: not usable as it is")
    table = json.loads(json.dumps(audit_json(audit)))
    (finding,) = table["findings"]
    assert (table["status"], finding["severity"], finding["count"], len(finding["cases"])) == (2, "error", 16, 16)
    assert table["splits"][0] == {"split": "train", "records": 8, "images": 8, "masks": 8, "empty": 0}


def synthetic(number: int) -> DecodedDataset:
    """Rows with all that costs time: shared images, copies, patients, several structures."""
    rows: dict[str, list[Row]] = {"train": [], "val": []}
    facts: dict[str, FileFacts] = {}
    for i in range(number):
        image, mask = Path(f"/d/images/{i // 3}.png"), Path(f"/d/masks/{i}.png")
        rows["train" if i % 2 else "val"].append(
            Row(image, mask, {"p1": "x"}, {"p1": "class"}, "s", patient=f"p{i // 100}")
        )
        digest = str(i // 30).encode()
        facts[str(image)] = FileFacts((4, 4), more=Seen(digest, None))
        facts[str(mask)] = FileFacts((4, 4), more=Seen(None, Extent(1, 1, (0, 0, 1, 1))))
    return DecodedDataset(Path("/d"), None, rows, facts)


def test_many_records() -> None:
    """With a cost that grows as the square, this would be the longest test; benchmarks/scaling_data.py measures it."""
    assert len(list(find_all(synthetic(4_000)))) > 4_000


@pytest.mark.slow
def test_busi(shared: Path) -> None:
    """The real dataset has no warnings; what its card says of it holds."""
    audit = audit_dataset(shared / "data" / "busi")
    assert audit.card is not None
    assert (audit.status, audit.card.name) == (0, "busi")
    assert [counts.empty for counts in audit.counts] == [107, 13, 13]
    assert kinds(audit) == {"empty mask": 133, "stray pixels": 45, "copy in one split": 1}
    assert only(audit, "copy in one split")[2] == "images/145_malignant.png (train) = images/433_benign.png (train)"
    assert any("45 masks have stray pixels" in defect for defect in audit.card.defects)
