# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Values of images for every kind of file, and what is refused."""

from __future__ import annotations

import pickle
import re
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor

from monai_vlsm.data.volumes import WindowError
from monai_vlsm.transforms import (
    ToRGB,
    ToRGBD,
    ToRGBd,
    ToRGBDict,
)

META = {"filename_or_obj": "dir/a.png"}
NAN, INF = float("nan"), float("inf")


def image(values: Any, dtype: torch.dtype, channels: int = 1) -> MetaTensor:
    """One row of values, the same in each channel."""
    row = torch.tensor(values).to(dtype)
    return MetaTensor(row.expand(channels, 1, len(values)).clone(), meta=dict(META))


SCALING = [  # dtype, window, values, expected
    (torch.uint8, None, [0, 51, 255], [0, 0.2, 1]),
    (torch.uint8, None, [10, 10, 10], [10 / 255] * 3),
    (torch.uint8, (0.0, 100.0), [0, 51, 255], [0, 0.2, 1]),
    (torch.bool, None, [0, 1, 1], [0, 1, 1]),
    (torch.uint16, None, [100, 300, 500], [0, 0.5, 1]),
    (torch.uint16, None, [0, 65535, 0], [0, 1, 0]),
    (torch.int16, None, [-1024, 0, 1024], [0, 0.5, 1]),
    (torch.int16, (-100.0, 100.0), [-1000, 0, 50], [0, 0.5, 0.75]),
    (torch.int64, (0.0, 4.0), [1, 8, -8], [0.25, 1, 0]),
    (torch.float64, None, [0.5, 1.5, 2.5], [0, 0.5, 1]),
    (torch.float32, None, [7, 7, 7], [0, 0, 0]),
    (torch.float32, (0.0, 10.0), [7, 7, 7], [0.7, 0.7, 0.7]),
    (torch.float32, None, [NAN, 2, 4], [0, 0, 1]),
    (torch.float32, None, [INF, 2, 4], [1, 0, 1]),
    (torch.float32, None, [-INF, 2, 4], [0, 0, 1]),
    (torch.float32, (0.0, 8.0), [NAN, 2, INF], [0, 0.25, 1]),
    (torch.float16, None, [1, 2, 3], [0, 0.5, 1]),
]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("dtype", "window", "values", "expected"), SCALING)
def test_values(dtype: torch.dtype, window: Any, values: Any, expected: Any, channels: int) -> None:
    out = ToRGB(window)(image(values, dtype, channels))
    assert out.dtype == torch.float32
    assert out.shape == (3, 1, 3)
    assert out.meta["filename_or_obj"] == "dir/a.png"
    for row in out.as_tensor()[:, 0]:
        assert row.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, MetaTensor])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32, np.float64, bool])
def test_any_array(kind: Any, dtype: Any) -> None:
    out = ToRGB()(kind(np.arange(4).reshape(1, 2, 2).astype(dtype)))
    assert isinstance(out, torch.Tensor)
    assert out.dtype == torch.float32
    assert out.shape == (3, 2, 2)
    assert out.min() >= 0 and 0 < out.max() <= 1


CHANNELS = [  # rows of (1, 1) channels, expected RGB
    ([51], [0.2, 0.2, 0.2]),
    ([51, 255], [0.2, 0.2, 0.2]),
    ([0, 51, 255], [0, 0.2, 1]),
    ([0, 51, 255, 102], [0, 0.2, 1]),
]


@pytest.mark.parametrize("spatial", [(1, 1), (5, 2), (2, 3, 4), (2, 3, 1)])
@pytest.mark.parametrize(("channels", "expected"), CHANNELS)
def test_channels(channels: list[int], expected: list[float], spatial: tuple[int, ...]) -> None:
    values = torch.tensor(channels, dtype=torch.uint8).reshape(-1, *[1] * len(spatial)).expand(-1, *spatial)
    out = ToRGB()(values)
    assert out.shape == (3, *spatial)
    assert out.flatten(1).unique(dim=1).flatten().tolist() == pytest.approx(expected)


def test_alpha_does_not_count_for_the_range() -> None:
    values = torch.tensor([[100, 300], [65535, 65535]], dtype=torch.int32).reshape(2, 1, 2)
    assert ToRGB()(values)[0, 0].tolist() == [0, 1]


def test_channels_share_one_range() -> None:
    values = torch.tensor([[0.0, 1], [2, 3], [4, 5]]).reshape(3, 1, 2)
    assert ToRGB()(values).flatten().tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])


def test_meta_and_operations_stay() -> None:
    affine = torch.diag(torch.tensor([2.0, 3, 4, 1])).double()
    source = MetaTensor(torch.rand(1, 2, 3, 4), affine=affine, meta=dict(META), applied_operations=[{"class": "X"}])
    out = ToRGB()(source)
    assert torch.equal(out.affine, affine)
    assert [operation["class"] for operation in out.applied_operations] == ["X"]
    assert source.shape == (1, 2, 3, 4)


REFUSED = [  # shape, message
    ((5, 4, 4), r"dir/a.png: expected 1 \(grey\), 2 .*, got 5 in shape \(5, 4, 4\)"),
    ((0, 4, 4), r"dir/a.png: the image is empty, got shape \(0, 4, 4\)"),
    ((1, 0, 4), r"dir/a.png: the image is empty, got shape \(1, 0, 4\)"),
    ((4, 4), r"dir/a.png: expected \(channels, rows, columns.*got shape \(4, 4\)"),
    ((1, 2, 2, 2, 2), r"dir/a.png: expected \(channels, rows, columns.*got shape \(1, 2, 2, 2, 2\)"),
]


@pytest.mark.parametrize(("shape", "message"), REFUSED)
def test_refused_shapes(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ToRGB()(MetaTensor(torch.zeros(shape), meta=dict(META)))


def test_no_finite_value() -> None:
    with pytest.raises(ValueError, match=r"dir/a.png: the image has no finite value"):
        ToRGB()(image([NAN, NAN], torch.float32))


@pytest.mark.parametrize("window", [(1, 1), (2, 1), (1,)])
def test_wrong_window(window: Any) -> None:
    with pytest.raises(ValueError, match=r"a window must be a name .*, \[LOW,HIGH\]"):
        ToRGB(window)


def test_dictionary_version() -> None:
    transform = pickle.loads(pickle.dumps(ToRGBd(["a", "b"])))
    value = torch.rand(1, 3, 3)
    out = transform({"a": value, "b": value * 2, "c": 1})
    assert torch.equal(out["a"], ToRGB()(value))
    assert torch.equal(out["b"], ToRGB()(value * 2))
    assert out["c"] == 1
    with pytest.raises(KeyError, match="b"):
        transform({"a": value})
    assert "b" not in ToRGBd(["a", "b"], allow_missing_keys=True)({"a": value})


def test_window_reaches_the_array_transform() -> None:
    out = ToRGBd("a", window=(0, 2))({"a": torch.ones(1, 2, 2)})
    assert (out["a"] == 0.5).all()


def test_aliases() -> None:
    assert ToRGBD is ToRGBDict is ToRGBd


CT = [-1000.0, 0, 100, 400]


@pytest.mark.parametrize("padding", [-2000, -2048, -3024, -32768])
def test_padding_of_ct_does_not_set_the_range(padding: float) -> None:
    """NIfTI names no padding: one value below what air has, for all that lies outside."""
    out = ToRGB()(image([padding] * 5 + [-1500] + CT, torch.float32))  # and one that resampling has made
    assert out[0, 0].tolist() == pytest.approx([0] * 7 + [(value + 1000) / 1400 for value in CT[1:]])
    assert out.meta["shown"].tolist() == [-1000, 400]


@pytest.mark.parametrize(
    "values",
    [
        [-4096, -2048, 0, 2048, 4096],  # phase: as many values below as above, none of them padding
        [-3000, -2500, -2000, -1500],  # nothing above
        [-2000, -2000, -2000],
        [-2000, -2000, 0, 0],  # two values: one is the structure
        [-1024, -1000, 0, 400],
    ],
)
def test_low_values_that_are_no_padding_count(values: list[float]) -> None:
    out = ToRGB()(image(values, torch.float32))
    assert out.meta["shown"].tolist() == [values[0], values[-1]]


LIMITS = [  # dtype, window of the user, meta, what is shown, what chose it
    (torch.int16, None, {"window": [-160.0, 240.0]}, [-160, 240], "window of the file"),
    (torch.int16, (0.0, 80.0), {"window": [-160.0, 240.0]}, [0, 80], "window of the user"),
    (torch.int16, None, {"range": [-1024.0, 3071.0]}, [-1024, 3071], "range of the image"),
    (torch.int16, None, {}, [0, 200], "range of the image"),
    (torch.uint8, None, {"window": [50.0, 100.0]}, [50, 100], "window of the file"),
    (torch.uint8, (0.0, 80.0), {"window": [50.0, 100.0]}, [0, 80], "window of the user"),
    (torch.uint8, (0.0, 80.0), {"range": [0.0, 63.0]}, [0, 63], "range of the image"),
    (torch.uint8, (0.0, 80.0), {}, [0, 255], "8 bits"),
]


@pytest.mark.parametrize(("dtype", "window", "meta", "shown", "shown_by"), LIMITS)
def test_what_is_black_and_white(dtype: torch.dtype, window: Any, meta: Any, shown: Any, shown_by: str) -> None:
    values = [0, 60, 200]
    made = image(values, dtype)
    made.meta |= meta
    out = ToRGB(window)(made)
    assert (out.meta["shown"].tolist(), out.meta["shown_by"]) == (shown, shown_by)
    assert out.meta["eight_bit"] is (shown_by == "8 bits")
    low, high = shown
    assert out[0, 0].tolist() == pytest.approx([min(max((value - low) / (high - low), 0), 1) for value in values])
    again = ToRGB(window)(out)
    assert not {"window", "range"} & set(again.meta)  # they are about the values of the file


def test_nothing_finite_is_told_with_a_window_too() -> None:
    with pytest.raises(ValueError, match=r"dir/a\.png: the image has no finite value"):
        ToRGB((0.0, 1.0))(image([NAN, INF], torch.float32))


SLICE = {"filename_or_obj": "scan.nii.gz::axial=1"}
BY_WINDOWS = [  # window, meta, ends for each channel, what chose them
    ("abdomen", {}, [[-150, 250]] * 3, "window abdomen"),
    ("mr", {"percentiles": (10.0, 90.0), "range": (0.0, 400.0)}, [[10, 90]] * 3, "percentiles of the volume"),
    (
        ["lung", [0, 100], "mr"],
        {"percentiles": (10.0, 90.0)},
        [[-1350, 150], [0, 100], [10, 90]],
        "window lung, window of the user, percentiles of the volume",
    ),
    (["brain"] * 3, {"window": (0.0, 5.0)}, [[0, 80]] * 3, "window brain, window brain, window brain"),
]


@pytest.mark.parametrize(("window", "meta", "ends", "chosen_by"), BY_WINDOWS)
@pytest.mark.parametrize("values", [[-900.0, 20, 60], [5.0, 6, 7], [0.0, 0, 300]])
def test_windows(window: Any, meta: Any, ends: Any, chosen_by: str, values: list[float]) -> None:
    """What a slice happens to hold changes nothing of how bright a value is."""
    made = image(values, torch.float32)
    made.meta |= meta
    out = ToRGB(window)(made)
    expected = [[min(max((v - low) / (high - low), 0), 1) for v in values] for low, high in ends]
    assert [row.tolist() for row in out.as_tensor()[:, 0]] == [pytest.approx(row) for row in expected]
    shown = ends if isinstance(window, list) else ends[0]
    assert (out.meta["shown"].tolist(), out.meta["shown_by"]) == (shown, chosen_by)
    assert not {"percentiles", "range", "window"} & set(out.meta)


def test_percentiles_of_a_volume_are_of_all_its_slices() -> None:
    volume = torch.cat([torch.zeros(500), torch.arange(1.0, 1001)]).reshape(1, 5, 6, 50)
    out = ToRGB("mr")(MetaTensor(volume))
    assert out.meta["shown"].tolist() == pytest.approx([5.995, 995.005])
    assert float(out[0, 0, 0, 0]) == 0 and float(out[0].max()) == 1


def test_three_windows_want_one_channel() -> None:
    with pytest.raises(WindowError, match=r"dir/a.png: three windows make three channels of one, and it has 3"):
        ToRGB(["lung", "bone", "brain"])(image([0, 1], torch.int16, channels=3))


def test_windows_leave_eight_bits_alone() -> None:
    for channels in (1, 3):
        out = ToRGB(["lung", "bone", "brain"])(image([0, 51], torch.uint8, channels))
        assert out[:, 0].tolist() == [pytest.approx([0, 0.2])] * 3 and out.meta["shown_by"] == "8 bits"


UNKNOWN = [  # dtype, meta, window, warned of
    (
        torch.int16,
        {**SLICE, "range": (-1024.0, 3071.0)},
        None,
        "scan.nii.gz: .*-1024 and 3071.*soft_tissue",
    ),
    (torch.int16, {"xyzt_units": 2}, None, "0 and 9, "),
    (torch.int16, SLICE, "lung", ""),
    (torch.int16, {**SLICE, "window": (0.0, 1.0)}, None, ""),
    (torch.uint8, SLICE, None, ""),
    (torch.int16, {"filename_or_obj": "a.png"}, None, ""),
    (torch.int16, {"filename_or_obj": "a.dcm::axial=1", "range": (0.0, 1.0)}, None, ""),
]


@pytest.mark.parametrize(("dtype", "meta", "window", "message"), UNKNOWN)
def test_an_unknown_unit_is_told_once(dtype: torch.dtype, meta: Any, window: Any, message: str) -> None:
    convert = ToRGB(window)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            convert(MetaTensor(torch.tensor([[[0, 9]]], dtype=dtype), meta=dict(meta)))
    assert len(caught) == bool(message)
    assert all(re.search(message, str(one.message)) for one in caught)


def test_workers_warn_once_together() -> None:
    convert = ToRGB()

    def warned(item: Any) -> int:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            convert(MetaTensor(torch.ones(1, 2, 2), meta=dict(SLICE)))
        return len(caught)

    loader = DataLoader(Dataset(range(6), warned), num_workers=2, multiprocessing_context="fork")
    assert sum(int(one) for _ in range(2) for one in loader) == 1
