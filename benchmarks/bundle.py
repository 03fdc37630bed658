# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Parts of the bundles' ``train.json``, so that what users run is what is measured; and files for them to read."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from conditions import Conditions, write_backbone, write_images
from monai.bundle import ConfigParser

BUNDLES = Path(__file__).parents[1] / "bundles"


def read_config(bundle: str, **settings: Any) -> ConfigParser:
    """``train.json`` of a bundle with other settings, all of which it must know.

    Raises:
        KeyError: a setting that the config does not have.
    """
    parser = ConfigParser()
    parser.read_config(BUNDLES / bundle / "configs" / "train.json")
    for name, value in settings.items():
        if name not in parser:
            raise KeyError(f"bundles/{bundle}/configs/train.json has no setting {name!r}")
        parser[name] = value
    return parser


def without_files(parser: ConfigParser) -> ConfigParser:
    """The same config with a trainer that passes once over the data, clips gradients, and neither validates nor writes.

    Call it before anything is taken out of ``parser``.
    """
    parser["train"]["handlers"] = [{"_target_": "monai_vlsm.handlers.ClipGradNorm", "max_norm": "@max_norm"}]
    parser["epochs"] = 1
    return parser


@lru_cache(maxsize=1)
def scratch() -> Path:
    """A folder that is gone when this process ends."""
    folder = tempfile.mkdtemp(prefix="monai_vlsm_speed_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def caches_in_scratch() -> None:
    """Let caches on disk begin empty and leave nothing behind."""
    os.environ["XDG_CACHE_HOME"] = str(scratch() / "caches")


@lru_cache(maxsize=2)
def backbone_folder(conditions: Conditions) -> Path:
    """Folder of the backbone in Hugging Face layout, written once."""
    return write_backbone(scratch() / "backbone", conditions)


@lru_cache(maxsize=8)
def image_folder(train: int, val: int, width: int, height: int) -> Path:
    """Folder of a dataset, written once."""
    folder = scratch() / f"{train}_{val}_{width}_{height}"
    write_images(folder, train, val, width, height)
    return folder
