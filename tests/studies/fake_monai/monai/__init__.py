# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Stands for MONAI where workers are processes of their own."""
