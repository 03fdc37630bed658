# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monai_vlsm.demo import Models, build_app

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
uvicorn = pytest.importorskip("uvicorn")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is here")]
HTML = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def address(models: Models) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(build_app(models), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.1)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def visit(browser: Any, address: str) -> Any:
    page = browser.new_context().new_page()
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    page.goto(address)
    page.fill("#prompts", f"polyp\n{HTML}")
    page.get_by_role("button", name="axial slice").click()
    page.wait_for_selector("tbody tr", timeout=60_000)
    return page


def test_html_is_text_and_20_clicks_end_in_one_answer(browser: Any, address: str, tmp_path: Path) -> None:
    page = visit(browser, address)
    assert page.locator("tbody tr td:first-child").all_inner_texts() == ["polyp", HTML]
    answers: list[int] = []
    page.on("response", lambda one: answers.append(one.status) if one.url.endswith("/answer") else None)
    for _ in range(20):
        page.locator("#go").click(no_wait_after=True)
    page.wait_for_selector("#go:not(.busy)", timeout=120_000)
    assert set(answers) == {200} and page.locator("article").count() == 1
    assert page.locator("#error").is_hidden()
    wrong = tmp_path / "<b>notes</b>.txt".replace("/", "")
    wrong.write_text("hello")
    page.set_input_files("#file", wrong)
    page.wait_for_selector("#error:not([hidden])")
    assert page.inner_text("#error").startswith(f"{wrong.name} is no image")


def test_two_visitors_see_their_own(browser: Any, address: str) -> None:
    one, two = visit(browser, address), visit(browser, address)
    two.fill("#prompts", "another")
    two.locator("#go").click()
    two.wait_for_selector("#go:not(.busy)", timeout=60_000)
    assert one.locator("tbody tr").count() == 2
    one.locator("#threshold").fill("0.3")
    assert one.inner_text("#thresholdValue") == "0.30" and one.locator("#error").is_hidden()
