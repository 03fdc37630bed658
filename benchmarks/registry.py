# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All cases of ``speed.py``, in the order of the table."""

from __future__ import annotations

import cases_epoch
import cases_network
import cases_own_data
import cases_predict
import cases_prompts
import cases_score
import cases_start
import cases_volumes
from cases import Case

CASES: tuple[Case, ...] = (
    *cases_network.CASES,
    *cases_prompts.CASES,
    *cases_epoch.CASES,
    *cases_own_data.CASES,
    *cases_predict.CASES,
    *cases_score.CASES,
    *cases_volumes.CASES,
    *cases_start.CASES,
)


def find_case(name: str) -> Case:
    """The case of this name.

    Raises:
        SystemExit: when there is none; the message lists the names.
    """
    for case in CASES:
        if case.name == name:
            return case
    raise SystemExit(f"unknown case {name!r}; known are {', '.join(case.name for case in CASES)}, and all")
