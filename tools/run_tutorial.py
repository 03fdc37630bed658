# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Run ``docs/tutorial.ipynb`` from its first cell to its last and save it with small outputs.

    python tools/run_tutorial.py

It needs what ``pip install -e ".[test]"`` brings. An error in a cell ends the run, and nothing is saved.
"""

from __future__ import annotations

import base64
import io
import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

__all__ = ["NOTEBOOK", "execute", "tidy"]

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
TIMEOUT = 300  # seconds for one cell
COLOURS = 96  # of an image: enough for grey images with coloured outlines
FOLDER = re.compile(r"/[^\s'\"]*/tutorial_\w+")  # where the notebook works, another name in each run
SHOWN_FOLDER = "/tmp/tutorial"


def execute(folder: str | Path) -> NotebookNode:
    """Run all cells in a new kernel, on the package of this repository, installed or not.

    Args:
        folder: where the notebook makes its temporary folder.

    Returns:
        The notebook with outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell fails; the message shows the cell and its error.
    """
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "TMPDIR": str(folder)}
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
    )
    return client.execute(env=environment)


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Take out what differs from machine to machine, and make images small. Changes the notebook itself.

    What goes to stderr is left out: progress bars, and what libraries say about packages that a machine lacks.
    """
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [_tidy_output(output) for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def _tidy_output(output: NotebookNode) -> NotebookNode:
    if "text" in output:
        output.text = FOLDER.sub(SHOWN_FOLDER, output.text)
    data = output.get("data", {})
    data.pop("image/jpeg", None)  # pillow gives each image twice
    if "image/png" in data:
        data["image/png"] = _small_png(data["image/png"])
    return output


def _small_png(text: str) -> str:
    """A PNG in base64 with fewer colours."""
    image = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        executed = tidy(execute(folder))
    nbformat.write(executed, NOTEBOOK)
    print(f"{NOTEBOOK.relative_to(ROOT)}: {NOTEBOOK.stat().st_size / 1000:.0f} kB")
