# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Sample datasets that ship with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["is_sample", "sample_dir"]


def sample_dir(name: str = "brain") -> Path:
    """Folder of an embedded sample dataset, to be given to :func:`monai_vlsm.data.load_datalist`.

    Args:
        name: ``"brain"``, slices of the ICBM 152 average brain, or ``"brain_volumes"``, two volumes of it in the layout
            of the Decathlon; each has a README.md.

    Raises:
        ValueError: unknown sample; the message lists the known ones.
    """
    # beside this file and not importlib.resources: MONAI reads paths, so the package cannot run from a zip anyway
    lists = Path(__file__).parent.glob("*/*.json")
    known = {file.parent.name: file.parent for file in lists if file.name in ("train.json", "dataset.json")}
    if name not in known:
        raise ValueError(f"unknown sample {name!r}, known: {', '.join(sorted(known))}")
    return known[name]


def is_sample(dataset_dir: str | Path) -> bool:
    """Tell whether a folder is one of the embedded samples, by its path alone."""
    return Path(dataset_dir).resolve().parent == Path(__file__).resolve().parent
