# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm federated``: a federation of sites, tried on one machine."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser(
        "federated",
        help="train on several sites that share adapters and no images, simulated on this machine",
        description="Federated averaging of what a bundle trains, in NVFlare's simulator: each site trains on its own "
        "folder of images, and only trained weights, numbers of images and scores travel. At the end the model is "
        "evaluated on the images of each site.",
    )
    parser.add_argument("--bundle", type=Path, required=True, metavar="DIR", help="folder of a bundle")
    parser.add_argument(
        "--site", dest="sites", action="append", required=True, metavar="NAME=DIR", help="again for each site"
    )
    parser.add_argument("--rounds", type=int, default=4, metavar="N", help="how often weights travel (4)")
    parser.add_argument("--epochs", type=int, default=1, metavar="N", help="epochs on each site in a round (1)")
    parser.add_argument("--seed", type=int, default=41, metavar="N", help="of the first site; the next has the next")
    parser.add_argument("--start-from", type=Path, metavar="MODEL_PT", help="a model.pt to begin with")
    parser.add_argument(
        "--pooled",
        type=Path,
        metavar="DIR",
        help="the images of all sites: train on them too, and on those of each site alone, and compare",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="NAME=VALUE", help="a setting of the bundle"
    )
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> int:
    from monai_vlsm.federated import FederatedError, simulate
    from monai_vlsm.federated.client import read_settings

    try:
        settings, sites = read_settings(args.settings), dict(word.split("=", 1) for word in args.sites)
    except ValueError as error:
        raise FederatedError("--site and --set: expected NAME=DIR and NAME=VALUE") from error
    if len(sites) < len(args.sites):
        raise FederatedError("--site: two sites have the same name")
    places = {name: Path(folder).absolute() for name, folder in sites.items()}
    _require(args, places, settings)
    numbers = {"rounds": args.rounds, "epochs": args.epochs, "seed": args.seed}
    _print_rounds(simulate(args.bundle, places, args.output, args.start_from, settings, **numbers))
    _compare(args, places, settings)
    files = ("model.pt", "rounds.csv", "evaluation.csv")
    print(", ".join(str(args.output / name) for name in files))
    return 0


def _require(args: argparse.Namespace, places: Mapping[str, Path], settings: Mapping[str, Any]) -> None:
    """Check before the hours that the federation takes what is needed after them."""
    from monai_vlsm.federated import Site, require_own_lists
    from monai_vlsm.federated.simulate import require_simulation

    require_simulation(args.bundle, places, args.output, args.rounds, args.epochs)
    if args.pooled:
        pooled = Site(args.bundle.absolute(), args.pooled.absolute(), args.output, {}, settings=settings)
        require_own_lists(pooled, {name: replace(pooled, data=data) for name, data in places.items()})


def _print_rounds(rows: Sequence[Mapping[str, Any]]) -> None:
    print(f"{'site':12} round images    kB sent  Dice of the received model")
    for row in rows:
        said = f"not in this round: {row['refused']}" if "refused" in row else f"{row.get('val_dice', 0):.3f}"
        print(f"{row['site']:12} {row['round']:5} {row.get('images', 0):6} {row.get('bytes', 0) / 1000:10.0f}  {said}")


def _compare(args: argparse.Namespace, places: Mapping[str, Path], settings: Mapping[str, Any]) -> None:
    from monai_vlsm.federated import compare_models, difference_table, federation_sites, site_table, train_rivals
    from monai_vlsm.tables import text_table

    folder = args.output.absolute()
    start = args.start_from or folder / "start.pt"
    sites = federation_sites(args.bundle.absolute(), places, start, folder, args.epochs, args.seed, settings)
    models = {"federated": folder / "model.pt"}
    if args.pooled:
        pooled = replace(next(iter(sites.values())), data=args.pooled.absolute())
        models |= train_rivals(sites, pooled, start, args.rounds, folder / "rivals")
    for part, runs in compare_models(models, sites, folder).items():
        for title, table in (("Dice", site_table(runs)), ("difference in Dice", difference_table(runs))):
            if table.rows:
                print(f"\n{title}, images of each site: {part}\n{text_table(table.header, table.rows)}")
    print()
