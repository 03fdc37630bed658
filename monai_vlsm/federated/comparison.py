# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Models on each site's own images: of the federation, of all images in one place, of each site alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_vlsm.checkpoints import read
from monai_vlsm.errors import UserError
from monai_vlsm.federated.contribution import one_line
from monai_vlsm.federated.exchange import outgoing, put
from monai_vlsm.federated.site import Site
from monai_vlsm.federated.tables import write_scores
from monai_vlsm.federated.terms import FederatedError
from monai_vlsm.io import save_atomically
from monai_vlsm.statistics import Run, read_run

__all__ = ["compare_models", "evaluate_at_sites", "require_own_lists", "train_rivals"]

logger = logging.getLogger(__name__)


def require_own_lists(pooled: Site, sites: Mapping[str, Site]) -> None:
    """Check that somebody wrote down who validates, among all images in one place and at each site.

    Args:
        pooled: a site that has the images of all.
        sites: of the federation.

    Raises:
        FederatedError: nobody did, so that a training on all images may see what sites validate on.
        UserError: a folder that holds no dataset.
    """
    if pooled.makes_split():
        raise FederatedError(
            f"{pooled.data} has no list of who validates, so a training on it may see images that sites validate on; "
            "give it a val list with those of all sites"
        )
    for name, site in sites.items():
        if site.makes_split():
            raise FederatedError(
                f"site {name}: {site.data} has no list of who validates, so a training on the images of all sites may "
                "see those that this one draws; give it a val list, and the pooled folder the same images in its own"
            )


def train_rivals(sites: Mapping[str, Site], pooled: Site, start: Path, rounds: int, folder: Path) -> dict[str, Path]:
    """Train what a federation is compared with: on all images in one place, and on those of each site alone.

    They begin with the same weights, see each image as often, and end with their last epoch too, so that nothing but
    the exchange differs, and the optimizer, which the rounds of a federation begin anew. A site that cannot train is
    left out with a line in the log.

    Args:
        sites: of the federation.
        pooled: a site that has the images of all.
        start: the ``model.pt`` that the federation began with.
        rounds: of the federation.
        folder: gets a folder for each training.

    Returns:
        ``"pooled"`` and ``"NAME alone"`` to a ``model.pt``.
    """
    models = {}
    for name, site in {"pooled": pooled, **{f"{name} alone": site for name, site in sites.items()}}.items():
        with _left_out(name):
            models[name] = _train_alone(site, start, rounds, folder / name.replace(" ", "_"))
    return models


def _train_alone(site: Site, start: Path, rounds: int, folder: Path) -> Path:
    begin = read(start)
    outcome = replace(site, output=folder, epochs=rounds * site.epochs).train(outgoing(begin), 0)
    save_atomically(put(begin, outcome.weights), folder / "model.pt")
    return folder / "model.pt"


def compare_models(models: Mapping[str, Path], sites: Mapping[str, Site], folder: Path) -> dict[str, list[Run]]:
    """Evaluate models at all sites and write all numbers to ``evaluation.csv``.

    Args:
        models: name to ``model.pt``; the first is compared with the others.
        sites: by name; one whose images cannot be evaluated is left out with a line in the log.
        folder: gets that file, and ``evaluation/MODEL/SITE/PART``.

    Returns:
        part, val and where a site has one test, to a run for each model, in which each site is a dataset.

    Raises:
        FederatedError: no site could evaluate.
        WriteError: when the file cannot be written.
    """
    runs: dict[str, list[Run]] = {}
    for name, model in models.items():
        found = evaluate_at_sites(model, name, sites, folder / "evaluation" / name.replace(" ", "_"))
        for part, run in found.items():
            runs.setdefault(part, []).append(run)
    if not runs:
        raise FederatedError("no site could evaluate the models; why stands in the lines above")
    write_scores(folder / "evaluation.csv", runs)
    return runs


def evaluate_at_sites(model: Path, name: str, sites: Mapping[str, Site], folder: Path) -> dict[str, Run]:
    """Evaluate a model on the images of each site, as `compare_models`, which see."""
    found: dict[str, dict[str, Any]] = {}
    for at, site in sites.items():
        with _left_out(at):
            for part in ("val", "test") if site.has_test() else ("val",):
                scores = read_run(site.evaluate(model, part, folder / at / part)).scores
                found.setdefault(part, {})[at] = scores
    return {part: Run(name, _joined(scores), None, None, None, {}, {}) for part, scores in found.items()}


@contextmanager
def _left_out(name: str) -> Iterator[None]:
    """What a user can mend at one site does not end what is done for all."""
    try:
        yield
    except UserError as error:
        logger.warning("%s is left out: %s", name, one_line(error))


def _joined(scores: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Rows of all sites, with the name of each for that of its dataset; patients of two sites are never one."""
    own = [dict(_named(at, columns)) for at, columns in scores.items()]
    return {key: np.concatenate([one[key] for one in own]) for key in own[0] if all(key in one for one in own)}


def _named(at: str, columns: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    yield from columns.items()
    units = [str(unit).partition(" ") for unit in columns["unit"]]
    yield "dataset", np.full(len(units), at, dtype=object)
    yield "unit", np.array([f"{kind} {at}/{rest}" for kind, _, rest in units], dtype=object)
