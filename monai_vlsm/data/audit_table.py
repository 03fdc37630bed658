# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""An audit as text for the terminal and as a table for JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from monai_vlsm.counts import counted
from monai_vlsm.data.audit import Audit
from monai_vlsm.data.findings import KINDS, Finding
from monai_vlsm.data.lists.audit import CaseAudit
from monai_vlsm.data.lists.tally import ClassCount
from monai_vlsm.tables import text_table

__all__ = ["audit_json", "audit_text", "cases_text"]

SHOWN = 5  # examples of each kind in the text; JSON has all
WITHOUT_EXAMPLES = ("empty mask", "stray pixels", "list not looked at")
BY_LABEL = ("label without a name",)
IN_ONE_LINE = ("class without voxels",)
VERDICTS = ("sound", "usable, with warnings", "not usable as it is")


def audit_json(audit: Audit) -> dict[str, Any]:
    """Everything that was found, for ``json.dumps``."""
    return {
        "folder": str(audit.folder),
        "dataset": audit.card.name if audit.card else None,
        "status": audit.status,
        "patients": audit.patients or None,
        "splits": [asdict(counts) for counts in audit.counts],
        "classes": [asdict(one) for one in audit.classes],
        "findings": [
            {
                "kind": kind,
                "severity": KINDS[kind][0],
                "rule": KINDS[kind][1],
                "count": len(findings),
                "cases": [{"split": f.split, "file": f.file, "detail": f.detail} for f in findings],
            }
            for kind, findings in _by_kind(audit).items()
        ],
    }


def audit_text(audit: Audit) -> str:
    """The counts, what was found with some examples, and a verdict."""
    title = f"{audit.folder}: {audit.card.name} ({audit.card.title})" if audit.card else str(audit.folder)
    rows = [(c.split, c.records, c.images, c.masks, c.empty) for c in audit.counts]
    parts = [title, text_table(("split", "records", "images", "masks", "empty masks"), rows)]
    parts += [_classes_text(audit.classes)] if audit.classes else []
    parts += _findings_text(_by_kind(audit))
    who = f"{audit.patients} patients" if audit.patients else "neither lists nor names tell of patients"
    if audit.card:
        who += f"; known defects: python -m monai_vlsm data show {audit.card.name}"
    return "\n\n".join([*parts, who, f"result: {VERDICTS[audit.status]}"])


def cases_text(audit: CaseAudit) -> str:
    """The same of a list of cases, with its classes."""
    sizes = [(part, *counts) for part, counts in audit.parts.items()]
    parts = [
        str(audit.file),
        text_table(("part", "cases", "patients", "axial slices"), sizes),
        audit.rule,
        _classes_text(audit.classes),
        *audit.notes,
        *_findings_text(_by_kind(audit)),
    ]
    return "\n\n".join([*parts, f"result: {VERDICTS[audit.status]}"])


def _classes_text(classes: Sequence[ClassCount]) -> str:
    rows = [(one.label, one.name, one.prompt, one.cases, one.slices, f"{one.voxels:,}") for one in classes]
    return text_table(("label", "name", "prompt", "cases", "axial slices", "voxels"), rows)


def _findings_text(kinds: Mapping[str, list[Finding]]) -> list[str]:
    """What was found, in numbers and by examples."""
    found = [(KINDS[kind][0], len(findings), kind, KINDS[kind][1]) for kind, findings in kinds.items()]
    table = [text_table(("severity", "number", "what", "rule"), found)] if found else []
    return table + [_examples(kind, findings) for kind, findings in kinds.items() if kind not in WITHOUT_EXAMPLES]


def _by_kind(audit: Audit | CaseAudit) -> dict[str, list[Finding]]:
    kinds: dict[str, list[Finding]] = defaultdict(list)
    for finding in audit.findings:
        kinds[finding.kind].append(finding)
    return kinds


def _examples(kind: str, findings: list[Finding]) -> str:
    if kind in IN_ONE_LINE:
        return f"{KINDS[kind][0]}: {kind}\n  {', '.join(f'{f.file} ({f.detail})' for f in findings)}"
    lines = _label_lines(findings) if kind in BY_LABEL else [_line(finding) for finding in findings]
    more = [f"  and {len(lines) - SHOWN} more (--json FILE has all)"] if len(lines) > SHOWN else []
    return "\n".join([f"{KINDS[kind][0]}: {kind}", *lines[:SHOWN], *more])


def _line(finding: Finding) -> str:
    return f"  {finding.split}: {finding.file}{': ' if finding.detail else ''}{finding.detail}"


def _label_lines(findings: list[Finding]) -> list[str]:
    """A line for each label that label maps have, whichever splits they are of."""
    maps: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        for key in finding.detail.split(", "):
            maps[key].append(finding)
    return [
        f"  {key}: in {counted(len(own), 'label map')} ({', '.join(dict.fromkeys(f.split for f in own))}), "
        f"the first is {own[0].file}"
        for key, own in maps.items()
    ]
