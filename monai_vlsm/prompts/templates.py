# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Tables: what a word in a prompt is derived from, and the sentences of the styles p1 to p9 for each kind of image.

The sentences are those of the prompts that the VLSM-Adapter authors published, their slips included ("a eighteen-year-
old male", "Edema are present."), so that prompts made here are of the same form as theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter

__all__ = ["CLASS", "DATASETS", "FIELDS", "MASK_DERIVED", "METADATA", "TEMPLATES", "Template", "fields_of"]

CLASS, METADATA, MASK_DERIVED = "class", "metadata", "mask-derived"

FIELDS: Mapping[str, str] = {
    "class": CLASS,  # what is looked for
    "classes": MASK_DERIVED,  # its plural if the mask holds several
    "description": CLASS,  # of the class, not of this image
    "number": MASK_DERIVED,
    "size": MASK_DERIVED,
    "location": MASK_DERIVED,
    "shape": MASK_DERIVED,
    "colour": MASK_DERIVED,  # of the pixels inside the mask
    "outline": MASK_DERIVED,  # regular or irregular
    "kind": METADATA,  # such as benign or malignant
    "view": METADATA,
    "cycle": METADATA,
    "gender": METADATA,
    "age": METADATA,
    "quality": METADATA,
    "labels": METADATA,  # findings of the report
}


@dataclass(frozen=True)
class Template:
    """The sentences of one kind of image.

    Args:
        styles: style to its alternative sentences, with fields in braces.
        absent: sentence for an empty mask.
        capital: whether sentences begin with a capital letter.
    """

    styles: Mapping[str, tuple[str, ...]]
    absent: str
    capital: bool = True


@lru_cache(maxsize=256)
def fields_of(sentence: str) -> frozenset[str]:
    """The fields in braces of a sentence.

    Raises:
        ValueError: braces that do not match, or something other than a name in them.
    """
    parts = [part for _, *part in Formatter().parse(sentence) if part[0] is not None]
    odd = [f"{{{name}}}" for name, spec, conversion in parts if not name or spec or conversion]
    if odd:
        raise ValueError(f"braces must hold the name of a field only, got {odd[0]} in {sentence!r}")
    return frozenset(str(name) for name, *_ in parts)


_FULL = "{number} {size} {colour} {shape} {class}"  # style p5 of the photos
_IN_BREAST = " in the breast ultrasound image."
_LATE = " at end of the {cycle} cycle"
_PATIENT = " of a {age}-year-old {gender}"
_CHEST = "{class} of shape {shape}, and located in {location} of the {view} view of a Chest Xray."


def _heart(before: str, after: str) -> tuple[str, str]:
    return f"{before} of the heart{after}.", f"{before} in the cardiac ultrasound{after}."


TEMPLATES: Mapping[str, Template] = {
    "photo": Template(  # endoscopy, feet, skin
        {
            "p1": ("{class}",),
            "p2": ("{shape} {class}",),
            "p3": ("{colour} {shape} {class}",),
            "p4": ("{size} {colour} {shape} {class}",),
            "p5": (_FULL,),
            "p6": (_FULL + ", located in {location} of the image",),
            "p7": ("{class} which is {description}",),
            "p8": (_FULL + " which is {description}",),
            "p9": (_FULL + " which is {description} located in {location} of the image",),
        },
        absent="no {class}",
        capital=False,
    ),
    "breast_ultrasound": Template(
        {
            "p1": ("{class}" + _IN_BREAST,),
            "p2": ("{kind} {class}" + _IN_BREAST, "{outline}-shaped {class}" + _IN_BREAST),
            "p3": ("{number} {kind} {classes}" + _IN_BREAST, "{number} {outline}-shaped {classes}" + _IN_BREAST),
            "p4": (
                "{number} {size} {kind} {classes}" + _IN_BREAST,
                "{number} {size} {outline}-shaped {classes}" + _IN_BREAST,
            ),
            "p5": (
                "{number} {size} {kind} {classes} at the {location}" + _IN_BREAST,
                "{number} {size} {outline}-shaped {classes} at the {location}" + _IN_BREAST,
            ),
            "p6": (
                "{number} {size} {shape}-shaped {kind} {classes} at the {location}" + _IN_BREAST,
                "{number} {size} {shape}-shaped {outline} {classes} at the {location}" + _IN_BREAST,
            ),
        },
        absent="no {class}" + _IN_BREAST,
    ),
    "cardiac_ultrasound": Template(
        {
            "p1": _heart("{class}", ""),
            "p2": _heart("{class} in {view} view", ""),
            "p3": _heart("{class} in {view} view", _LATE),
            "p4": _heart("{class} in {view} view", _LATE + " of a {gender}"),
            "p5": _heart("{class} in {view} view", _LATE + _PATIENT),
            "p6": _heart("{class} in {view} view", _LATE + _PATIENT + " with {quality} image quality"),
            "p7": _heart("{class} of {shape} shape in {view} view", _LATE + _PATIENT + " with {quality} image quality"),
        },
        absent="no {class} in the cardiac ultrasound.",
    ),
    "chest_xray": Template(
        {
            "p1": ("{class} in a chest Xray.",),
            "p2": ("{class} in the {view} view of a Chest Xray.",),
            "p3": ("{class} of shape {shape} in the {view} view of a Chest Xray.",),
            "p4": (_CHEST,),
            "p5": (_CHEST + " {labels} are present.",),
            "p6": ("{class} in a Chest Xray. {labels} are present. ",),
        },
        absent="no {class} in a chest Xray.",
    ),
}

# names of the official annotation folders
DATASETS: Mapping[str, str] = {
    "kvasir_polyp": "photo",
    "clinicdb_polyp": "photo",
    "bkai_polyp": "photo",
    "colondb_polyp": "photo",
    "cvc300_polyp": "photo",
    "etis_polyp": "photo",
    "isic": "photo",
    "dfu": "photo",
    "busi": "breast_ultrasound",
    "camus": "cardiac_ultrasound",
    "chexlocalize": "chest_xray",
}
