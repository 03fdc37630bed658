# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes: how one is read, its slices in three planes, label maps, and what stands for one slice in a record."""

from monai_vlsm.data.volumes.address import Address
from monai_vlsm.data.volumes.assembly import Assembly
from monai_vlsm.data.volumes.nifti import read_volume
from monai_vlsm.data.volumes.planes import PLANES, from_stack, stack_affine, stack_shape, to_stack
from monai_vlsm.data.volumes.stacks import SliceStack, open_stack

__all__ = [
    "PLANES",
    "Address",
    "Assembly",
    "SliceStack",
    "from_stack",
    "open_stack",
    "read_volume",
    "stack_affine",
    "stack_shape",
    "to_stack",
]
