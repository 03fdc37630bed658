# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings that do not fit each other or the files: refused by the run, in one line, with nothing left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.errors import UserError
from tests.settings.test_check import make

NOTHING = "none.pt"


def user_error(error: BaseException | None) -> UserError | None:
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__
    return error


@pytest.mark.parametrize(
    ("kind", "bundle", "override", "message"),
    [
        (
            "train",
            "vlsm_dense",
            {"image_size": 30},
            "image_size must be a multiple of 16 for CLIPSegNet",
        ),
        ("train", "cris", {"image_size": 100}, "got 100; the nearest are 96 and 128"),
        ("train", "san", {"image_size": 1}, "image_size must be a multiple of 32 for SANNet"),
        ("train", "unet", {"image_size": 161}, "image_size must be a multiple of 8 for TargetUNet"),
        ("train", "vlsm_shallow", {"backbone": "nothing"}, "unknown backbone 'nothing'"),
        ("train", "clipseg", {"val_style": "p99"}, "no prompt of style 'p99'; it has p1"),
        ("train", "vlsm_dense", {"text_cache": "run"}, "results of the text encoder cannot be kept"),
        ("train", "vlsm_dense", {"cache_features": True}, "results of the vision encoder cannot be kept"),
        (
            "train",
            "vlsm_dense",
            {"network_def#attention": "flash"},
            "network_def#attention: expected one of sdpa, eager",
        ),
        ("train", "vlsm_dense", {"val_split": "1"}, "unknown split '1'"),
        ("train", "vlsm_dense", {"dataset": "2018"}, "unknown dataset '2018'"),
        ("train", "vlsm_dense", {"dataset_dir": "007"}, "no such dataset folder: 007"),
        ("train", "vlsm_dense", {"start_from": NOTHING}, f"no model file at {NOTHING}"),
        ("train", "vlsm_dense", {"resume": True}, "nothing to resume"),
        ("evaluate", "vlsm_dense", {"model_file": NOTHING}, f"no trained model at {NOTHING}"),
        ("evaluate", "clipseg", {"zero_shot": True, "styles": ["p99"]}, "no prompt of style 'p99'"),
        ("evaluate", "clipseg", {"zero_shot": True, "styles": ["p1", "p1"]}, "styles must be different styles"),
        ("inference", "vlsm_dense", {"model_file": NOTHING}, f"no trained model at {NOTHING}"),
        ("inference", "vlsm_dense", {"dataset_dir": "nowhere"}, "no such file or folder: nowhere"),
    ],
)
def test_refused_in_one_line_and_nothing_is_left(
    kind: str, bundle: str, override: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("monai_vlsm.settings.workflow.own_process", lambda: True)  # as on a command line
    folders = {"output_dir": "out"} if kind == "inference" else {"output_dir": "out", "ckpt_dir": "models"}
    with pytest.raises(Exception) as caught:
        make(kind, bundle, **folders, **override).run()
    error = user_error(caught.value)
    assert message in str(error) and "\n" not in str(error)
    assert not list(tmp_path.iterdir())
