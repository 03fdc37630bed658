# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Workers that live for all epochs, and draw what the seed of the epoch says."""

from __future__ import annotations

import multiprocessing
import os
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import Dataset
from monai.transforms import LoadImaged, RandomizableTransform

from monai_vlsm.data import ImageFileReader, SeededLoader, check_records, default_workers
from monai_vlsm.data.problems import MissingFileError
from tests.data.files import save_nifti


class _Draw(RandomizableTransform):
    """The item, its process, and draws of all generators."""

    def __call__(self, item: int) -> torch.Tensor:
        draws = [self.R.random_sample(), float(torch.rand(1)), np.random.random_sample()]
        return torch.tensor([item, os.getpid(), *draws], dtype=torch.float64)


def epoch(loader: SeededLoader, seed: int) -> torch.Tensor:
    loader.seed_epoch(seed)
    torch.manual_seed(seed)
    return torch.cat(list(loader))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_live_on_and_follow_the_seed(start: str) -> None:
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {start}")
    loaders = [
        SeededLoader(Dataset(list(range(6)), _Draw()), 1, batch_size=2, shuffle=True, multiprocessing_context=start)
        for _ in range(2 if start == "fork" else 1)
    ]
    first, second, again = (epoch(loaders[0], seed) for seed in (5, 6, 5))
    assert len({*first[:, 1].tolist(), *second[:, 1].tolist()}) == 1
    draws = [0, 2, 3, 4]
    assert torch.equal(first[:, draws], again[:, draws])
    assert not (first[:, 2:] == second[:, 2:]).any()
    if start == "fork":
        assert torch.equal(epoch(loaders[1], 6)[:, draws], second[:, draws])  # a resumed run begins there


def test_two_workers_draw_different_numbers() -> None:
    found = epoch(SeededLoader(Dataset(list(range(4)), _Draw()), 2, batch_size=1), 5)
    assert len(set(found[:, 1].tolist())) == 2
    assert len(set(found[:, 2].tolist())) == len(set(found[:, 3].tolist())) == 4


def test_without_workers_it_is_monais_loader() -> None:
    data = Dataset(list(range(4)))
    loader = SeededLoader(data, batch_size=2)
    loader.seed_epoch(3)
    assert loader.dataset is data
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]]


def test_the_default_is_no_more_than_torch_advises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    assert default_workers(4) == 2
    assert default_workers(1) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SeededLoader(Dataset([1]), default_workers())
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert default_workers() == 1


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("part", ["", "::axial=1"])
def test_a_file_that_went_away_after_the_check_is_named_plainly(part: str, workers: int, tmp_path: Path) -> None:
    """MONAI wraps errors of transforms, and torch hands them on from workers without what caused them."""
    file = save_nifti(np.ones((4, 4, 3), np.int16), tmp_path / "a.nii.gz")
    record = {"image": f"{file}{part}"}
    assert check_records([record]) == []
    file.unlink()
    loader = SeededLoader(Dataset([record], LoadImaged("image", reader=ImageFileReader("image"))), workers)
    with pytest.raises((MissingFileError, RuntimeError)) as caught:
        next(iter(loader))
    error = caught.value if workers else caught.value.__cause__
    assert isinstance(error, MissingFileError)
    assert re.search(r"no such (image|volume) file: .*a\.nii\.gz; was it moved, renamed or deleted\?$", str(error))
