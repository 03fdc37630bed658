# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Lists of cases: Decathlon, Auto3DSeg, nnU-Net; label tables; splits; and rows of slices from cases.

Nothing is imported here, since ``monai_vlsm.data.rows`` needs a part of it and other parts need that.
"""
