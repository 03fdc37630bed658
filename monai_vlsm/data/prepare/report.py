# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What was made of a download and what is missing against the official lists."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.tables import text_table

__all__ = ["PrepareReport", "SplitReport", "report_json", "report_text"]

SHOWN = 5  # examples in the text; JSON has all


@dataclass(frozen=True)
class SplitReport:
    """One official list.

    Args:
        split: train, val or test.
        records: in the list, or None if there is no list.
        images: different images that the list names.
        masks: different masks that the list names.
        missing: names of those that are not there, ``images/...`` and ``masks/...``.
    """

    split: str
    records: int | None
    images: int = 0
    masks: int = 0
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class PrepareReport:
    """The result of :func:`monai_vlsm.data.prepare.prepare_dataset`.

    Args:
        dataset: its name in the catalogue.
        folder: where it is now.
        splits: what each list names and what is missing of it.
        written: number of files that were written.
        kept: number of files that were there already.
        differing: files that are there with other content and were left as they are.
        faulty: files that could not be made, and why.
        notes: what else the user should know.
    """

    dataset: str
    folder: Path
    splits: tuple[SplitReport, ...]
    written: int
    kept: int
    differing: tuple[str, ...]
    faulty: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    @property
    def status(self) -> int:
        """Exit status: 0 if all that the lists name is there, 1 if something is missing, faulty or differs."""
        return int(bool(self.differing or self.faulty or any(split.missing for split in self.splits)))


def report_json(report: PrepareReport) -> dict[str, Any]:
    """Everything, for ``json.dumps``."""
    return {
        "dataset": report.dataset,
        "folder": str(report.folder),
        "status": report.status,
        "splits": {
            split.split: {
                "records": split.records,
                "images": split.images,
                "masks": split.masks,
                "missing": list(split.missing),
            }
            for split in report.splits
        },
        "written": report.written,
        "already_there": report.kept,
        "differing": list(report.differing),
        "faulty": [{"file": file, "reason": reason} for file, reason in report.faulty],
        "notes": list(report.notes),
    }


def report_text(report: PrepareReport) -> str:
    """A short table, then what is wrong with some examples."""
    rows = [(s.split, "no list" if s.records is None else s.records, *_have(s)) for s in report.splits]
    missing = [name for split in report.splits for name in split.missing]
    parts = [
        f"{report.folder}: {counted(report.written, 'file')} written, {report.kept} already there",
        text_table(("split", "records", "images", "masks", "missing"), rows),
        _some("missing in the download", missing),
        _some("there with other content, left as they are", report.differing),
        _some("could not be made", [f"{file}: {reason}" for file, reason in report.faulty]),
        "\n".join(f"note: {note}" for note in report.notes),
        f"result: {'complete' if report.status == 0 else 'not complete'}, in {report.folder}",
    ]
    return "\n\n".join(part for part in parts if part)


def _have(split: SplitReport) -> tuple[str, str, int]:
    missing = [name.startswith("images/") for name in split.missing]
    images, masks = split.images - sum(missing), split.masks - len(missing) + sum(missing)
    return f"{images} of {split.images}", f"{masks} of {split.masks}", len(missing)


def _some(title: str, names: list[str] | tuple[str, ...]) -> str:
    if not names:
        return ""
    more = [f"  and {len(names) - SHOWN} more (prepare_report.json has all)"] if len(names) > SHOWN else []
    return "\n".join([f"{title}: {len(names)}", *(f"  {name}" for name in names[:SHOWN]), *more])
