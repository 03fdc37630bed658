# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A site at work: the real bundle on a network of a few thousand weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.client.monai_algo import compute_weight_diff, convert_global_weights
from monai.fl.utils.constants import ExtraItems, ModelType
from monai.fl.utils.exchange_object import ExchangeObject
from monai.networks.utils import get_state_dict
from torch import nn

from monai_vlsm.checkpoints import SETTINGS_KEY, read
from monai_vlsm.errors import UserError
from monai_vlsm.federated import FederatedError, Site, TrainedOnlyFilter, federation_sites, outgoing, terms_of
from monai_vlsm.federated.simulate import untrained_model
from tests.bundles.dataset import LEFT, RIGHT, write_dataset

BUNDLE = Path(__file__).parents[2] / "bundles" / "vlsm_dense"
pytestmark = pytest.mark.usefixtures("blank_curves")


@pytest.fixture(scope="module")
def settings(backbone: Path) -> dict[str, Any]:
    return {
        "backbone": str(backbone),
        "adapter_width": 4,
        "batch_size": 4,
        "num_workers": 0,
        "amp": False,
        "device": "cpu",
        "cache": "off",
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def start(settings: dict[str, Any], data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read(untrained_model(BUNDLE, data, tmp_path_factory.mktemp("start") / "model.pt", settings))


@pytest.fixture
def site(settings: dict[str, Any], data: Path, start: dict[str, Any], tmp_path: Path) -> Site:
    return Site(BUNDLE, data, tmp_path / "site", terms_of(start["monai_vlsm"]), settings=settings)


def test_a_round_trains_what_came(site: Site, start: dict[str, Any]) -> None:
    """In whatever precision, which may differ."""
    came = {name: values + 0.01 for name, values in outgoing(start).items()}
    outcome = replace(site, settings={**site.settings, "amp_dtype": "bfloat16"}).train(came, 0)
    assert outcome.images == 5
    assert 0 <= outcome.scores["val_dice"] <= 1
    assert set(outcome.weights) == set(came)
    moved = max(float(np.abs(outcome.weights[name] - came[name]).max()) for name in came)
    assert 0 < moved < 0.01  # two steps of AdamW from what came, not from the bundle's own weights
    ended = torch.load(site.output / "round-0" / "last.pt", weights_only=True)["objects"]["model"]
    assert all(np.array_equal(ended[name], outcome.weights[name]) for name in came)


@pytest.mark.parametrize(("name", "value"), [("base", "0" * 64), ("format", 99)])
def test_another_network_is_refused_before_anything_happens(
    site: Site, start: dict[str, Any], name: str, value: object
) -> None:
    with pytest.raises(FederatedError, match=r"differs: the federation has .* Nothing was trained or sent"):
        replace(site, terms={**site.terms, name: value}).train(outgoing(start), 0)
    assert not site.output.exists()


def test_a_training_that_ends_in_no_numbers_is_not_sent(site: Site, start: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="the loss is nan in epoch 1"):
        replace(site, settings={**site.settings, "learning_rate": 1e30}).train(outgoing(start), 0)


def test_scores_that_are_no_numbers_are_not_sent(site: Site, start: dict[str, Any]) -> None:
    came = {name: np.full_like(values, 1e30) for name, values in outgoing(start).items()}
    with pytest.raises(FederatedError, match="of the received model is nan on the images of this site"):
        site.train(came, 0)


def test_another_adaptation_is_refused(site: Site, start: dict[str, Any]) -> None:
    lora = {"_target_": "monai_vlsm.adapters.LoRAAdaptation", "rank": 2}
    settings = {name: value for name, value in site.settings.items() if name != "adapter_width"}
    with pytest.raises(FederatedError, match=r"adaptation differs: the federation has .*Dense.*, this site has .*LoRA"):
        replace(site, settings={**settings, "adaptation": lora}).train(outgoing(start), 0)
    assert not site.output.exists()


def test_a_federation_that_begins_with_an_old_file(start: dict[str, Any], data: Path, tmp_path: Path) -> None:
    """What sites send is of the format of now, so they are compared with that."""
    told = {name: value for name, value in start[SETTINGS_KEY].items() if name != "checksums"} | {"format": 1}
    torch.save({**start, SETTINGS_KEY: told}, tmp_path / "old.pt")
    made = federation_sites(BUNDLE, {"a": data}, tmp_path / "old.pt", tmp_path)
    assert made["a"].terms == terms_of(start[SETTINGS_KEY])
    assert made["a"].terms["format"] > 1


def test_sites_take_the_network_of_the_model_they_begin_with(
    settings: dict[str, Any], data: Path, tmp_path: Path
) -> None:
    """Kind and width of the adaptation, size, prompt, which is no expression, and precision; else they are refused."""
    lora = {"_target_": "monai_vlsm.adapters.LoRAAdaptation", "rank": 2}
    odd = {name: value for name, value in settings.items() if name != "adapter_width"} | {"adaptation": lora}
    odd |= {"image_size": 64, "default_prompt": "it's $1/0 @network"}
    begin = untrained_model(BUNDLE, data, tmp_path / "model.pt", odd)
    common = {"num_workers": 0, "batch_size": 4, "device": "cpu", "cache": "off"}
    own: dict[str, dict[str, Any]] = {"south": {"image_size": 32}, "west": {"amp": True}}
    made = federation_sites(
        BUNDLE, dict.fromkeys(("north", "south", "west"), data), begin, tmp_path, 1, 41, common, own
    )
    came = outgoing(read(begin))
    for name, amp in (("north", False), ("west", True)):
        parser = made[name]._training(0).parser
        found = parser.get_parsed_content("trained").settings()
        assert found["adaptation"]["rank"] == 2 and found["default_prompt"] == odd["default_prompt"]
        assert parser.get_parsed_content("amp") is amp and parser.get_parsed_content("amp_dtype") == "bfloat16"
    assert set(made["north"].train(came, 0).weights) == set(came)
    with pytest.raises(FederatedError, match="the image size differs: the federation has 64, this site has 32"):
        made["south"].train(came, 0)


def test_a_site_with_other_classes_than_a_unet_has(data: Path, tmp_path: Path) -> None:
    """The words of a U-Net are those of the model that the federation begins with."""
    bundle, small = BUNDLE.with_name("unet"), {"backbone": "unet-mini", "num_workers": 0, "device": "cpu"}
    begin = untrained_model(bundle, data, tmp_path / "model.pt", {**small, "targets": [LEFT, RIGHT]})
    other = shutil.copytree(data, tmp_path / "other")
    for file in other.glob("*.json"):
        file.write_text(file.read_text().replace("polyp", "liver"))
    made = federation_sites(bundle, {"a": data, "b": other}, begin, tmp_path / "sites", 1, 41, small)
    assert set(made["a"].train(outgoing(read(begin)), 0).weights) == set(outgoing(read(begin)))
    with pytest.raises(UserError, match=r"left polyp, right polyp.*'.*liver' names none of them"):
        made["b"].train(outgoing(read(begin)), 0)


def test_weights_that_are_no_numbers_are_not_trained(site: Site, start: dict[str, Any]) -> None:
    came = outgoing(start)
    name = next(iter(came))
    with pytest.raises(FederatedError, match="must be finite"):
        site.train({**came, name: np.full_like(came[name], np.nan)}, 0)
    assert not site.output.exists()


@pytest.mark.parametrize(
    ("what", "line"),
    [("missing", "no such dataset folder"), ("empty", "holds no dataset"), ("list", "1 problem in the data")],
)
def test_a_site_without_data_says_so(
    site: Site, start: dict[str, Any], data: Path, tmp_path: Path, what: str, line: str
) -> None:
    folder = tmp_path / "none"
    if what == "list":
        shutil.copytree(data, folder)
        (folder / "train.json").write_text(json.dumps([]))
    elif what == "empty":
        folder.mkdir()
    with pytest.raises(UserError, match=line):
        replace(site, data=folder).train(outgoing(start), 0)
    assert not site.output.exists()


def test_monai_algo_sends_only_what_was_trained(
    settings: dict[str, Any], data: Path, start: dict[str, Any], tmp_path: Path
) -> None:
    places = {
        "bundle_root": str(BUNDLE),
        "dataset_dir": str(data),
        "ckpt_dir": str(tmp_path),
        "output_dir": str(tmp_path),
    }
    algo: Any = MonaiAlgo(
        str(BUNDLE),
        config_evaluate_filename=None,
        best_model_filepath=str(tmp_path / "model.pt"),
        train_kwargs={**settings, **places, "overlays": 0},
    )
    algo.initialize({})
    came = {name: torch.as_tensor(values) for name, values in outgoing(start).items()}
    algo.train(ExchangeObject(weights=came))
    whole = algo.get_weights().weights
    algo.post_weight_filters = [TrainedOnlyFilter(algo.trainer.network)]
    sent = algo.get_weights().weights
    assert set(sent) == set(came)
    assert _bytes(sent) == _bytes(came)
    assert _bytes(whole) > 3 * _bytes(sent)
    assert max(float(value.abs().max()) for value in sent.values()) > 0
    best: Any = algo.get_weights({ExtraItems.MODEL_TYPE: ModelType.BEST_MODEL}).weights  # without our settings
    assert set(best) == set(came) and all(isinstance(value, torch.Tensor) for value in best.values())


def _bytes(weights: dict[str, Any]) -> int:
    return sum(value.numel() * value.element_size() for value in map(torch.as_tensor, weights.values()))


def test_the_filter_keeps_statistics_of_batch_norm_and_no_counter() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    names = [name for name in network.state_dict() if name.startswith("1.")]
    sent = TrainedOnlyFilter(names)(ExchangeObject(weights=dict(network.state_dict()))).weights or {}
    assert set(sent) == {"1.weight", "1.bias", "1.running_mean", "1.running_var"}


@pytest.mark.parametrize("buffers", [True, False])
def test_monais_differences_of_batch_norm(buffers: bool) -> None:
    """They are those of the training only where the server sent the statistics too."""
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = {name: value.clone() for name, value in get_state_dict(network).items() if value.is_floating_point()}
    came = {name: value for name, value in before.items() if buffers or "running" not in name}
    network(torch.randn(8, 2))
    own, _ = convert_global_weights(came, get_state_dict(network))
    change = compute_weight_diff(own, get_state_dict(network))
    sent = TrainedOnlyFilter(list(change))(ExchangeObject(weights=change)).weights or {}
    moved = network[1].running_var - before["1.running_var"]
    assert torch.equal(sent["1.running_var"], moved if buffers else torch.zeros(2)) and moved.abs().min() > 0
    assert "1.num_batches_tracked" not in sent
