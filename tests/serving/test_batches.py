# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The inference of a bundle goes on when an image fails, and touches nothing that is not its own."""

from __future__ import annotations

import csv
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import Dataset
from PIL import Image

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.data import DatasetProblems
from monai_vlsm.networks import CLIPSegNet
from monai_vlsm.outputs import NotOursError
from monai_vlsm.serving import PredictionLoader, UnfinishedError, find_records
from monai_vlsm.serving.records import OutputFolderError
from tests.folders import contents, visible
from tests.serving.images import write_images, write_model, write_singular

INFERENCE = Path(__file__).parents[2] / "bundles" / "vlsm_dense" / "configs" / "inference.json"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)  # whatever other tests drew before
    network = CLIPSegNet("clipseg-mini", DenseAdaptation("vl", width=4), default_prompt="brain")
    return write_model(network, tmp_path_factory.mktemp("model") / "model.pt")


def infer(model: Path, images: Path, output: Path, prompt: str | list[str] = "brain", **settings: Any) -> None:
    workflow = ConfigWorkflow(
        str(INFERENCE),
        workflow_type="infer",
        logging_file=False,
        model_file=str(model),
        dataset_dir=str(images),
        output_dir=str(output),
        prompt=prompt,
        device=torch.device("cpu"),
        **settings,
    )
    workflow.initialize()
    workflow.run()


def cause(error: BaseException) -> BaseException:
    """MONAI wraps what is raised within a config."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def names(table: Path) -> list[str]:
    return [row["name"] for row in csv.DictReader(table.open(encoding="utf-8"))]


def test_bad_files_are_named_and_the_others_done(model: Path, tmp_path: Path) -> None:
    """Found before the start (cut), and on the way (no direction, no number)."""
    images = write_images(tmp_path / "images")
    (images / "cut.png").write_bytes((images / "wide.png").read_bytes()[:500])
    write_singular(images / "singular.nii")
    nibabel.save(nibabel.Nifti1Image(np.full((8, 8, 2), np.nan, np.float32), np.eye(4)), images / "nothing.nii")
    with pytest.raises(RuntimeError) as raised:
        infer(model, images, tmp_path / "out")
    error = cause(raised.value)
    assert isinstance(error, UnfinishedError)
    head, *lines, where = str(error).splitlines()
    assert where.strip().startswith("what is done is in ")
    assert head == "3 images done, 3 not:"
    assert [Path(line.strip().partition(": ")[0]).name for line in lines] == ["cut.png", "nothing.nii", "singular.nii"]
    assert names(tmp_path / "out" / "existence.csv") == ["square", "volume", "wide"]
    infer(model, images / "square.png", tmp_path / "out", "ventricle")
    assert visible(tmp_path / "out") == {"existence.csv", "square_ventricle.png"}


@pytest.mark.parametrize("output", ["images", "images/../images", "link"])
def test_results_do_not_go_among_the_images(model: Path, output: str, tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    Image.new("L", (9, 9)).save(tmp_path / "images" / "wide_brain.png")
    (tmp_path / "link").symlink_to("images")
    before = contents(tmp_path)
    with pytest.raises(RuntimeError) as raised:
        infer(model, tmp_path / "images", tmp_path / output)
    assert isinstance(cause(raised.value), OutputFolderError)
    assert contents(tmp_path) == before


def numbers(bad: Sequence[int]) -> Dataset:
    """Items without files; some cannot be had."""

    def transform(record: dict[str, Any]) -> dict[str, Any]:
        index = int(record["name"])
        if index in bad:
            raise ValueError(f"{index} is bad\nand more lines")
        return {"x": torch.tensor([index]), "name": f"{index}"}

    records = [{"image": f"{index}.png", "prompt": "brain", "name": f"{index}"} for index in range(6)]
    return Dataset(records, transform)


class _Evaluator:
    """Takes batches until it is interrupted."""

    def __init__(self, loader: PredictionLoader, most: int = 100) -> None:
        self.loader, self.most, self.seen = loader, most, list[int]()

    def run(self) -> None:
        for batch in self.loader:
            if len(self.seen) >= self.most:
                raise KeyboardInterrupt
            self.seen += batch["x"].flatten().tolist()


@pytest.mark.parametrize(("most", "line"), [(0, "No image was done."), (2, "2 of 6 images done, masks and ")])
def test_an_interruption_says_what_is_kept(most: int, line: str, tmp_path: Path) -> None:
    loader = PredictionLoader(numbers([]), tmp_path)
    with pytest.raises(KeyboardInterrupt) as raised:
        loader.run(_Evaluator(loader, most))  # type: ignore[arg-type]
    (note,) = raised.value.__notes__
    assert note.startswith(line)


@pytest.mark.parametrize(
    ("batch_size", "num_workers", "bad"),
    [(1, 0, []), (1, 0, [0]), (1, 0, [2, 5]), (2, 0, [0, 1]), (4, 0, [2, 5]), (2, 1, [0, 3])],
)
def test_batches_without_what_is_bad(batch_size: int, num_workers: int, bad: list[int], tmp_path: Path) -> None:
    loader = PredictionLoader(numbers(bad), tmp_path, batch_size, num_workers)
    assert operator.length_hint(loader) == -(-6 // batch_size)
    evaluator = _Evaluator(loader)
    if not bad:
        loader.run(evaluator)  # type: ignore[arg-type]
        assert evaluator.seen == list(range(6))
        return
    with pytest.raises(UnfinishedError) as raised:
        loader.run(evaluator)  # type: ignore[arg-type]
    assert evaluator.seen == [index for index in range(6) if index not in bad]
    *lines, where = str(raised.value).splitlines()
    assert where.strip() == f"what is done is in {tmp_path}"
    assert lines[0] == f"{6 - len(bad)} images done, {len(bad)} not:"
    assert [line.strip() for line in lines[1:]] == [
        f"{index}.png: expected an image that can be segmented, found {index} is bad" for index in bad
    ]


def loader(images: Path, output: Path) -> PredictionLoader:
    return PredictionLoader(Dataset(find_records(images, "brain")), output)


def test_nothing_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("no image")
    with pytest.raises(DatasetProblems, match=r"a\.png"):
        loader(tmp_path / "images", tmp_path / "out").prepare()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["wide_brain.png", "existence.csv", "volume_brain.nii.gz"])
def test_a_file_of_somebody_else_is_found_before_the_start(name: str, tmp_path: Path) -> None:
    write_images(tmp_path / "images")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_bytes(b"of the user")
    with pytest.raises(NotOursError, match=name.replace(".", r"\.")):
        loader(tmp_path / "images", tmp_path / "out").prepare()
    assert contents(tmp_path / "out") == {name: b"of the user"}
