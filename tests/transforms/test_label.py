# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What MONAI Label sends becomes prompts, what the network answers becomes a mask as MONAI Label writes it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_vlsm.inferers import TOKENS_KEY
from monai_vlsm.transforms import (
    LabelResultD,
    LabelResultd,
    LabelResultDict,
    RequestPromptD,
    RequestPromptd,
    RequestPromptDict,
    RequestTokensD,
    RequestTokensd,
    RequestTokensDict,
)

REQUEST = {"device": "cpu", "model": "vlsm_dense"}
NAMES = {"image": "/a/scan.JPG", "dicom": "/a/scan.dcm", "volume": "/a/scan.nii.gz"}


@pytest.mark.parametrize(
    ("sent", "used"),
    [
        ("polyp", "polyp"),
        ("", ""),
        ("$__import__('nope')", "$__import__('nope')"),
        ("%/etc/hostname", "%/etc/hostname"),
        ("a\nb", "a\nb"),
        (7, "7"),
        (True, "True"),
        ({"a": 1}, "{'a': 1}"),
        (["polyp", 7], ["polyp", "7"]),
        ("x" * 5000, "x" * 2000),
        (["x" * 5000], ["x" * 2000]),
    ],
)
def test_any_prompt_becomes_text(sent: Any, used: Any) -> None:
    assert RequestPromptd("prompt")({**REQUEST, "prompt": sent})["prompt"] == used


@pytest.mark.parametrize("sent", [None, []])
def test_no_prompt_leaves_room_for_the_default(sent: Any) -> None:
    assert "prompt" not in RequestPromptd("prompt")({**REQUEST, "prompt": sent})
    assert RequestPromptd("prompt")(REQUEST) == REQUEST


def test_number_of_prompts_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    assert len(RequestPromptd("prompt")({**REQUEST, "prompt": ["a"] * 40})["prompt"]) == 32
    assert "40 prompts" in caplog.text


def test_tokens_of_a_request_move_into_the_meta() -> None:
    image, tokens = MetaTensor(torch.rand(3, 4, 6)), {"input_ids": torch.arange(4), "attention_mask": torch.ones(4)}
    out = RequestTokensd()({**REQUEST, "image": image, **tokens})
    assert out.keys() == {*REQUEST, "image"}
    moved = out["image"].meta[TOKENS_KEY]
    assert {key: value.tolist() for key, value in moved.items()} == {k: [v.tolist()] for k, v in tokens.items()}


def test_records_of_datasets_pass_untouched() -> None:
    record = {"prompt": 7, "pred": torch.rand(1, 4, 6), "image": torch.rand(3, 4, 6)}
    assert RequestPromptd("prompt")(record) == record
    assert RequestTokensd()({**record, "input_ids": 1}) == {**record, "input_ids": 1}
    assert LabelResultd("pred")(record)["pred"] is record["pred"]
    assert "result" not in LabelResultd("pred")(record)


def request(kind: str, shape: tuple[int, ...], **more: Any) -> dict[str, Any]:
    """A request behind the network: probabilities of one prompt, high in the first row."""
    meta: dict[str, Any] = {"filename_or_obj": NAMES[kind], "spatial_shape": np.array(shape)}
    if kind != "image":
        meta["original_affine"] = np.diag([2.0, 3.0, 4.0, 1.0])
    pred = torch.full((1, *shape), 0.2)
    pred[:, 0] = 0.9
    image = MetaTensor(torch.rand(3, *shape), meta=meta)
    return {**REQUEST, "image": image, "pred": MetaTensor(pred), "prompt": "polyp", "existence": [0.9], **more}


@pytest.mark.parametrize(
    ("kind", "shape", "wish", "mask_shape", "extension"),
    [
        ("image", (4, 6), None, (6, 4), ".png"),
        ("image", (4, 6), ".jpg", (6, 4), ".png"),
        ("image", (4, 6), ".nrrd", (1, 6, 4, 1), ".nrrd"),
        ("dicom", (4, 6), None, (1, 6, 4, 1), ".nrrd"),
        ("dicom", (4, 6), ".png", (6, 4), ".png"),
        ("volume", (4, 6, 3), None, (1, 4, 6, 3), None),
        ("volume", (4, 6, 1), ".nrrd", (1, 4, 6, 1), ".nrrd"),
    ],
)
def test_mask_as_the_writer_wants_it(
    kind: str, shape: tuple[int, ...], wish: str | None, mask_shape: tuple[int, ...], extension: str | None
) -> None:
    more = {"result_extension": wish} if wish else {}
    out = LabelResultd("pred")(request(kind, shape, **more))
    assert out["pred"].shape == mask_shape
    assert out["pred"].dtype == torch.uint8
    assert out["pred"].sum() == out["pred"].numel() / shape[0]
    assert out["result_extension"] == extension
    assert out["result_dtype"] == "uint8"
    first_row = out["pred"].reshape(mask_shape)[..., 0] if mask_shape == (6, 4) else None
    assert first_row is None or first_row.all()


@pytest.mark.parametrize(("kind", "diagonal"), [("dicom", [0.0, 0.0, 4.0, 1.0]), ("volume", [2.0, 3.0, 4.0, 1.0])])
def test_affine_belongs_to_the_axes_of_the_mask(kind: str, diagonal: list[float]) -> None:
    data = request(kind, (4, 6) if kind == "dicom" else (4, 6, 2))
    out = LabelResultd("pred")(data)
    assert np.diag(out["image"].meta["original_affine"]).tolist() == diagonal
    assert "spatial_shape" not in out["image"].meta  # else MONAI Label resizes the mask once more
    assert "spatial_shape" in data["image"].meta


def test_client_may_choose_the_type_of_volumes_only() -> None:
    assert LabelResultd("pred")(request("volume", (4, 6, 2), result_dtype="uint16"))["result_dtype"] == "uint16"
    assert LabelResultd("pred")(request("image", (4, 6), result_dtype="float32"))["result_dtype"] == "uint8"


def test_answer_says_what_was_asked() -> None:
    result = LabelResultd("pred")(request("image", (4, 6), result={"points": [1]}))["result"]
    assert json.loads(json.dumps(result)) == {"points": [1], "prompt": "polyp", "existence": [0.9]}
    data = request("image", (4, 6))
    del data["existence"]
    assert LabelResultd("pred")(data)["result"] == {"prompt": "polyp"}


def test_several_prompts_make_a_label_map() -> None:
    data = request("image", (4, 6), prompt=["a", "b"])
    data["pred"] = torch.stack([torch.full((4, 6), 0.6), torch.eye(4, 6)])
    assert LabelResultd("pred")(data)["pred"].unique().tolist() == [1, 2]
    assert LabelResultd("pred", threshold=0.7)(data)["pred"].unique().tolist() == [0, 2]


def test_aliases() -> None:
    assert RequestTokensD is RequestTokensDict is RequestTokensd
    assert RequestPromptD is RequestPromptDict is RequestPromptd
    assert LabelResultD is LabelResultDict is LabelResultd
