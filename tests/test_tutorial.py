# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``docs/tutorial.ipynb`` runs from its first cell to its last, and what it shows is what it does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import nbformat
import numpy as np
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode
from PIL import Image

from tools import run_tutorial
from tools.run_tutorial import NOTEBOOK, execute, tidy

LARGEST = 600_000  # bytes, so that GitHub shows it
NOISE = re.compile(r"\r|it/s|image/s|Warning|Traceback")
MACHINE = re.compile(r"/(?:home|root|work|Users|usr|opt|var|private)/|/tmp/(?!tutorial/)|site-packages")


class Run(NamedTuple):
    """An executed notebook and the folder that it wrote to."""

    notebook: NotebookNode
    folder: Path


def committed() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def printed(notebook: NotebookNode) -> str:
    return "".join(output.text for output in outputs(notebook) if output.get("name") == "stdout")


def tables(notebook: NotebookNode) -> list[str]:
    found = [output.get("data", {}) for output in outputs(notebook)]
    return [data["text/markdown"] for data in found if "text/markdown" in data]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("tutorial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        notebook = tidy(execute(folder))
    (work,) = folder.glob("tutorial_*")
    return Run(notebook, work)


def test_committed_outputs_are_those_of_one_run_without_errors() -> None:
    cells = code_cells(committed())
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert {output.output_type for output in outputs(committed())} == {"stream", "execute_result", "display_data"}
    assert sum("image/png" in output.get("data", {}) for output in outputs(committed())) >= 4


def test_committed_file_is_small_and_names_no_machine() -> None:
    text = "\n".join([printed(committed()), *tables(committed())])
    assert NOTEBOOK.stat().st_size < LARGEST
    assert not any(output.get("name") == "stderr" for output in outputs(committed()))
    assert not NOISE.findall(text) + MACHINE.findall(text)


def test_links_exist() -> None:
    text = "\n".join(cell.source for cell in committed().cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert len(links) > 5
    assert not [link for link in links if not (NOTEBOOK.parent / link).exists()]


def test_tidy_is_done() -> None:
    assert tidy(committed()).metadata == committed().metadata
    assert [out.get("text") for out in outputs(tidy(committed()))] == [out.get("text") for out in outputs(committed())]


def test_a_failing_cell_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("%%bash\nls nonsense")])
    nbformat.write(notebook, tmp_path / "bad.ipynb")
    monkeypatch.setattr(run_tutorial, "NOTEBOOK", tmp_path / "bad.ipynb")
    with pytest.raises(CellExecutionError, match="nonsense"):
        execute(tmp_path)


@pytest.mark.slow
class TestRun:
    """One run for all of these."""

    def test_every_cell_ran(self, run: Run) -> None:
        cells = code_cells(run.notebook)
        assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
        assert all(output.output_type != "error" for output in outputs(run.notebook))

    def test_prints_what_is_committed(self, run: Run) -> None:
        number = re.compile(r"\d[\d.]*(?:e-\d+)?")
        assert number.sub("0", printed(run.notebook)) == number.sub("0", printed(committed()))

    def test_lists(self, run: Run) -> None:
        lists = [
            json.loads((run.folder / "mydata" / f"{split}.json").read_text()) for split in ("train", "val", "test")
        ]
        assert [len(records) for records in lists] == [14, 5, 5]
        assert "result: sound" in printed(run.notebook)

    def test_scores(self, run: Run) -> None:
        metrics = json.loads((run.folder / "results/vlsm_dense/metrics.json").read_text())
        assert metrics["by_tag"]["class"]["mean"]["val_dice"] > 0.6
        assert (run.folder / "report/report.html").stat().st_size > 10_000
        assert len(tables(run.notebook)) == 2
        assert all("| mydata | p1 | 5 |" in table for table in tables(run.notebook))

    @pytest.mark.parametrize("name", ["grey_matter", "white_matter"])
    def test_masks(self, run: Run, name: str) -> None:
        (file,) = (run.folder / "masks").glob(f"*_{name}.png")
        mask = np.asarray(Image.open(file))
        assert mask.shape == (160, 160)
        assert set(np.unique(mask)) == {0, 255}

    def test_bank(self, run: Run) -> None:
        base, dense, shallow = (
            float(re.search(rf"^{name} ([\d.]+) MB", printed(run.notebook), re.MULTILINE)[1])  # type: ignore[index]
            for name in ("base", "dense", "shallow")
        )
        assert base > dense + shallow > 0

    def test_onnx(self, run: Run) -> None:
        (difference,) = re.findall(r"logits differ by (\S+)", printed(run.notebook))
        shares = [float(share) for share in re.findall(r"([\d.]+)% of the pixels", printed(run.notebook))]
        assert float(difference) < 1e-3
        assert len(shares) == 2
        assert min(shares) > 99

    def test_label_app(self, run: Run) -> None:
        app = run.folder / "app"
        assert (app / "model/vlsm_dense/models/model.pt").is_file()
        assert (app / "adapters/shallow.pt").is_file()
        assert set(json.loads((app / "prompts.json").read_text())) == {"grey matter", "white matter"}
        assert "monailabel.main start_server --app /tmp/tutorial/app" in printed(run.notebook)
