# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Each switch of ``train.json`` against the plain path: the same losses, scores and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_vlsm.networks import CLIPSegNet
from tests.bundles.dataset import write_dataset
from tests.bundles.test_vlsm_dense import TRAIN, run

pytestmark = pytest.mark.slow  # whole trainings

# what must be equal: bits, or numbers within a tolerance where the same maths is done in another order or precision
SWITCHES: dict[str, tuple[dict[str, Any], float]] = {
    "cache in memory": ({"cache": "memory"}, 0),
    "half of it in memory": ({"cache": "memory", "cache_rate": 0.5}, 0),
    "cache on disk": ({"cache": "disk"}, 0),
    "cache on disk, read": ({"cache": "disk"}, 0),
    "checkpointing": ({"checkpointing": True}, 0),
    "all exact ones": ({"cache": "disk", "checkpointing": True}, 0),
    "compile": ({"compile": True, "compile_kwargs": {"backend": "eager"}}, 1e-4),
    "amp": ({"amp": True}, 0.05),
}


@pytest.fixture(scope="module")
def settings(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("switches")
    return {
        "dataset_dir": str(write_dataset(folder)),
        "backbone": str(backbone),
        "cache_dir": str(folder / "images"),
        "adapter_width": 4,
        "epochs": 2,
        "batch_size": 4,
        "num_workers": 0,
        "cache": "off",
        "overlays": 0,
        "amp": False,
        "device": torch.device("cpu"),
    }


def results(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Adapters of the last epoch, curves of training and validation, scores."""
    objects = torch.load(folder / "last.pt", weights_only=True)["objects"]
    adapters = {name: value for name, value in objects["model"].items() if isinstance(value, Tensor)}
    return adapters, objects["curves"], json.loads((folder / "metrics.json").read_text())["mean"]


@pytest.fixture(scope="module")
def plain(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    return results(run([TRAIN], tmp_path_factory.mktemp("plain"), **settings))


def numbers(values: Any) -> list[float]:
    """All numbers in nested containers."""
    if isinstance(values, dict):
        return [number for key in sorted(values) for number in numbers(values[key])]
    if isinstance(values, list | tuple):
        return [number for value in values for number in numbers(value)]
    return [float(values)] if isinstance(values, int | float) else []


@pytest.mark.parametrize(
    ("switch", "tolerance"),
    [
        pytest.param(*values, id=name, marks=[pytest.mark.slow] if name == "compile" else [])
        for name, values in SWITCHES.items()
    ],
)
def test_same_results(switch: dict[str, Any], tolerance: float, settings: Any, plain: Any, tmp_path: Path) -> None:
    torch.compiler.reset()  # of what other tests of this process have compiled
    adapters, curves, scores = results(run([TRAIN], tmp_path, **{**settings, **switch}))
    expected_adapters, expected_curves, expected_scores = plain
    assert list(adapters) == list(expected_adapters)
    assert len(numbers(curves)) > 4
    assert numbers(curves) == pytest.approx(numbers(expected_curves), rel=tolerance, abs=tolerance)
    if tolerance == 0:
        assert scores == expected_scores
        assert all(torch.equal(adapters[name], value) for name, value in expected_adapters.items())


def test_by_image_encodes_once_and_learns_the_same(settings: Any, tmp_path: Path, monkeypatch: Any) -> None:
    """Batches of all records differ in their order only; and two records share each image."""
    folder = write_dataset(tmp_path / "data")
    for file in folder.glob("*.json"):  # one prompt for each structure, since another order draws others
        rows = json.loads(file.read_text())
        for structure in (one for row in rows for one in row["structures"]):
            structure["prompt"] = structure["prompt"]["p1"]
        file.write_text(json.dumps(rows))
    encoded: list[int] = []
    encode = CLIPSegNet.encode_image

    def counted(network: CLIPSegNet, image: Tensor) -> list[Tensor]:
        encoded.append(len(image))
        return encode(network, image)

    monkeypatch.setattr(CLIPSegNet, "encode_image", counted)
    whole = {**settings, "dataset_dir": str(folder), "batch_size": 10}
    apart = results(run([TRAIN], tmp_path / "apart", **whole))
    assert encoded == [10, 4] * 2 + [1] * (len(encoded) - 4)
    encoded.clear()
    shared = results(run([TRAIN], tmp_path / "shared", **whole, by_image=True))
    assert encoded[:6] == [5, 1, 1] * 2
    assert numbers(shared[1:]) == pytest.approx(numbers(apart[1:]), rel=1e-3, abs=1e-3)
    metrics = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("apart", "shared")]
    assert [row.split(",")[0] for row in metrics[0]] == [row.split(",")[0] for row in metrics[1]]
