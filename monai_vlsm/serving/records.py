# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Which images are to be segmented, which cannot be, and what became of each."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai.config import PathLike

from monai_vlsm.counts import counted
from monai_vlsm.data import DatasetProblems, Problem, check_records, list_images, load_images
from monai_vlsm.data.volumes import Address
from monai_vlsm.data.volumes.series import is_series, series_place
from monai_vlsm.errors import UserError, first_cause
from monai_vlsm.io import require_writable
from monai_vlsm.outputs import Outputs
from monai_vlsm.serving.slices import in_channel
from monai_vlsm.transforms.save import distinct_names, mask_files

__all__ = [
    "OutputFolderError",
    "UnfinishedError",
    "Worklist",
    "find_records",
    "reason_of",
    "require_elsewhere",
    "require_output",
    "say_what_stays",
]


class OutputFolderError(UserError, ValueError):
    """A folder for results is a folder of images."""


class UnfinishedError(UserError, RuntimeError):
    """Some images could not be segmented; all others are."""


def find_records(path: PathLike, prompt: str | Sequence[str]) -> list[dict[str, Any]]:
    """Records for all images of a folder, or for one file, whose results do not get in each other's way.

    Args:
        path: a file or a folder.
        prompt: one text, or K texts for K structures.

    What of a folder is no image is printed, with the reason.

    Returns:
        records as from `monai_vlsm.data.load_images`, with `monai_vlsm.transforms.save.distinct_names`. Their files are
        not decoded yet.

    Raises:
        ImagesNotFoundError: no such file or folder, or no image in it.
        NoPromptError: a prompt that is empty or not text.
    """
    records = distinct_names(load_images(path, prompt, check=False))
    if left_out := list_images(path).report():
        print(left_out, file=sys.stderr, flush=True)
    return records


@dataclass
class Worklist:
    """Records to be segmented, and those that could not be.

    Args:
        records: those whose files can be read.
        problems: what is wrong with the others, and with those that failed later.
        done: how many have been segmented.
    """

    records: list[dict[str, Any]]
    problems: list[Problem] = field(default_factory=list)
    done: int = 0

    @classmethod
    def check(cls, records: Sequence[Mapping[str, Any]], channel: int | None = None) -> Worklist:
        """Decode all files once.

        Args:
            records: with paths.
            channel: which volume of files of several.

        Raises:
            DatasetProblems: none can be read; the message lists all.
        """
        chosen = [in_channel(record, channel) for record in records]
        problems = check_records(chosen)
        faulty = {Address.of(problem.file).file for problem in problems}
        sound = [record for record in chosen if Address.of(record["image"]).file not in faulty]
        if problems and not sound:
            raise DatasetProblems(problems)
        return cls(sound, problems)

    def failed(self, record: Mapping[str, Any], reason: BaseException | str) -> None:
        """Note that an image failed; the others go on."""
        found = reason if isinstance(reason, str) else reason_of(reason)
        file = Address.of(str(record["image"])).file  # of a volume that fails in several slices, the first counts
        if file not in {problem.file for problem in self.problems}:
            self.problems.append(Problem(file, "an image that can be segmented", found))

    def kept(self, table: Path) -> str:
        """After an interruption, what stays."""
        if not self.done:
            return "No image was done."
        return (
            f"{self.done} of {counted(len(self.records), 'image')} done, masks and {table.name} are in {table.parent}."
        )

    def finish(self, folder: Path) -> None:
        """Say which images were not segmented.

        Args:
            folder: where the results of the others are.

        Raises:
            UnfinishedError: if any were not.
        """
        if self.problems:
            head = f"{counted(self.done, 'image')} done, {len(self.problems)} not:"
            done = [f"what is done is in {folder}"] if self.done else []
            lines = "\n  ".join([head, *map(str, self.problems), *done])
            raise UnfinishedError(lines)


def reason_of(error: BaseException) -> str:
    """The first cause of an error in one line: MONAI wraps it in errors that name its transforms."""
    error = first_cause(error)
    if isinstance(error, DatasetProblems) and error.problems:
        return error.problems[0].found
    return str(error).strip().partition("\n")[0] or type(error).__name__


def require_output(
    outputs: Outputs, records: Sequence[Mapping[str, Any]], more: Sequence[str], option: str = "output_dir"
) -> None:
    """Check that results can be written to a folder, and that nothing of somebody else's would be lost.

    Args:
        outputs: the folder.
        records: with distinct names.
        more: further files that will be written there, by their path in the folder.
        option: what the user calls the folder.

    Raises:
        NotOursError: a file that monai_vlsm did not write has the name of one to be written.
        OutputFolderError: it is a folder of images.
        WriteError: no file can be written there.
    """
    names = [*(file for record in records for file in mask_files(record)), *more]
    folders = {outputs.folder / Path(name).parent for name in names}
    require_elsewhere(sorted(folders), [record["image"] for record in records], option)
    outputs.require_free(names)
    require_writable(outputs.folder)


def require_elsewhere(folders: Iterable[str | Path], images: Iterable[str | Path], option: str = "output_dir") -> None:
    """Check that results do not go where images are, by whatever name, link or ``..`` a folder is given.

    Args:
        folders: where files will be written.
        images: paths of the images; where one is a link, the folder of the link and that of the image count, and of a
            DICOM series its folder.
        option: what the user calls the folder, for the message.

    Raises:
        OutputFolderError: one of the folders has an image in it.
    """
    of_images = {parent for image in images for parent in _homes(image)}
    taken = {_identity(parent): parent for parent in of_images}
    for folder in folders:
        if _identity(Path(folder)) in taken:
            raise OutputFolderError(
                f"{option} must be another folder than that of the images, got {folder}: "
                "results would lie among the images, and could take the place of one"
            )


def _homes(image: str | Path) -> set[Path]:
    """The folders that an image lies in: of a DICOM series its own."""
    place, _ = series_place(image)
    if is_series(image):
        return {place}
    return {place.absolute().parent, place.resolve().parent}


def _identity(folder: Path) -> Any:
    """The same for all paths of one folder, also of one that is mounted twice; a missing one is known by its path."""
    try:
        found = folder.stat()
    except OSError:
        return folder.resolve()
    return (found.st_dev, found.st_ino) if found.st_ino else folder.resolve()


def say_what_stays(changed: Sequence[Path]) -> None:
    """Say that files of an earlier run lie among those of this one, since somebody changed them."""
    for path in changed:
        print(f"{path} was changed since it was written: it stays", file=sys.stderr)
