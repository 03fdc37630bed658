# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A whole federation on one machine, by NVFlare's simulator."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from monai.bundle import create_workflow

from monai_vlsm.federated.recipe import SettingsOf, adapter_recipe, require_federation, require_nvflare
from monai_vlsm.federated.rounds import read_rounds
from monai_vlsm.federated.terms import FederatedError
from monai_vlsm.io import save_atomically, write_rows

__all__ = ["require_simulation", "simulate", "untrained_model"]

_COLUMNS = ("site", "round", "images", "bytes", "val_dice", "val_iou", "val_hd95", "val_loss", "refused")
LOST = "it was not heard of; its process may have died, see its log in the workspace"


def untrained_model(bundle: Path, data: Path, path: Path, settings: Mapping[str, Any]) -> Path:
    """Write what a bundle begins its training with as a ``model.pt``.

    Args:
        bundle: folder of the bundle.
        data: a folder of images, which decides what the bundle takes for its own data.
        path: the file.
        settings: of the bundle.
    """
    own = {"bundle_root": str(bundle), "dataset_dir": str(data)}
    workflow = create_workflow(
        config_file=str(bundle / "configs" / "train.json"),
        workflow_type="train",
        logging_file=False,
        **{"device": "cpu", **settings, **own},
    )
    save_atomically(workflow.parser.get_parsed_content("trained").state_dict(), path)
    return path


def require_simulation(
    bundle: Path,
    sites: Mapping[str, Path],
    output: Path,
    rounds: int,
    epochs: int,
    site_settings: SettingsOf | None = None,
) -> None:
    """Check what can be checked before anything is read or written; arguments as those of `simulate`.

    Raises:
        FederatedError: NVFlare is not installed, the bundle is none, a site has no folder, the output folder is in use,
            or as from `monai_vlsm.federated.recipe.require_federation`.
    """
    require_nvflare()
    require_federation(sites, rounds, epochs, site_settings)
    for name in ("train.json", "evaluate.json"):
        if not (bundle / "configs" / name).is_file():
            raise FederatedError(f"{bundle} is no bundle: it has no configs/{name}; monai_vlsm bundle copies one")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FederatedError(f"{output} is not empty; give a new folder")
    for name, data in sites.items():
        if not Path(data).exists():  # a folder, or the file of a list
            raise FederatedError(f"site {name}: {data} is not there; give the folder with the images of the site")


def simulate(
    bundle: Path,
    sites: Mapping[str, Path],
    output: Path,
    start: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    site_settings: SettingsOf | None = None,
    rounds: int = 4,
    epochs: int = 1,
    seed: int = 41,
) -> list[dict[str, Any]]:
    """Run a federation; writes ``model.pt``, ``rounds.csv``, and a folder for each site.

    Args:
        bundle: folder of the bundle.
        sites: name of each site to its folder of images.
        output: a new folder.
        start: the ``model.pt`` to begin with; None is the untrained one of the bundle.
        settings: of the bundle on all sites.
        site_settings: name of a site to settings of the bundle there.
        rounds: how often weights travel.
        epochs: of local training in each round.
        seed: of the first site; each other one has the next.

    Returns:
        What each site wrote down of each round; of one whose process died in it, that it was not heard of.

    Raises:
        FederatedError: as from `require_simulation`, no site trained, or the simulator failed.
    """
    require_simulation(bundle, sites, output, rounds, epochs, site_settings)
    folder = output.absolute()
    places = {name: Path(data).absolute() for name, data in sites.items()}
    root, first = bundle.absolute(), next(iter(places.values()))
    begin = start.absolute() if start else untrained_model(root, first, folder / "start.pt", settings or {})
    numbers = (rounds, epochs, seed)
    recipe = adapter_recipe(root, places, begin, folder, *numbers, settings, site_settings, sys.executable)
    environment: Any = importlib.import_module("nvflare.recipe").SimEnv
    with _reachable(), _no_process_left():
        _execute(recipe, environment(clients=list(places), workspace_root=str(folder / "workspace")), folder)
    rows = [{"site": name, **row} for name in places for row in _told(folder / "sites" / name, rounds)]
    write_rows(folder / "rounds.csv", _COLUMNS, [{key: row.get(key, "") for key in _COLUMNS} for row in rows])
    if not (folder / "model.pt").is_file():
        raise FederatedError(f"no site trained: {'; '.join(_refusals(rows)) or f'see the logs in {folder}/workspace'}")
    return rows


def _execute(recipe: Any, environment: Any, folder: Path) -> None:
    try:
        recipe.run(environment)
    except RuntimeError as error:
        rows = [{"site": one.name, **row} for one in folder.glob("sites/*") for row in read_rounds(one)]
        said = "; ".join(_refusals(rows)) or f"{error}".partition(chr(10))[0]
        raise FederatedError(f"the simulator stopped: {said}. Its logs are in {folder}/workspace") from error


def _told(site: Path, rounds: int) -> list[dict[str, Any]]:
    """The rounds of a site, also those that it said nothing of."""
    told = {row["round"]: row for row in read_rounds(site)}
    return [told.get(number, {"round": number, "refused": LOST}) for number in range(rounds)]


def _refusals(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['site']}, round {row['round']}: {row['refused']}" for row in rows if "refused" in row]


@contextmanager
def _reachable() -> Iterator[None]:
    """Processes of the simulator find this package, wherever they work."""
    before = os.environ.get("PYTHONPATH")
    root = str(Path(__file__).parents[2])
    os.environ["PYTHONPATH"] = os.pathsep.join([root, *([before] if before else [])])
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def _no_process_left() -> Iterator[None]:
    """Ends what the simulator started and has left, also after Ctrl-C."""
    psutil: Any = importlib.import_module("psutil")  # NVFlare brings it
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    try:
        yield
    finally:
        for child in psutil.Process().children(recursive=True):
            if child.pid not in before:
                with suppress(psutil.NoSuchProcess):
                    child.kill()
