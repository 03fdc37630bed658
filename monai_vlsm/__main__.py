# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm``."""

import sys

from monai_vlsm.commands import main

if __name__ == "__main__":
    sys.exit(main())
