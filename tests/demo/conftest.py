# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("starlette", reason="the extra demo is not installed")
from starlette.testclient import TestClient

from monai_vlsm.adapters import DenseAdaptation
from monai_vlsm.demo import Models, build_app, listen
from monai_vlsm.networks import CLIPSegNet
from tests.serving.images import write_model

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def made(backbone: str | Path, file: Path, seed: int = 0) -> Path:
    """A model whose masks image, prompt and seed decide."""
    torch.manual_seed(seed)
    network = CLIPSegNet(backbone, DenseAdaptation("vl", width=4))
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return write_model(network, file)


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made("clipseg-mini", tmp_path_factory.mktemp("demo") / "polyps.pt")


@pytest.fixture(scope="session")
def models(model_file: Path) -> Models:
    return Models([model_file, made("clipseg-mini", model_file.parent / "ulcers.pt", seed=1)])


@pytest.fixture(scope="session")
def of_another_base(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(backbone, tmp_path_factory.mktemp("other") / "other.pt")


@pytest.fixture
def client(models: Models) -> Iterator[TestClient]:
    with TestClient(build_app(models), base_url="http://localhost") as visitor:
        visitor.get("/")
        yield visitor


@pytest.fixture(scope="module")
def address(models: Models) -> Iterator[str]:
    """Of a running server."""
    uvicorn = pytest.importorskip("uvicorn")
    with listen("127.0.0.1", 0, None) as place:
        server = uvicorn.Server(uvicorn.Config(build_app(models), log_level="warning"))
        thread = threading.Thread(target=server.run, args=([place],))
        thread.start()
        yield f"http://127.0.0.1:{place.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")  # no longer: other tests want the event loop of the thread
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is here")
    with api.sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens the page for one more visitor, whose browser has the options; no script but its own may run, or fail."""
    contexts, problems = [], []

    def opened(**options: Any) -> Any:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#model option", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture
def page(visit: Callable[..., Any]) -> Any:
    return visit()
