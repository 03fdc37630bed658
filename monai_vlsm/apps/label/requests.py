# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What requests may say: known keys with values of their kind, and nothing else; needs monailabel.

MONAI Label merges what clients send over its own values, and hands all of it on: to transforms, file names, the
environment of processes. So this comes after all merging, and only what it lets through goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from monailabel.utils.others.generic import device_list, device_map

from monai_vlsm.apps.label.errors import refuse

__all__ = ["BATCH", "INFERENCE", "SCORING", "check_name", "checked", "checked_images", "checked_name_of"]

EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".seg.nrrd", ".mha", ".png", ".bmp", ".tif", ".tiff", ".jpg", ".jpeg")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
LEVELS = ("critical", "error", "warning", "info", "debug")
IMAGES = ("all", "labeled", "unlabeled")

Check = Callable[[str, Any], Any]


def check_name(kind: str, name: Any) -> None:
    """Answer "400 bad request" for a name that leads to another folder.

    Args:
        kind: what it names, for the message.
        name: of an image or a tag, as the client sent it.

    Raises:
        HTTPException: it is no text, has ``/`` or a backslash, is ``.`` or ``..``, or has control characters.
    """
    if not isinstance(name, str) or re.search(r"[/\\\x00-\x1f]", name) or name.strip() in (".", ".."):
        raise refuse(400, f"{kind} must be a plain name without folders, got {_shown(name)}")


def _shown(value: Any) -> str:
    return repr(value)[:80]


def _anything(key: str, value: Any) -> Any:
    return value


def _plain_name(key: str, value: Any) -> Any:
    check_name(key, value)
    return value


def _one_of(*known: str) -> Check:
    def check(key: str, value: Any) -> Any:
        text = value.lower() if isinstance(value, str) else value
        if text not in known:
            raise refuse(400, f"{key} must be one of {', '.join(known)}, got {_shown(value)}")
        return text

    return check


def _flag(key: str, value: Any) -> bool:
    text = str(value).lower() if isinstance(value, bool | str | int) else ""
    if text not in ("true", "false", "0", "1"):
        raise refuse(400, f"{key} must be true or false, got {_shown(value)}")
    return text in ("true", "1")


def _count(key: str, value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value)):
        raise refuse(400, f"{key} must be a number from 0, got {_shown(value)}")
    return int(value)


def _gpus(key: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"all|\d+(,\d+)*", value):
        raise refuse(400, f"{key} must be 'all' or numbers such as 0,1, got {_shown(value)}")
    return value


def _device(key: str, value: Any) -> str:
    """3D Slicer sends the list that it was offered when nothing was chosen."""
    name = value[0] if isinstance(value, list) and value else value
    known = {*device_list(), *device_map().values(), "cpu", "cuda"}
    if not isinstance(name, str) or not (name in known or re.fullmatch(r"cuda:\d{1,2}", name)):
        raise refuse(400, f"{key} must be one of {', '.join(sorted(known))}, got {_shown(value)}")
    return name


_RESULT: dict[str, Check] = {
    "result_extension": _one_of(*EXTENSIONS),
    "result_dtype": _one_of(*DTYPES),
    "result_compress": _flag,
    "label_tag": _plain_name,
    "save_label": _flag,
    "device": _device,
    "logging": _one_of(*LEVELS),
    "prompt": _anything,
    "preset": _anything,
}
INFERENCE: dict[str, Check] = {**_RESULT, "output": _one_of("image", "json", "all", "dicom_seg", "asap", "dsa", "mask")}
INFERENCE |= {"result_write_to_file": _flag, "restore_label_idx": _flag, "timeout": _count}
PROCESSES: dict[str, Check] = {"device": _device, "multi_gpu": _flag, "gpus": _gpus, "max_workers": _count}
BATCH: dict[str, Check] = {**_RESULT, **PROCESSES, "max_batch_size": _count}
SCORING: dict[str, Check] = {**PROCESSES, "max_samples": _count, "simulation_size": _count}
"""For each kind of request the keys that go on, and what their values must be; None and "" stand for the default."""


def checked(request: Mapping[str, Any], known: Mapping[str, Check]) -> dict[str, Any]:
    """The known keys of a request, with their values checked; all other keys are left out.

    Raises:
        HTTPException: "400 bad request", a value that is not of its kind.
    """
    asked = {key: value for key, value in request.items() if key in known}
    given = {key: value for key, value in asked.items() if value not in (None, "") or known[key] is _anything}
    return {key: known[key](key, value) for key, value in given.items()}


def checked_name_of(kind: str, name: Any, known: Collection[str]) -> str:
    """A name that is there.

    Raises:
        HTTPException: "404 not found".
    """
    if not isinstance(name, str) or name not in known:
        raise refuse(404, f"there is no {kind} {_shown(name)}")
    return name


def checked_images(images: Any, known: Collection[str]) -> Any:
    """``all``, ``labeled``, ``unlabeled``, or a list of ids of the datastore.

    Raises:
        HTTPException: "404 not found" for anything else.
    """
    if isinstance(images, str) and images in IMAGES:
        return images
    if not isinstance(images, list) or not images:
        raise refuse(404, f"images must be one of {', '.join(IMAGES)}, or a list of ids, got {_shown(images)}")
    return [checked_name_of("image", image, known) for image in images]
