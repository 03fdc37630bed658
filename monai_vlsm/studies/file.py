# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The YAML file of a study that people write, read and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from monai_vlsm.bundle_files import bundles_folder
from monai_vlsm.studies.keys import StudyError, known, listed, nearest, take
from monai_vlsm.studies.study import LEASE, Dataset, Study, System

__all__ = ["read_study", "shipped_studies"]

_SHIPPED = Path(__file__).parent / "files"
_SEEDS = [41, 42, 43]
_POWER = re.compile(r"[+-]?\d+e[+-]?\d+", re.IGNORECASE)
# what a study decides for each run, so that no system and no dataset can set it
_OURS = ("seed", "fraction", "resume", "output_dir", "ckpt_dir", "dataset_dir", "dataset", "styles", "model_file")


def shipped_studies() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.yaml"))}


def read_study(path: str | Path) -> Study:
    """Read a study file.

    Args:
        path: of the file, or the name of one of `shipped_studies`.

    Raises:
        StudyError: no such file, or anything in it that is wrong; nothing of it has been used by then.
    """
    file = _file(Path(path))
    try:
        content = yaml.load(file.read_text(encoding="utf-8-sig"), _Loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StudyError(f"cannot read {file}: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise StudyError(f"{file}: expected a table with systems and datasets, got {content!r}")
    return _study(file, content)


class _Loader(yaml.SafeLoader):
    """Refuses a name that stands twice in a table, of which the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As in yaml, with that check."""
        names = [key.value for key, _ in node.value]
        twice = [name for index, name in enumerate(names) if name in names[:index]]
        if twice:
            raise yaml.MarkedYAMLError(problem=f"{twice[0]!r} is there twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _file(path: Path) -> Path:
    shipped = shipped_studies()
    if path.is_file():
        return path
    if str(path).removesuffix(".yaml") in shipped:
        return shipped[path.stem]
    raise StudyError(f"no study file {path}; give a YAML file, or one that is shipped: {', '.join(shipped)}")


def _study(file: Path, content: Mapping[str, Any]) -> Study:
    table = known(str(file), content, Study.__dataclass_fields__)
    systems = {name: _system(f"{file}, system {name}", name, one) for name, one in _named(file, table, "systems")}
    datasets = {name: _dataset(f"{file}, dataset {name}", name, one) for name, one in _named(file, table, "datasets")}
    if not any(dataset.train for dataset in datasets.values()):
        raise StudyError(f"{file}: no dataset to train on, since all have train: false")
    transfer = _groups(f"{file}, transfer", table.get("transfer", {}), "dataset", datasets, True)
    for name in transfer:
        if not datasets[name].train:
            raise StudyError(f"{file}, transfer: nothing is trained on {name}, since it has train: false")
    tables = table.get("tables", {"Results": list(systems)})
    return Study(
        name=_text(f"{file}, name", table.get("name", file.stem)),
        systems=systems,
        datasets=datasets,
        seeds=listed(f"{file}, seeds", table.get("seeds", _SEEDS), "whole numbers from 0", _is_seed),
        fractions=listed(f"{file}, fractions", table.get("fractions", [1.0]), "numbers above 0, at most 1", _is_share),
        styles=listed(f"{file}, styles", table.get("styles", ["p1"]), "styles such as p1 or random", _is_text),
        transfer=transfer,
        settings=_settings(f"{file}, settings", table.get("settings")),
        tables=_groups(f"{file}, tables", tables, "system", systems, False),
        figures=_groups(f"{file}, figures", table.get("figures", tables), "system", systems, False),
        lease=float(take(f"{file}, lease", table.get("lease", LEASE), "seconds above 0", _is_positive)),
        data=_text(f"{file}, data", table.get("data", "data")),
        bundles=_text(f"{file}, bundles", table.get("bundles", _bundles())),
    )


def _named(file: Path, table: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    found = table.get(key)
    if isinstance(found, list):
        found = dict.fromkeys(listed(f"{file}, {key}", found, "names", _is_text))
    if not isinstance(found, Mapping) or not found:
        raise StudyError(f"{file}: expected {key}, a table of names or a list of them, got {found!r}")
    return [(_text(f"{file}, {key}", name), value) for name, value in found.items()]


def _system(place: str, name: str, value: Any) -> System:
    table = known(place, value, ("bundle", "settings", "paper"))
    bundle = _text(f"{place}, bundle", table.get("bundle", name))
    settings = _settings(f"{place}, settings", table.get("settings"))
    return System(name, bundle, settings, _text(f"{place}, paper", table.get("paper", name)))


def _dataset(place: str, name: str, value: Any) -> Dataset:
    table = known(place, value, ("folder", "test_split", "train", "settings"))
    folder = _text(f"{place}, folder", table.get("folder", name))
    split = _text(f"{place}, test_split", table.get("test_split", "test"))
    train = take(f"{place}, train", table.get("train", True), "true or false", lambda one: isinstance(one, bool))
    return Dataset(name, folder, split, train, _settings(f"{place}, settings", table.get("settings")))


def _settings(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping | None) or not all(map(_is_text, value or {})):
        raise StudyError(f"{place}: expected a table of settings of the bundle, got {value!r}")
    for name in value or {}:
        if name in _OURS:
            raise StudyError(f"{place}: {name} is what the study decides for each run; leave it out")
    return {name: _number(one) for name, one in (value or {}).items()}


def _number(value: Any) -> Any:
    """YAML takes 1e-3 for a text, since it has no dot."""
    return float(value) if isinstance(value, str) and _POWER.fullmatch(value) else value


def _groups(place: str, value: Any, what: str, members: Mapping[str, Any], heads: bool) -> dict[str, list[str]]:
    """Names to lists of members; ``heads`` says whether the names are members too."""
    if not isinstance(value, Mapping | None):
        raise StudyError(f"{place}: expected a table of names to lists of {what}s, got {value!r}")
    found = {
        _text(place, head): listed(f"{place}, {head}", names, f"{what}s", _is_text)
        for head, names in (value or {}).items()
    }
    for name in [*(found if heads else ()), *(name for names in found.values() for name in names)]:
        if name not in members:
            raise StudyError(f"{place}: unknown {what} {name!r}; {nearest(name, members)}")
    return found


def _text(place: str, value: Any) -> str:
    return str(take(place, value, "a text", _is_text))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _is_seed(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**32


def _is_share(value: Any) -> bool:
    return _is_positive(value) and value <= 1


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _bundles() -> str:
    """The folder of the bundles where none is named: that of the working folder, else those of the package."""
    return "bundles" if Path("bundles").is_dir() else str(bundles_folder())
