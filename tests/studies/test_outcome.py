# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run: parameters, revision, whether an evaluation is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monai_vlsm.studies import StudyError
from monai_vlsm.studies.outcome import commit, evaluation_facts, is_evaluated, trained_parameters
from tests.statistics.runs import RUN_JSON, make_run


def test_parameters_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    assert trained_parameters(log) is None
    log.write_text("x\nINFO network: Net, backbone b, 2,974,464 of 153,722,210 parameters are trainable\n")
    assert trained_parameters(log) == 2_974_464


def test_the_revision() -> None:
    assert re.fullmatch(r"([0-9a-f]{40}\+?)?", commit())


def test_an_evaluation(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "e", info=RUN_JSON)
    assert is_evaluated(folder, ["p1", "p6"]) and not is_evaluated(folder, ["p1"])
    assert not is_evaluated(tmp_path, ["p1"])
    assert evaluation_facts(tmp_path, folder)["folder"] == "e"


def test_no_evaluation(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"metrics\.csv"):
        evaluation_facts(tmp_path, tmp_path)
