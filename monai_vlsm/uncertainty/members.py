# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Several predictions of one image: with other prompts for the same thing, flipped, or with dropout."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from monai_vlsm.backbones import load_tokenizer
from monai_vlsm.caches import DistinctPrompts
from monai_vlsm.errors import UserError
from monai_vlsm.inferers import PromptInferer
from monai_vlsm.networks import NothingDrawsError, PromptedNet, sampling
from monai_vlsm.precision import gpu_autocast
from monai_vlsm.prompts import FlipWords
from monai_vlsm.transforms import TokenizePrompt

__all__ = ["METHODS", "Means", "Members", "UncertaintyError", "Ways", "make_members"]

METHODS = ("single", "prompts", "flips", "dropout")
"""``single`` is the prediction itself, ``prompts`` takes several wordings, ``flips`` turns the image over with its
words of place, ``dropout`` draws."""

_WORDS = FlipWords()
_TURNS = {("horizontal",): (3,), ("vertical",): (2,), ("horizontal", "vertical"): (2, 3)}  # flips to axes of an image

Ways = Sequence[Sequence[str]]
"""For each of K structures the prompts that name it, at least one; the first is the one that its mask comes from."""


class UncertaintyError(UserError, ValueError):
    """An uncertainty that a model or its prompts do not have."""


class Means(NamedTuple):
    """What several predictions agree on.

    Args:
        probabilities: mean ``(B, K, S, S)``, float32.
        counts: of how many predictions, for each of the K structures.
    """

    probabilities: Tensor
    counts: list[int]


class Members:
    """The predictions of a network whose mean is taken; here the one that it gives anyway.

    Args:
        network: in evaluation mode.
        amp: mixed precision, as in `monai_vlsm.serving.Segmenter`.
        amp_dtype: its type on a GPU.
    """

    def __init__(self, network: PromptedNet, amp: bool = True, amp_dtype: str = "bfloat16") -> None:
        self.network, self.amp, self.amp_dtype = network, amp, amp_dtype
        self._tokenize = TokenizePrompt(load_tokenizer(network.backbone))
        self._inferer = PromptInferer(cpu_autocast="auto" if amp else False, prompts=DistinctPrompts())

    def require(self, ways: Sequence[Ways]) -> None:
        """Check, before any work, that there is more than one prediction of something.

        Args:
            ways: of all images.

        Raises:
            UncertaintyError: there is one prediction only of each structure of each image.
        """

    def __call__(self, image: Tensor, ways: Ways, plain: Tensor, name: str = "") -> Means:
        """Predict.

        Args:
            image: ``(B, 3, S, S)``, normalised; of a network whose slices attend ``(B, 3 n, S, S)``.
            ways: the prompts of K structures, the same for all B.
            plain: the prediction that there is already, with the first prompt of each: probabilities
                ``(B, K, S, S)``.
            name: of the image, which decides together with the seed what is drawn.
        """
        return Means(plain, [1] * len(ways))

    @torch.no_grad()
    def probabilities(self, image: Tensor, prompts: Sequence[str]) -> Tensor:
        """One prediction with K prompts, ``(B, K, S, S)``."""
        ids, mask = (one.to(image.device) for one in self._tokenize(list(prompts)))
        tokens = {"input_ids": ids, "attention_mask": mask}
        own = {key: one.expand(len(image), *one.shape) for key, one in tokens.items()}
        with gpu_autocast(image.device, self.amp, self.amp_dtype):
            logits: Tensor = self._inferer(image, self.network, **own)
        return logits.float().sigmoid()


class PromptMembers(Members):
    """Other prompts for the same thing; those of the same tokens ("Polyp", " polyp") are one."""

    def require(self, ways: Sequence[Ways]) -> None:
        """Check that something is named in several ways."""
        several = {tuple(names) for image in ways for names in image if len(names) > 1}
        if not any(len(self._different(names)) > 1 for names in several):
            raise UncertaintyError(
                "uncertainty from prompts needs several prompts for the same thing, got one only: give more, as in "
                "--prompt polyp 'a polyp' 'polyp in the colon', or in an evaluation --rewordings, or take flips"
            )

    def __call__(self, image: Tensor, ways: Ways, plain: Tensor, name: str = "") -> Means:
        """Predict; the image is encoded once for all further prompts."""
        ways = [self._different(names) for names in ways]
        owners = [index for index, names in enumerate(ways) for _ in names[1:]]
        counts = [len(names) for names in ways]
        if not owners:
            return Means(plain, counts)
        others = self.probabilities(image, [text for names in ways for text in names[1:]])
        total = plain.index_add(1, torch.tensor(owners, device=plain.device), others.to(plain.dtype))
        return Means(_shared(total, counts), counts)

    def _different(self, names: Sequence[str]) -> list[str]:
        """The first text of each row of tokens."""
        found: dict[tuple[int, ...], str] = {}
        for row, name in zip(self._tokenize(list(names))[0].tolist(), names, strict=True):
            found.setdefault(tuple(row), name)
        return list(found.values())


class FlipMembers(Members):
    """The image turned over, asked with the words of place exchanged; the answer is turned back.

    A flip that a prompt forbids (`monai_vlsm.prompts.FlipWords`) is left out for this prompt.
    """

    def require(self, ways: Sequence[Ways]) -> None:
        """Check that some prompt allows a flip."""
        prompts = dict.fromkeys(names[0] for image in ways for names in image)
        if not any(_turned(text, flips) for text in prompts for flips in _TURNS):
            raise UncertaintyError(
                f"uncertainty from flips: no prompt allows one: {', '.join(map(repr, prompts))} name sides that cannot "
                "be exchanged; take prompts or dropout"
            )

    def __call__(self, image: Tensor, ways: Ways, plain: Tensor, name: str = "") -> Means:
        """Predict as often as there are flips: left to right, top to bottom, and both."""
        total, counts = plain.clone(), [1] * len(ways)
        for flips, axes in _TURNS.items():
            found = {k: text for k, names in enumerate(ways) if (text := _turned(names[0], flips)) is not None}
            if found:
                total[:, list(found)] += self.probabilities(image.flip(axes), list(found.values())).flip(axes)
                counts = [count + (k in found) for k, count in enumerate(counts)]
        return Means(_shared(total, counts), counts)


def _turned(prompt: str, flips: Sequence[str]) -> str | None:
    """The prompt of the flipped image; None where it forbids one of the flips."""
    text: str | None = prompt
    for flip in flips:
        text = None if text is None else _WORDS.flipped(text, flip)
    return text


class DropoutMembers(Members):
    """Predictions with what training drops and draws (`monai_vlsm.networks.sampling`).

    Args:
        network: with dropout, or an adaptation that draws.
        amp: see `Members`.
        amp_dtype: see `Members`.
        draws: how many.
        seed: of the draws: the same seed, image, batch and device give the same numbers.

    Raises:
        UncertaintyError: the network draws nothing.
    """

    def __init__(
        self, network: PromptedNet, amp: bool = True, draws: int = 10, seed: int = 0, amp_dtype: str = "bfloat16"
    ) -> None:
        super().__init__(network, amp, amp_dtype)
        if draws < 2:
            raise UncertaintyError(f"uncertainty from dropout needs at least 2 draws, got {draws}")
        self.draws, self.seed = draws, seed
        try:
            with sampling(network):
                pass
        except NothingDrawsError as error:
            raise UncertaintyError(f"uncertainty from dropout: {error}; take prompts or flips") from error

    def __call__(self, image: Tensor, ways: Ways, plain: Tensor, name: str = "") -> Means:
        """Predict ``draws`` times; the plain prediction, without dropout, is none of them."""
        prompts, total = [names[0] for names in ways], torch.zeros_like(plain)
        devices = [image.device] if image.device.type == "cuda" else []
        with sampling(self.network), torch.random.fork_rng(devices):
            for draw in range(self.draws):
                torch.manual_seed(zlib.crc32(f"{self.seed} {draw} {name}".encode()))
                total += self.probabilities(image, prompts)
        return Means(total / self.draws, [self.draws] * len(ways))


def make_members(
    method: str, network: PromptedNet, amp: bool = True, draws: int = 10, seed: int = 0, amp_dtype: str = "bfloat16"
) -> Members:
    """The predictions of one of `METHODS`.

    Raises:
        UncertaintyError: another method, too few draws, or a network that draws nothing with ``dropout``.
    """
    if method == "dropout":
        return DropoutMembers(network, amp, draws, seed, amp_dtype)
    kinds = {"single": Members, "prompts": PromptMembers, "flips": FlipMembers}
    if method not in kinds:
        raise UncertaintyError(f"uncertainty must be one of {', '.join(METHODS)}, got {method!r}")
    return kinds[method](network, amp, amp_dtype)


def _shared(total: Tensor, counts: Sequence[int]) -> Tensor:
    """Sums ``(B, K, S, S[, D])`` of as many predictions as each of the K has, as means."""
    numbers = torch.tensor(counts, dtype=total.dtype, device=total.device)
    return total / numbers.view(-1, *[1] * (total.ndim - 2))
