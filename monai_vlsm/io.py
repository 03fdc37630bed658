# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Files that a reader never meets half written, with a plain word where they cannot be; and tables as CSV."""

from __future__ import annotations

import csv
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path
from typing import Any, BinaryIO

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError

__all__ = [
    "PART",
    "TableError",
    "WriteError",
    "append_text",
    "json_text",
    "read_rows",
    "replacing",
    "require_writable",
    "save_atomically",
    "table_lines",
    "table_text",
    "write_bytes",
    "write_json",
    "write_rows",
    "write_text",
]

PART = ".part"
"""How the name of a temporary file ends; it begins with a dot."""

_DELIMITERS = ",;\t"  # a comma; what spreadsheets write where the comma is the decimal point; copied cells
# how a cell begins that a spreadsheet runs, the wide forms of East Asian keyboards too; or such a cell made safe
_FORMULA = re.compile("'*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NAME_BYTES = 100  # of the target's name in that of its temporary file: file systems take 255 in all
_TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{12}\.part")


class WriteError(UserError, OSError):
    """A file or folder cannot be written: no room, no permission, or something else is in its place."""


class TableError(UserError, ValueError):
    """A file is no table: no text in UTF-8, or a row that does not fit the first one."""


@contextmanager
def replacing(path: str | os.PathLike[str], sync: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside ``path`` that takes its place when the block ends without an error.

    Folders that are missing are made. The temporary name is unique, so that two processes that write the same file do
    not disturb each other: the last one wins, whole. What was written has reached the disk before it takes the place.
    After an error, Ctrl-C included, the old file is untouched and the temporary one is removed.

    Args:
        path: the file.
        sync: False does not wait for the disk, for files that are checked when read and can be made again.

    Raises:
        WriteError: the folder or the file cannot be written, or the disk is full.
    """
    target = Path(path)
    temporary: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = _temporary(target)
        yield temporary
        if sync:
            _sync(temporary)
        temporary.replace(target)
        if sync:
            _sync(target.parent)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise _write_error(target, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    """A new empty file beside ``target``, with the permissions that any new file gets here."""
    start = target.name.encode("utf-8", "surrogateescape")[:_NAME_BYTES].decode("utf-8", "ignore")
    path = target.with_name(f".{start}.{secrets.token_hex(6)}{PART}")
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk; folders only where the system can."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_error(target: Path, error: OSError) -> WriteError:
    target = target.with_name(_TEMPORARY.sub(r"\1", target.name))  # where one writing is within another
    what_is_left = "the file that was there is whole" if target.is_file() else "nothing was left there"
    return WriteError(
        f"cannot write {target.name} in {target.parent}: {_reason(error)}; {what_is_left}. "
        "Make room or get permission there, or give another folder"
    )


def _reason(error: OSError) -> str:
    return error.strerror or str(error).partition("\n")[0] or type(error).__name__


def write_bytes(path: str | os.PathLike[str], content: bytes, sync: bool = True) -> None:
    """Write bytes, all or nothing; ``sync`` and errors as in `replacing`."""
    with replacing(path, sync) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write text in UTF-8 with its line ends as they are, all or nothing.

    Raises:
        WriteError: when it cannot be done.
    """
    write_bytes(path, text.encode("utf-8"))


def append_text(path: str | os.PathLike[str], text: str) -> None:
    """Add text in UTF-8 to the end of a file; it has reached the system when this returns.

    Raises:
        WriteError: when it cannot be done.
    """
    target = Path(path)
    try:
        with target.open("ab", buffering=0) as file:
            rest = memoryview(text.encode("utf-8"))
            while rest:
                rest = rest[file.write(rest) :]
    except OSError as error:
        raise _write_error(target, error) from error


def json_text(content: Any, indent: int = 2) -> str:
    """Plain values as JSON with a line end; other values as their text.

    Raises:
        ValueError: infinite numbers and NaN, which JSON does not have.
    """
    return json.dumps(content, indent=indent, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def write_json(path: str | os.PathLike[str], content: Any, indent: int = 2) -> None:
    """Write `json_text`, all or nothing.

    Raises:
        WriteError: when it cannot be done.
    """
    write_text(path, json_text(content, indent))


def save_atomically(obj: Any, path: str | os.PathLike[str]) -> None:
    """``torch.save`` to ``path``, all or nothing.

    Raises:
        WriteError: when it cannot be done.
    """
    import torch  # here, because commands that need no network start without it

    with replacing(path) as temporary, temporary.open("wb", buffering=0) as file:
        sink: Any = _Sink(file)
        torch.save(obj, sink)
        if sink.error is not None:
            raise sink.error


class _Sink:
    """Takes what ``torch.save`` writes and keeps the first error: torch ends the process when its writer fails."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        size = rest.nbytes
        while rest.nbytes and self.error is None:
            try:
                rest = rest[self.file.write(rest) :]
            except OSError as error:
                self.error = error
        return size

    def flush(self) -> None:
        """Nothing is kept back."""


def require_writable(folder: str | os.PathLike[str]) -> None:
    """Check that files can be written to a folder, made if it is missing; nothing is left behind.

    Raises:
        WriteError: when they cannot.
    """
    path = Path(folder)
    made = [parent for parent in (path, *path.parents) if not parent.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        _temporary(path / "test").unlink()
    except OSError as error:
        raise WriteError(
            f"cannot write to the folder {path}: {_reason(error)}. Get permission or room there, or give another folder"
        ) from error
    finally:
        for parent in made:
            with suppress(OSError):  # something is in it, perhaps as of now
                parent.rmdir()


def table_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a header.

    A text that a spreadsheet would run as a formula gets an apostrophe in front, which `table_lines` takes away;
    numbers, negative ones too, stay as they are. A column that a row lacks gives an empty cell.

    Raises:
        ValueError: when a row has another column.
    """
    text = StringIO(newline="")
    writer = csv.DictWriter(text, [_safe(column) for column in columns])  # its line ends make it quote returns too
    writer.writeheader()
    writer.writerows({_safe(name): _safe(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace").decode()  # names of files may hold what is no text


def _safe(cell: Any) -> Any:
    runs = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if runs else cell


def _as_it_was(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def write_rows(path: str | os.PathLike[str], columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write `table_text`, all or nothing.

    Raises:
        WriteError: when it cannot be done.
    """
    write_text(path, table_text(columns, rows))


def table_lines(text: str, by_hand: bool = False) -> list[tuple[int, list[str]]]:
    """The lines of a CSV that are not empty, each with the number of its last line in the text; the header first.

    Args:
        text: comma, semicolon or tab between the cells; the first line tells.
        by_hand: True leaves out spaces around cells, which people put there.

    Raises:
        TableError: a cell of more than 128 kB, as after a quotation mark that nothing closes.
    """
    try:
        first = StringIO(text, newline="").readline()
        sign = max(_DELIMITERS, key=lambda one: len(next(csv.reader([first], delimiter=one), [])))
        reader = csv.reader(StringIO(text, newline=""), delimiter=sign, skipinitialspace=by_hand)
        lines = [(reader.line_num, [_as_it_was(cell.strip() if by_hand else cell) for cell in row]) for row in reader]
    except csv.Error as error:
        raise TableError(f"no table: {error}; a quotation mark may be missing") from error
    return [(number, cells) for number, cells in lines if any(cells)]


def read_rows(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """Read what `write_rows` wrote: column to text; numbers come as text too.

    Raises:
        TableError: when the file is no such table, or cannot be read.
    """
    try:
        (_, header), *lines = table_lines(Path(path).read_bytes().decode("utf-8-sig")) or [(0, [])]
    except (OSError, UnicodeDecodeError, TableError) as error:
        raise TableError(f"cannot read {path}: {error}") from error
    for number, cells in lines:
        if len(cells) != len(header):
            raise TableError(
                f"{path}, line {number}: expected {counted(len(header), 'cell')} as in the first line, got {len(cells)}"
            )
    return [dict(zip(header, cells, strict=True)) for _, cells in lines]
