# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Segmenter, and predictions for many images as files."""

from __future__ import annotations

import csv
import threading
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.checkpoints import ModelNotFoundError
from monai_vlsm.data import DatasetProblems, ImagesNotFoundError, NoPromptError, load_images
from monai_vlsm.data.volumes import Address
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.outputs import NotOursError
from monai_vlsm.serving import (
    DeviceNotFoundError,
    Segmenter,
    UnfinishedError,
    distinct_names,
    find_records,
    predict_records,
)
from tests.data.files import ramp, save, save_dicom
from tests.folders import contents, visible
from tests.serving.images import write_images, write_model, write_singular


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)  # whatever other tests drew before
    network = CLIPSegNet("clipseg-mini", DenseAdaptation("vl", width=4), default_prompt="brain")
    network.existence_threshold = 0.125
    return write_model(network, tmp_path_factory.mktemp("model") / "model.pt")


@pytest.fixture(scope="module")
def segment(model: Path) -> Segmenter:
    return Segmenter(model, device="cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def test_image(segment: Segmenter, images: Path) -> None:
    result = segment(images / "wide.png", ["brain", "white matter"])
    assert (result.name, result.prompts) == ("wide", ["brain", "white matter"])
    assert result.masks.shape == result.probabilities.shape == (2, 120, 160)
    assert result.masks.dtype == np.uint8
    assert np.array_equal(result.masks, result.probabilities >= 0.5)
    assert 0.3 < result.shares[0] < 0.8
    assert result.areas == [None, None]
    shown = np.asarray(Image.open(images / "wide.png").convert("RGB")) / 255
    assert np.allclose(result.view.image, shown, atol=1e-6)
    assert np.array_equal(result.view.masks, result.masks > 0)


def test_volume(segment: Segmenter, images: Path) -> None:
    result = segment(str(images / "volume.nii.gz"), "brain")
    assert result.masks.shape == (1, *nibabel.load(images / "volume.nii.gz").shape)
    assert result.spacing == pytest.approx((2, 2, 2))
    assert result.areas == [pytest.approx(8 * result.pixels[0])]
    slices = result.masks[0].sum(axis=(0, 1))
    assert result.view.slice == slices.argmax() + 1
    assert result.view.masks.sum() == slices.max()


def test_one_network_that_is_at_hand(model: Path, segment: Segmenter, images: Path) -> None:
    other = Segmenter(segment.network, device="cpu")
    results = [one(images / "wide.png", "brain") for one in (segment, other)]
    assert np.array_equal(results[0].probabilities, results[1].probabilities)


def test_thresholds(model: Path, segment: Segmenter, images: Path) -> None:
    assert segment.existence_threshold == 0.125
    assert Segmenter(model, existence_threshold=1.0)(images / "wide.png", "brain").pixels == [0]
    low, high = (Segmenter(model, threshold=value)(images / "wide.png", "brain").pixels[0] for value in (0.05, 0.95))
    assert low > high > 0


def test_window(model: Path, segment: Segmenter, tmp_path: Path) -> None:
    image = save(ramp("uint16"), tmp_path / "deep.png")  # 0 to 108
    shown = [one(image, "brain").view.image.max() for one in (segment, Segmenter(model, window=(0, 216)))]
    assert shown == pytest.approx([1, 0.5])
    rows = [Segmenter(model, window=window)(image, "brain").rows()[0]["shown"] for window in (None, (0, 216))]
    assert rows == ["0 to 108, range of the image", "0 to 216, window of the user"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": "nowhere.pt"}, ModelNotFoundError, "no model file at nowhere.pt"),
        ({"threshold": 2}, ValueError, "threshold must be from 0 to 1, got 2"),
        ({"existence_threshold": -1}, ValueError, "existence_threshold must be from 0 to 1, got -1"),
        ({"window": (3, 1)}, ValueError, "window must be a name"),
        ({"device": "cuda:99"}, DeviceNotFoundError, "no device 'cuda:99' here"),
        ({"device": "toaster"}, DeviceNotFoundError, "no device 'toaster' here"),
    ],
)
def test_wrong_arguments(model: Path, arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Segmenter(**{"model": model, **arguments})


@pytest.mark.parametrize("prompts", ["", " ", [], ["brain", ""], None, 3])
def test_no_prompt(segment: Segmenter, images: Path, prompts: Any) -> None:
    with pytest.raises(NoPromptError, match="prompt must be a text or a list of texts"):
        segment(images / "wide.png", prompts)


def test_no_image(segment: Segmenter, images: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(DatasetProblems, match=r"text\.png: expected a readable image"):
        segment(tmp_path / "text.png", "brain")
    with pytest.raises(ImagesNotFoundError, match=r"no such file or folder: .*nowhere\.png"):
        segment(tmp_path / "nowhere.png", "brain")
    with pytest.raises(IsADirectoryError, match="is a folder; give one image"):
        segment(images, "brain")


def test_equal_stems(segment: Segmenter, tmp_path: Path) -> None:
    """Same name with other suffixes, names that differ in signs only, and two long UIDs: one mask for each."""
    folder, uid = tmp_path / "in", "1.2.840.113619.2.55.3.2831868886.123.1234567890.123456789012"
    for name in ("scan.png", "scan.jpg", "scan 1.png", "scan_1.png"):
        save(ramp(), folder / name)
    for end in ("01", "02"):
        save_dicom(ramp("uint16"), folder / f"{uid}{end}.dcm")
    records = distinct_names(load_images(folder, "brain"))
    assert len({record["name"] for record in records}) == 6
    predict_records(segment, records, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.png"))) == 6
    assert len(visible(tmp_path / "out" / "overlays")) == 6
    rows = list(csv.DictReader((tmp_path / "out" / "areas.csv").open(encoding="utf-8")))
    assert [row["name"] for row in rows] == [record["name"] for record in records]


def test_names_that_meet_across_prompts() -> None:
    records = [{"name": name, "prompt": ["left lung", "lung"]} for name in ("a", "a_left", "b")]
    assert [record["name"] for record in distinct_names(records)] == ["a", "a_left-2", "b"]


def names_in(table: Path) -> list[str]:
    return [row["name"] for row in csv.DictReader(table.open(encoding="utf-8"))]


def test_one_bad_image_does_not_stop_the_others(segment: Segmenter, images: Path, tmp_path: Path) -> None:
    records = load_images(images, "brain")
    records[1]["image"] = str(tmp_path / "gone.png")
    with pytest.raises(UnfinishedError, match=r"2 images done, 1 not:\n.*gone\.png: .*no such image file"):
        predict_records(segment, records, tmp_path / "out")
    assert names_in(tmp_path / "out" / "areas.csv") == [records[0]["name"], records[2]["name"]]


def test_without_a_good_image_nothing_is_written(segment: Segmenter, tmp_path: Path) -> None:
    write_singular(tmp_path / "singular.nii")
    with pytest.raises(UnfinishedError, match=r"0 images done, 1 not:\n.*singular\.nii"):
        predict_records(segment, find_records(tmp_path / "singular.nii", "brain"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def numbered(image: Path, count: int) -> list[dict[str, Any]]:
    """One image several times, under other names."""
    (record,) = load_images(image, "brain")
    return [{**record, "name": str(number)} for number in range(count)]


def test_images_are_decoded_ahead_but_not_far(
    segment: Segmenter, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[threading.Thread] = []
    ahead: list[int] = []
    prepare, whole = segment.prepare, segment.segment

    def prepared(record: dict[str, Any]) -> Any:
        made.append(threading.current_thread())
        return prepare(record)

    def segmented(record: dict[str, Any]) -> Any:
        ahead.append(len(made) - len(ahead))
        return whole(record)

    monkeypatch.setattr(segment, "workers", 2)
    monkeypatch.setattr(segment, "prepare", prepared)
    monkeypatch.setattr(segment, "segment", segmented)
    predict_records(segment, numbered(images / "square.png", 7), tmp_path / "out")
    assert len(made) == len(ahead) == 7 and threading.main_thread() not in made
    assert max(ahead) <= 3  # what is at work, and one for each thread
    assert names_in(tmp_path / "out" / "areas.csv") == list("0123456")


def test_threads_change_nothing(model: Path, images: Path, tmp_path: Path) -> None:
    """Images, and one that cannot be read, in their turn and ahead; tests/serving/test_pipeline.py has a volume."""
    records = [load_images(images / f"{name}.png", ["brain", "white matter"])[0] for name in ("square", "wide")]
    records.insert(1, {**records[0], "name": "gone", "image": str(tmp_path / "gone.png")})
    said = []
    for workers in (0, 3):
        with pytest.raises(UnfinishedError) as raised:
            predict_records(Segmenter(model, device="cpu", workers=workers), records, tmp_path / str(workers))
        said.append(str(raised.value).replace(str(tmp_path / str(workers)), ""))
    assert said[0] == said[1] and said[0].startswith("2 images done, 1 not:")
    assert contents(tmp_path / "0") == contents(tmp_path / "3")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_slice_that_cannot_be_read_ends_the_volume_and_its_threads(
    workers: int, model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segment = Segmenter(model, device="cpu", workers=workers)
    before, seen = threading.active_count(), segment._seen

    def failing(record: dict[str, Any]) -> Any:
        if Address.of(record["image"]).index == 3:
            raise ValueError("no such slice")
        return seen(record)

    monkeypatch.setattr(segment, "_seen", failing)
    with pytest.raises(ValueError, match="no such slice"):
        segment(images / "volume.nii.gz", "brain")
    assert threading.active_count() == before


def test_ctrl_c_leaves_the_rows_of_what_is_done(
    segment: Segmenter, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records, whole = load_images(images, "brain"), segment.segment

    def interrupted(record: dict[str, Any]) -> Any:
        if record is not records[0] and record["name"] == records[1]["name"]:
            raise KeyboardInterrupt
        return whole(record)

    monkeypatch.setattr(segment, "segment", interrupted)
    with pytest.raises(KeyboardInterrupt):
        predict_records(segment, records, tmp_path / "out")
    assert names_in(tmp_path / "out" / "areas.csv") == [records[0]["name"]]
    monkeypatch.undo()
    predict_records(segment, records, tmp_path / "out")
    assert names_in(tmp_path / "out" / "areas.csv") == [record["name"] for record in records]


def test_a_second_call_leaves_nothing_of_the_first(segment: Segmenter, images: Path, tmp_path: Path) -> None:
    predict_records(segment, load_images(images, ["brain", "white matter"]), tmp_path / "out")
    (tmp_path / "out" / "wide_brain.png").write_bytes(b"corrected by hand")
    predict_records(segment, load_images(images / "square.png", "ventricle"), tmp_path / "out")
    assert visible(tmp_path / "out") == {"areas.csv", "overlays", "square_ventricle.png", "wide_brain.png"}
    assert visible(tmp_path / "out" / "overlays") == {"square.png"}
    with pytest.raises(NotOursError, match=r"wide_brain\.png"):
        predict_records(segment, load_images(images, "brain"), tmp_path / "out")
    assert (tmp_path / "out" / "wide_brain.png").read_bytes() == b"corrected by hand"
