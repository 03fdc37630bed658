# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Images that clients keep on the server for a while; needs monailabel."""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from monailabel.utils.sessions import SessionInfo, Sessions

from monai_vlsm.apps.label.errors import refuse

__all__ = ["GuardedSessions"]


class GuardedSessions(Sessions):
    """`Sessions` joins what clients send to paths unchecked, and removes whole folders by it; here ids are plain."""

    def get_session(self, session_id: Any, *args: Any, **kwargs: Any) -> SessionInfo | None:
        """The session of an id; None for an id that is none, or when its image is not in its own folder."""
        if not _is_id(session_id):
            return None
        found: SessionInfo | None = super().get_session(session_id, *args, **kwargs)
        if found is None or not self.holds(session_id, found.image):
            return None
        return found

    def remove_session(self, session_id: Any) -> None:
        """Remove a session and its folder; nothing for an id that is none."""
        if _is_id(session_id):
            super().remove_session(session_id)

    def add_session(self, data_file: str, expiry: int = 0, uncompress: bool = False, session_id: Any = None) -> Any:
        """Keep an uploaded file; of an archive what is in it, and nothing that leads out of its folder.

        Raises:
            HTTPException: "400 bad request", it is no archive, or one that leads out.
        """
        if uncompress and Path(data_file).is_file():
            data_file = _unpacked(data_file)
        return super().add_session(data_file, expiry, False, session_id)

    def holds(self, session_id: str, image: str) -> bool:
        """Whether a file lies in the folder of a session, links followed."""
        return Path(image).resolve().is_relative_to((Path(self.store_path) / session_id).resolve())


def _is_id(session_id: Any) -> bool:
    return isinstance(session_id, str) and re.fullmatch(r"[0-9a-zA-Z][0-9a-zA-Z-]*", session_id) is not None


def _unpacked(archive: str) -> str:
    folder = tempfile.mkdtemp()
    try:
        if tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                file.extractall(folder, filter="data")
        else:
            shutil.unpack_archive(archive, folder)
    except (shutil.ReadError, tarfile.TarError, ValueError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise refuse(400, f"cannot unpack the archive: {error}") from error
    return folder
