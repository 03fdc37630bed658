# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Zip a bundle as the MONAI model zoo wants it, after checking it.

    python tools/release_bundle.py bundles/vlsm_dense --output dist --model path/to/model.pt

Writes ``dist/vlsm_dense_v0.1.0.zip`` with one folder, ``vlsm_dense``; the same input gives the same bytes. Without
``--model`` the zip holds no weights. A model file above 25 MB stays out: it is copied beside the zip, to be uploaded at
the address that ``--url`` gives, and ``large_files.yml`` says where it is. The frozen base is never part of a release.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

import monai_vlsm
from monai_vlsm.adapters import find_trained, import_modules
from monai_vlsm.backbones import known_backbones
from monai_vlsm.checkpoints import SETTINGS_KEY, read, read_settings
from monai_vlsm.errors import UserError
from monai_vlsm.networks import build_network

LIMIT = 25 * 2**20
"""Bytes of the largest file that the zoo takes into its repository."""
NEEDED = ("LICENSE", "configs/metadata.json", "configs/inference.json", "configs/train.json", "docs/README.md")
ALLOWED = ("LICENSE", "configs/*.json", "configs/*.conf", "docs/*.md", "docs/*.txt", "docs/*.png")
MODEL = "models/model.pt"
METADATA = (  # what meta_schema_20240725.json requires, and what the zoo's checks and its catalogue read besides
    *("schema", "version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version", "task"),
    *("description", "authors", "copyright", "network_data_format", "changelog", "name"),
)
KINDS = ("clipseg", "cris", "san", "unet")


class ReleaseError(UserError, ValueError):
    """A bundle or a model that must not be released as it is."""


def release(bundle: Path, output: Path, model: Path | None = None, url: str | None = None) -> Path:
    """Check a bundle and zip it.

    Args:
        bundle: folder of the bundle, named as the zoo shall name it.
        output: folder for the zip, made if needed.
        model: the ``model.pt`` to release with it.
        url: where the model will be, if it is above 25 MB.

    Returns:
        The zip.

    Raises:
        ReleaseError: lists all that is wrong; then nothing is written.
    """
    problems = bundle_problems(bundle) + (model_problems(bundle, model) if model else [])
    large = model is not None and model.is_file() and model.stat().st_size > LIMIT
    if large and not url:
        problems.append(f"{model} has more than 25 MB: give --url, the address that it will have")
    if problems:
        raise ReleaseError("\n  ".join([f"{bundle} cannot be released, {len(problems)} problems:", *problems]))
    version = json.loads((bundle / "configs/metadata.json").read_text(encoding="utf-8"))["version"]
    files = {file: (bundle / file).read_bytes() for file in released_files(bundle)}
    output.mkdir(parents=True, exist_ok=True)
    if large and model:
        files["large_files.yml"] = large_files(model, str(url))
        shutil.copyfile(model, output / f"{bundle.resolve().name}_v{version}_model.pt")
    elif model:
        files[MODEL] = model.read_bytes()
    archive = output / f"{bundle.resolve().name}_v{version}.zip"
    write_zip(archive, bundle.resolve().name, files)
    return archive


def released_files(bundle: Path) -> list[str]:
    """Paths in the folder that belong to a release: neither models, nor what runs wrote, nor hidden files."""
    found = {path for pattern in ALLOWED for path in bundle.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(bundle).as_posix() for path in found if not path.name.startswith("."))


def left_out(bundle: Path) -> list[str]:
    """The other files in the folder."""
    files = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    return sorted(files - set(released_files(bundle)))


def bundle_problems(bundle: Path) -> list[str]:
    """What is wrong with the files of a bundle, in plain words."""
    missing = [f"{file} is missing or empty" for file in NEEDED if not _has_content(bundle / file)]
    broken = []
    for file in sorted((bundle / "configs").glob("*.json")):
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            broken.append(f"configs/{file.name} is no JSON: {error}")
    if missing or broken:
        return missing + broken
    large = [f"{file} has more than 25 MB" for file in released_files(bundle) if (bundle / file).stat().st_size > LIMIT]
    return large + _metadata_problems(bundle)


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def _metadata_problems(bundle: Path) -> list[str]:
    metadata = json.loads((bundle / "configs/metadata.json").read_text(encoding="utf-8"))
    problems = [f"metadata.json has no {key!r}" for key in METADATA if not metadata.get(key)]
    version = str(metadata.get("version"))
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        problems.append(f"metadata.json: version must be three numbers such as 0.1.0, got {version!r}")
    if version not in metadata.get("changelog", {}):
        problems.append(f"metadata.json: the changelog has no entry for version {version}")
    if "_v" in bundle.resolve().name:
        problems.append(f"the name {bundle.resolve().name!r} holds '_v', with which versions begin")
    needed = metadata.get("required_packages_version", {}).get("monai_vlsm")
    if needed != monai_vlsm.__version__:
        problems.append(f"metadata.json requires monai_vlsm {needed}, this is {monai_vlsm.__version__}")
    return problems


def model_problems(bundle: Path, model: Path) -> list[str]:
    """What is wrong with a ``model.pt``, in plain words."""
    try:
        settings = read_settings(model)
        more = untrained_entries(model, settings)
    except UserError as error:
        return [str(error)]
    problems = []
    if more:
        problems.append(
            f"{model} holds more than what was trained, {len(more)} entries of its pretrained base: "
            f"{', '.join(more[:3])}; release a model with adapters"
        )
    backbone = settings["backbone"]
    if backbone not in [name for kind in KINDS for name in known_backbones(kind)]:
        problems.append(f"{model} was trained on the folder {backbone}, which nobody else has")
    return problems + _other_bundle(bundle, model, settings)


def untrained_entries(model: Path, settings: Mapping[str, Any]) -> list[str]:
    """Tensors of a ``model.pt`` that were not trained; constants of one number, such as counters, do not count."""
    network = build_network({**settings, "default_prompt": ""}, empty=True)
    state = read(model)
    extra = set(state) - {SETTINGS_KEY} - set(find_trained(network))
    return sorted(name for name in extra if state[name].numel() > 1)


def _other_bundle(bundle: Path, model: Path, settings: Mapping[str, Any]) -> list[str]:
    train = bundle / "configs/train.json"
    if not train.is_file():
        return []
    config = json.loads(train.read_text(encoding="utf-8"))
    definition = config.get("network_def", {})
    adaptation = definition.get("adaptation", {})
    adaptation = config.get(adaptation[1:], {}) if isinstance(adaptation, str) else adaptation  # "@adaptation"
    adaptation = adaptation.get("otherwise", adaptation)  # of a bundle that follows the file that it goes on from
    wanted = [definition.get("_target_", ""), adaptation.get("_target_", "")]
    found = [settings["network"], (settings.get("adaptation") or {}).get("type", "")]
    kinds = [target.rpartition(".")[2] for target in wanted]
    found[1] = found[1].rpartition(":")[2]  # an adaptation of one's own is called module:class
    return [] if kinds == found else [f"{model} is a model of {found}, the bundle trains {kinds}"]


def large_files(model: Path, url: str) -> bytes:
    """``large_files.yml`` for a model that stays out of the zip."""
    entry = {"path": MODEL, "url": url, "hash_val": _sha256(model), "hash_type": "sha256"}
    return yaml.safe_dump({"large_files": [entry]}, sort_keys=False).encode()


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_zip(archive: Path, folder: str, files: Mapping[str, bytes]) -> None:
    """Write files in alphabetical order, with one date and one mode.

    They are stored, not compressed: weights hardly shrink, and another zlib would write other bytes.
    """
    temporary = archive.with_name(f".{archive.name}.part")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as opened:
            for file in sorted(files):
                entry = zipfile.ZipInfo(f"{folder}/{file}")  # dated 1980
                entry.create_system, entry.external_attr = 3, 0o644 << 16
                opened.writestr(entry, files[file])
        temporary.replace(archive)
    finally:
        temporary.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of the bundle")
    parser.add_argument("--output", type=Path, default=Path("dist"), metavar="DIR", help="default: dist")
    parser.add_argument("--model", type=Path, metavar="FILE", help="the model.pt to release")
    parser.add_argument(
        "--import", dest="modules", nargs="+", default=[], metavar="MODULE", help="with own adaptations"
    )
    parser.add_argument("--url", help="where a model above 25 MB will be")
    values = parser.parse_args(arguments)
    try:
        import_modules(values.modules)
        archive = release(values.bundle, values.output, values.model, values.url)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    with zipfile.ZipFile(archive) as opened:
        for entry in opened.infolist():
            print(f"{entry.file_size:>12,}  {entry.filename}")
    for file in left_out(values.bundle):
        print(f"    left out  {file}")
    print(f"{archive}  {archive.stat().st_size:,} bytes  sha256 {_sha256(archive)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
