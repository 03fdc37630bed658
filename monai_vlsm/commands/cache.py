# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m monai_vlsm cache``: what cached features, images and slices take, and their removal."""

from __future__ import annotations

import argparse
from pathlib import Path

from monai_vlsm.counts import counted
from monai_vlsm.errors import UserError

__all__ = ["add"]


def add(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    parser = subparsers.add_parser("cache", help="what trainings keep for later ones: sizes, removal")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    for name, run, text in (
        ("info", _info, "what lies in the cache and how much room it takes"),
        ("clear", _clear, "delete cached features, images and slices of volumes; they are made again when needed"),
    ):
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument(
            "folder", nargs="?", type=Path, metavar="DIR", help="cache_dir; default: that of the bundles"
        )
        action.set_defaults(run=run)


def _folder(given: Path | None, default: str) -> Path:
    if given is not None and given.exists() and not given.is_dir():
        raise UserError(f"{given} is no folder; give the cache_dir of a training, or nothing for that of the bundles")
    return given or Path(default)


def _info(args: argparse.Namespace) -> int:
    from monai_vlsm.caches import default_folder, describe_cache, image_files
    from monai_vlsm.caches.store import readable
    from monai_vlsm.data.volumes import volume_files

    folder = _folder(args.folder, default_folder())
    stores = describe_cache(folder / "features")
    for store in stores:
        about = store.settings
        what = " ".join(str(about.get(key, "?")) for key in ("backbone", "dtype", "device"))
        left = f", {counted(store.leftovers, 'leftover')} of a stopped run" if store.leftovers else ""
        print(
            f"features {store.folder.name}  {readable(store.size):>8}  {counted(store.images, 'image')}  {what}{left}"
        )
    sizes = [file.stat().st_size for file in image_files(folder / "images")]
    print(f"images and masks         {readable(sum(sizes)):>8}  {counted(len(sizes), 'file')}")
    slices = [file.stat().st_size for file in volume_files(folder / "volumes")]
    print(f"slices of volumes        {readable(sum(slices)):>8}  {counted(len(slices), 'file')}")
    print(f"{readable(sum(store.size for store in stores) + sum(sizes) + sum(slices))} in {folder}")
    return 0


def _clear(args: argparse.Namespace) -> int:
    from monai_vlsm.caches import clear_cache, default_folder, image_files
    from monai_vlsm.caches.store import readable
    from monai_vlsm.data.volumes import volume_files

    folder = _folder(args.folder, default_folder())
    freed = clear_cache(folder / "features")
    for file in [*image_files(folder / "images"), *volume_files(folder / "volumes")]:
        freed += file.stat().st_size
        file.unlink(missing_ok=True)
    print(f"{readable(freed)} freed in {folder}")
    return 0
