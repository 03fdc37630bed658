# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a run says first."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from tests.bundles.dataset import write_dataset
from tests.bundles.test_vlsm_dense import TRAIN


def test_the_head_comes_before_what_a_cache_says(
    backbone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parser = ConfigParser(ConfigParser.load_config_file(TRAIN))
    own = {"dataset_dir": str(write_dataset(tmp_path / "data")), "backbone": str(backbone), "adapter_width": 4}
    parser.update({**own, "bundle_root": str(tmp_path), "cache_dir": str(tmp_path), "device": torch.device("cpu")})
    (place,) = (place for place, step in enumerate(parser["run"]) if "$@run_summary.start()" in step)
    with caplog.at_level(logging.INFO, "monai_vlsm"):
        parser.get_parsed_content(f"run::{place}")
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said[:4] == ["device", "data", "network", "results"]
    assert [what for what in said if what.startswith("cache ")] == said[-2:] == ["cache memory"] * 2
