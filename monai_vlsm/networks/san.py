# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""SAN, as a network that MONAI can train, trace and save."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from monai_vlsm.adapters import Adaptation
from monai_vlsm.backbones import default_image_size
from monai_vlsm.networks.faults import NoAdaptersError
from monai_vlsm.networks.precision import at_least_float32
from monai_vlsm.networks.prompt_rows import check_length
from monai_vlsm.networks.prompted import CLIP_MEAN, CLIP_STD, PromptedNet
from monai_vlsm.networks.san_clip import clip_states, load_clip, load_san_architecture
from monai_vlsm.networks.san_recognition import recognise_proposals
from monai_vlsm.networks.san_side import MaskProposals, SideAdapterNetwork

__all__ = ["SANFeatures", "SANNet"]

_FUSIONS = ("san", "official")


class SANFeatures(NamedTuple):
    """What SAN makes of an image, before any text.

    Attributes:
        masks: logits of Q mask proposals, ``(B, Q, h, w)`` on the grid of the side network.
        embeddings: what CLIP sees in each, ``(B, Q, D)``.
    """

    masks: Tensor
    embeddings: Tensor


class SANNet(PromptedNet):
    """Side Adapter Network (Xu et al., CVPR 2023): a small trained network beside a frozen CLIP.

    The side network reads the image, and CLIP's tokens on its way. It proposes Q masks, and for each of them biases
    that steer the attention of a copy of CLIP's class token in CLIP's last layers. So CLIP says in its own language
    what lies under each mask. CLIP works on an image of half the side. Each layer of it runs once.

    The logits of a prompt are a mean of the mask logits, weighted by how well CLIP's embedding of a proposal fits the
    text::

        logits[k] = sum over q of w[k, q] * mask[q],    w[k, :] = softmax over q of s * cos(embedding[q], text[k])

    with CLIP's own logit scale s. Cosine and scale are the paper's. There the softmax goes over a list of classes; here
    a prompt is alone and must not depend on others, so proposals compete for a prompt in place of classes for a
    proposal. The weights sum to 1, so the result has the range of mask logits, as a loss on logits needs it; a plain
    sum of Q * s would saturate every sigmoid.

    Trains: side network and proposals (8,219,058 parameters for ``san-vit-b16``), and as in the paper CLIP's embedding
    of image positions (151,296), together 8,370,354. ``"san-mini"`` also trains CLIP's projection of images and
    takes CLIP's scale of 100: clipseg-mini was pretrained to segment, which leaves both as they were at its start.

    Args:
        backbone: ``"san-vit-b16"``, ``"san-mini"``, or a local folder with a CLIP or CLIPSeg in Hugging Face layout,
            which gets the side network of ``san-vit-b16``.
        adaptation: must be None. SAN has a side adapter of its own; the argument is there for its error.
        image_size: side of the square input in pixels; 640 takes CLIP's 16 px patches of 320 px. None takes that of the
            backbone.
        default_prompt: the text used when ``forward`` gets no tokens.
        fusion: ``"san"`` is the paper, as above. ``"official"`` is for parity with the numbers of the VLSM-Adapter
            authors' code: CLIP's tokens after 0, 1 and 2 layers enter the side network before blocks 0, 3 and 6; no
            gradient goes through the recognition, so that neither the biases nor CLIP's positions learn; and
            ``w[k, q] = mean over d of embedding[q, d] / |embedding[q]| * text[k, d]``.
        load_weights: False builds the network with random weights and without network access.

    Raises:
        BackboneNotFoundError: when backbone, weights or tokenizer cannot be had.
        BackboneWeightsError: when the weights are of another model.
        NoAdaptersError: when an adaptation is given.
        ValueError: when ``image_size`` does not fit the patches, or for another ``fusion``.
    """

    image_mean = CLIP_MEAN
    image_std = CLIP_STD

    def __init__(
        self,
        backbone: str | Path = "san-vit-b16",
        adaptation: Adaptation | None = None,
        image_size: int | None = None,
        default_prompt: str = "",
        fusion: Literal["san", "official"] = "san",
        load_weights: bool = True,
    ) -> None:
        if adaptation is not None:
            raise NoAdaptersError(
                f"SAN has its own side adapter and takes no adaptation, got {adaptation}; leave adaptation out, "
                "or take CLIPSegNet, which has places for adapters"
            )
        if fusion not in _FUSIONS:
            raise ValueError(f"fusion must be one of {', '.join(_FUSIONS)}, got {fusion!r}")
        architecture = load_san_architecture(backbone)
        clip = load_clip(architecture, load_weights)
        # the side network sees the whole image, CLIP half of it
        stride = math.lcm(architecture["side"]["patch_size"], 2 * clip.config.vision_config.patch_size)
        size = default_image_size(backbone, "san") if image_size is None else image_size
        super().__init__(backbone, size, default_prompt, stride)
        self.fusion = fusion
        self.clip = clip
        self._build(architecture)
        self.remember_trained()

    def encode_image(self, image: Tensor) -> SANFeatures:
        """First stage: mask proposals, and what CLIP sees in them.

        Args:
            image: ``(B, 3, H, W)``, normalised with the mean and deviation of CLIP.
        """
        half = interpolate(image, scale_factor=0.5, mode="bilinear", align_corners=False)
        states = clip_states(self.clip, half, self.recognition)
        patch = self.clip.config.vision_config.patch_size
        grid = (int(half.shape[-2]) // patch, int(half.shape[-1]) // patch)  # in a trace too, as ONNX needs it
        maps = [state[:, 1:].transpose(1, 2).unflatten(2, grid) for state in states]
        masks, biases = self.proposals(*self.side(image, maps))
        if self.fusion == "official":
            biases = biases.detach()
        encoder = self.clip.vision_model
        copies = recognise_proposals(encoder.encoder.layers[self.recognition :], states[-1], biases, grid)
        return SANFeatures(masks, self.clip.visual_projection(encoder.post_layernorm(copies)))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Second stage: one embedding for each prompt.

        Args:
            input_ids: ``(B*K, L)``, each row with an end-of-text token.
            attention_mask: not needed, as in `CLIPSegNet`.

        Returns:
            Embeddings ``(B*K, D)``.

        Raises:
            ValueError: when a text is longer than CLIP's context.
        """
        check_length(input_ids, self.clip.config.text_config.max_position_embeddings)
        embeddings: Tensor = self.clip.text_projection(self.clip.text_model(input_ids=input_ids).pooler_output)
        return embeddings

    def decode(self, image_features: SANFeatures, text_features: Tensor) -> Tensor:
        """Third stage: proposals, mixed by how well each fits a prompt.

        Args:
            image_features: what `encode_image` returned for B images.
            text_features: embeddings ``(B*K, D)``, the K prompts of an image one after the other.

        Returns:
            Logits ``(B, K, H, W)``, float32.
        """
        masks = image_features.masks
        texts = text_features.reshape(masks.shape[0], -1, text_features.shape[-1])
        with torch.autocast(masks.device.type, enabled=False):
            weights = self._weights(at_least_float32(image_features.embeddings), at_least_float32(texts))
            logits = torch.einsum("bkq,bqhw->bkhw", weights, at_least_float32(masks))
            size = [side * self.side.patch_size for side in masks.shape[-2:]]
            return interpolate(logits, size, mode="bilinear", align_corners=False)

    def settings(self) -> dict[str, Any]:
        """What ``model.pt`` records about the network that it belongs to, as plain values."""
        return {**super().settings(), "fusion": self.fusion}

    def _build(self, architecture: dict[str, Any]) -> None:
        vision, side = self.clip.config.vision_config, architecture["side"]
        layers = architecture["fused_layers"]
        self._check_depth(layers, vision.num_hidden_layers)
        self.recognition = layers[-1]
        for name in architecture["clip_trains"] if self.fusion == "san" else ():
            self.clip.get_submodule(name).requires_grad_(True)
        fusion = dict(enumerate(layers))
        if self.fusion == "official":  # CLIP's layers and the blocks of the side network change places
            fusion = {layer: block for block, layer in fusion.items()}
        # positions for the backbone's own size: so a model.pt fits networks of any size
        own_size = architecture["image_size"]
        self.side = SideAdapterNetwork(own_size, clip_width=vision.hidden_size, fusion=fusion, **side)
        self.proposals = MaskProposals(side["width"], architecture["mask_width"], vision.num_attention_heads)

    def _weights(self, embeddings: Tensor, texts: Tensor) -> Tensor:
        """Share of each proposal in the mask of each prompt: ``(B, Q, D)`` and ``(B, K, D)`` to ``(B, K, Q)``."""
        embeddings = normalize(embeddings, dim=-1)
        if self.fusion == "official":
            return torch.einsum("bkd,bqd->bkq", texts, embeddings) / embeddings.shape[-1]
        cosines = torch.einsum("bkd,bqd->bkq", normalize(texts, dim=-1), embeddings)
        return (self.clip.logit_scale.exp() * cosines).softmax(dim=-1)

    def _check_depth(self, fused: list[int], layers: int) -> None:
        if layers <= fused[-1]:
            raise ValueError(
                f"SAN reads CLIP after {fused} layers and recognises with those behind, so CLIP needs more than "
                f"{fused[-1]}; {self.backbone} has {layers}"
            )
