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
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from PIL import Image

__all__ = ["NOTEBOOK", "execute", "tidy"]

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "docs" / "tutorial.ipynb"
TIMEOUT = 300  # seconds for one cell
COLOURS = 96  # of a picture: enough for grey images with coloured outlines
FOLDER = re.compile(r"/[^\s'\"]*/tutorial_\w+")  # where the notebook works, another name in each run
SHOWN_FOLDER = "/tmp/tutorial"


def execute(path: Path = NOTEBOOK, root: Path = ROOT) -> NotebookNode:
    """Run all cells in a new kernel.

    Args:
        path: the notebook.
        root: folder that the notebook starts in.

    Returns:
        The notebook with outputs.

    Raises:
        nbclient.exceptions.CellExecutionError: when a cell fails; the message shows the cell and its error.
    """
    notebook = nbformat.read(path, as_version=4)
    _find_package()
    client = NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(root)}},
    )
    return client.execute()


def tidy(notebook: NotebookNode) -> NotebookNode:
    """Take out what differs from machine to machine, and make pictures small. Changes the notebook itself."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        cell.outputs = [_tidy_output(output) for output in cell.get("outputs", [])] if "outputs" in cell else []
        if cell.cell_type != "code":
            del cell["outputs"]
    return notebook


def _find_package() -> None:
    """Let the kernel and its commands import the package of this repository, installed or not."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


def _tidy_output(output: NotebookNode) -> NotebookNode:
    if "text" in output:
        output.text = FOLDER.sub(SHOWN_FOLDER, output.text)
    data = output.get("data", {})
    if "image/png" in data:
        data["image/png"] = _small_png(data["image/png"])
    return output


def _small_png(text: str) -> str:
    """A PNG in base64 with fewer colours."""
    picture = Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")
    buffer = io.BytesIO()
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    executed = tidy(execute())
    nbformat.write(executed, NOTEBOOK)
    print(f"{NOTEBOOK.relative_to(ROOT)}: {NOTEBOOK.stat().st_size / 1000:.0f} kB")
