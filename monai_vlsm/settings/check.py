# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""All settings of a run, looked at before anything is done."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from monai.bundle import ConfigWorkflow

from monai_vlsm.adapters import Adaptation
from monai_vlsm.errors import show_user_errors_plainly
from monai_vlsm.settings.command_line import is_bundle_command, overrides
from monai_vlsm.settings.kinds import Kind
from monai_vlsm.settings.names import require_known_names
from monai_vlsm.settings.table import SAME_AS, SETTINGS, SettingError, checked
from monai_vlsm.settings.texts import literal, read_text, unquoted
from monai_vlsm.settings.tracking import fit_tracking
from monai_vlsm.settings.workflow import config_files, given, initialized_workflow, root_is_known

__all__ = ["check_settings"]

SIGNS = ("$", "@", "%")
_HASH = re.compile(r"::(?!(?:series|channel)=)")  # those begin what names a part of a folder or file


def check_settings() -> None:
    """Check every setting of the workflow that calls this, the first entry of ``initialize`` in the bundles.

    Texts on the command line become what was typed. Names must exist, and values suit them (`SETTINGS`). Nothing has
    been read or written by then. Does nothing where no workflow is initialized.

    Raises:
        SettingError: in one line, the first setting that is wrong, what was expected, and what came.
    """
    show_user_errors_plainly()
    workflow = initialized_workflow()
    if workflow is None:
        return
    typed = overrides(sys.argv[1:]) if is_bundle_command() else {}
    values = given()
    require_known_names(workflow, values, config_files())
    _put_texts(workflow, typed, values)
    _put_root(workflow)
    fit_tracking(workflow)
    for name, setting in _places(workflow):
        _check(workflow, name, setting, name in values)
    if "adaptation" in values:
        _check_adaptation(workflow)
    if workflow.parser.get("max_prompts") is not None and not workflow.parser.get("multi_prompt"):
        raise SettingError(
            f"max_prompts: expected None without multi_prompt, since each record then has one prompt, got "
            f"{workflow.parser['max_prompts']}; add --multi_prompt True"
        )
    workflow.parser.parse(reset=True)


def _check_adaptation(workflow: ConfigWorkflow) -> None:
    """One in place of the bundle's own is made before anything else is: it costs nothing, and names can be wrong."""
    made = _evaluated(workflow, "adaptation")
    if not isinstance(made, Adaptation):
        raise SettingError(
            "adaptation: expected one such as {'_target_': 'monai_vlsm.adapters.LoRAAdaptation', 'rank': 4}, got "
            f"{made!r}"
        )


def _places(workflow: ConfigWorkflow) -> Iterator[tuple[str, str]]:
    """Ids in the config, each with the setting whose rule holds there."""
    yield from ((name, name) for name in SETTINGS if _is_setting(workflow, name))
    yield from ((name, setting) for name, setting in SAME_AS.items() if name in workflow.parser)


def _is_setting(workflow: ConfigWorkflow, name: str) -> bool:
    """Whether a name is a setting here; ``dataset`` is a part in ``inference.json``."""
    config: Any = (
        workflow.parser.config
    )  # for a name that is missing, the parser looks for similar ones, which takes long
    return name in config and not (isinstance(config[name], dict) and "_target_" in config[name])


def _put_texts(workflow: ConfigWorkflow, typed: Mapping[str, str | None], given: Mapping[str, Any]) -> None:
    """Write text settings into the config as they were typed, in the form that MONAI leaves alone."""
    for name, kind in SETTINGS.items():
        if kind.is_text and _is_setting(workflow, name):
            value = _typed(name, typed[name], kind) if name in typed else _given(workflow, name, given)
            if name in typed or not _computed(value) or (kind.verbatim and not _from_file(workflow, name, given)):
                workflow.parser[name] = _literals(checked(name, _plain(value) if name not in typed else value))


def _typed(name: str, word: str | None, kind: Kind) -> Any:
    """A text setting of the command line."""
    if word is None:
        raise SettingError(f"--{name} needs {kind.expected}; one that begins with a dash is written --{name}=-TEXT")
    if word == "None" and kind.optional:
        return None
    try:
        return read_text(word, kind.many)
    except SettingError as error:
        raise SettingError(f"--{name}: {error}") from None


def _given(workflow: ConfigWorkflow, name: str, given: Mapping[str, Any]) -> Any:
    """A text setting of a program or a file; MONAI has put ``::`` for ``#`` in files and lists."""
    value = given.get(name, workflow.parser[name])
    if name in given and isinstance(value, str):
        return value
    return _each(value, lambda text: _HASH.sub("#", text))


def _put_root(workflow: ConfigWorkflow) -> None:
    """Write down the folder of the bundle, which is known only while the workflow runs.

    Where it is not known at all, whatever needs it raises the error.
    """
    given_root = not _computed(workflow.parser.get("bundle_root"))
    if "bundle_root" in workflow.parser and (given_root or root_is_known(workflow)):
        workflow.parser["bundle_root"] = literal(str(_evaluated(workflow, "bundle_root")))


def _from_file(workflow: ConfigWorkflow, name: str, given: Mapping[str, Any]) -> bool:
    """Whether a value surely stands in a config file, where its author may compute it."""
    return config_files() is not None and name not in given


def _computed(value: Any) -> bool:
    """Whether MONAI would take a value for an expression, a reference or a macro, or one in a list."""
    return any(
        isinstance(one, str) and one.startswith(SIGNS) for one in (value if isinstance(value, list) else [value])
    )


def _plain(value: Any) -> Any:
    return _each(value, lambda text: str(read_text(unquoted(text))) if text != unquoted(text) else text)


def _literals(value: Any) -> Any:
    return _each(value, literal)


def _each(value: Any, change: Callable[[str], str]) -> Any:
    """A text changed, or each in a list; other values as they are."""
    if isinstance(value, list | tuple):
        return [_each(one, change) for one in value]
    return change(value) if isinstance(value, str) else value


def _check(workflow: ConfigWorkflow, name: str, setting: str, was_given: bool) -> None:
    """Check one value that is written as such, or that an expression gives which was set beside the files."""
    value = workflow.parser[name]
    if _computed(value):
        if not was_given or SETTINGS[setting].is_text:
            return
        value = _evaluated(workflow, name)
    fitting = checked(name.replace("::", "#"), value, SETTINGS[setting])
    if fitting is not workflow.parser[name]:
        workflow.parser[name] = fitting


def _evaluated(workflow: ConfigWorkflow, name: str) -> Any:
    text = workflow.parser[name]
    try:
        return workflow.parser.get_parsed_content(name)
    except Exception as error:  # whatever the expression raises
        cause = error.__cause__ or error
        raise SettingError(f"{name.replace('::', '#')}: {text!r} cannot be evaluated: {cause}") from error
