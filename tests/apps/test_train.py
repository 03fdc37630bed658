# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a client may ask of a training."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("monailabel")


@pytest.mark.parametrize("values", [{"device": "$1/0"}, {"val_split": 3}, {"max_epochs": 0}, {"gpus": "$1/0"}])
def test_request_for_training_is_checked(values: dict[str, Any]) -> None:
    from monai_vlsm.apps.label.train import TrainRequestError, checked_request

    with pytest.raises(TrainRequestError, match=next(iter(values))):
        checked_request(values)
    assert checked_request({"run_id": "$1/0", "device": ["cpu"], "x": "$1/0"})["run_id"] == "run"
