# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""Waiting for the Hugging Face Hub: bounded, whether it is silent, drips or stalls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.errors import OfflineModeIsEnabled
from huggingface_hub.utils import _http

__all__ = ["HubSilentError", "bound_waiting"]

GIVE_UP = 25.0
"""Seconds without an answer, or without progress of a download, after which a host is not asked again."""

ONE_WAIT = 10.0
"""Seconds for one answer; an upload may take the rest of `GIVE_UP`."""

FORGET = 300.0
"""Seconds after which a silent host is asked again."""

silent_since: dict[str, float] = {}
"""Hosts that owe an answer, to the time (``time.monotonic``) since when."""

_LEAST = 64_000  # bytes that count as progress: less in GIVE_UP seconds is a drip
_lock = threading.Lock()


class HubSilentError(OfflineModeIsEnabled):
    """The Hub does not answer. huggingface_hub takes it for being offline: it stops asking and looks in its cache."""


@lru_cache(maxsize=1)
def bound_waiting() -> None:
    """Let huggingface_hub in this process wait `GIVE_UP` seconds at most for a host that does not answer.

    Its own limits are for one request, of which it makes many, and some have none. A client that somebody has set up
    (``huggingface_hub.set_client_factory``) is kept and watched too.
    """
    made: Callable[[], httpx2.Client] = getattr(_http, "_GLOBAL_CLIENT_FACTORY", _http.default_client_factory)
    set_client_factory(lambda: _watched(made()))


def _watched(client: httpx2.Client) -> httpx2.Client:
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks.get("request", []), _before],
        "response": [*hooks.get("response", []), _after],
    }
    return client


def _before(request: Any) -> None:
    """Refuse to ask a host that has been silent for too long, and bound how long this request may wait."""
    uploads = request.method == "PUT"  # its time is the sending, which no answer tells about
    left = GIVE_UP if uploads else _left(_host(request))
    longest = max(min(left, GIVE_UP if request.method in ("PUT", "POST") else ONE_WAIT), 0.1)
    given = request.extensions.get("timeout") or {}
    kinds = ("connect", "read", "write", "pool")
    request.extensions["timeout"] = {kind: min(given.get(kind) or longest, longest) for kind in kinds}


def _host(request: Any) -> str:
    return str(request.url.netloc.decode())


def _left(host: str) -> float:
    """Seconds that may still be waited for a host.

    Raises:
        HubSilentError: when there are none.
    """
    now = time.monotonic()
    with _lock:
        waited = now - silent_since.setdefault(host, now)
        if waited > GIVE_UP + FORGET:
            silent_since[host], waited = now, 0.0
    if waited >= GIVE_UP:
        raise HubSilentError(f"{host} has not answered for {GIVE_UP:.0f} seconds, so it is not asked any more")
    return GIVE_UP - waited


def _after(response: Any) -> None:
    if response.request.method == "HEAD":
        _answered(_host(response.request))
    else:
        response.stream = _Watched(response.stream, _host(response.request))


def _answered(host: str) -> None:
    with _lock:
        silent_since.pop(host, None)


class _Watched(httpx2.SyncByteStream):
    """The body of an answer, which must come with some speed."""

    def __init__(self, stream: Any, host: str) -> None:
        self.stream, self.host = stream, host

    def __iter__(self) -> Iterator[bytes]:
        progress = 0
        for chunk in self.stream:
            progress += len(chunk)
            if progress >= _LEAST:
                progress = 0
                _answered(self.host)
            _left(self.host)
            yield chunk
        _answered(self.host)

    def close(self) -> None:
        self.stream.close()
