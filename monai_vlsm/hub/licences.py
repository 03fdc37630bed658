# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Licences as the Hub spells them in the head of a card."""

from __future__ import annotations

import difflib

from monai_vlsm.hub.faults import HubError

__all__ = ["LICENCES", "check_licence"]

_NAMES = """
apache-2.0 mit openrail openrail++ openmdw-1.0 bigscience-openrail-m creativeml-openrail-m
bigscience-bloom-rail-1.0 bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause
bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0
cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0
epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc intel-research
lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl
lgpl-lr deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
gemma unknown other
"""
LICENCES = frozenset(_NAMES.split())
"""Identifiers from https://huggingface.co/docs/hub/repositories-licenses; ``other`` is for all that are not there."""


def check_licence(name: str | None) -> str | None:
    """A licence as the Hub spells it, in whatever case it was given (SPDX has ``Apache-2.0``); None for none.

    Raises:
        HubError: when the Hub does not know it; the error suggests one.
    """
    if name is None or name.strip().lower() in LICENCES:
        return name and name.strip().lower()
    near = difflib.get_close_matches(name.strip().lower(), sorted(LICENCES), n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else "Well known are apache-2.0, mit and cc-by-4.0."
    raise HubError(f"{name!r} is no licence that the Hub knows. {hint} For any other give: other")
