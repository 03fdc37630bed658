# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Names that no setting has: the nearest one that exists is suggested."""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from inspect import isclass
from pydoc import locate
from typing import Any

from monai.bundle import ConfigWorkflow
from monai.bundle.config_item import ComponentLocator, ConfigComponent
from monai.bundle.config_parser import ConfigParser
from monai.bundle.reference_resolver import ReferenceResolver
from monai.utils import BundlePropertyConfig

from monai_vlsm.settings.table import SETTINGS, SettingError

__all__ = ["config_texts", "require_known_names", "unread_names"]

_READ_BY_MONAI = (
    "imports",
    "_meta_",
    "displayable_configs",
    "validate",
    "train",
    "run_name",
)  # the last from MonaiAlgo


def require_known_names(workflow: ConfigWorkflow, given: Mapping[str, Any], files: Any) -> None:
    """Refuse names that nothing reads.

    Args:
        workflow: parsed, with all overrides in its config.
        given: what was set beside the config files, by id.
        files: the config files; None where they are not known, then those of the bundle.

    Raises:
        SettingError: a name that neither stands in the files nor is read by a part of the config, one that only a part
            read which was replaced, an id inside a part that the part does not have, or a part that is replaced by a
            mere value.
    """
    original = ConfigParser(_neighbours(workflow) if files is None else ConfigParser.load_config_files(files))
    unread = unread_names(workflow)
    for name in unread:
        if name not in original:
            raise SettingError(_unknown(name, _settings(original)))
    for name, value in given.items():
        if "::" in name and name not in original and not _is_argument(original, name):
            raise SettingError(_unknown(name, _siblings(original, name)))
        if _is_part(original.get(name)):
            _check_replaced(name, value, _read_in(original[name]).intersection(unread, given))


def _check_replaced(name: str, value: Any, lost: set[str]) -> None:
    """A part has another part in its place, and no setting was given that only the old one reads."""
    shown = name.replace("::", "#")
    if not _replaces_a_part(value):
        raise SettingError(f"{shown} is a part of the config and no setting, got {value!r}")
    if lost:
        raise SettingError(
            f"--{min(lost)}: nothing reads it beside the --{shown} that was given; put it there, or leave it out"
        )


def _neighbours(workflow: ConfigWorkflow) -> dict[str, Any]:
    """All configs of the folder in one; what changes parts of another is left out."""
    files = sorted(workflow.config_root_path.glob("*.json"))
    configs = [ConfigParser.load_config_file(file) for file in files if file.stem != "metadata"]
    return {name: value for config in configs for name, value in config.items() if not re.search("#|::", name)}


def unread_names(workflow: ConfigWorkflow) -> list[str]:
    """Entries at the top of a config to which nothing refers, in it or in MONAI."""
    config: Mapping[str, Any] = workflow.parser.get()
    known = _read_in(config)
    known |= {str(one.get(BundlePropertyConfig.ID)).partition("::")[0] for one in (workflow.properties or {}).values()}
    known |= {*_READ_BY_MONAI, workflow.init_id, workflow.run_id, workflow.final_id}
    return [name for name in config if name not in known and not name.startswith("_")]


def _read_in(config: Any) -> set[str]:
    """The names at the top of a config to which something in it refers."""
    references = (ref for text in config_texts(config) for ref in ReferenceResolver.match_refs_pattern(text))
    return {ref.partition("::")[0] for ref in references}


def config_texts(config: Any) -> Iterator[str]:
    """All values of a config that are text, at any depth; keys are not."""
    if isinstance(config, str):
        yield config
    elif isinstance(config, dict | list):
        for one in config.values() if isinstance(config, dict) else config:
            yield from config_texts(one)


def _settings(original: ConfigParser) -> list[str]:
    """What people set, of the names at the top of the files."""
    return [name for name in original.get() if name in SETTINGS and not isinstance(original[name], dict)]


def _siblings(original: ConfigParser, name: str) -> list[str]:
    """The ids beside one that does not exist, and the settings."""
    above = name.rpartition("::")[0]
    parent = original.get(above)
    keys = [key for key in parent if key not in ConfigComponent.non_arg_keys] if isinstance(parent, dict) else []
    return [*_settings(original), *(f"{above}::{key}" for key in keys)]


def _unknown(name: str, others: list[str]) -> str:
    """The message: the name, the nearest, or all where none is near."""
    keys = {one.rpartition("::")[2]: one for one in others}
    near = difflib.get_close_matches(name.rpartition("::")[2], keys, n=1)
    shown = [one.replace("::", "#") for one in ([keys[near[0]]] if near else others)]
    what = f"did you mean --{shown[0]}?" if near else f"the settings are {', '.join(shown)}"
    return f"--{name.replace('::', '#')}: this config has no setting of that name; {what}"


def _is_argument(original: ConfigParser, name: str) -> bool:
    """Whether an id names an argument that a part of the config takes, though it does not stand there."""
    above, _, key = name.rpartition("::")
    part = original.get(above)
    if not isinstance(part, dict) or not ConfigComponent.is_instantiable(part):
        return not isinstance(part, dict)
    if key in ConfigComponent.non_arg_keys:
        return True
    return _takes(locate(str(ConfigComponent(part, locator=ComponentLocator()).resolve_module_name())), key)


def _takes(target: Any, key: str) -> bool:
    """Whether a class or function has a parameter; ``**kwargs`` of a class go on to the class that it is made from."""
    makers = (
        [vars(one)["__init__"] for one in target.__mro__ if "__init__" in vars(one)] if isclass(target) else [target]
    )
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values() if callable(maker) else []
        if any(one.name == key for one in parameters) or all(one.kind is not one.VAR_KEYWORD for one in parameters):
            return any(one.name == key for one in parameters)
    return True


def _is_part(value: Any) -> bool:
    return isinstance(value, dict) and ("_target_" in value or any(isinstance(one, dict) for one in value.values()))


def _replaces_a_part(value: Any) -> bool:
    return not isinstance(value, str | int | float) or (isinstance(value, str) and value[:1] in "$@%")
