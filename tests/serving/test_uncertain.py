# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Maps of entropy and numbers of a prediction: their values, their files, and that an evaluation has the same ones."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from monai_vlsm.data import load_images
from monai_vlsm.data.volumes.planes import to_stack
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.outputs import NotOursError
from monai_vlsm.serving import Segmenter, find_records, predict_records
from monai_vlsm.serving.pipeline import preprocessing
from monai_vlsm.serving.uncertain import uncertainty_files
from monai_vlsm.transforms.temperature import calibrated
from monai_vlsm.uncertainty import UncertaintyScorer, binary_entropy
from tests.data.files import ramp, save
from tests.folders import visible
from tests.serving.models import train


@pytest.fixture(scope="module")
def network(backbone: Path) -> CLIPSegNet:
    """Its logits are near 0, so a low temperature spreads the probabilities."""
    network = train(backbone, "dense v")
    network.temperature = 0.1
    return network


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    save(ramp(), folder / "flat.png")
    values = np.random.default_rng(0).integers(0, 200, (24, 20, 11), dtype=np.uint8)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-2.0, 3.0, 4.0, 1.0])), folder / "volume.nii.gz")
    return folder


def ask(network: CLIPSegNet, image: Path, prompts: list[str], method: str, **other: Any) -> Any:
    return Segmenter(network, device="cpu", amp=False, uncertainty=method, **other)(image, prompts)


def test_single_is_the_entropy_of_the_prediction(network: CLIPSegNet, images: Path) -> None:
    result = ask(network, images / "flat.png", ["polyp", "brain"], "single")
    found = result.uncertainty
    probabilities = torch.from_numpy(result.probabilities)
    expected = binary_entropy(probabilities).numpy()
    for index in range(2):
        assert np.abs(found.entropy(index) - expected[index]).max() <= 0.5 / 255 + 1e-6
        p, m = result.probabilities[index].astype(float), result.masks[index]
        assert m.any()
        assert found.numbers[index] == pytest.approx(1 - 2 * (p * m).sum() / (p.sum() + m.sum()), abs=1e-6)
    assert found.predictions == [1, 1]


def test_masks_and_probabilities_are_those_without(network: CLIPSegNet, images: Path) -> None:
    plain: Any = Segmenter(network, device="cpu", amp=False)(images / "flat.png", ["polyp", "brain"])
    for method in ("prompts", "flips"):
        found = ask(network, images / "flat.png", ["polyp", "brain"], method)
        assert np.array_equal(found.masks, plain.masks)
        assert np.array_equal(found.probabilities, plain.probabilities)
    assert plain.uncertainty is None


def test_prompts_name_one_thing(network: CLIPSegNet, images: Path) -> None:
    result = ask(network, images / "flat.png", ["polyp", "brain", "one"], "prompts")
    found = result.uncertainty
    plain = calibrated(torch.from_numpy(result.probabilities), 1 / network.temperature)  # without the temperature
    mean = calibrated(plain.mean(0), network.temperature)
    assert len(found.codes) == 1
    assert np.abs(found.entropy() - binary_entropy(mean).numpy()).max() < 0.02
    assert np.ptp(found.entropy()) > 0.1
    assert found.predictions == [3, 3, 3]
    assert len(set(found.numbers)) == len({result.masks[index].tobytes() for index in range(3)})


def test_a_volume_is_its_slices(network: CLIPSegNet, images: Path) -> None:
    """Maps have the axes of the file; the number is of all 11 slices, which come in two batches."""
    kept: list[torch.Tensor] = []
    segment = Segmenter(network, device="cpu", amp=False, uncertainty="single")
    after = segment._after

    def keeping(data: Any) -> Any:
        found = after(data)
        kept.append(found["pred"].as_tensor().clone())
        return found

    segment._after = keeping  # type: ignore[assignment]
    found = segment(images / "volume.nii.gz", ["polyp", "brain"]).uncertainty
    assert found is not None
    assert [one.shape for one in found.codes] == [(24, 20, 11)] * 2
    stack = torch.stack(kept, dim=1)
    p = stack[1].double().numpy()
    assert found.numbers[1] == pytest.approx(1 - 2 * p[p >= 0.5].sum() / (p.sum() + (p >= 0.5).sum()), abs=1e-6)
    entropy = binary_entropy(stack).numpy()
    assert np.ptp(entropy[1]) > 0.1
    for index in range(2):
        turned = to_stack(found.entropy(index), np.diag([-2.0, 3.0, 4.0, 1.0]), "axial")
        assert np.abs(turned - entropy[index]).max() <= 0.5 / 255 + 1e-6


def test_temperature_changes_probabilities_and_no_mask(backbone: Path, images: Path) -> None:
    network = train(backbone, "dense v")
    plain = ask(network, images / "flat.png", ["polyp", "brain"], "single")
    network.temperature = 3.0
    scaled = ask(network, images / "flat.png", ["polyp", "brain"], "single")
    assert np.array_equal(plain.masks, scaled.masks)
    assert plain.existence == scaled.existence
    expected = torch.sigmoid(torch.logit(torch.from_numpy(plain.probabilities)) / 3).numpy()
    assert np.allclose(scaled.probabilities, expected, atol=1e-6)
    assert (scaled.uncertainty.entropy(0) >= plain.uncertainty.entropy(0) - 1e-6).all()


def test_the_same_seed_gives_the_same_files(backbone: Path, images: Path, tmp_path: Path) -> None:
    network = CLIPSegNet(backbone, dropout=0.4)
    records = find_records(images, ["polyp", "brain"])
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        segment = Segmenter(network, device="cpu", uncertainty="dropout", draws=3, seed=seed)
        predict_records(segment, records, tmp_path / folder)
    files = sorted(path.relative_to(tmp_path / "a").as_posix() for path in (tmp_path / "a" / "uncertainty").iterdir())
    assert files == sorted(name for record in records for name in uncertainty_files(record, "dropout"))
    bytes_of = {folder: [(tmp_path / folder / name).read_bytes() for name in files] for folder in "abc"}
    assert bytes_of["a"] == bytes_of["b"]
    assert bytes_of["a"] != bytes_of["c"]
    tables = [(tmp_path / folder / "areas.csv").read_text() for folder in "abc"]
    assert tables[0] == tables[1] != tables[2]


def test_files(network: CLIPSegNet, images: Path, tmp_path: Path) -> None:
    segment = Segmenter(network, device="cpu", amp=False, uncertainty="flips")
    told = predict_records(segment, find_records(images, ["polyp", "brain"]), tmp_path)
    assert f"maps of entropy in {tmp_path / 'uncertainty'}" in told
    png = Image.open(tmp_path / "uncertainty" / "flat_brain.png")
    found = segment(images / "flat.png", ["polyp", "brain"]).uncertainty
    assert found is not None
    assert png.mode == "L"
    assert np.array_equal(np.asarray(png), found.codes[1])
    nifti: Any = nibabel.load(tmp_path / "uncertainty" / "volume_brain.nii.gz")
    whole = segment(images / "volume.nii.gz", ["polyp", "brain"]).uncertainty
    assert whole is not None
    assert np.allclose(nifti.get_fdata(), whole.entropy(1), atol=1e-6)
    assert np.allclose(nifti.affine, np.diag([-2.0, 3.0, 4.0, 1.0]))
    rows = list(csv.DictReader((tmp_path / "areas.csv").open(encoding="utf-8")))
    assert [row["predictions"] for row in rows] == ["4"] * 4
    assert float(rows[1]["uncertainty"]) == pytest.approx(found.numbers[1], abs=1e-6)


def test_one_map_for_prompts_that_name_one_thing(network: CLIPSegNet, images: Path, tmp_path: Path) -> None:
    segment = Segmenter(network, device="cpu", uncertainty="prompts")
    predict_records(segment, load_images(images / "flat.png", ["polyp", "brain"]), tmp_path)
    assert visible(tmp_path / "uncertainty") == {"flat.png"}


def test_what_is_somebody_elses_stays(network: CLIPSegNet, images: Path, tmp_path: Path) -> None:
    (tmp_path / "uncertainty").mkdir()
    (tmp_path / "uncertainty" / "flat_polyp.png").write_bytes(b"mine")
    segment = Segmenter(network, device="cpu", uncertainty="single")
    with pytest.raises(NotOursError, match=r"flat_polyp\.png"):
        predict_records(segment, load_images(images / "flat.png", "polyp"), tmp_path)


@pytest.mark.parametrize("method", ["single", "flips"])
def test_an_evaluation_has_the_same_numbers(network: CLIPSegNet, images: Path, method: str) -> None:
    prompts = ["polyp", "brain"]
    record = {"image": str(images / "flat.png"), "prompt": prompts, "name": "flat"}
    before = preprocessing(network)
    scorer = UncertaintyScorer(method, network, before, [record], temperature=network.temperature, amp=False)
    item: Any = before(dict(record))
    with torch.no_grad():
        logits = network(item["image"].as_tensor()[None], item["input_ids"][None], item["attention_mask"][None])[0]
    result = ask(network, images / "flat.png", prompts, method)
    output = {"logits": logits, "pred": torch.from_numpy(result.masks)}
    scorer.attach(SimpleNamespace(add_event_handler=lambda *_: None))  # type: ignore[arg-type]
    scorer._score(SimpleNamespace(state=SimpleNamespace(batch=[item], output=[output])))  # type: ignore[arg-type]
    assert output["uncertainty"] == pytest.approx(result.uncertainty.numbers, abs=1e-5)
