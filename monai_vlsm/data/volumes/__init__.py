# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Volumes: how one is read, its slices in three planes, label maps, and what stands for one slice in a record."""

from monai_vlsm.data.volumes.address import Address
from monai_vlsm.data.volumes.assembly import Assembly
from monai_vlsm.data.volumes.counts import label_counts
from monai_vlsm.data.volumes.facts import VolumeFacts
from monai_vlsm.data.volumes.formats import read_any
from monai_vlsm.data.volumes.neighbours import EncodedSlices, in_channels, middle_slice, with_neighbours
from monai_vlsm.data.volumes.nifti import read_volume, shape_of, volumes_in
from monai_vlsm.data.volumes.planes import (
    PLANES,
    chosen_plane,
    from_stack,
    plane_of_slice,
    screen_codes,
    stack_affine,
    stack_shape,
    to_stack,
)
from monai_vlsm.data.volumes.recorded import slice_settings
from monai_vlsm.data.volumes.stacks import SliceStack, open_stack, volume_facts
from monai_vlsm.data.volumes.store import signature, volume_files
from monai_vlsm.data.volumes.values import usual_range, value_range
from monai_vlsm.data.volumes.windows import (
    PERCENTILES,
    WINDOWS,
    Window,
    WindowError,
    parse_window,
    plain_window,
    window_for,
)

__all__ = [
    "PERCENTILES",
    "PLANES",
    "WINDOWS",
    "Address",
    "Assembly",
    "EncodedSlices",
    "SliceStack",
    "VolumeFacts",
    "Window",
    "WindowError",
    "chosen_plane",
    "from_stack",
    "in_channels",
    "label_counts",
    "middle_slice",
    "open_stack",
    "parse_window",
    "plain_window",
    "plane_of_slice",
    "read_any",
    "read_volume",
    "screen_codes",
    "shape_of",
    "signature",
    "slice_settings",
    "stack_affine",
    "stack_shape",
    "to_stack",
    "usual_range",
    "value_range",
    "volume_facts",
    "volume_files",
    "volumes_in",
    "window_for",
    "with_neighbours",
]
