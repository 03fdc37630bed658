# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The figures of a study as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_vlsm.names import distinct, file_stem
from monai_vlsm.outputs import Outputs
from monai_vlsm.studies.cells import cells_of
from monai_vlsm.studies.charts import draw_chart
from monai_vlsm.studies.folder import StudyFolder
from monai_vlsm.studies.images import find_images
from monai_vlsm.studies.panels import draw_images
from monai_vlsm.studies.tables import main_prompts

__all__ = ["write_figures"]

_IMAGES = "images"


def write_figures(folder: StudyFolder, output: Path, images: Sequence[str] = ()) -> list[Path]:
    """A chart for each entry of ``figures`` in the study file, and the same images by the systems of its first table.

    Only class prompts count, as in the main table.

    Args:
        folder: of the study.
        output: folder of the files, SVG and PNG; older figures in it are replaced, other files are not.
        images: names of images to show, before the worst ones.

    Returns:
        The files; without images where the evaluations wrote no overlays.

    Raises:
        StudyError: an image that not every system has.
        ReportError: files of an evaluation cannot be read.
        NotOursError: a file that no study wrote has the name of one of them.
        WriteError: a file cannot be written.
    """
    cells = [cell for cell in cells_of(folder) if cell.prompts == main_prompts(folder.study)]
    charts = folder.study.figures
    _, *names = distinct([_IMAGES, *map(file_stem, charts)])
    drawn = {
        name: draw_chart(title, systems, [cell for cell in cells if cell.system in systems])
        for name, (title, systems) in zip(names, charts.items(), strict=True)
    }
    first = next(iter(folder.study.tables.values()))
    drawn[_IMAGES] = draw_images(find_images(folder, first), images)
    outputs = Outputs(output, "study figures")
    files = {f"{name}.{kind}": content for name, kinds in drawn.items() for kind, content in kinds.items()}
    outputs.require_free(files)
    for name, content in files.items():
        with outputs.writing(name) as path:
            path.write_bytes(content)
    return [output / name for name in files]
