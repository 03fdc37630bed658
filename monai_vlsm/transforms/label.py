# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Requests of MONAI Label: a prompt that anybody may have typed, its tokens, and a mask as its writer wants it."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import MetaKeys
from torch import Tensor

from monai_vlsm.inferers import TOKENS_KEY
from monai_vlsm.transforms.naming import is_nifti
from monai_vlsm.transforms.save import label_map

__all__ = [
    "LabelResultD",
    "LabelResultDict",
    "LabelResultd",
    "RequestPromptD",
    "RequestPromptDict",
    "RequestPromptd",
    "RequestTokensD",
    "RequestTokensDict",
    "RequestTokensd",
]

logger = logging.getLogger(__name__)

DEVICE_KEY = "device"
MOST_CHARACTERS = 2000  # of one prompt; CLIP reads 77 tokens, which are about as many words at most
MOST_PROMPTS = 32  # of one request
LOSSY = (".jpg", ".jpeg")
IMAGES = (".png", ".bmp", ".tif", ".tiff", *LOSSY)


def is_request(data: Mapping[Hashable, Any]) -> bool:
    """Whether a record is a request of MONAI Label, which always states a device; records of datasets never do."""
    return DEVICE_KEY in data


def prompt_text(value: Any) -> str:
    """Any value of a JSON document as a text of bounded length."""
    return (value if isinstance(value, str) else str(value))[:MOST_CHARACTERS]


class RequestPromptd(MapTransform):
    """Make the prompt of a MONAI Label request a text, or a list of texts; other records pass untouched.

    A request comes from outside, and an error in a transform is "500 internal server error" to its sender. So what is
    no text becomes one (7 becomes "7"), what is too long is cut, and without any text the default prompt is used.
    The answer says which prompt was used (:class:`LabelResultd`).

    Args:
        keys: key of the prompt.
        allow_missing_keys: not used, part of MONAI's interface: a request may always lack a prompt.
    """

    def __init__(self, keys: KeysCollection = "prompt", allow_missing_keys: bool = True) -> None:
        super().__init__(keys, allow_missing_keys=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change what is no text."""
        d = dict(data)
        for key in self.key_iterator(d) if is_request(d) else ():
            if d[key] is None or d[key] == []:
                del d[key]
            elif isinstance(d[key], list | tuple):
                if len(d[key]) > MOST_PROMPTS:
                    logger.warning("a request with %d prompts, the first %d are used", len(d[key]), MOST_PROMPTS)
                d[key] = [prompt_text(one) for one in d[key][:MOST_PROMPTS]]
            else:
                d[key] = prompt_text(d[key])
        return d


class RequestTokensd(MapTransform):
    """Move the tokens of a MONAI Label request into the meta of its image; other records pass untouched.

    MONAI Label hands its inferer nothing but the image; :class:`monai_vlsm.inferers.PromptInferer` finds them there.

    Args:
        keys: keys of the tokens, ``(L,)`` or ``(K, L)``.
        image_key: key of the image, a MetaTensor.
        allow_missing_keys: a request without tokens stays as it is.
    """

    def __init__(
        self,
        keys: KeysCollection = ("input_ids", "attention_mask"),
        image_key: Hashable = "image",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.image_key = image_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move the tokens, as those of a batch of one image."""
        d = dict(data)
        if is_request(d):
            d[self.image_key].meta[TOKENS_KEY] = {key: d.pop(key)[None] for key in self.key_iterator(d)}
        return d


class LabelResultd(MapTransform):
    """Make probabilities the mask that MONAI Label writes and returns; records without request pass untouched.

    Use it last. The mask has the label 1, or 1 to K for K prompts, and the axes and affine that the writer expects:
    ITK's order, so that images are transposed. Without a wish of the client images give PNG, DICOM gives NRRD,
    and NIfTI stays NIfTI; JPEG is never written, since it changes labels. ``data["result"]``, which comes back as JSON,
    holds the prompt that was used and its existence score.

    Args:
        keys: key of the probabilities, ``(K, H, W)`` or ``(K, X, Y, Z)`` at the size of the image; 0 and 1 work too.
        threshold: lowest probability of a pixel of the mask.
        prompt_key: key of the prompt that was used.
        image_key: key of the image, whose meta has file name and affine.
        existence_key: key of the existence scores, if there are any.
        allow_missing_keys: leave requests without probabilities as they are.
    """

    def __init__(
        self,
        keys: KeysCollection = "pred",
        threshold: float = 0.5,
        prompt_key: Hashable = "prompt",
        image_key: Hashable = "image",
        existence_key: Hashable = "existence",
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.threshold = threshold
        self.prompt_key, self.image_key, self.existence_key = prompt_key, image_key, existence_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change mask, wished format and image meta of a request."""
        d = dict(data)
        if not is_request(d):
            return d
        image: Any = d[self.image_key]
        volume = is_nifti(image)
        affine = image.meta.get(MetaKeys.ORIGINAL_AFFINE) if isinstance(image, MetaTensor) else None
        self._wish(d, volume, dicom=affine is not None and not volume)
        for key in self.key_iterator(d):
            found = d[key].as_tensor() if isinstance(d[key], MetaTensor) else torch.as_tensor(d[key])
            mask = label_map(found.cpu(), self.threshold)
            d[key] = mask if volume else _transposed(mask, d["result_extension"])
        if isinstance(image, MetaTensor):
            d[self.image_key] = _restored(image, affine if volume or affine is None else affine[:, [1, 0, 2, 3]])
        existence = {"existence": d[self.existence_key]} if self.existence_key in d else {}
        d["result"] = {**(d.get("result") or {}), "prompt": d.get(self.prompt_key), **existence}
        return d

    @staticmethod
    def _wish(data: dict[Hashable, Any], volume: bool, dicom: bool) -> None:
        """Fill in the format that the client leaves open, and correct one that would spoil the labels."""
        wished = str(data.get("result_extension") or "").lower()
        if not wished and not volume:
            wished = ".nrrd" if dicom else ".png"
        data["result_extension"] = ".png" if wished in LOSSY else wished or None
        if wished in IMAGES or not data.get("result_dtype"):
            data["result_dtype"] = "uint8"


def _transposed(mask: Tensor, extension: str) -> Tensor:
    """``(1, H, W)`` as ``(W, H)`` for image files, which have no third axis, else as ``(1, W, H, 1)``."""
    turned = mask.transpose(1, 2)
    return turned[0] if extension in IMAGES else turned[..., None]


def _restored(image: MetaTensor, affine: Any) -> MetaTensor:
    """The same image with the affine of the mask; without its size, so that MONAI Label does not resize once more."""
    shown = MetaTensor(image.as_tensor()).copy_meta_from(image, copy_attr=True)
    shown.meta = {key: value for key, value in image.meta.items() if key != MetaKeys.SPATIAL_SHAPE}
    shown.meta[MetaKeys.ORIGINAL_AFFINE] = affine
    return shown


RequestPromptD = RequestPromptDict = RequestPromptd
RequestTokensD = RequestTokensDict = RequestTokensd
LabelResultD = LabelResultDict = LabelResultd
