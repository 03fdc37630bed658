# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Models on the encoders of BiomedCLIP and PubMedCLIP in a bank, exported, merged, and described by a card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from monai_vlsm.adapters import Adaptation, DenseAdaptation, SSFAdaptation
from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.backbones.licences import weights_licence
from monai_vlsm.checkpoints import TrainedState, read
from monai_vlsm.export import export_network, save_merged
from monai_vlsm.hub.card import make_card
from monai_vlsm.hub.facts import CardFacts
from monai_vlsm.networks import CLIPSegNet, PromptedNet
from monai_vlsm.serving import AdapterBank, Segmenter
from monai_vlsm.transforms import TokenizePrompt
from tests.networks.test_encoders import PUBLISHED, write_donor
from tests.networks.tiny_encoders import EMBEDDING, WIDTH, write_biomed, write_pubmed
from tests.networks.tiny_networks import slow_beside

EXPORTED = [(write_biomed, "tokens"), (write_pubmed, "embedding")]  # the others are slow


@pytest.fixture(scope="module", params=[write_biomed, write_pubmed], ids=["biomed", "pubmed"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return request.param(tmp_path_factory.mktemp("encoders"))


def trained(folder: Path, adaptation: Adaptation | None = None, **arguments: object) -> CLIPSegNet:
    torch.manual_seed(1)
    adaptation = adaptation or DenseAdaptation("vl", width=4)
    network = CLIPSegNet(folder, adaptation=adaptation, image_size=64, default_prompt="polyp", **arguments).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def saved(network: PromptedNet, file: Path) -> Path:
    torch.save(TrainedState(network).state_dict(), file)
    return file


@torch.no_grad()
def answer(network: PromptedNet, folder: Path) -> Tensor:
    ids, mask = TokenizePrompt(load_tokenizer(folder))(["polyp", "one small polyp"])
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return network(image, ids, mask)


def test_a_bank_and_a_segmenter(folder: Path, tmp_path: Path) -> None:
    first, second = trained(folder), trained(folder, DenseAdaptation("v", width=4))
    bank = AdapterBank(folder)
    bank.load("first", saved(first, tmp_path / "1.pt"))
    bank.load("second", saved(second, tmp_path / "2.pt"))
    for name, network in (("first", first), ("second", second)):
        assert_close(answer(bank.network(name), folder), answer(network, folder), atol=1e-5, rtol=1e-5)
    Image.fromarray(np.full((40, 50, 3), 90, np.uint8)).save(tmp_path / "image.png")
    found = Segmenter(tmp_path / "1.pt")(tmp_path / "image.png", ["polyp", "brain"])
    assert found.masks.shape == (2, 40, 50)


def test_a_bank_with_the_decoder_of_a_clipseg(tmp_path: Path) -> None:
    folder, donor = write_biomed(tmp_path / "biomed"), write_donor(tmp_path / "donor", WIDTH, EMBEDDING)
    network = trained(folder, decoder=donor)
    bank = AdapterBank(folder)
    bank.load("one", saved(network, tmp_path / "1.pt"))
    assert_close(answer(bank.network("one"), folder), answer(network, folder), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("folder", "form"),
    slow_beside(
        EXPORTED, [(write, form) for write in (write_biomed, write_pubmed) for form in ("embedding", "tokens")]
    ),
    indirect=["folder"],
)
def test_export(folder: Path, form: str, tmp_path: Path) -> None:
    network = trained(folder)
    found = export_network(network, tmp_path, "torchscript", form, prompts=["polyp", "one small polyp"])
    assert found.difference < 1e-4
    length = load_tokenizer(folder).model_max_length
    assert np.load(found.prompts)["input_ids"].shape == (2, length) if form == "tokens" else True


@pytest.mark.parametrize("folder", slow_beside([write_biomed], [write_biomed, write_pubmed]), indirect=True)
def test_onnx(folder: Path, tmp_path: Path) -> None:
    network = trained(folder)
    assert export_network(network, tmp_path, "onnx", "tokens", prompts=["polyp", "one small polyp"]).difference < 1e-4


def test_merged(folder: Path, tmp_path: Path) -> None:
    """A backbone that has what was trained, decoder and all, and loads with its own tokenizer."""
    network = trained(folder, SSFAdaptation())
    assert save_merged(network, tmp_path / "merged") < 1e-4
    plain = CLIPSegNet(tmp_path / "merged", image_size=64).eval()
    assert plain.image_mean == network.image_mean and not plain.trained_names
    assert_close(answer(plain, tmp_path / "merged"), answer(network, folder), atol=1e-4, rtol=1e-4)


def test_licence_in_the_card(tmp_path: Path) -> None:
    folder = write_biomed(tmp_path)
    assert weights_licence(folder) == "mit" and weights_licence(tmp_path / "elsewhere") is None
    state = read(saved(trained(folder), tmp_path / "model.pt"))
    card = make_card(CardFacts("anna/polyp", state))
    assert "Its weights are under the licence mit, as its README says." in card
    for name in PUBLISHED:
        with torch.device("meta"):
            network = CLIPSegNet(name, adaptation=DenseAdaptation("v", width=2), load_weights=False)
        state = network.state_dict()
        values = {entry: torch.zeros(state[entry].shape) for entry in network.trained_names}
        card = make_card(CardFacts("anna/polyp", {**values, "monai_vlsm": {**network.settings(), "base": "0" * 64}}))
        assert f"The base, {name}, is downloaded on first use; its weights are under the licence MIT." in card
