# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Names that handlers of one's own may import from here; `monai_vlsm.io` holds them."""

from monai_vlsm.io import replacing, save_atomically

__all__ = ["replacing", "save_atomically"]
