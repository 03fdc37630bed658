# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Studies: many runs over systems, datasets and seeds, their files, their workers and their tables."""

from __future__ import annotations

from monai_vlsm.studies.file import read_study, shipped_studies
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.keys import MachineError, StudyError
from monai_vlsm.studies.plan import Run, plan_runs
from monai_vlsm.studies.status import study_status
from monai_vlsm.studies.study import Study
from monai_vlsm.studies.work import Worker

__all__ = [
    "MachineError",
    "Run",
    "Study",
    "StudyError",
    "StudyFolder",
    "Worker",
    "plan_runs",
    "read_study",
    "shipped_studies",
    "study_status",
]
