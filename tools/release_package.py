# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Build the wheel and the source archive, list what they need, and try both from outside of the checkout.

    python tools/release_package.py --output dist             each archive in an empty virtual environment
    python tools/release_package.py --output dist --here      the wheel alone, beside the libraries of this Python

Needs ``pip install build cyclonedx-bom``. In the folder afterwards: the two archives and a bill of materials
(CycloneDX, JSON) of all that the first installation brought. The exit status is 1 when anything fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 16  # MB of the wheel
NEEDED = (
    "monai_vlsm/_bundles/vlsm_dense/configs/best.json",
    "monai_vlsm/demo/page/index.html",
    "monai_vlsm/samples/brain/train.json",
)
# what a user does first, in a folder of theirs
SMOKE = (
    ("-m", "monai_vlsm", "bundle", "vlsm_dense", "--output", "."),
    ("-m", "monai.bundle", "run", "--config_file", "vlsm_dense/configs/train.json", "--epochs", "1"),
    ("-m", "monai_vlsm", "adapters", "info", "vlsm_dense/models/model.pt"),
    ("-m", "monai.bundle", "run", "--config_file", "vlsm_dense/configs/inference.json"),
    ("-m", "monai_vlsm", "study", "plan", "sample"),
)


def build(output: Path) -> tuple[Path, Path]:
    """The wheel and the source archive."""
    _run(sys.executable, "-m", "build", "--quiet", "--outdir", str(output), str(ROOT))
    wheel, archive = (max(output.glob(end), key=os.path.getmtime) for end in ("*.whl", "*.tar.gz"))
    megabytes = wheel.stat().st_size / 1e6
    print(f"{wheel.name}: {megabytes:.1f} MB (at most {LARGEST})")
    if megabytes > LARGEST:
        raise SystemExit(f"{wheel} is too large")
    missing = set(NEEDED) - set(zipfile.ZipFile(wheel).namelist())
    if missing:
        raise SystemExit(f"{wheel} lacks {', '.join(sorted(missing))}")
    return wheel, archive


def empty_environment(folder: Path, archive: Path) -> str:
    """The Python of a new virtual environment in which only an archive and what it needs are installed."""
    venv.create(folder, with_pip=True)
    python = str(folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))
    _run(python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), str(archive))
    return python


def smoke_test(python: str, folder: Path, environment: dict[str, str]) -> None:
    """Run what a user does first, in a folder outside of the checkout."""
    folder.mkdir()
    code = f"import monai_vlsm as it; assert not it.__file__.startswith({str(ROOT)!r}), it.__file__"
    for words in (("-c", code), *SMOKE):
        _run(python, *words, cwd=folder, env=environment)


def bill_of_materials(python: str, file: Path) -> None:
    """What is installed in an environment, with versions and the texts of licences."""
    options = ("--gather-license-texts", "--output-reproducible", "--output-file", str(file))  # not all give an SPDX id
    _run(sys.executable, "-m", "cyclonedx_py", "environment", *options, python)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder of the archives")
    parser.add_argument("--here", action="store_true", help="do not install the libraries anew")
    options = parser.parse_args(argv)
    archives = build(options.output)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        if options.here:
            site = work / "site"
            _run(sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(archives[0]))
            smoke_test(sys.executable, work / "user", clean | {"PYTHONPATH": str(site)})
            return 0
        for archive in archives:
            python = empty_environment(work / archive.name, archive)
            smoke_test(python, work / f"user-{archive.name}", clean)
            if archive == archives[0]:
                bill_of_materials(python, options.output / f"{archive.stem.partition('-py3')[0]}.cdx.json")
    return 0


def _run(*words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    print("+", *words, flush=True)
    subprocess.run(words, check=True, cwd=cwd, env=env)


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"failed with status {error.returncode}: {' '.join(map(str, error.cmd))}") from error
