# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The tables of a study: systems side by side, what each training took, which systems differ."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

from monai_vlsm.statistics import words
from monai_vlsm.statistics.columns import natural
from monai_vlsm.studies.cells import PAPER, Cell, Place, Prompts, Scored, prompts_title
from monai_vlsm.studies.comparisons import SystemPair
from monai_vlsm.studies.published import Published, published
from monai_vlsm.studies.study import CLASS, RANDOM, TEST, Study
from monai_vlsm.tables import Cell as Number
from monai_vlsm.tables import Table

__all__ = [
    "LEAK",
    "MIXED",
    "SCALES",
    "anchor",
    "columns_of",
    "cost_table",
    "main_prompts",
    "other_rows",
    "pairs_table",
    "paper_value",
    "place_name",
    "places_of",
    "runs_table",
    "score_table",
]

METRIC_NAMES = ("Dice, %", "IoU, %", "HD95, px")
SCALES = (100.0, 100.0, 1.0)
LEAK, MIXED = "\N{DAGGER}", "\N{DOUBLE DAGGER}"


def main_prompts(study: Study) -> Prompts:
    """The prompts of the main table: the first style of the study, and of it what gives nothing of the mask away."""
    return Prompts(next((style for style in study.styles if style != RANDOM), RANDOM), CLASS)


def columns_of(study: Study, systems: Sequence[str]) -> list[tuple[str, Prompts]]:
    """System and prompts of each column; the paper's way to test has a column of its own beside each."""
    kinds = [main_prompts(study), *([PAPER] if RANDOM in study.styles else [])]
    return [(system, prompts) for system in systems for prompts in kinds]


def places_of(cells: Sequence[Cell]) -> list[Place]:
    """Rows, in the order of the cells, the shares of a dataset from small to large."""
    order = {name: index for index, name in enumerate(dict.fromkeys(cell.place.trained for cell in cells))}
    return sorted(
        {cell.place for cell in cells},
        key=lambda one: (order[one.trained], one.tested != one.trained, one.tested, one.fraction),
    )


def place_name(place: Place) -> str:
    """A row as a text."""
    share = f", {100 * place.fraction:g}{words.PERCENT} of the data" if place.fraction < 1 else ""
    return f"{place.trained}{share}" + (f", tested on {place.tested}" if place.tested != place.trained else "")


def score_table(study: Study, systems: Sequence[str], cells: Mapping[tuple[str, Place, Prompts], Cell]) -> Table:
    """Three rows for each place, a column or two for each system; cells that are missing are empty."""
    columns = columns_of(study, systems)
    header = ["dataset", "score", *(_title(system, prompts) for system, prompts in columns)]
    rows: list[list[str | Number]] = []
    for place in places_of(list(cells.values())):
        for metric, name in enumerate(METRIC_NAMES):
            found = [cells.get((system, place, prompts)) for system, prompts in columns]
            rows.append([place_name(place), name, *(_number(study, cell, metric) for cell in found)])
    return Table(header, rows)


def _title(system: str, prompts: Prompts) -> str:
    return f"{system} ({prompts_title(prompts)})" if prompts == PAPER else system


def _number(study: Study, cell: Cell | None, metric: int) -> Number:
    if cell is None or cell.estimates[metric].mean is None:
        return Number("")
    estimate, deviation = cell.estimates[metric], cell.deviations[metric]
    scale = SCALES[metric]
    spread = "" if deviation is None else f" ± {words.decimals(scale * deviation, 2)}"
    marks = (LEAK if cell.leaks else "") + (MIXED if cell.is_mixed else "")
    details = [words.plural(len(cell.scored), "seed")]
    if estimate.low is not None and estimate.high is not None:
        details.insert(0, f"{words.decimals(scale * estimate.low, 2)} to {words.decimals(scale * estimate.high, 2)}")
    known = paper_value(study, cell)
    if known is not None:
        change = scale * (estimate.mean or 0) - known.scores[metric]
        details.append(f"paper {words.decimals(known.scores[metric], 2)}, {_signed(change)}")
    main = f"{words.decimals(scale * (estimate.mean or 0), 2)}{spread}{marks}"
    return Number(main, tuple(details), anchor(cell.system, cell.place))


def _signed(value: float | None) -> str:
    return ("+" if value is not None and value > 0 else "") + words.decimals(value, 2)


def paper_value(study: Study, cell: Cell) -> Published | None:
    """What the paper printed for a cell of the main table; it trained on all data and tested on the list for it."""
    place = cell.place
    whole = place.trained == place.tested and place.fraction == 1 and cell.prompts in (main_prompts(study), PAPER)
    tests = whole and study.datasets[place.tested].test_split == TEST
    return published(study.systems[cell.system].paper, place.trained) if tests else None


def anchor(system: str, place: Place) -> str:
    """Name of the part of a page that tells where the numbers of a cell come from."""
    names = (system, place.trained, place.tested, f"{place.fraction:g}")
    return "runs-" + "-".join("".join(map(_in_anchor, name)) for name in names)


def _in_anchor(letter: str) -> str:
    return letter if letter.isalnum() and letter.isascii() else f"_{ord(letter):x}"


def cost_table(study: Study, systems: Sequence[str], cells: Sequence[Cell]) -> Table:
    """What each system trains and how long that takes."""
    header = ("system", "trainable parameters", "paper: millions", "runs", "seconds of a training", "Wh of a training")
    return Table(header, [_cost(study, system, cells) for system in systems])


def _cost(study: Study, system: str, cells: Sequence[Cell]) -> list[str | Number]:
    results = {one.run.name: one.result for cell in cells if cell.system == system for one in cell.scored}.values()
    parameters = sorted({result["parameters"] for result in results if result.get("parameters") is not None})
    known = next((found for name in study.datasets if (found := published(study.systems[system].paper, name))), None)
    millions = "" if known is None or known.parameters is None else f"{known.parameters:g}"
    shown = ", ".join(f"{number:,}" for number in parameters)
    runs = Number(str(len(results)) if results else "")
    means = [_mean_of(results, key) for key in ("seconds", "watt_hours")]
    return [system, Number(shown), Number(millions), runs, *means]


def _mean_of(results: Collection[Mapping[str, Any]], key: str) -> Number:
    """Over the runs that know it."""
    found = [result[key] for result in results if result.get(key) is not None]
    return Number(f"{mean(found):,.0f}" if found else "")


def pairs_table(pairs: Sequence[SystemPair]) -> Table:
    """Every comparison."""
    header = ["dataset", "system", "against", "seeds", "images or patients", "Dice, points", "p", "p, Holm"]
    return Table(header, [_pair(pair) for pair in pairs])


def _pair(pair: SystemPair) -> list[str | Number]:
    values = (pair.change.mean, pair.change.low, pair.change.high)
    middle, low, high = (_signed(None if value is None else 100 * value) for value in values)
    change = Number(middle, (f"{low} to {high}",) if pair.change.low is not None else ())
    names, counts = [place_name(pair.place), pair.other, pair.first], [Number(str(pair.seeds)), Number(str(pair.units))]
    return [*names, *counts, change, words.p_value(pair.p), words.p_value(pair.corrected)]


def other_rows(study: Study, cells: Sequence[Cell]) -> Table | None:
    """Cells with prompts that no main table may hold, a row each; None if there are none."""
    shown = {main_prompts(study), PAPER}
    rest = [cell for cell in cells if cell.prompts not in shown]
    rest.sort(key=lambda cell: (natural(cell.prompts.style), cell.prompts.tag))
    header = ["prompts", "dataset", "system", *METRIC_NAMES]
    rows: list[list[str | Number]] = [
        [prompts_title(cell.prompts), place_name(cell.place), cell.system, *(_number(study, cell, i) for i in range(3))]
        for cell in rest
    ]
    return Table(header, rows) if rows else None


def runs_table(cell: Cell) -> Table:
    """Where the numbers of a cell come from, a row for each seed."""
    header = ("seed", "folder", "log", "commit", "versions", "lists", "model", "settings")
    return Table(header, [tuple(_run(one)) for one in cell.scored])


def _run(one: Scored) -> Iterator[str]:
    result, evaluation = one.result, one.evaluation
    yield str(one.run.seed)
    yield str(evaluation["folder"])
    yield f"runs/{one.run.name}/{result.get('log', '')}"
    yield str(result.get("commit", ""))
    yield _listed(evaluation.get("versions") or {})
    yield _listed({name: digest[:12] for name, digest in (result.get("lists") or {}).items()})
    yield str(evaluation.get("model") or "")[:12]
    yield _listed({"bundle": one.run.bundle, **one.run.settings})


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
