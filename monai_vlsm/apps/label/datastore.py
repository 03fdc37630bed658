# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""MONAI Label's folder of images, which writes nowhere else; needs monailabel."""

from __future__ import annotations

import re
from typing import Any

from monailabel.datastore.local import LocalDatastore

from monai_vlsm.apps.label.errors import refuse

__all__ = ["GuardedDatastore", "check_name"]


def check_name(kind: str, name: str) -> None:
    """Answer "400 bad request" for a name that leads to another folder.

    Args:
        kind: what it names, for the message.
        name: of an image or a tag, as the client sent it.

    Raises:
        HTTPException: the name has ``/`` or a backslash, is ``.`` or ``..``, or has control characters.
    """
    if re.search(r"[/\\\x00-\x1f]", name) or name.strip() in (".", ".."):
        raise refuse(400, f"{kind} must be a plain name without folders, got {name[:80]!r}")


class GuardedDatastore(LocalDatastore):
    """`LocalDatastore` joins what clients send to paths unchecked; here names with folders in them are refused."""

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add an image; errors as in `check_name`."""
        check_name("image", image_id or "")
        added: str = super().add_image(image_id, image_filename, image_info)
        return added

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Save a label; errors as in `check_name`, and "404 not found" for an unknown image."""
        check_name("image", image_id)
        check_name("tag", label_tag)
        if image_id not in self.list_images():
            raise refuse(404, f"there is no image {image_id[:80]!r}")
        saved: str = super().save_label(image_id, label_filename, label_tag, label_info)
        return saved
