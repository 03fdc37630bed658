# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""MONAI Label's folder of images, which reads and writes nowhere else; needs monailabel."""

from __future__ import annotations

import filecmp
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.datastore.local import LocalDatastore

from monai_vlsm.apps.label.errors import refuse
from monai_vlsm.apps.label.requests import check_name, checked_name_of

__all__ = ["GuardedDatastore"]

logger = logging.getLogger(__name__)


class GuardedDatastore(LocalDatastore):
    """`LocalDatastore` joins what clients send to paths unchecked, and follows links.

    Here names with folders in them are refused, and a link that leads out of the folder is no image and no label.

    Args:
        datastore_path: the folder.
        follow_links: take links that lead out of the folder, for studies that are links to where they are kept.
        kwargs: further arguments of ``LocalDatastore``.
    """

    def __init__(self, datastore_path: str, follow_links: bool = False, **kwargs: Any) -> None:
        self.root, self.follow_links = Path(datastore_path).resolve(), follow_links
        super().__init__(datastore_path, **kwargs)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Add an image.

        Raises:
            HTTPException: an id that is no plain name, a file of a format that is not shown, or "409 conflict": there
                is another image of this id.
        """
        check_name("image", image_id or "")
        _, extension = self._to_id(Path(image_filename).name)
        known = [pattern.replace("*", "") for pattern in self._extensions]
        if extension not in known or (image_id or "").startswith("."):
            raise refuse(400, f"an image must end in one of {', '.join(known)}, got {(image_id + extension)[:80]!r}")
        target = Path(self._datastore.image_path()) / self._filename(image_id, extension)
        if image_id and (target.is_symlink() or target.exists() or image_id in self.list_images()):
            same = target.is_file() and not target.is_symlink() and filecmp.cmp(image_filename, target, shallow=False)
            if not same:
                raise refuse(409, f"there is another image {image_id[:80]!r}; remove it first, or take another name")
        added: str = super().add_image(image_id, image_filename, image_info)
        return added

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Save a label; errors as in `check_name`, and "404 not found" for an unknown image."""
        check_name("image", image_id)
        check_name("tag", label_tag)
        checked_name_of("image", image_id, self.list_images())
        _, extension = self._to_id(Path(label_filename).name)
        target = Path(self._datastore.label_path(label_tag)) / self._filename(image_id, extension)
        if not self._inside(target):
            raise refuse(400, f"the label {image_id[:80]!r} is a link that leads out of the datastore")
        saved: str = super().save_label(image_id, label_filename, label_tag, label_info)
        return saved

    def get_image_uri(self, image_id: str) -> str:
        """Path of an image; "404 not found" when it lies elsewhere, empty when there is none."""
        return self._checked(super().get_image_uri(checked_text(image_id)), image_id)

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """Path of a label; "404 not found" when it lies elsewhere, empty when there is none."""
        check_name("tag", str(label_tag))
        return self._checked(super().get_label_uri(checked_text(label_id), label_tag), label_id)

    def remove_image(self, image_id: str) -> None:
        """Remove an image and its labels; "404 not found" for an unknown one."""
        checked_name_of("image", image_id, self.list_images())
        self.get_image_uri(image_id)
        super().remove_image(image_id)

    def _checked(self, uri: str, name: str) -> str:
        if uri and not self._inside(Path(uri)):
            raise refuse(404, f"there is no image {name[:80]!r}: it is a link that leads out of the datastore")
        return uri

    def _inside(self, path: Path) -> bool:
        return self.follow_links or path.resolve().is_relative_to(self.root)

    def _list_files(self, path: str, patterns: Any) -> dict[str, str]:
        found: dict[str, str] = super()._list_files(path, patterns)
        outside = [name for name, file in found.items() if not self._inside(Path(path) / file)]
        if outside:
            logger.warning("left out, links that lead out of the datastore: %s", ", ".join(sorted(outside)))
        inside = {name: file for name, file in found.items() if name not in outside}
        self._tell_of_one_id(inside)
        return inside

    def _tell_of_one_id(self, files: Mapping[str, str]) -> None:
        """Of a.png and a.jpg MONAI Label shows one; nobody should wonder where the other is."""
        names: dict[str, list[str]] = {}
        for name in files:
            names.setdefault(self._to_id(name)[0], []).append(name)
        for found in names.values():
            if len(found) > 1:
                logger.warning("only one of %s is shown, they have one name; rename the others", ", ".join(found))

    def _remove_non_existing(self) -> int:
        """Also forget images that became links after they were listed."""
        removed: int = super()._remove_non_existing()
        folder = Path(self._datastore.image_path())
        for image_id, entry in list(self._datastore.objects.items()):
            if not self._inside(folder / self._filename(image_id, entry.image.ext)):
                del self._datastore.objects[image_id]
                removed += 1
        return removed


def checked_text(name: Any) -> str:
    """A name as text: MONAI Label looks it up in a dict.

    Raises:
        HTTPException: "404 not found", it is none.
    """
    if not isinstance(name, str):
        raise refuse(404, f"there is no image {name!r:.80}")
    return name
