# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""CLIPSeg with adapters, as a network that MONAI can train, trace and save."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from monai_vlsm.adapters import Adaptation, AdapterTargets, Installation, base_fingerprint, with_slices
from monai_vlsm.backbones import load_config
from monai_vlsm.backbones.catalogue import weights_layout
from monai_vlsm.networks.bases import load_base, own_statistics
from monai_vlsm.networks.clipseg_encoders import CLIPSegEncoders, repeated
from monai_vlsm.networks.clipseg_targets import clipseg_targets
from monai_vlsm.networks.precision import at_least_float32
from monai_vlsm.networks.prompted import PromptedNet

__all__ = ["CLIPSegNet"]


class CLIPSegNet(PromptedNet):
    """Text-prompted segmentation: a frozen CLIPSeg (Lüddecke and Ecker, CVPR 2022) with trainable adapters.

    ``forward`` is `encode_image`, `encode_text` and `decode`, in this order. An image passes the vision encoder once,
    however many prompts it has, unless the adaptation lets image and text meet there (`meets`); vision layers that the
    decoder does not read are not computed.

    Args:
        backbone: a name from `monai_vlsm.backbones.known_backbones`, or a local folder with a CLIPSeg, a CLIP, or a
            model of open_clip with a vision transformer of timm and a BERT (docs/medical_encoders.md).
        adaptation: what trains, for example ``DenseAdaptation(encoders="vl")``. None trains nothing.
        image_size: side of the square input in pixels, a multiple of the patch size. Images of other sizes work too;
            it is the size that a bundle resizes to and that ``model.pt`` records. None takes
            `monai_vlsm.backbones.default_image_size`.
        default_prompt: the text used when ``forward`` gets no tokens.
        dropout: probability of dropping an activation on its way to the decoder, in training mode.
        load_weights: False builds the network with random weights and without network access.
        attention: transformers' implementation of attention, ``"sdpa"`` or ``"eager"``.
        checkpointing: True keeps of each encoder layer only its input and computes the rest again in the backward pass,
            in training mode. The numbers stay the same; a step needs less memory and takes longer.
        slices: how many slices of a volume attend to one another, as in `monai_vlsm.adapters.SliceContextAdaptation`,
            which is put around the adaptation unless it is one; None for as many as the adaptation is for.
        decoder: for a backbone that is no CLIPSeg and so has none: the CLIPSeg whose decoder it gets, frozen unless the
            adaptation trains it. None gives it one that begins at random and trains, whatever the adaptation says.

    Raises:
        AdaptationError: when what the adaptation does cannot be saved and loaded.
        BackboneNotFoundError: when backbone, weights or tokenizer cannot be had.
        BackboneWeightsError: when the weights are of another model.
        ContextError: when the adaptation is for another number of slices.
        ValueError: when ``image_size`` is not a multiple of the patch size.
    """

    def __init__(
        self,
        backbone: str | Path = "CIDAS/clipseg-rd64-refined",
        adaptation: Adaptation | None = None,
        image_size: int | None = None,
        default_prompt: str = "",
        dropout: float = 0.0,
        load_weights: bool = True,
        attention: str = "sdpa",
        checkpointing: bool = False,
        slices: int | None = None,
        decoder: str | Path | None = None,
    ) -> None:
        config: Any = load_config(backbone)  # transformers types its parts as "config, dict or None"
        super().__init__(backbone, image_size, default_prompt, stride=config.vision_config.patch_size)
        self.config = config
        if statistics := own_statistics(config):
            self.image_mean, self.image_std = statistics
        self.adaptation = with_slices(adaptation or Adaptation(), slices)
        self.slices = self.adaptation.slices
        if self.slices > 1:
            self.context = self.slices // 2
        self.decoder = None if decoder is None else str(decoder)
        self.base = load_base(backbone, load_weights, decoder).requires_grad_(False)
        self.base.set_attn_implementation(attention)
        self.dropout = nn.Dropout(dropout)
        self.checkpointing = checkpointing
        installation = Installation(self.adaptation, self)
        targets = self.adapter_targets()
        self.feature_adapters = self.adaptation.install(targets)
        if decoder is None and weights_layout(backbone) != "clipseg":
            self.base.decoder.requires_grad_(True)
        added = installation.added(self, self.feature_adapters, len(targets.text.layers))
        self.remember_trained(self.adaptation.saves_base, added)

    def encode_image(self, image: Tensor) -> list[Tensor]:
        """First stage: activations of the vision encoder that the decoder reads.

        Args:
            image: ``(B, 3, H, W)``, or ``(B, 3 K, H, W)`` of K slices that attend to one another.

        Returns:
            One tensor ``(B, N, C)`` for each extracted layer, N = 1 + patches. Where image and text meet inside of the
            encoders, one tensor in front of that; `decode` does the rest.
        """
        if self.meets:
            return [self._encoders.image_apart(image)]
        return self.feature_adapters.skips(self._image_states(image))

    def encode_frozen_image(self, image: Tensor) -> Tensor:
        """The first stage up to the feature_adapters: the F activations that the decoder reads.

        ``(B, F, N, C)``, or ``(B, F, K, N, C)`` where K slices attend to one another.

        Raises:
            NotFrozenError: when they depend on the prompt.
        """
        if self.meets:
            self.require_frozen("vision")
        return torch.stack(self._image_states(image), dim=1)

    def finish_image(self, frozen: Tensor) -> list[Tensor]:
        """The first stage from the feature_adapters on.

        Args:
            frozen: what `encode_frozen_image` returned, of any floating-point type.

        Returns:
            What `encode_image` returns.
        """
        # contiguous, because a linear layer rounds strided inputs differently
        return self.feature_adapters.skips([at_least_float32(states).contiguous() for states in frozen.unbind(1)])

    def _image_states(self, image: Tensor) -> list[Tensor]:
        """What the `FeatureAdapters` want: each slice passes the encoder by itself."""
        if self.slices == 1:
            return self._vision_states(image)
        channels, rows, columns = image.shape[1:]
        states = self._vision_states(image.reshape(-1, 3, rows, columns))
        return [one.reshape(-1, channels // 3, *one.shape[1:]) for one in states]

    def _vision_states(self, image: Tensor) -> list[Tensor]:
        return self._encoders.image_states(image)

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Any:
        """Second stage: one embedding for each prompt.

        Args:
            input_ids: ``(B*K, L)``, each row with an end-of-text token.
            attention_mask: not needed: the encoder is causal and reads its result at the end-of-text token, so what
                follows has no influence.

        Returns:
            Embeddings ``(B*K, D)``; a named tuple of states where image and text meet inside of the encoders.
        """
        if self.meets:
            return self._encoders.text_apart(input_ids)
        return self.finish_text(self.encode_frozen_text(input_ids))

    def finish_text(self, frozen: list[Tensor]) -> Tensor:
        """The second stage from the feature_adapters on: embeddings from what `encode_frozen_text` returned."""
        return self.feature_adapters.condition(frozen[0], frozen[1:])

    def encode_frozen_text(self, input_ids: Tensor) -> list[Tensor]:
        """The second stage up to the feature_adapters.

        Args:
            input_ids: ``(B*K, L)``, each row with an end-of-text token.

        Returns:
            Embeddings ``(B*K, D)``, then the states that the feature_adapters want to see, ``(B*K, C)`` each.

        Raises:
            NotFrozenError: when they depend on the image.
        """
        if self.meets:
            self.require_frozen("text")
        return self._encoders.text_states(input_ids)

    def decode(self, image_features: list[Tensor], text_features: Any) -> Tensor:
        """Third stage: logits from activations and embeddings, or from what `encode_image` and `encode_text` returned.

        Args:
            image_features: what `encode_image` returned for B images.
            text_features: embeddings ``(B*K, D)``, the K prompts of an image one after the other.

        Returns:
            Logits ``(B, K, H, W)``, float32.
        """
        images = image_features[0].shape[0]
        if self.meets:
            states, texts = self._encoders.together(image_features[0], text_features)
            image_features, text_features = self.feature_adapters.skips(states), self.finish_text(texts)
        if self.watch is not None:
            self.watch(image_features, text_features)
        prompts = text_features.shape[0] // image_features[0].shape[0]
        # in bfloat16 the gradients of the decoder are mostly rounding noise (docs/clipseg_mini.md)
        with torch.autocast(text_features.device.type, enabled=False):
            skips = tuple(repeated(self.dropout(at_least_float32(skip)), prompts) for skip in image_features)
            logits = self.base.at_image_size(self.base.decoder(skips, at_least_float32(text_features)).logits)
            logits = self.feature_adapters.logits(logits[:, None])
        return logits.view(images, -1, *logits.shape[-2:])

    @property
    def meets(self) -> bool:
        """Whether image and text meet inside of the encoders, so that an image is encoded for each of its prompts."""
        return bool(self.feature_adapters.meeting_layers)

    def shared_embeddings(self, image_features: list[Tensor], text_features: Tensor) -> tuple[Tensor, Tensor]:
        """Images and prompts in CLIP's common space, for a loss between them.

        Args:
            image_features: activations of B images that the decoder reads, ``(B, N, C)`` each.
            text_features: embeddings of B*K prompts.

        Returns:
            The mean over the patches of the last activation behind CLIP's frozen projection, ``(B, D)``, and the
            embeddings ``(B*K, D)``, both in float32.
        """
        clip = self.base.clip
        with torch.autocast(text_features.device.type, enabled=False):
            patches = clip.vision_model.post_layernorm(at_least_float32(image_features[-1][:, 1:])).mean(1)
            return clip.visual_projection(patches), at_least_float32(text_features)

    @property
    def frozen_encoders(self) -> frozenset[str]:
        """Encoders that the adaptation leaves alone, if none of their weights trains and they drop nothing."""
        if self.meets:
            return frozenset()
        return frozenset(name for name in self.adaptation.frozen_encoders if self._is_constant(name))

    def frozen_settings(self, encoder: str) -> dict[str, Any]:
        """Plain values on which the results of a frozen encoder depend, a fingerprint of its weights among them.

        Args:
            encoder: ``"vision"`` or ``"text"``.

        Raises:
            NotFrozenError: when the encoder is not frozen.
        """
        self.require_frozen(encoder)
        return {
            "encoder": encoder,
            "weights": self.float32_fingerprints.get(encoder) or base_fingerprint(self.module_of(encoder), ()),
            "layers": list(self.config.extract_layers if encoder == "vision" else self.feature_adapters.text_layers),
            "attention": self.base.config._attn_implementation,
        }

    def half_modules(self) -> list[nn.Module]:
        """The encoders."""
        return [self.module_of("vision"), self.module_of("text")]

    def module_of(self, encoder: str) -> nn.Module:
        """An encoder, ``"vision"`` or ``"text"``."""
        clip = self.base.clip
        return clip.vision_model if encoder == "vision" else nn.ModuleList([clip.text_model, clip.text_projection])

    def _is_constant(self, encoder: str) -> bool:
        config = self.config.vision_config if encoder == "vision" else self.config.text_config
        trains = any(parameter.requires_grad for parameter in self.module_of(encoder).parameters())
        return not trains and config.attention_dropout == 0

    def settings(self) -> dict[str, Any]:
        """What ``model.pt`` records about the network that it belongs to, as plain values."""
        own = {} if self.decoder is None else {"decoder": self.decoder}
        return {**super().settings(), "adaptation": self.adaptation.settings(), **own}

    def _run_layer(self, layer: nn.Module, hidden: Tensor, mask: Any, **arguments: Any) -> Tensor:
        """One encoder layer with its adapters, ``(B, N, C)`` to the same shape."""
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(layer, hidden, mask, use_reentrant=False, **arguments)
        return layer(hidden, mask, **arguments)

    @property
    def _encoders(self) -> CLIPSegEncoders:
        return CLIPSegEncoders(self.base, self.feature_adapters, self._run_layer)

    def adapter_targets(self) -> AdapterTargets:
        """The places where adapters can sit."""
        return clipseg_targets(self.base)
