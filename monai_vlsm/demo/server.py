# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""The page as an ASGI application, and its server."""

from __future__ import annotations

import importlib.util
import ipaddress
import socket
from typing import Any

from monai_vlsm.demo.models import Models
from monai_vlsm.errors import UserError

__all__ = ["ServerOptionError", "build_app", "listen", "serve"]


class ServerOptionError(UserError, ValueError):
    """An address that is refused or taken, or a package that is missing."""


def listen(host: str, port: int, password: str | None) -> socket.socket:
    """Take the address at which the page is to be served.

    Args:
        host: address to listen at.
        port: to listen at; 0 takes any that is free.
        password: see `serve`.

    Raises:
        ServerOptionError: an address beyond this machine without a password, one that cannot be had, no port, or
            packages are missing.
    """
    missing = [name for name in ("starlette", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ServerOptionError(f"the page needs {' and '.join(missing)}: pip install 'monai_vlsm[demo]'")
    if not 0 <= port < 65536:
        raise ServerOptionError(f"--port must be from 0 (any that is free) to 65535, got {port}")
    if password == "":
        raise ServerOptionError("the password is empty; give one, or leave it out to serve this machine only")
    if not _own_machine(host) and not password:
        raise ServerOptionError(f"--host {host} can be reached from other machines: give --password too")
    try:
        return socket.create_server((host, port), family=_family(host))
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0]  # Python repeats the address there
        raise ServerOptionError(
            f"cannot listen at {host}, port {port}: {reason}; give another --port or --host"
        ) from error


def _own_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def build_app(models: Models, host: str = "127.0.0.1", password: str | None = None) -> Any:
    """The page, for any ASGI server.

    Args:
        models: that it offers.
        host: address that it is served at; on this machine only, requests by other names are refused.
        password: see `serve`.
    """
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from monai_vlsm.demo.guard import Guard
    from monai_vlsm.demo.replies import error_replies
    from monai_vlsm.demo.routes import Routes

    names = ["localhost", "127.0.0.1", "[::1]", host] if _own_machine(host) else ["*"]  # no other site reaches in
    routes = Routes(models)
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=names), Middleware(Guard, password=password)]
    return Starlette(
        routes=routes.all(), middleware=middleware, exception_handlers=error_replies(), lifespan=routes.lifespan
    )


def serve(models: Models, place: socket.socket, password: str | None = None) -> None:
    """Serve the page until Ctrl-C.

    Args:
        models: that it offers.
        place: from `listen`.
        password: that the browser asks for, with the name demo; needed where other machines reach the host.
    """
    import uvicorn

    host, port = place.getsockname()[:2]
    print(f"http://{f'[{host}]' if ':' in host else host}:{port} (Ctrl-C ends it)", flush=True)
    uvicorn.Server(uvicorn.Config(build_app(models, host, password), log_level="warning")).run([place])
