# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.transforms import TokenizePrompt
from monai_vlsm.uncertainty import UncertaintyError, make_members
from monai_vlsm.uncertainty.members import DropoutMembers, FlipMembers, Members, PromptMembers
from tests import tiny

Answer = Callable[[Tensor, str], Tensor]


def answering(kind: type[Members], answer: Answer) -> Members:
    """Members whose network is a function of image ``(B, 3, S, S)`` and prompt."""

    class Stub(kind):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            self._tokenize = TokenizePrompt(load_tokenizer("clipseg-mini"))

        def probabilities(self, image: Tensor, prompts: Sequence[str]) -> Tensor:
            return torch.stack([answer(image, prompt) for prompt in prompts], dim=1)

    return Stub()


def half(image: Tensor, prompt: str) -> Tensor:
    """What of the first channel lies in the half that the prompt names; all for other prompts."""
    found, size = image[:, 0].clone(), image.shape[-1]
    if prompt.endswith("left"):
        found[..., size // 2 :] = 0
    if prompt.endswith("right"):
        found[..., : size // 2] = 0
    return found


def test_prompts_of_one_thing_share_a_mean() -> None:
    levels = {"polyp": 0.2, "a polyp": 0.4, "one polyp": 0.9, "liver": 0.6}
    members = answering(PromptMembers, lambda image, prompt: torch.full_like(image[:, 0], levels[prompt]))
    image, ways = torch.zeros(2, 3, 4, 4), [["polyp", "a polyp", "one polyp"], ["liver"]]
    plain = torch.tensor([0.2, 0.6]).view(1, 2, 1, 1).expand(2, 2, 4, 4)
    found = members(image, ways, plain)
    assert found.counts == [3, 1]
    assert torch.allclose(found.probabilities[1, :, 0, 0], torch.tensor([0.5, 0.6]))


def test_prompts_of_the_same_tokens_are_one() -> None:
    members = answering(PromptMembers, lambda image, prompt: torch.full_like(image[:, 0], 0.6))
    ways = [["polyp", " Polyp", "a polyp", "POLYP"], ["liver", "liver"]]
    found = members(torch.zeros(1, 3, 4, 4), ways, torch.full((1, 2, 4, 4), 0.2))
    assert found.counts == [2, 1]
    assert torch.allclose(found.probabilities[0, :, 0, 0], torch.tensor([0.4, 0.2]))
    with pytest.raises(UncertaintyError, match="needs several prompts for the same thing, got one only"):
        members.require([[["polyp", "Polyp "], ["liver"]]])
    members.require([[["polyp", "Polyp "]], [["liver", "a liver"]]])


def test_flips_are_turned_back_and_words_exchanged() -> None:
    members = answering(FlipMembers, half)
    image = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    ways = [["polyp"], ["polyp on the left"], ["polyp on the right"]]
    plain = torch.stack([half(image, names[0]) for names in ways], dim=1)
    found = members(image, ways, plain)
    assert found.counts == [4, 4, 4]
    assert torch.allclose(found.probabilities, plain, atol=1e-6)


def test_a_volume_is_flipped_in_its_slices() -> None:
    members = answering(FlipMembers, lambda image, prompt: image[:, 0])
    image = torch.rand(1, 3, 4, 4, 5, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(members(image, [["polyp"]], image[:, :1]).probabilities, image[:, :1], atol=1e-6)


def test_a_flip_that_a_prompt_forbids_is_left_out_for_it() -> None:
    members = answering(FlipMembers, lambda image, prompt: image[:, 0])
    image = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    found = members(image, [["polyp"], ["left kidney"], ["left upper lobe"]], image[:, :1].expand(-1, 3, -1, -1))
    assert found.counts == [4, 2, 1]
    assert torch.equal(found.probabilities[:, 2], image[:, 0])


@pytest.mark.parametrize(
    ("method", "ways", "message"),
    [
        ("prompts", [["polyp"]], "needs several prompts for the same thing, got one only"),
        ("flips", [["left upper lobe"]], "no prompt allows one: 'left upper lobe'"),
        ("dropout", [["polyp"]], "draws at random"),
        ("magic", [["polyp"]], "must be one of single, prompts, flips, dropout, got 'magic'"),
    ],
)
def test_what_a_model_or_a_prompt_does_not_have(
    backbone: Path, method: str, ways: list[list[str]], message: str
) -> None:
    network = CLIPSegNet(backbone).eval()
    with pytest.raises(UncertaintyError, match=message):
        make_members(method, network).require([ways])


def test_one_of_several_is_enough(backbone: Path) -> None:
    network = CLIPSegNet(backbone).eval()
    make_members("prompts", network).require([[["polyp"]], [["polyp", "a polyp"]]])
    make_members("flips", network).require([[["left upper lobe"]], [["polyp"]]])


@pytest.fixture(scope="module")
def dropping(backbone: Path) -> CLIPSegNet:
    return CLIPSegNet(backbone, dropout=0.5).eval()


def draw(network: CLIPSegNet, seed: int = 0, name: str = "a", draws: int = 3) -> Tensor:
    image = torch.rand(1, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(0))
    members = DropoutMembers(network, amp=False, draws=draws, seed=seed)
    found = members(image, [["polyp"]], torch.zeros(1, 1, tiny.SIZE, tiny.SIZE), name)
    assert found.counts == [draws]
    return found.probabilities


def test_draws_follow_from_seed_and_name_alone(dropping: CLIPSegNet) -> None:
    first = draw(dropping)
    torch.manual_seed(123)
    torch.rand(5)
    before = torch.get_rng_state()
    assert torch.equal(draw(dropping), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(draw(dropping, seed=1), first)
    assert not torch.equal(draw(dropping, name="b"), first)


def test_the_network_is_as_it_was_behind_the_draws(dropping: CLIPSegNet) -> None:
    draw(dropping)
    assert not any(module.training for module in dropping.modules())


def test_single_is_the_prediction_itself(backbone: Path) -> None:
    plain = torch.rand(1, 1, 4, 4)
    found = make_members("single", CLIPSegNet(backbone).eval())(torch.zeros(1, 3, 4, 4), [["polyp"]], plain)
    assert torch.equal(found.probabilities, plain)
    assert found.counts == [1]


def test_too_few_draws(dropping: CLIPSegNet) -> None:
    with pytest.raises(UncertaintyError, match="at least 2 draws, got 1"):
        make_members("dropout", dropping, draws=1)


def test_probabilities_are_those_of_the_network(backbone: Path) -> None:
    network = CLIPSegNet(backbone).eval()
    image = torch.rand(2, 3, tiny.SIZE, tiny.SIZE, generator=torch.Generator().manual_seed(0))
    found = Members(network, amp=False).probabilities(image, ["polyp", "one polyp"])
    tokens = [
        network.default_input_ids.new_tensor([Members(network)._tokenize(text)[0].tolist()])
        for text in ("polyp", "one polyp")
    ]
    with torch.no_grad():
        expected = torch.cat([network(image, ids) for ids in tokens], dim=1).sigmoid()
    assert torch.allclose(found, expected, atol=1e-6)
