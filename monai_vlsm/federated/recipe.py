# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The federation as a recipe of NVFlare, for its simulator and for its real servers."""

from __future__ import annotations

import importlib
import importlib.util
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_vlsm.checkpoints import SETTINGS_KEY, read, seal
from monai_vlsm.federated.client import site_words
from monai_vlsm.federated.site import Site
from monai_vlsm.federated.terms import FederatedError, terms_of

__all__ = ["adapter_recipe", "federation_sites", "require_federation", "require_nvflare"]

SettingsOf = Mapping[str, Mapping[str, Any]]
_NAME = re.compile(r"\w[\w.-]*")


def require_nvflare() -> None:
    """Check that NVFlare is installed.

    Raises:
        FederatedError: it is not.
    """
    if importlib.util.find_spec("nvflare") is None:
        raise FederatedError("this needs NVFlare: pip install 'monai_vlsm[federated]'")


def require_federation(
    sites: Mapping[str, Any], rounds: int, epochs: int, site_settings: SettingsOf | None = None
) -> None:
    """Check what can be checked before anything is read or written.

    Raises:
        FederatedError: fewer than two sites, names that are no names of folders or mean one folder, settings of a site
            that is none of them, or numbers below 1.
    """
    if len(sites) < 2 or rounds < 1 or epochs < 1:
        raise FederatedError(f"expected two or more sites and numbers from 1, got {len(sites)}, {rounds} and {epochs}")
    for name in sites:
        if not _NAME.fullmatch(name) or name == "server":
            raise FederatedError(
                f"a site cannot be called {name!r}: its name is that of a folder, of letters, digits, dots, dashes and "
                "underscores, and 'server' is that of the server"
            )
    if len({name.casefold() for name in sites}) < len(sites):
        raise FederatedError(f"two of the sites {', '.join(sites)} have the same name but for capital letters")
    strange = sorted((site_settings or {}).keys() - sites.keys())
    if strange:
        raise FederatedError(f"settings of the site {strange[0]}, which is none of {', '.join(sites)}")


def federation_sites(
    bundle: Path,
    sites: Mapping[str, Path],
    start: Path,
    output: Path,
    epochs: int = 1,
    seed: int = 41,
    settings: Mapping[str, Any] | None = None,
    site_settings: SettingsOf | None = None,
) -> dict[str, Site]:
    """The sites of a federation, by their names; arguments and errors as those of `adapter_recipe`.

    What no setting says of the network (adaptation, image size, precision, ...) is that of the model they begin with.
    """
    terms = terms_of(seal(read(start))[SETTINGS_KEY])  # sealed: of the format that sites write, whatever the file has
    made = {}
    for index, (name, data) in enumerate(sites.items()):
        own = {**(settings or {}), **(site_settings or {}).get(name, {})}
        made[name] = Site(bundle, data, output / "sites" / name, terms, epochs, seed + index, own)
    return made


def adapter_recipe(
    bundle: Path,
    sites: Mapping[str, Path],
    start: Path,
    output: Path,
    rounds: int = 4,
    epochs: int = 1,
    seed: int = 41,
    settings: Mapping[str, Any] | None = None,
    site_settings: SettingsOf | None = None,
    python: str = "python3",
) -> Any:
    """Federated averaging of what a bundle trains, weighted by training images.

    Args:
        bundle: folder of the bundle, as each site sees it.
        sites: name of each site to its folder of images, as that site sees it; two or more.
        start: the ``model.pt`` to begin with, on the server.
        output: folder for ``model.pt`` on the server, and for ``sites/NAME`` on each site.
        rounds: how often weights travel.
        epochs: of local training in each round.
        seed: of the first site; each other one has the next.
        settings: of the bundle on all sites.
        site_settings: name of a site to settings of the bundle there, such as where its backbone lies.
        python: what starts Python on the sites, where this package is installed.

    Returns:
        A ``nvflare.app_opt.pt.recipes.FedAvgRecipe``.

    Raises:
        FederatedError: NVFlare is not installed, or as from `require_federation`.
        ModelNotFoundError: no file to begin with.
        ModelMismatchError: it is no model file.
    """
    require_nvflare()
    require_federation(sites, rounds, epochs, site_settings)
    made = federation_sites(bundle, sites, start, output, epochs, seed, settings, site_settings)
    recipe = _averaging(start, output, len(sites), rounds, python)
    recipe._job.set_app_packages(["monai_vlsm"])  # installed on the sites, so not sent as code of the job
    utils: Any = importlib.import_module("nvflare.recipe.utils")
    utils.set_per_site_config(
        recipe, {name: {"train_args": shlex.join(site_words(site))} for name, site in made.items()}
    )
    return recipe


def _averaging(start: Path, output: Path, sites: int, rounds: int, python: str) -> Any:
    recipes: Any = importlib.import_module("nvflare.app_opt.pt.recipes.fedavg")
    aggregators: Any = importlib.import_module("monai_vlsm.federated.aggregator")
    persistors: Any = importlib.import_module("monai_vlsm.federated.persistor")
    return _patient(recipes.FedAvgRecipe)(
        name="federated",
        min_clients=sites,
        num_rounds=rounds,
        train_script=str(Path(__file__).with_name("client.py")),
        launch_external_process=True,
        launch_once=False,  # a process for each round, so that a site whose process died is back in the next
        command=f"{python} -u -m monai_vlsm.federated.client",
        key_metric="val_dice",
        aggregator=aggregators.ImageWeightedAverage(str(start)),
        model_persistor=persistors.TrainedModelPersistor(str(start), str(output / "model.pt")),
    )


def _patient(recipe: Any) -> Any:
    """The recipe with a server that goes on when the process of a site dies."""

    class PatientRecipe(recipe):  # type: ignore[misc]
        def _get_controller_kwargs(self) -> dict[str, Any]:
            return {**super()._get_controller_kwargs(), "ignore_result_error": True}

    return PatientRecipe
