# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The encoders of CLIPSeg, run layer by layer: each by itself, or both together where image and text meet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from monai_vlsm.adapters import FeatureAdapters
from monai_vlsm.networks.prompt_rows import check_length
from monai_vlsm.networks.text_reading import text_mask, text_reading

__all__ = ["CLIPSegEncoders", "EncoderRun", "MeetingText", "repeated"]

RunLayer = Callable[..., Tensor]


class MeetingText(NamedTuple):
    """Prompts in front of the first layer at which they may meet the image.

    Args:
        states: of their tokens, ``(B*K, L, C)``.
        ends: index of the token in each whose state is the result, ``(B*K,)``.
        words: which tokens are no padding, ``(B*K, L)`` bool.
    """

    states: Tensor
    ends: Tensor
    words: Tensor


class EncoderRun:
    """States on their way through the layers of an encoder.

    Args:
        layers: those to run.
        states: what layer ``at`` reads, ``(B, N, C)``.
        step: runs one layer on states.
        wanted: zero-based layers of whose output something is kept.
        look: what of it.
        at: the layer that is next.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        states: Tensor,
        step: RunLayer,
        wanted: Collection[int],
        look: Callable[[Tensor], Tensor],
        at: int,
    ) -> None:
        self.layers, self.states, self.at = layers, states, at
        self.kept: list[Tensor] = []
        self._step, self._wanted, self._look = step, wanted, look

    def advance(self, until: int | None = None) -> EncoderRun:
        """Run the layers before ``until``, or all, and return itself."""
        for index in range(self.at, len(self.layers) if until is None else until):
            self.states = self._step(self.layers[index], self.states)
            if index in self._wanted:
                self.kept.append(self._look(self.states))
            self.at = index + 1
        return self


class CLIPSegEncoders:
    """Both encoders; those vision layers that the decoder does not read are not computed.

    Args:
        base: transformers' CLIPSeg.
        adapters: say what they want to see, and where image and text meet.
        run_layer: runs a layer on states and a mask.
    """

    def __init__(self, base: Any, adapters: FeatureAdapters, run_layer: RunLayer) -> None:
        self.base, self.adapters, self.run_layer = base, adapters, run_layer

    def image_states(self, image: Tensor) -> list[Tensor]:
        """``(B, 3, H, W)`` to one tensor ``(B, N, C)`` for each layer that the decoder reads, N = 1 + patches."""
        return self._vision_run(self._embedded(image)).advance().kept

    def text_states(self, input_ids: Tensor) -> list[Tensor]:
        """Tokens ``(B*K, L)`` to embeddings ``(B*K, D)``, then the states that the adapters want to see."""
        text = self._read(input_ids)
        return self._text_results(self._text_run(text), text.ends)

    def image_apart(self, image: Tensor) -> Tensor:
        """``(B, 3, H, W)`` to the states ``(B, N, C)`` in front of the first layer at which image and text may meet."""
        return self._vision_run(self._embedded(image)).advance(self._apart).states

    def text_apart(self, input_ids: Tensor) -> MeetingText:
        """The same for tokens ``(B*K, L)``."""
        text = self._read(input_ids)
        return text._replace(states=self._text_run(text).advance(self._apart).states)

    def together(self, image: Tensor, text: MeetingText) -> tuple[list[Tensor], list[Tensor]]:
        """Both encoders from there on, an image once for each of its prompts.

        Args:
            image: what `image_apart` returned for B images.
            text: what `text_apart` returned for the K prompts of each.

        Returns:
            What `image_states` returns for B*K images, and `text_states` for as many prompts.
        """
        rows = repeated(image, text.ends.shape[0] // image.shape[0])
        vision, words = self._vision_run(rows, self._apart), self._text_run(text, self._apart)
        for layer in self.adapters.meeting_layers:
            states = vision.advance(layer).states, words.advance(layer).states
            vision.states, words.states = self.adapters.meet(layer, *states, text.words)
        return vision.advance().kept, self._text_results(words, text.ends)

    @property
    def _apart(self) -> int:
        """How many layers each encoder runs by itself before they meet or somebody wants to see a result."""
        wanted = self.base.config.extract_layers
        return min(*self.adapters.meeting_layers, *self.adapters.text_layers, *wanted)

    def _embedded(self, image: Tensor) -> Tensor:
        encoder = self.base.clip.vision_model
        states: Tensor = encoder.pre_layrnorm(encoder.embeddings(image, interpolate_pos_encoding=True))
        return states

    def _vision_run(self, states: Tensor, at: int = 0) -> EncoderRun:
        wanted = self.base.config.extract_layers
        layers = self.base.clip.vision_model.encoder.layers[: max(wanted) + 1]
        return EncoderRun(layers, states, partial(self.run_layer, mask=None), wanted, lambda states: states, at)

    def _read(self, input_ids: Tensor) -> MeetingText:
        encoder = self.base.clip.text_model
        check_length(input_ids, encoder.config.max_position_embeddings)
        return MeetingText(encoder.embeddings(input_ids=input_ids), *text_reading(encoder.config, input_ids))

    def _text_run(self, text: MeetingText, at: int = 0) -> EncoderRun:
        encoder = self.base.clip.text_model
        step = partial(self.run_layer, **text_mask(encoder.config, text.states, text.words))
        look = partial(_at, text.ends)
        return EncoderRun(encoder.encoder.layers, text.states, step, self.adapters.text_layers, look, at)

    def _text_results(self, run: EncoderRun, ends: Tensor) -> list[Tensor]:
        clip, states = self.base.clip, _at(ends, run.advance().states)
        return [clip.text_projection(clip.text_model.final_layer_norm(states)), *run.kept]


def repeated(states: Tensor, times: int) -> Tensor:
    """Each image's states as often as it has prompts; ``repeat_interleave`` would copy them for one prompt too."""
    return states if times == 1 else states.repeat_interleave(times, dim=0)


def _at(places: Tensor, states: Tensor) -> Tensor:
    """One token of each row, ``(B, L, C)`` to ``(B, C)``."""
    return states[torch.arange(places.shape[0], device=places.device), places]
