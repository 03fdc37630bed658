# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Slices of volumes lie in files: each is read alone, and made again when something is wrong with it."""

from __future__ import annotations

import gc
import logging
import os
import threading
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from monai_vlsm.checked_files import Blocks, CheckedFiles
from monai_vlsm.data import DatasetProblems
from monai_vlsm.data.problems import MissingFileError
from monai_vlsm.data.volumes import (
    PLANES,
    SliceStack,
    label_counts,
    open_stack,
    stacks,
    store,
    to_stack,
    values,
    volume_facts,
    volume_files,
)
from tests.data.files import save_nifti

AFFINE = np.diag([-2.0, 3.0, 4.0, 1.0])  # of save_nifti
VALUES = np.random.default_rng(0).integers(-1000, 1000, (7, 8, 9)).astype(np.int16)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where slices are kept in a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(store, "_refused", set())
    return tmp_path / "cache" / "monai_vlsm" / "volumes"


def forget() -> None:
    """As a new process would begin."""
    for kept in (stacks._stored, stacks._in_memory, stacks._facts):
        kept.cache_clear()


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
@pytest.mark.parametrize("plane", PLANES)
def test_slices(plane: str, suffix: str, reads: list[str], tmp_path: Path) -> None:
    file, expected = save_nifti(VALUES, tmp_path / f"a.{suffix}"), to_stack(VALUES, AFFINE, plane)
    for _ in range(2):
        forget()
        stack = open_stack(file, plane)
        assert (stack.slices.shape, stack.slices.dtype, len(stack.slices)) == (expected.shape, np.int16, len(expected))
        np.testing.assert_array_equal(stack.slices[3], expected[3])
        np.testing.assert_array_equal(stack.slices[-1], expected[-1])
        np.testing.assert_array_equal(stack.slices[[0, 0, 4]], expected[[0, 0, 4]])
        np.testing.assert_array_equal(stack.slices[2:5], expected[2:5])
        np.testing.assert_array_equal(np.asarray(stack.slices), expected)
        np.testing.assert_array_equal(np.stack(list(stack.slices)), expected)
        assert volume_facts(file) == stack.facts
    assert reads == [file.name]
    with pytest.raises(IndexError):
        stack.slices[len(expected)]


def test_a_changed_volume_is_unpacked_anew(reads: list[str], tmp_path: Path) -> None:
    file = save_nifti(VALUES, tmp_path / "a.nii")
    assert open_stack(file, "axial").slices[0].max() < 1000
    save_nifti(VALUES + 5000, file)
    os.utime(file, (1, 1))
    assert open_stack(file, "axial").slices[0].min() > 1000
    assert volume_facts(file).low == VALUES.min() + 5000
    assert reads == ["a.nii"] * 2


def damaged(folder: Path) -> None:
    (path,) = folder.glob("*.stack")
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)


def cut_short(folder: Path) -> None:
    (path,) = folder.glob("*.stack")
    path.write_bytes(path.read_bytes()[:-1])


def deleted(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


@pytest.mark.parametrize("new_process", [True, False])
@pytest.mark.parametrize("change", [damaged, cut_short, deleted])
def test_a_wrong_file_is_made_again(
    change: Callable[[Path], None], new_process: bool, folder: Path, reads: list[str], tmp_path: Path
) -> None:
    file = save_nifti(VALUES, tmp_path / "a.nii.gz")
    first = open_stack(file, "axial")
    change(folder)
    if new_process:
        forget()
    expected = to_stack(VALUES, AFFINE, "axial")
    again = open_stack(file, "axial") if new_process else first
    np.testing.assert_array_equal(np.asarray(again.slices), expected)
    assert len(reads) <= 2
    forget()
    np.testing.assert_array_equal(open_stack(file, "axial").slices[0], expected[0])


def meet(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """The first call of a method in each of two threads ends when both have made it."""
    method, barrier, met = getattr(owner, name), threading.Barrier(2), set()

    def called(*args: Any) -> Any:
        found = method(*args)
        if threading.get_ident() not in met:
            met.add(threading.get_ident())
            barrier.wait(timeout=30)
        return found

    monkeypatch.setattr(owner, name, called)


@pytest.mark.parametrize("change", [None, damaged, deleted])
def test_threads_that_miss_the_same_unpack_it_once(
    change: Callable[[Path], None] | None,
    folder: Path,
    reads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = save_nifti(VALUES, tmp_path / "a.nii.gz")
    if change is None:
        meet(monkeypatch, CheckedFiles, "blocks")
    else:
        open_stack(file, "axial")
        change(folder)
        reads.clear()
        meet(monkeypatch, Blocks, "read")
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda index: open_stack(file, "axial").slices[index], [0, 0]))
    np.testing.assert_array_equal(both, to_stack(VALUES, AFFINE, "axial")[[0, 0]])
    assert reads == [file.name]


def test_a_volume_that_changed_is_not_mixed_with_its_slices(folder: Path, tmp_path: Path) -> None:
    file = save_nifti(VALUES, tmp_path / "a.nii.gz")
    stack = open_stack(file, "axial")
    deleted(folder)
    save_nifti(VALUES[:, :, :5], file)
    with pytest.raises(DatasetProblems, match=r"a\.nii\.gz: expected the file as it was before"):
        stack.slices[0]
    file.unlink()
    with pytest.raises(MissingFileError, match=r"no such volume file: .*a\.nii\.gz"):
        stack.slices[0]
    with pytest.raises(MissingFileError, match=r"no such volume file: .*a\.nii\.gz"):
        open_stack(file, "axial")


def test_scaled_integers_become_floats(tmp_path: Path) -> None:
    image = nib.Nifti1Image(VALUES, AFFINE)
    image.header.set_slope_inter(2.0, -5.0)
    nib.save(image, tmp_path / "a.nii.gz")
    stack = open_stack(tmp_path / "a.nii.gz", "coronal")
    assert stack.slices.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(stack.slices), to_stack(VALUES * 2.0 - 5, AFFINE, "coronal"))


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64", ">i2"])
def test_types_stay(dtype: str, tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    nib.save(nib.Nifti1Image((np.abs(VALUES) // 8).astype(dtype), AFFINE, header), tmp_path / "a.nii")
    slices = open_stack(tmp_path / "a.nii", "sagittal").slices
    assert slices.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(np.asarray(slices), to_stack(np.abs(VALUES) // 8, AFFINE, "sagittal"))


def test_nan_stays(tmp_path: Path) -> None:
    voxels = VALUES.astype(np.float32)
    voxels[1, 2, 3] = np.nan
    slices = np.asarray(open_stack(save_nifti(voxels, tmp_path / "a.nii.gz"), "axial").slices)
    np.testing.assert_array_equal(slices, to_stack(voxels, AFFINE, "axial"))


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_volumes_of_one_file(suffix: str, tmp_path: Path) -> None:
    file = save_nifti(np.stack([VALUES, VALUES + 1, VALUES + 2], axis=-1), tmp_path / f"a.{suffix}")
    for channel in (2, 0, 1):
        stack = open_stack(file, "axial", channel)
        np.testing.assert_array_equal(np.asarray(stack.slices), to_stack(VALUES + channel, AFFINE, "axial"))
        assert (stack.facts.channels, volume_facts(file, channel).low) == (3, VALUES.min() + channel)
    with pytest.raises(DatasetProblems, match=r"found 3 volumes; give FILE::channel=0 \.\. 2, or --channel"):
        open_stack(file, "axial")
    with pytest.raises(DatasetProblems, match=r"found no channel 3: it has 3 volumes"):
        open_stack(file, "axial", 3)
    facts = volume_facts(file)
    assert facts.channels == 3 and facts.problem and "--channel" in facts.problem.found
    single = save_nifti(VALUES, tmp_path / "b.nii")
    assert open_stack(single, "axial", 0).slices.shape == (9, 8, 7)
    with pytest.raises(DatasetProblems, match=r"found no channel 1: it has 1 volume"):
        open_stack(single, "axial", 1)


@pytest.mark.parametrize("reason", ["a file in its place", "no room"])
def test_without_a_folder_it_is_said_once(
    reason: str,
    folder: Path,
    reads: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if reason == "no room":
        monkeypatch.setattr(store.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100}))
    else:
        folder.parent.mkdir(parents=True)
        folder.write_bytes(b"")
    files = [save_nifti(VALUES + number, tmp_path / f"{number}.nii.gz") for number in range(3)]
    with caplog.at_level(logging.WARNING):
        for number in (0, 1, 1, 0, 2, 2):
            stack = open_stack(files[number], "axial")
            np.testing.assert_array_equal(stack.slices[0], to_stack(VALUES + number, AFFINE, "axial")[0])
            np.testing.assert_array_equal(stack.slices[[0, 1]], np.asarray(stack.slices)[:2])
        assert sum(
            int(pixels.sum()) for pixels in label_counts(save_nifti(abs(VALUES), tmp_path / "m.nii"), "axial").values()
        )
    assert len(caplog.records) == 1 and "slices of volumes are not kept" in caplog.text
    assert str(folder) in caplog.text and "XDG_CACHE_HOME" in caplog.text
    assert len(reads) <= 6  # each once, while few are in use
    assert not list(folder.glob("*.stack"))


def open_files() -> int:
    """Of this process; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_no_file_stays_open_and_no_volume_in_memory(tmp_path: Path) -> None:
    volume = np.zeros((64, 64, 60), np.int16)  # 490 kB
    files = [save_nifti(volume + number, tmp_path / f"{number}.nii.gz") for number in range(20)]
    opened: list[SliceStack] = [open_stack(file, "axial") for file in files]
    gc.collect()
    before = open_files()
    tracemalloc.start()
    for index in range(60):
        for number, stack in enumerate(opened):
            assert stack.slices[index][0, 0] == number
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.2 * volume.nbytes  # 12 slices
    assert open_files() <= before


def test_one_volume_at_most_while_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "SAMPLE", 1000)  # as much less than a volume as it is of large ones
    volume = np.random.default_rng(1).normal(size=(64, 64, 60)).astype(np.float32)
    files = [save_nifti(volume, tmp_path / f"{number}.nii.gz") for number in range(3)]
    tracemalloc.start()
    for file in files:
        open_stack(file, "coronal")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.5 * volume.nbytes


def test_files_of_the_store(folder: Path, tmp_path: Path) -> None:
    file = save_nifti(abs(VALUES), tmp_path / "a.nii")
    label_counts(file, "axial")
    (folder / "notes.txt").touch()
    assert sorted(path.suffix for path in volume_files(folder)) == [".counts", ".facts", ".stack"]
    assert volume_files(tmp_path / "none") == []
