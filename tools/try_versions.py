# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Run the fast tests with other versions of Python and of the libraries, and keep what was really run in a table.

    python tools/try_versions.py                    every environment below, one after the other
    python tools/try_versions.py py312 oldest       some of them
    python tools/try_versions.py --only-tell newest without writing the row, as .ci/weekly does

Each environment is a virtual environment of its own, built from the package index and deleted afterwards; with
``--keep FOLDER`` it stays there and is found again. The table is docs/versions.md; the row of an environment is
replaced when it is run again. What fails is listed. The variables of pip count: ``PIP_CONSTRAINT=FILE`` holds versions
back, ``PIP_EXTRA_INDEX_URL`` names an index of builds of torch without CUDA. The exit status is 1 when tests fail with
versions that setup.cfg allows.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "versions.md"
SHOWN = ("torch", "monai", "transformers", "numpy", "pydicom", "pillow")


@dataclass(frozen=True)
class Environment:
    """One set of versions.

    Args:
        python: version of the interpreter, found as ``pythonX.Y`` on the PATH or by pyenv.
        packages: requirements beside those of setup.cfg; newest that setup.cfg allows where none is given.
        pinned: install with constraints.txt.
        outside: versions that setup.cfg refuses; installed over the others, to see what fails.
    """

    python: str
    packages: tuple[str, ...] = ()
    pinned: bool = False
    outside: tuple[str, ...] = field(default=())


TORCH = "torch==2.13.0"
OLDEST = ("monai==1.6.1", "transformers==5.23.0", "numpy==2.0.2", "pydicom==2.4.5")
ENVIRONMENTS = {
    "pinned": Environment("3.11", pinned=True),
    "newest": Environment("3.11"),
    "oldest": Environment("3.11", (TORCH, *OLDEST)),
    "py312": Environment("3.12", (TORCH,), pinned=True),
    "py313": Environment("3.13", (TORCH,), pinned=True),
    "torch214": Environment("3.11", outside=("torch==2.14.1",)),
    "monai15": Environment("3.11", (TORCH,), outside=("monai==1.5.2",)),
    "transformers4": Environment("3.11", (TORCH,), outside=("transformers==4.57.6", "huggingface_hub<1")),
    "numpy1": Environment("3.11", (TORCH,), outside=("numpy==1.26.4",)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"environments: {', '.join(ENVIRONMENTS)}")
    parser.add_argument(
        "--tests", type=shlex.split, default=[], help="what pytest gets beside the options, in one text"
    )
    parser.add_argument("--keep", type=Path, help="folder in which environments stay, for the next time")
    parser.add_argument("--only-tell", action="store_true", help="print the row, and leave the table as it is")
    args = parser.parse_args()
    unknown = set(args.names) - set(ENVIRONMENTS)
    if unknown:
        parser.error(f"no environment {', '.join(sorted(unknown))}; there are {', '.join(ENVIRONMENTS)}")
    failed = []
    for name in args.names or ENVIRONMENTS:
        row, sound = run(name, ENVIRONMENTS[name], args.tests, args.keep)
        print(row, flush=True)
        if not (args.tests or args.only_tell):
            enter(row, name)
        if not sound and not ENVIRONMENTS[name].outside:
            failed.append(name)
    return 1 if failed else 0


def run(name: str, environment: Environment, tests: list[str], keep: Path | None) -> tuple[str, bool]:
    """Build an environment and run the tests in it; the row of the table, and whether all passed."""
    folder = (keep or Path(tempfile.mkdtemp())) / name
    try:
        said, sound = build(folder, environment), False
        if not said:
            said, sound = test(folder, tests)
        return table_row(name, environment, versions(folder), said), sound
    finally:
        if keep is None:
            shutil.rmtree(folder.parent, ignore_errors=True)


def build(folder: Path, environment: Environment) -> str:
    """Install, or bring one that is there to what setup.cfg asks for now; why that failed, or an empty string."""
    if not folder.is_dir():
        call([interpreter(environment.python), "-m", "venv", str(folder)])
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    constraints = ["-c", "constraints.txt"] if environment.pinned else []
    steps = [[*pip, *constraints, *environment.packages, "-e", ".[test]"]]
    if environment.outside:  # over what setup.cfg asks for: pip warns, and does it
        steps.append([*pip, *environment.outside])
    for step in steps:
        result = call(step)
        if result.returncode:
            return f"cannot be installed: {last_line(result.stderr)}"
    return ""


def interpreter(version: str) -> str:
    """The Python of a version."""
    found = shutil.which(f"python{version}")
    if found and "shims" not in found:
        return found
    homes = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    if not homes:
        raise SystemExit(f"error: no Python {version} on this machine; install it, or name other environments")
    return str(homes[-1])


def test(folder: Path, tests: list[str]) -> tuple[str, bool]:
    """Run the fast tests and print what fails; their last line, and whether all passed."""
    command = [
        str(folder / "bin" / "python"),
        "-m",
        "pytest",
        "-q",
        "-m",
        "not slow",
        "--tb=line",
        "-p",
        "no:cacheprovider",
    ]
    result = call([*command, *tests])
    (folder / "pytest.log").write_text(result.stdout + result.stderr, encoding="utf-8")
    failures = [line for line in result.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    print(*failures, sep="\n", end="\n" if failures else "", flush=True)
    summary = re.sub(r" in [\d.]+s.*|, \d+ warnings?", "", last_line(result.stdout).strip("= "))
    return summary or last_line(result.stderr), result.returncode == 0


def versions(folder: Path) -> dict[str, str]:
    """Versions as installed."""
    code = (
        "import json; from importlib.metadata import distributions as d; "
        "print(json.dumps({x.metadata['Name'].lower(): x.version for x in d()}))"
    )
    result = call([str(folder / "bin" / "python"), "-c", code])
    found: dict[str, str] = json.loads(result.stdout) if result.returncode == 0 else {}
    return found


def table_row(name: str, environment: Environment, found: dict[str, str], said: str) -> str:
    """A row of the table in Markdown."""
    cells = [name, environment.python, *(found.get(package, "-") for package in SHOWN), processor(), said]
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def processor() -> str:
    """Name of the processor and the widest instructions that torch uses on it."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.is_file() else ""
    model = re.search(r"model name\s*: (.*)", text)
    flags = set(re.findall(r"\b(?:avx2|avx512f|avx512_bf16|amx_bf16)\b", text))
    widest = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags][:1]
    return " ".join([model.group(1) if model else platform.machine(), *(f"({flag})" for flag in widest)])


def enter(row: str, name: str) -> None:
    """Put a row into the table, in the order of `ENVIRONMENTS`."""
    lines = TABLE.read_text(encoding="utf-8").split("\n")
    first = next(number for number, line in enumerate(lines) if line.startswith("|---")) + 1
    last = next(number for number in range(first, len(lines)) if not lines[number].startswith("|"))
    rows = {line.split("|")[1].strip(): line for line in lines[first:last]} | {name: row}
    lines[first:last] = [*(rows.pop(known) for known in ENVIRONMENTS if known in rows), *rows.values()]
    TABLE.write_text("\n".join(lines), encoding="utf-8")


def call(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1][:200]


if __name__ == "__main__":
    sys.exit(main())
