# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The YAML file of a study that people write, read and checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from monai_vlsm.bundle_files import bundles_folder
from monai_vlsm.names import file_key, file_stem, user_path
from monai_vlsm.studies.keys import StudyError, known, listed, nearest, shown, take
from monai_vlsm.studies.plan import plan_runs
from monai_vlsm.studies.published import published_systems
from monai_vlsm.studies.search_file import read_search, require_fair
from monai_vlsm.studies.study import LEASE, TEST, Dataset, Study, System
from monai_vlsm.studies.values import is_lease, is_seed, is_share, is_style, is_text, settings, text

__all__ = ["read_study", "shipped_studies"]

_SHIPPED = Path(__file__).parent / "files"
_SEEDS = [41, 42, 43]
_KEYS = ["extends", *(name for name in Study.__dataclass_fields__ if name != "left_out")]
_NO_PAPER = (None, "none")  # for a system beside which no value of the paper stands
_LONGEST = 200  # bytes of a name that is that of a folder


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
    content, below = _content(file)
    try:
        return _study(file, content)
    except StudyError as error:
        raise _inherited(error, file, below) from error


def _inherited(error: StudyError, file: Path, below: Sequence[Path]) -> StudyError:
    """The same error of the file in which its reason stands."""
    for base in below:
        try:
            _study(base, _content(base)[0])
        except StudyError as found:
            if str(found) == str(error).replace(str(file), str(base)):
                error, file = found, base
                continue
        break
    return error


def _content(file: Path, above: Sequence[Path] = ()) -> tuple[Mapping[str, Any], list[Path]]:
    """The table of a file, behind that of the study that it extends; a key with null takes one of that away, and tables
    of systems are joined.

    Args:
        file: to read.
        above: the files that extend it, one another.

    Returns:
        the table, and the files that it extends, the nearest first.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8-sig"), _Loader)
    except RecursionError as error:
        raise StudyError(f"cannot read {file}: its lists or tables are too deep") from error
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: no UTF-8, or a date that no calendar has
        raise StudyError(f"cannot read {file}: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise StudyError(f"{file}: expected a table with systems and datasets, got {shown(content)}")
    if "extends" not in content:
        return content, []
    named = text(f"{file}, extends", content["extends"])
    beside, shipped = file.parent / user_path(named), shipped_studies()
    base = beside if beside.is_file() else shipped.get(named.removesuffix(".yaml"), beside)
    if not base.is_file():
        raise StudyError(f"{file}, extends: no study file {base}; give a YAML file, or one of {', '.join(shipped)}")
    if base.resolve() in [one.resolve() for one in (file, *above)]:
        raise StudyError(f"{file}, extends: {named} extends this file, so that neither has a beginning")
    below, files = _content(base, [file, *above])
    table = {**below, "name": file.stem, **content}
    if all(isinstance(one.get("systems"), Mapping) for one in (below, content)):
        table["systems"] = {**below["systems"], **content["systems"]}
    return {key: value for key, value in table.items() if value is not None and key != "extends"}, [base, *files]


class _Loader(yaml.SafeLoader):
    """Refuses a name that stands twice in a table, of which the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """As in yaml, with that check."""
        names = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        twice = [name for index, name in enumerate(names) if name in names[:index]]
        if twice:
            raise yaml.MarkedYAMLError(problem=f"{twice[0]!r} is there twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def _file(path: Path) -> Path:
    shipped = shipped_studies()
    with suppress(OSError):  # a name that is too long
        if path.is_file():
            return path
    if str(path).removesuffix(".yaml") in shipped:
        return shipped[path.stem]
    raise StudyError(f"no study file {path}; give a YAML file, or one that is shipped: {', '.join(shipped)}")


def _study(file: Path, content: Mapping[str, Any]) -> Study:
    table = known(str(file), content, _KEYS)
    systems = {name: _system(f"{file}, system {name}", name, one) for name, one in _named(file, table, "systems")}
    datasets = {name: _dataset(f"{file}, dataset {name}", name, one) for name, one in _named(file, table, "datasets")}
    if not any(dataset.train for dataset in datasets.values()):
        raise StudyError(f"{file}: no dataset to train on, since all have train: false")
    transfer = _groups(f"{file}, transfer", table.get("transfer", {}), "dataset", datasets, True)
    for name in transfer:
        if not datasets[name].train:
            raise StudyError(f"{file}, transfer: nothing is trained on {name}, since it has train: false")
    tables = table.get("tables") or {"Results": list(systems)}
    seeds = listed(f"{file}, seeds", table.get("seeds", _SEEDS), "whole numbers from 0", is_seed)
    study = Study(
        name=_folder_name(f"{file}, name", table.get("name", file.stem)),
        systems=systems,
        datasets=datasets,
        seeds=seeds,
        fractions=listed(f"{file}, fractions", table.get("fractions", [1.0]), "numbers above 0, at most 1", is_share),
        styles=listed(f"{file}, styles", table.get("styles", ["p1"]), "styles, p0 to p9 or random", is_style),
        transfer=transfer,
        settings=settings(f"{file}, settings", table.get("settings")),
        tables=_groups(f"{file}, tables", tables, "system", systems, False),
        figures=_groups(f"{file}, figures", table.get("figures", tables), "system", systems, False),
        lease=float(take(f"{file}, lease", table.get("lease", LEASE), "seconds from 0.1 to a million", is_lease)),
        data=text(f"{file}, data", table.get("data", "data")),
        bundles=text(f"{file}, bundles", table.get("bundles", _bundles())),
        search=read_search(f"{file}, search", table["search"], seeds[0]) if "search" in table else None,
    )
    require_fair(f"{file}, search", study)
    plan_runs(study)  # refuses systems that would share a folder
    return study


def _named(file: Path, table: Mapping[str, Any], key: str) -> list[tuple[str, Any]]:
    found = table.get(key)
    if isinstance(found, list):
        found = dict.fromkeys(listed(f"{file}, {key}", found, "names", is_text))
    if not isinstance(found, Mapping) or not found:
        raise StudyError(f"{file}: expected {key}, a table of names or a list of them, got {shown(found)}")
    names = [text(f"{file}, {key}", name) for name in found]
    if key == "datasets":  # what is evaluated on each, and its leaks, lie in folders and files of its name
        _require_apart(f"{file}, {key}", names)
    return list(found.items())


def _require_apart(place: str, names: Sequence[str]) -> None:
    """No two names may give folders one name, on any file system."""
    taken: dict[str, str] = {}
    for name in names:
        other = taken.setdefault(file_key(file_stem(name)), name)
        if other != name:
            raise StudyError(f"{place}: {other!r} and {name!r} are one name for a folder; rename one of them")


def _folder_name(place: str, value: Any) -> str:
    fits = (
        is_text(value) and len(value.encode()) <= _LONGEST and value not in (".", "..") and not set(value) & set("/\\")
    )
    return str(
        take(place, value, f"a text that can be the name of a folder, of at most {_LONGEST} bytes", lambda _: fits)
    )


def _system(place: str, name: str, value: Any) -> System:
    table = known(place, value, ("bundle", "settings", "paper"))
    bundle = text(f"{place}, bundle", table.get("bundle", name))
    return System(name, bundle, settings(f"{place}, settings", table.get("settings")), _paper(place, name, table))


def _paper(place: str, name: str, table: Mapping[str, Any]) -> str:
    if table.get("paper", name) in _NO_PAPER:
        return ""
    paper = text(f"{place}, paper", table.get("paper", name))
    if "paper" in table and paper not in published_systems():
        raise StudyError(f"{place}, paper: unknown system {paper!r}; {nearest(paper, published_systems())}, or null")
    return paper


def _dataset(place: str, name: str, value: Any) -> Dataset:
    table = known(place, value, ("folder", "test_split", "train", "settings"))
    folder = text(f"{place}, folder", table.get("folder", name))
    split = text(f"{place}, test_split", table.get("test_split", TEST))
    train = take(f"{place}, train", table.get("train", True), "true or false", lambda one: isinstance(one, bool))
    return Dataset(name, folder, split, train, settings(f"{place}, settings", table.get("settings")))


def _groups(place: str, value: Any, what: str, members: Mapping[str, Any], heads: bool) -> dict[str, list[str]]:
    """Names to lists of members; ``heads`` says whether the names are members too."""
    if not isinstance(value, Mapping | None):
        raise StudyError(f"{place}: expected a table of names to lists of {what}s, got {shown(value)}")
    found = {
        text(place, head): listed(f"{place}, {head}", names, f"{what}s", is_text)
        for head, names in (value or {}).items()
    }
    for name in [*(found if heads else ()), *(name for names in found.values() for name in names)]:
        if name not in members:
            raise StudyError(f"{place}: unknown {what} {name!r}; {nearest(name, members)}")
    return found


def _bundles() -> str:
    """The folder of the bundles where none is named: that of the working folder, else those of the package."""
    return "bundles" if Path("bundles").is_dir() else str(bundles_folder())
