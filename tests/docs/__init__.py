# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
