# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What only CRISNet has: padding that words may see, running statistics, its sizes."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch

from monai_vlsm.adapters import count_parameters
from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.networks import CRISNet
from tests.networks.tiny_cris import official_state
from tests.networks.tiny_networks import build, inputs

END = 1276


@pytest.fixture
def network(backbone: Path) -> CRISNet:
    return build("cris", backbone)


@pytest.mark.parametrize("with_mask", [False, True])
def test_padding_is_hidden(network: CRISNet, with_mask: bool) -> None:
    image, ids, mask = inputs(network)
    longer = torch.nn.functional.pad(ids, (0, 20), value=END), torch.nn.functional.pad(mask, (0, 20))
    expected = network(image, ids, mask)
    found = network(image, *longer) if with_mask else network(image, longer[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("with_mask", [False, True])
def test_padding_is_seen_where_asked(backbone: Path, with_mask: bool) -> None:
    network = build("cris", backbone, mask_padding=False)
    image, ids, mask = inputs(network)
    longer = torch.nn.functional.pad(ids, (0, 20), value=END), torch.nn.functional.pad(mask, (0, 20))
    found = network(image, *longer) if with_mask else network(image, longer[0])
    assert (found - network(image, ids, mask)).abs().max() > 1e-4
    assert torch.equal(network(image, ids, mask), network(image, ids))


def test_all_of_it_trains(network: CRISNet) -> None:
    network.train()(*inputs(network, 4)).square().mean().backward()
    frozen = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
    assert frozen == ["logit_scale"]
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    assert set(network.trained_names) == set(network.state_dict())


def test_a_batch_of_one_image_trains(network: CRISNet) -> None:
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3)
    loss = network.train()(*inputs(network, 1)).square().mean()
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
    assert not torch.equal(before["visual.bn1.running_mean"], network.state_dict()["visual.bn1.running_mean"])
    assert not torch.equal(before["neck.txt_proj.0.weight"], network.state_dict()["neck.txt_proj.0.weight"])


def test_dropout_acts_in_training_mode_only(backbone: Path) -> None:
    network = build("cris", backbone, dropout=0.5)
    arguments = inputs(network)
    assert torch.equal(network(*arguments), network(*arguments))
    network.decoder.train()
    assert not torch.equal(network(*arguments), network(*arguments))


@pytest.fixture(scope="module")
def real_size() -> CRISNet:
    with torch.device("meta"):
        return CRISNet(load_weights=False)


def test_real_size(real_size: CRISNet) -> None:
    assert count_parameters(real_size) == (146_849_121, 146_849_122)  # logit_scale does not train
    assert real_size.image_size == 416
    official = official_state(real_size)
    assert len(official) == 662
    assert sum(value.numel() for value in official.values()) == 146_921_897
    features = real_size.encode_image(torch.empty(2, 3, 416, 416, device="meta"))
    assert [tuple(f.shape) for f in features] == [(2, 512, 52, 52), (2, 1024, 26, 26), (2, 1024, 13, 13)]
    text = real_size.encode_text(torch.empty(4, 9, dtype=torch.int64, device="meta"))
    assert (text.words.shape, text.sentence.shape) == ((4, 9, 512), (4, 1024))
    image = real_size.decoder(real_size.neck(features, text.sentence), text.words, text.padding)
    assert image.shape == (4, 512, 26, 26)
    assert real_size.proj.vis(image).shape == (4, 256, 104, 104)


def test_real_size_group_by_group(real_size: CRISNet, shared: Path) -> None:
    """Tensors and numbers of each part, as the authors' code has them."""
    facts = json.loads((shared / "golden" / "facts_cris.json").read_text())["cris"]
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    groups: dict[str, list[int]] = {}
    for name, value in official_state(real_size).items():
        if not name.endswith(buffers):
            sizes = groups.setdefault(".".join(name.split(".")[:3]), [0, 0])
            sizes[0], sizes[1] = sizes[0] + 1, sizes[1] + value.numel()
    assert groups == {name: values[:2] for name, values in facts["groups"].items()}
    assert sum(count for count, _ in groups.values()) == facts["n_requires_grad_tensors"] == 449


def test_mini() -> None:
    network = CRISNet("cris-mini", default_prompt="brain").eval()
    assert 1e6 < count_parameters(network)[1] < 3e6
    assert network(torch.zeros(1, 3, network.image_size, network.image_size)).shape == (1, 1, 160, 160)
    assert network.text.config.vocab_size == len(load_tokenizer("cris-mini"))
    ids = network.text.config.bos_token_id, network.text.config.eos_token_id
    assert ids == (load_tokenizer("cris-mini").bos_token_id, load_tokenizer("cris-mini").eos_token_id)
