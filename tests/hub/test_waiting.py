# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A Hub that is silent, drips or stalls is given up; without a bound these tests would not end."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from huggingface_hub import hf_hub_download, set_client_factory
from huggingface_hub.utils import _http

from monai_vlsm.backbones import BackboneNotFoundError, load_tokenizer, waiting
from monai_vlsm.hub import HubError, pull, push
from tests.hub.standin import TOKEN, Hub

REPO = "anna/polyp"
HOST = r"127\.0\.0\.1:\d+"
NO_MORE = rf"{HOST} has not answered for 1 seconds"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting.bound_waiting()
    monkeypatch.setattr(waiting, "GIVE_UP", 0.8)
    monkeypatch.setattr(waiting, "ONE_WAIT", 0.3)
    monkeypatch.setattr(_http.time, "sleep", lambda _: None)  # between two tries


def test_pull_from_a_silent_hub(hub: Hub, tmp_path: Path) -> None:
    hub.faults.add("silent")
    with pytest.raises(HubError, match=HOST):
        pull(REPO, tmp_path / "out", endpoint=hub.url)
    with pytest.raises(HubError, match=NO_MORE):
        for _ in range(9):
            try:
                pull(REPO, tmp_path / "out", endpoint=hub.url)
            except HubError as error:
                if re.search(NO_MORE, str(error)):
                    raise
    assert not (tmp_path / "out").exists()


def test_push_to_a_silent_hub(hub: Hub, mini_file: Path) -> None:
    hub.faults.add("silent")
    with pytest.raises(HubError, match=HOST):
        push(mini_file, REPO, token=TOKEN, endpoint=hub.url)


@pytest.mark.parametrize("fault", ["drips", "stalls"])
def test_a_download_that_gets_nowhere(fault: str, hub: Hub, mini_file: Path, tmp_path: Path) -> None:
    hub.add(REPO, {"model.pt": mini_file.read_bytes()})
    hub.faults.add(fault)
    with pytest.raises(HubError, match=HOST):
        pull(REPO, tmp_path / "out", endpoint=hub.url)
    assert not (tmp_path / "out").exists()


def test_what_is_cached_is_taken(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, {"config.json": b"{}"})
    first = hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path / "hf")
    hub.faults.add("silent")
    for _ in range(5):
        assert hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path / "hf") == first


def test_a_host_that_answers_again_is_asked_again(hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = hub.url.removeprefix("http://")
    monkeypatch.setattr(waiting, "FORGET", -1.0)
    monkeypatch.setitem(waiting.silent_since, host, -1e9)
    hub.add(REPO, {"config.json": b"{}"})
    hf_hub_download(REPO, "config.json", endpoint=hub.url, cache_dir=tmp_path / "hf")
    assert host not in waiting.silent_since


def test_the_client_of_others_is_kept(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    made = []

    def own() -> object:
        made.append(_http.default_client_factory())
        return made[-1]

    before = _http._GLOBAL_CLIENT_FACTORY
    try:
        set_client_factory(own)  # type: ignore[arg-type]
        waiting.bound_waiting.cache_clear()
        waiting.bound_waiting()
        client = _http.get_session()
        assert client is made[0]
        hub.faults.add("silent")
        with pytest.raises(httpx2.TimeoutException):
            client.get(hub.url)
        assert hub.url.removeprefix("http://") in waiting.silent_since
    finally:
        set_client_factory(before)


def test_a_backbone_from_a_silent_hub(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    hub.faults.add("silent")
    address = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", address)
    load_tokenizer.cache_clear()
    with pytest.raises(BackboneNotFoundError, match="CIDAS/clipseg-rd64-refined"):
        load_tokenizer("CIDAS/clipseg-rd64-refined")
    assert hub.requests or waiting.silent_since
