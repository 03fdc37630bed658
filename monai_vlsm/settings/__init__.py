# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings of a bundle: what each may be, and the command line as it was typed."""

from monai_vlsm.settings.check import check_settings
from monai_vlsm.settings.monai_label import existing, trains_for_monai_label
from monai_vlsm.settings.table import SETTINGS, SettingError, checked
from monai_vlsm.settings.texts import literal
from monai_vlsm.settings.workflow import bundle_root

__all__ = [
    "SETTINGS",
    "SettingError",
    "bundle_root",
    "check_settings",
    "checked",
    "existing",
    "literal",
    "trains_for_monai_label",
]
