# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A table and a plot of what ``speed.py`` measured, and tables of what ``gpu.py`` did, from the result files alone.

Replaces the tables in ``docs/speed_benchmarks.md`` and writes ``docs/images/speed.png``::

    python benchmarks/table.py
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from gpu_table import gpu_tables, read_gpu_results
from registry import CASES
from speed import RESULTS

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

DOCS = Path(__file__).parents[1] / "docs"
PAGE, PLOT = DOCS / "speed_benchmarks.md", DOCS / "images" / "speed.png"
START, END = "<!-- table -->", "<!-- end -->"
GPU_START, GPU_END = "<!-- gpu -->", "<!-- end of gpu -->"
OURS, PLAIN, TARGET = "#1f6f8b", "#b8bec4", "#c8553d"
HEAD = ("case", "conditions", "plain", "ours", "measured", "range", "target", "", "GiB", "GFLOP")
Result = dict[str, Any]


def read_results(folder: Path) -> list[Result]:
    """Results of `speed.py` at real size, in the order of its cases.

    Raises:
        SystemExit: when there are none.
    """
    order = {case.name: place for place, case in enumerate(CASES)}
    found = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))]
    chosen = [one for one in found if one.get("case") in order and "holds" in one and not one["conditions"]["quick"]]
    if not chosen:
        raise SystemExit(f"no results of speed.py in {folder}; make them with: python benchmarks/speed.py all")
    return sorted(chosen, key=lambda one: order[one["case"]])


def spread(result: Result) -> tuple[float, float] | None:
    """Lowest and highest speed-up of a repetition; the sides ran in turn, so each has its partner."""
    if result["unit"] != "times as fast":
        return None
    plain, ours = result["plain"], result["ours"]
    share = ours["items"] / plain["items"]
    ratios = [share * a / b for a, b in zip(plain["all_seconds"], ours["all_seconds"], strict=True)]
    return min(ratios), max(ratios)


def table(results: Sequence[Result]) -> str:
    """All results as Markdown."""
    rows = [HEAD, ("---",) * len(HEAD), *(_row(one) for one in results)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(result: Result) -> tuple[str, ...]:
    limits = spread(result)
    bound = "≥" if result["at_least"] else "≤"
    seconds = [f"{result[side]['seconds']:.2f} s" if side in result else "" for side in ("plain", "ours")]
    return (
        result["title"],
        _conditions(result),
        *seconds,
        f"{result['value']:.2f} {result['unit']}",
        f"{limits[0]:.2f} to {limits[1]:.2f}" if limits else "",
        f"{bound} {result['target']:g}",
        "holds" if result["holds"] else "**fails**",
        _both(result, "peak_memory_gib"),
        _both(result, "gflop"),
    )


def _both(result: Result, quantity: str) -> str:
    values = [f"{result[side][quantity]:.1f}" for side in ("plain", "ours") if quantity in result.get(side, {})]
    return " → ".join(values)


def _conditions(result: Result) -> str:
    given = result["conditions"]
    where = result["machine"]["card"] or "CPU"
    return f"{where}, {given['precision']}, batch {given['batch']}{', compiled' if given['compile'] else ''}"


def machines(results: Sequence[Result]) -> str:
    """One sentence for each machine and set of versions that the results come from."""
    said = []
    for result in results:
        facts = result["machine"]
        where = facts["card"] or f"{facts['processor']}, {facts['threads']} threads"
        versions = ", ".join(f"{name} {facts[name]}" for name in ("torch", "monai", "transformers"))
        said.append(f"{where}; {versions}; median of {result['conditions']['repeats']} repetitions after one.")
    return "\n".join(dict.fromkeys(said))


def plot(results: Sequence[Result], file: Path) -> None:
    """Speed-ups with their targets, and peak memory of both sides."""
    faster = [one for one in results if one["unit"] == "times as fast"]
    heavy = [one for one in results if "peak_memory_gib" in one.get("plain", {})]
    shown = [(draw, chosen) for draw, chosen in ((_speed, faster), (_memory, heavy)) if chosen]
    heights = [len(chosen) + 0.9 for _, chosen in shown]
    figure, panels = plt.subplots(
        len(shown), figsize=(10, 0.56 * sum(heights) + 1.6), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for axes, (draw, chosen) in zip(panels[:, 0], shown, strict=True):
        draw(axes, chosen)
        axes.set_yticks(range(len(chosen)), [_label(one, results) for one in chosen], fontsize=9)
        axes.set_ylim(len(chosen) - 0.4, -0.6)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color="#e6e8ea", linewidth=0.8)
        axes.set_axisbelow(True)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=160)
    plt.close(figure)


def _label(result: Result, results: Sequence[Result]) -> str:
    same = [one for one in results if one["title"] == result["title"]]
    title = textwrap.fill(result["title"], 44)
    return title if len(same) == 1 else f"{title}\n{_conditions(result)}"


def _speed(axes: Axes, results: Sequence[Result]) -> None:
    values = [one["value"] for one in results]
    limits = [spread(one) or (one["value"],) * 2 for one in results]
    low = [max(value - lower, 0) for value, (lower, _) in zip(values, limits, strict=True)]
    high = [max(upper - value, 0) for value, (_, upper) in zip(values, limits, strict=True)]
    places = range(len(values))
    axes.barh(places, [value - 1 for value in values], left=1, height=0.55, color=OURS, label="measured")
    axes.errorbar(values, places, xerr=[low, high], fmt="none", ecolor="#22313a", elinewidth=1.2, capsize=3)
    axes.scatter([one["target"] for one in results], places, marker="|", s=320, color=TARGET, linewidths=2.4, zorder=3)
    axes.scatter([], [], marker="|", s=120, color=TARGET, linewidths=2.4, label="target")
    for place, (value, (_, upper)) in enumerate(zip(values, limits, strict=True)):
        end = max(value, upper, results[place]["target"])
        axes.annotate(f"{value:.1f}x", (end, place), (8, 0), textcoords="offset points", va="center", fontsize=9)
    axes.set_xscale("log")
    ends = [*values, *(one["target"] for one in results)]
    axes.set_xlim(min(1, *ends) * 0.95, max(ends) * 1.6)
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500) if tick < max(ends) * 1.6]
    axes.set_xticks(ticks, [f"{tick}x" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_title("Speed-up over the plain way", loc="left", fontsize=11, fontweight="bold")
    _legend(axes)


def _memory(axes: Axes, results: Sequence[Result]) -> None:
    for place, one in enumerate(results):
        before, after = (one[side]["peak_memory_gib"] for side in ("plain", "ours"))
        axes.plot([before, after], [place, place], color=PLAIN, linewidth=3, zorder=1, solid_capstyle="round")
    places = range(len(results))
    for side, colour, label in (("plain", "#7d868e", "plain"), ("ours", OURS, "ours")):
        values = [one[side]["peak_memory_gib"] for one in results]
        axes.scatter(values, places, s=55, color=colour, zorder=2, label=label)
    axes.set_xlim(left=0)
    axes.set_title("Peak memory, GiB", loc="left", fontsize=11, fontweight="bold")
    _legend(axes)


def _legend(axes: Axes) -> None:
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1), frameon=False, fontsize=9, borderaxespad=0)


def replace_table(page: Path, text: str, start: str = START, end: str = END) -> None:
    """Put ``text`` between two marks of a page.

    Raises:
        SystemExit: when the page lacks them.
    """
    content = page.read_text(encoding="utf-8")
    if content.count(start) != 1 or content.count(end) != 1:
        raise SystemExit(f"{page} must hold {start} and {end} once, the table goes between them")
    before, rest = content.split(start)
    page.write_text(f"{before}{start}\n\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Write the table and the plot, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--plot", type=Path, default=PLOT)
    given = parser.parse_args(argv)
    results = read_results(given.results)
    plot(results, given.plot)
    image = Path(os.path.relpath(given.plot, given.page.parent)).as_posix()
    text = f"![Speed-up and peak memory]({image})\n\n{table(results)}\n\n{machines(results)}"
    replace_table(given.page, text)
    if cards := read_gpu_results(given.results):
        replace_table(given.page, gpu_tables(cards), GPU_START, GPU_END)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
