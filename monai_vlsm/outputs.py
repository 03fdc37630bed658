# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Folders that get many files, and never lose one that somebody else put there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from monai_vlsm.errors import UserError
from monai_vlsm.io import WriteError, append_text, replacing, table_text, write_text
from monai_vlsm.names import file_key

__all__ = [
    "MANIFEST",
    "PREDICTIONS",
    "GrowingTable",
    "NotOursError",
    "Outputs",
    "file_digest",
]

MANIFEST = ".monai_vlsm_files"
"""Hidden file in a folder of outputs: what was written there, one JSON object a line."""

PREDICTIONS = "predictions"
"""The kind of masks, and of what is written beside them."""

_NAMED = 5  # files that a message names
_GROWING = "growing"  # in place of the digest of a file that is being written to


class NotOursError(UserError, FileExistsError):
    """A file that nothing of ours wrote, or that was changed since, has the name of one to be written."""


class _Entry(NamedTuple):
    name: str
    kind: str
    digests: frozenset[str]  # of all contents: that of before counts while a new one has not taken its place


class Outputs:
    """Files that one kind of work writes to a folder.

    A hidden list in the folder has the name of each file and a digest of its content. What is not in the list, or has
    another content by now, belongs to somebody else: it is neither replaced nor removed.

    Args:
        folder: where the files go, made when the first is written.
        kind: what they are, such as ``"predictions"``; files of another kind may be replaced, but are not removed.
    """

    def __init__(self, folder: str | Path, kind: str) -> None:
        self.folder, self.kind = Path(folder), kind
        self._own: set[str] = set()  # names that this object wrote, so that nobody else's file has them
        self._since: dict[str, str] = {}  # digest of each that was written since `start`
        self._entries: dict[str, _Entry] | None = None  # read when first needed

    def require_free(self, names: Iterable[str]) -> None:
        """Check that no file that is somebody else's has one of these names.

        Args:
            names: relative to the folder, with ``/``.

        Raises:
            NotOursError: names these files.
            WriteError: the folder cannot be looked at.
        """
        with _plainly(self.folder):
            foreign = [name for name in names if self._is_foreign(name)]
        if foreign:
            more = f" and {len(foreign) - _NAMED} more" if len(foreign) > _NAMED else ""
            raise NotOursError(
                f"{self.folder} has {', '.join(foreign[:_NAMED])}{more}, which monai_vlsm did not write or which was "
                "changed since, and would replace: move it away, or give another folder"
            )

    def clear(self, keep: Iterable[str] = (), only: Iterable[str] | None = None) -> list[Path]:
        """Remove what earlier work of this kind left, so that it does not lie among what comes now.

        Args:
            keep: names of files that stay.
            only: names of the files that go; None for all others.

        Returns:
            files that were changed since they were written: they stay, and from now on they are somebody else's.

        Raises:
            WriteError: a file cannot be removed.
        """
        kept, named = ({file_key(name) for name in names} for names in (keep, only or ()))
        with _plainly(self.folder):
            known = self._read_again()
            chosen = known.keys() & named if only is not None else known.keys() - kept
            old = {key: entry for key, entry in known.items() if entry.kind == self.kind and key in chosen}
            there = [entry for entry in old.values() if self._path(entry.name).is_file()]
            changed = [entry for entry in there if not _is_ours(self._path(entry.name), entry)]
            for entry in there:
                if entry not in changed:
                    self._path(entry.name).unlink()
            if old:
                self._write_list({key: entry for key, entry in known.items() if key not in old})
        return [self._path(entry.name) for entry in changed]

    def start(self) -> None:
        """What is written from now on takes the place of what this kind of work left before."""
        self._since = {}

    def finish(self) -> dict[str, str]:
        """Remove what was written before `start` and not since.

        Returns:
            name of each file that was written since, to its `file_digest`.
        """
        self.clear(keep=self._since)
        return dict(self._since)

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """Yields a temporary path; what is written there becomes the file, whole or not at all (`replacing`).

        Args:
            name: relative to the folder, with ``/``.

        Raises:
            NotOursError: a file that is somebody else's has the name.
            WriteError: it cannot be written.
        """
        if name not in self._own:
            self.require_free([name])
        with replacing(self._path(name)) as temporary:
            yield temporary
            digest = file_digest(temporary)
            self._record(_Entry(name, self.kind, frozenset({digest})))
        self._own.add(name)
        self._since[name] = digest

    def begin(self, name: str, text: str) -> Path:
        """Write a file to which more will be added; whatever is in it counts as ours until `settle`.

        Returns:
            its path.
        """
        with self.writing(name) as temporary:
            temporary.write_bytes(text.encode("utf-8"))
            self._record(_Entry(name, self.kind, frozenset({_GROWING})))
        return self._path(name)

    def settle(self, name: str) -> None:
        """Nothing more will be added to a file: from now on it is known by its content."""
        digest = frozenset({file_digest(self._path(name))})
        self._write_list({**self._read_again(), file_key(name): _Entry(name, self.kind, digest)})

    def _record(self, entry: _Entry) -> None:
        """Before the file takes its place: what is in the list and not in the folder does no harm."""
        known = self._known()
        with (self.folder / MANIFEST).open("a", encoding="utf-8") as file:
            file.writelines(_line(entry, digest) for digest in entry.digests)
        _add(known, entry)

    def _is_foreign(self, name: str) -> bool:
        path = self._path(name)
        if path.is_symlink() or (path.exists() and not path.is_file()):
            return True
        if not path.exists():
            return False
        entry = self._known().get(file_key(name))
        return entry is None or not _is_ours(path, entry)

    def _read_again(self) -> dict[str, _Entry]:
        """The list as it is now: others may have written to the folder meanwhile."""
        self._entries = None
        return self._known()

    def _write_list(self, entries: dict[str, _Entry]) -> None:
        lines = [_line(entry, digest) for entry in entries.values() for digest in sorted(entry.digests)]
        write_text(self.folder / MANIFEST, "".join(lines))
        self._entries = entries

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*PurePosixPath(name).parts)

    def _known(self) -> dict[str, _Entry]:
        if self._entries is None:
            self._entries = _read(self.folder / MANIFEST)
        return self._entries


class GrowingTable:
    """A CSV of results: the rows of an image are on the disk as soon as they are added, whatever happens then.

    Args:
        outputs: the folder that it goes to.
        name: of the file.
        columns: its header.
    """

    def __init__(self, outputs: Outputs, name: str, columns: Sequence[str]) -> None:
        self.outputs, self.name, self.columns = outputs, name, tuple(columns)
        self._path: Path | None = None

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows; the first ones make the file.

        Raises:
            NotOursError: a file that is somebody else's has the name.
            WriteError: it cannot be written.
        """
        text = table_text(self.columns, rows)
        if self._path is None:
            self._path = self.outputs.begin(self.name, text)
        else:
            append_text(self._path, text.partition("\n")[2])

    def close(self) -> None:
        """All rows are there."""
        if self._path is not None:
            self.outputs.settle(self.name)
            self._path = None


@contextmanager
def _plainly(folder: Path) -> Iterator[None]:
    """Errors of the system as one plain line."""
    try:
        yield
    except OSError as error:
        if isinstance(error, UserError):
            raise
        reason = error.strerror or str(error)
        raise WriteError(
            f"cannot use the folder {folder}: {reason}. Get permission there, or give another folder"
        ) from error


def _is_ours(path: Path, entry: _Entry) -> bool:
    return _GROWING in entry.digests or file_digest(path) in entry.digests


def _read(path: Path) -> dict[str, _Entry]:
    """The list; what is no line of ours, such as half a line, is left out."""
    if not path.is_file():
        return {}
    found: dict[str, _Entry] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            values: Any = json.loads(line)
            entry = _Entry(str(values["file"]), str(values["kind"]), frozenset({str(values["digest"])}))
        except (ValueError, KeyError, TypeError):
            continue
        pure = PurePosixPath(entry.name)
        if not pure.is_absolute() and ".." not in pure.parts:
            _add(found, entry)
    return found


def _add(entries: dict[str, _Entry], entry: _Entry) -> None:
    before = entries.get(file_key(entry.name))
    digests = entry.digests if before is None else entry.digests | before.digests
    entries[file_key(entry.name)] = entry._replace(digests=digests)


def _line(entry: _Entry, digest: str) -> str:
    return json.dumps({"file": entry.name, "digest": digest, "kind": entry.kind}, ensure_ascii=False) + "\n"


def file_digest(path: Path) -> str:
    """Of a file's content, 32 hexadecimal digits: the same for the same bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
