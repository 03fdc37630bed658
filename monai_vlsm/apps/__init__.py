# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Ready-made applications; imported only by those who use them, since they need further packages."""
