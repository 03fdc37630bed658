# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""What a visitor does with the page in a browser."""

from __future__ import annotations

import base64
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_DROP = """([name, content]) => {
  const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0)), held = new DataTransfer();
  held.items.add(new File([bytes], name));
  document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer: held, bubbles: true }));
}"""
WAIT = 60_000


def drop(page: Any, file: Path, name: str | None = None) -> None:
    """Let a file fall on the page, and wait until it has arrived or was refused."""
    page.evaluate(_DROP, [name or file.name, base64.b64encode(file.read_bytes()).decode()])
    page.wait_for_selector("#drop[aria-busy=false]", timeout=WAIT)


def example(page: Any, name: str = "axial slice") -> None:
    """Take an example, and wait until its masks are shown."""
    page.get_by_role("button", name=name).click()
    page.wait_for_selector("article", timeout=WAIT)
    done(page)


def segment(page: Any, prompts: str) -> None:
    """Ask, and wait until all is shown."""
    page.fill("#prompts", prompts)
    page.click("#go")
    done(page)


def done(page: Any) -> None:
    page.wait_for_selector("#go:not(.busy)", timeout=WAIT)


def choose(page: Any, slider: str, value: float) -> None:
    """Move a slider, and wait until what it changes is there."""
    page.fill(f"#{slider}", f"{value:g}")
    page.wait_for_selector("#results[aria-busy=false]", timeout=WAIT)


def table(page: Any, side: int = 0) -> list[list[str]]:
    """The rows of a side: prompt, existence, pixels, share, size."""
    rows = page.locator("article").nth(side).locator("tbody tr")
    return [rows.nth(index).locator("td").all_text_contents() for index in range(rows.count())]


def pixels(page: Any, side: int = 0) -> list[int]:
    return [int(row[2].replace(",", "")) for row in table(page, side)]


def error(page: Any) -> str:
    """The line that says what is wrong, once it is there."""
    page.wait_for_selector("#error:not([hidden])", timeout=WAIT)
    said: str = page.inner_text("#error")
    assert "\n" not in said and "/tmp" not in said
    return said


def shown(page: Any, side: int = 0) -> np.ndarray:
    """The image that a side shows, as the server sent it."""
    address = page.locator("article img").nth(side).evaluate("(image) => image.src")
    return np.asarray(Image.open(io.BytesIO(page.request.get(address).body())).convert("RGB"))


def downloaded(page: Any, folder: Path, side: int = 0) -> Path:
    """Folder of the masks that a side gives."""
    with page.expect_download() as coming:
        page.locator("article a").nth(side).click()
    zipfile.ZipFile(coming.value.path()).extractall(folder)
    return folder
