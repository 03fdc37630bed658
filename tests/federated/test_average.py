# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The server's parts, with NVFlare's own messages."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monai_vlsm.checkpoints import SETTINGS_KEY, read, seal
from monai_vlsm.federated.contribution import IMAGES, REFUSED

pytestmark = pytest.mark.skipif(  # not imported to find out: it takes seconds, in every worker
    find_spec("nvflare") is None, reason="NVFlare is not installed: pip install 'monai_vlsm[federated]'"
)

SETTINGS = {"network": "Mine", "backbone": "here", "base": "a", "image_size": 32, "default_prompt": ""}


@pytest.fixture
def start(tmp_path: Path) -> Path:
    tensors = {"weight": torch.tensor([1.0, 2.0]), "norm.num_batches_tracked": torch.tensor(7)}
    torch.save(seal({**tensors, SETTINGS_KEY: SETTINGS}), tmp_path / "start.pt")
    return tmp_path / "start.pt"


def sent(site: str, values: list[float], images: int = 1, **more: Any) -> Any:
    from nvflare.app_common.abstract.fl_model import FLModel

    meta = {IMAGES: images, "client_name": site, **more.pop("meta", {})}
    return FLModel(params={"weight": np.float32(values)}, meta=meta, current_round=3, **more)


def test_a_round(start: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from monai_vlsm.federated.aggregator import ImageWeightedAverage

    average = ImageWeightedAverage(str(start))
    lines: list[str] = []
    monkeypatch.setattr(average, "warning", lines.append)
    average.accept_model(sent("three", [0, 1], 30))
    average.accept_model(sent("one", [4, 5], 10))
    average.accept_model(sent("broken", [np.nan, 5], 10))
    average.accept_model(sent("scored", [4, 5], 10, metrics={"val_dice": float("nan")}))
    average.accept_model(sent("other", [0], 0, meta={REFUSED: "the base differs: here, there"}))
    for odd in ({"params": {1: 0, "a": 0}}, {"params": {"weight": [[1], [2, 3]]}}, {"metrics": [1]}):
        model = sent("odd", [0, 1])
        model.__dict__.update(odd)
        average.accept_model(model)
    found = average.aggregate_model()
    assert found.params["weight"].tolist() == [1.0, 2.0]
    assert found.meta == {"sites": 2}
    assert [line.partition(": ")[0] for line in lines] == [
        f"site {name}, round 3" for name in ("broken", "scored", "other", "odd", "odd", "odd")
    ]
    assert all("it sent what cannot be read (" in line and "\n" not in line for line in lines[3:])
    assert "weight must be finite" in lines[0] and "val_dice of the received model is nan" in lines[1]
    assert lines[2] == "site other, round 3: the base differs: here, there; it does not count in this round"
    average.reset_stats()
    average.accept_model(sent("one", [4, 5], 10))
    assert average.aggregate_model().params["weight"].tolist() == [4.0, 5.0]


def test_a_round_without_sites_leaves_the_model_and_writes_no_file(start: Path, tmp_path: Path) -> None:
    from nvflare.app_common.abstract.model import make_model_learnable
    from nvflare.app_common.utils.fl_model_utils import FLModelUtils

    from monai_vlsm.federated.aggregator import ImageWeightedAverage
    from monai_vlsm.federated.persistor import TrainedModelPersistor

    average, file = ImageWeightedAverage(str(start)), tmp_path / "model.pt"
    keeper: Any = TrainedModelPersistor(str(start), str(file))
    model = FLModelUtils.update_model(sent("server", [1, 2]), average.aggregate_model())
    assert model.params["weight"].tolist() == [1.0, 2.0]
    keeper.save_model(make_model_learnable(model.params, model.meta), None)
    assert not file.exists()
    average.accept_model(sent("one", [4, 5], 10))
    model = FLModelUtils.update_model(model, average.aggregate_model())
    keeper.save_model(make_model_learnable(model.params, model.meta), None)
    state = read(file)
    assert state["weight"].tolist() == [4.0, 5.0] and state["norm.num_batches_tracked"].item() == 7
    assert keeper.load_model(None)["weights"]["weight"].tolist() == [1.0, 2.0]
