# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Draw docs/images/demo.png anew: the page in a browser, with a model that the README's first command trained.

python tools/page_image.py [MODEL]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def serving(model: Path) -> Iterator[str]:
    """The address of the page, which is served meanwhile."""
    command = [sys.executable, "-m", "monai_vlsm", "demo", "--port", "0", "--adapters", str(model)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().partition(" ")[0]
        finally:
            server.terminate()


def save_page(address: str, prompts: list[str], output: Path, width: int, height: int, dark: bool) -> None:
    """Ask for masks in an example, and write what a browser shows."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as play, play.chromium.launch(executable_path=found, args=["--no-sandbox"]) as browser:
        size = {"width": width, "height": height}
        page = browser.new_page(viewport=size, color_scheme="dark" if dark else "light")  # type: ignore[arg-type]
        page.goto(address)
        page.fill("#prompts", "\n".join(prompts))
        page.get_by_role("button", name="axial slice").click()
        page.wait_for_selector("article")
        page.wait_for_selector("#go:not(.busy)")
        page.screenshot(path=output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path, default=ROOT / "bundles" / "vlsm_dense" / "models" / "model.pt")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images" / "demo.png")
    parser.add_argument("--prompts", nargs="+", default=["left hemisphere", "white matter"])
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=800)
    parser.add_argument("--dark", action="store_true")
    args = parser.parse_args()
    with serving(args.model) as address:
        save_page(address, args.prompts, args.output, args.width, args.height, args.dark)
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
