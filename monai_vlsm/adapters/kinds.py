# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Kinds of adaptations by the names that stand in a ``model.pt``; those of others where their module is imported."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from monai_vlsm.adapters.adaptation import KINDS, Adaptation, AdaptationError
from monai_vlsm.errors import UserError

__all__ = [
    "AdaptationNotImportedError",
    "ModuleImportError",
    "adaptation_kinds",
    "build_adaptation",
    "import_modules",
    "inner_settings",
    "resumed_adaptation",
    "trained_adaptation",
]


class AdaptationNotImportedError(UserError, ImportError):
    """An adaptation of a module that is not imported; nothing is ever imported because a file says so."""


class ModuleImportError(UserError, ImportError):
    """A module that was asked for cannot be imported."""


def import_modules(names: Iterable[str]) -> None:
    """Import modules by their names, such as a user gives, so that their adaptations are known.

    Raises:
        ModuleImportError: when one cannot be imported, and why.
    """
    for name in names:
        try:
            import_module(name)
        except Exception as error:  # whatever runs in the module
            raise ModuleImportError(
                f"the module {name} cannot be imported: {type(error).__name__}: {error}. Give a name as in Python's "
                "import, and start where the module lies, or put its folder on PYTHONPATH"
            ) from error


def build_adaptation(settings: Mapping[str, Any]) -> Adaptation:
    """Make an adaptation from what `Adaptation.settings` returned.

    Raises:
        AdaptationNotImportedError: when it is of a module of others that is not imported.
        AdaptationError: when its ``type`` or another setting is unknown, or has a wrong value.
    """
    if not isinstance(settings, Mapping):
        raise AdaptationError(f"settings of an adaptation must be a table with a type, got {settings!r}")
    arguments = dict(settings)
    kind = arguments.pop("type", None)
    if not isinstance(kind, str) or kind not in KINDS:
        foreign = re.fullmatch(r"([\w.]{1,200}):([\w.<>]{1,200})", kind) if isinstance(kind, str) else None
        if foreign:
            raise AdaptationNotImportedError(_not_imported(*foreign.groups()))
        known = ", ".join(sorted(name for name in KINDS if ":" not in name))
        raise AdaptationError(f"unknown adaptation {kind!r}; known: {known}")
    try:
        return KINDS[kind](**arguments)
    except TypeError as error:
        raise AdaptationError(f"{kind} has other settings than {settings}: {error}") from error


def trained_adaptation(
    saved: Mapping[str, Any], otherwise: Adaptation | None = None, zero_shot: bool = False
) -> Adaptation | None:
    """The adaptation of a bundle that evaluates or predicts.

    Args:
        saved: what ``model.pt`` says about its network; empty without one.
        otherwise: the adaptation without a ``model.pt``, or where it names none.
        zero_shot: True for the network as it is, without any.

    Raises:
        AdaptationNotImportedError: as from `build_adaptation`.
        AdaptationError: as from `build_adaptation`.
    """
    if zero_shot:
        return None
    return build_adaptation(saved["adaptation"]) if "adaptation" in saved else otherwise


def inner_settings(settings: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Settings of the adaptations that are directly within one, from its own settings."""
    values = [value if isinstance(value, list | tuple) else [value] for value in settings.values()]
    return [one for value in values for one in value if isinstance(one, Mapping) and "type" in one]


def adaptation_kinds(settings: Mapping[str, Any]) -> Iterator[str]:
    """The kind of an adaptation from its settings, and those of all that are within it."""
    yield str(settings.get("type", ""))
    for one in inner_settings(settings):
        yield from adaptation_kinds(one)


def resumed_adaptation(saved: Mapping[str, Any], otherwise: Adaptation) -> Adaptation:
    """The adaptation of a bundle that trains: of the kind that the file has which the training goes on from.

    Args:
        saved: settings of the adaptation of that file; empty without one.
        otherwise: the bundle's own, with the settings that were typed, and else those of the file.

    Returns:
        ``otherwise`` where the file has the same kind or none, so that a setting that was typed is compared with the
        file when that is loaded; else the adaptation of the file. What is around one, so that slices attend to one
        another, is that of the file.

    Raises:
        AdaptationNotImportedError: as from `build_adaptation`.
        AdaptationError: as from `build_adaptation`; or a setting was typed that the adaptation of the file has not.
    """
    if saved.get("type", otherwise.kind()) == otherwise.kind():
        return otherwise
    if "inner" in saved:
        inner = resumed_adaptation(saved["inner"], otherwise)
        return build_adaptation({**saved, "inner": inner.settings()})
    found = build_adaptation(saved)
    for name, value in otherwise.settings().items():
        if name != "type" and value != saved.get(name, getattr(type(otherwise), name, None)):  # the default
            raise AdaptationError(
                f"{name} is {value!r} here, and the file that the training goes on from has {found}; leave it out"
            )
    return found


def _not_imported(module: str, name: str) -> str:
    """Which module is missing, and how it comes in."""
    if module in ("__main__", "__mp_main__"):
        return (
            f"the adaptation {name} was defined in a notebook or at a prompt, where nobody can import it from; put it "
            "into a module of its own and train again"
        )
    if module in sys.modules:
        return f"the module {module} is imported and has no adaptation {name}; take the version that trained the model"
    return (
        f"the adaptation {name} is of the module {module}, which is not imported; nothing is imported because a file "
        f"says so. If you trust the module: --import {module} on the command line of monai_vlsm, import {module} in "
        f"Python, '$import {module}' among the imports of a bundle's config, --conf import {module} for MONAI Label"
    )
