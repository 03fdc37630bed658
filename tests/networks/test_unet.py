# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What only TargetUNet has: channels in the place of language."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from monai_vlsm.adapters import count_parameters
from monai_vlsm.backbones import BackboneNotFoundError, load_tokenizer
from monai_vlsm.checkpoints import TrainedState
from monai_vlsm.networks import TargetUNet, UnknownTargetError

TARGETS = ["brain", "left hemisphere", "white matter"]
SIZE = 32


@pytest.fixture
def network() -> TargetUNet:
    torch.manual_seed(0)
    return TargetUNet("unet-mini", targets=TARGETS, image_size=SIZE, default_prompt="brain").eval()


def tokens(*texts: str) -> Tensor:
    ids: Tensor = load_tokenizer("unet-mini")(list(texts), padding=True, return_tensors="pt").input_ids
    return ids


def images(count: int = 1) -> Tensor:
    return torch.randn(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("prompt", "channel"),
    [
        ("brain", 0),
        ("left hemisphere", 1),
        ("one large left hemisphere, located in left of the image", 1),
        ("white matter of the brain", 2),  # the longest match wins
        ("white matter", 2),
    ],
)
def test_the_prompt_picks_a_channel(network: TargetUNet, prompt: str, channel: int) -> None:
    expected = network.unet(images())[:, channel : channel + 1]
    torch.testing.assert_close(network(images(), tokens(prompt)), expected)


def test_prompts_of_one_image(network: TargetUNet) -> None:
    ids = tokens("brain", "left hemisphere", "white matter", "brain", "brain", "left hemisphere").reshape(2, 3, -1)
    all_channels = network.unet(images(2))
    logits = network(images(2), ids)
    torch.testing.assert_close(logits[0], all_channels[0])
    torch.testing.assert_close(logits[1], all_channels[1][[0, 0, 1]])


def test_one_target_for_any_prompt() -> None:
    network = TargetUNet("unet-mini", image_size=SIZE).eval()
    expected = network.unet(images(2))
    assert expected.shape[1] == 1
    torch.testing.assert_close(network(images(2), tokens("no tumor", "polyp")), expected)
    torch.testing.assert_close(network(images(2)), expected)


def test_all_of_it_trains_and_needs_no_base(network: TargetUNet) -> None:
    trains, total = count_parameters(network)
    assert trains == total
    state = TrainedState(network).state_dict()
    assert set(state) - {"monai_vlsm"} == set(network.state_dict())
    assert (state["monai_vlsm"]["base"], state["monai_vlsm"]["targets"]) == ("", TARGETS)


def test_real_size() -> None:
    with torch.device("meta"):
        network = TargetUNet()
    assert network.image_size == 352
    assert count_parameters(network)[0] == 6_495_868  # MONAI 1.6.1


def test_unknown_prompt(network: TargetUNet) -> None:
    with pytest.raises(ValueError, match=r"brain, left hemisphere, white matter.*'polyp' names none of them"):
        network(images(2), tokens("brain", "polyp"))


@pytest.mark.parametrize(
    "prompt",
    ["polyp", ["brain", "polyp"], {"p0": "", "p1": ["brain", "polyp"]}, [{"p1": "brain"}, {"p2": "polyp"}]],
)
def test_records_that_it_cannot_answer(network: TargetUNet, prompt: object) -> None:
    """Whatever form a prompt has, that of things that are absent too; the empty style is never drawn."""
    network.require_prompts([{"prompt": {"p0": "", "p1": ["brain"]}}, {"prompt": ["a brain", "left hemisphere"]}, {}])
    for key in ("prompt", "absent"):
        with pytest.raises(UnknownTargetError, match="'polyp' names none of them"):
            network.require_prompts([{"prompt": "brain"}], [{"prompt": "brain", key: prompt}])
    TargetUNet("unet-mini", image_size=SIZE).require_prompts([{"prompt": prompt}])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"backbone": "unet-mini", "targets": ["a", "a"]}, ValueError, "listed once"),
        ({"backbone": "clipseg-mini"}, BackboneNotFoundError, "'unet'; give one of unet, unet-mini"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TargetUNet(**arguments)


@pytest.mark.parametrize("backbone", ["unet", "unet-mini"])
def test_words_are_read_without_another_models_files(backbone: str) -> None:
    """A network without language must not need a download to number its prompts."""
    network = TargetUNet(backbone, targets=["Tumor", "benign tumor"], image_size=64).eval()
    ids = load_tokenizer(backbone)(["one small benign tumor", "tumor", "études"], padding=True, return_tensors="pt")
    assert network.encode_text(ids.input_ids[:2]).tolist() == [1, 0]
    with pytest.raises(UnknownTargetError, match="'études' names none"):
        network.encode_text(ids.input_ids)
