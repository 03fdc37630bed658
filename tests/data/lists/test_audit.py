# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What ``data check`` says of lists of cases."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monai_vlsm.commands import main
from monai_vlsm.data import DataLists, DatasetProblems
from monai_vlsm.data.lists.audit import CaseAudit, audit_cases
from tests.data.files import save_nifti
from tests.data.lists.folders import LABELS, decathlon, entry, label_map, volume


def look(folder: Path) -> CaseAudit:
    cases = DataLists(folder).cases
    assert cases is not None
    return audit_cases(cases)


def test_a_sound_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = decathlon(tmp_path / "Task03", "ab", training=[entry("a", fold=0), entry("b", fold=1)])
    audit = look(folder)
    assert (audit.status, audit.findings, audit.parts) == (0, (), {"training": (2, 2, 32)})
    counts = [(one.label, one.name, one.prompt, one.cases, one.slices) for one in audit.classes]
    assert counts == [("1", "liver", "liver", 2, 16), ("2", "kidney_left", "left kidney", 2, 14)]
    assert audit.classes[0].voxels == sum(int((label_map(seed) == 1).sum()) for seed in (0, 1))
    assert main(["data", "check", str(folder), "--json", str(tmp_path / "out.json")]) == 0
    out = capsys.readouterr().out
    assert "folds 0 (1 case), 1 (1 case)" in out and "2      kidney_left  left kidney" in out
    assert out.rstrip().partition("result: ")[2].startswith("sound")
    assert json.loads((tmp_path / "out.json").read_text())["classes"][1]["prompt"] == "left kidney"


def test_all_faults(tmp_path: Path) -> None:
    folder = decathlon(tmp_path, "abcd", labels={**LABELS, "3": "tumour"}, test=None)
    save_nifti(volume()[:, :, :-1], folder / "imagesTr/a.nii.gz")
    (folder / "labelsTr/b.nii.gz").unlink()
    (folder / "imagesTr/c.nii.gz").write_bytes((folder / "imagesTr/c.nii.gz").read_bytes()[:200])
    extra = label_map()
    extra[0, 0, 0] = 9
    save_nifti(extra, folder / "labelsTr/d.nii.gz")
    audit = look(folder)
    found = {(finding.kind, Path(finding.file).name) for finding in audit.findings}
    assert found == {
        ("size", "a.nii.gz"),
        ("missing", "b.nii.gz"),
        ("unreadable", "c.nii.gz"),
        ("label without a name", "d.nii.gz"),
        ("class without voxels", "tumour"),
    }
    assert audit.status == 2


def test_warnings_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = decathlon(tmp_path, "ab", labels={"1": "liver"}, validation=[entry("c", patient="a")])
    for part, array in (("imagesTr", volume()), ("labelsTr", label_map())):
        save_nifti(np.asarray(array), folder / f"{part}/c.nii.gz")
    assert main(["data", "check", str(folder)]) == 1
    out = capsys.readouterr().out
    assert "patient in two splits" in out and "label without a name\n  2: in 3 label maps (training, validation)" in out


def test_lists_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(decathlon(tmp_path, labels=None))]) == 2
    assert "expected a table of what the label numbers mean" in capsys.readouterr().err


def test_one_patient_cannot_train_and_validate(tmp_path: Path) -> None:
    audit = look(decathlon(tmp_path, "a"))
    assert [(one.kind, one.file) for one in audit.findings] == [("one patient", "a")] and audit.status == 1
    assert "one patient only" in audit.rule
    folds = decathlon(tmp_path / "folds", "a", training=[entry("a", fold=0)])
    assert look(folds).status == 0


def test_label_maps_without_any_class(tmp_path: Path) -> None:
    audit = look(decathlon(tmp_path, "ab", labels={"8": "liver", "9": "tumour"}))
    assert ("list", "none of its classes is in any of its label maps") in [(f.kind, f.detail) for f in audit.findings]
    assert audit.status == 2
    with pytest.raises(DatasetProblems, match="expected at least one mask, found none"):
        DataLists(tmp_path).load("val")
