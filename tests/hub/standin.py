# Copyright (c) monai_vlsm contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Hugging Face Hub: the part of its HTTP interface that huggingface_hub 2.4 calls, in memory.

Repositories with visibility, commits and tags; binary files go through the LFS protocol and come from a second host, as
from the Hub's CDN. Faults can be switched on.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

TOKEN, READ_ONLY = "hf_writer", "hf_reader"
LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "other"}
Reply = tuple[int, dict[str, str], bytes]


@dataclass
class Repository:
    """Commits, newest last: id to the files; tags to ids."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        content = {**self.head, **files}
        text = repr([(len(self.commits), name, hashlib.sha1(data).digest()) for name, data in sorted(content.items())])
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = content
        return sha

    @property
    def head(self) -> dict[str, bytes]:
        return list(self.commits.values())[-1] if self.commits else {}

    def find(self, revision: str) -> str | None:
        if revision == "main":
            return list(self.commits)[-1]
        return revision if revision in self.commits else self.tags.get(revision)


@dataclass
class Hub:
    """What the server knows. ``faults``: names of what goes wrong."""

    url: str = ""
    cdn: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    faults: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    tokens_at_cdn: list[str] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)  # nobody need be kept waiting any more

    def add(self, repo_id: str, files: dict[str, bytes], **settings: bool) -> Repository:
        repository = self.repositories[repo_id] = Repository(**settings)
        repository.commit({".gitattributes": b"*.pt filter=lfs", **files})
        return repository


def is_binary(data: bytes) -> bool:
    return b"\0" in data[:512]


def etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if is_binary(data) else git_id(data)


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def as_json(content: Any, status: int = 200) -> Reply:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()


def refused(status: int, code: str = "", message: str = "") -> Reply:
    headers = {"X-Error-Code": code, "X-Error-Message": message}
    return status, {name: value for name, value in headers.items() if value}, json.dumps({"error": message}).encode()


class Handler(BaseHTTPRequestHandler):
    """One request: the first route that fits answers it."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        if "silent" in self.hub.faults:
            self.hub.over.wait()
            return
        if "down" in self.hub.faults:
            self._send(*refused(503, message="under repair"))
            return
        for method, pattern, name in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method:
                self._send(*getattr(self, name)(*found.groups()))
                return
        self._send(*refused(404, message=f"no route for {self.command} {path}"))

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        cut = self.command == "GET" and "cut" in self.hub.faults and self.path.startswith("/cdn/")
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        slow = self.hub.faults & {"drips", "stalls"} if self.command == "GET" and self.path.startswith("/cdn/") else ()
        if slow:
            self._send_slowly(body, "drips" in slow)
        elif cut:
            self.hub.faults.discard("cut")
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif self.command != "HEAD":
            self.wfile.write(body)

    def _send_slowly(self, body: bytes, drips: bool) -> None:
        """One byte at a time, or half of it and then nothing, until the other side has gone."""
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(body[: len(body) // 2])
            for byte in body[len(body) // 2 :]:
                if not drips or self.hub.over.wait(0.05):
                    self.hub.over.wait()
                    return
                self.wfile.write(bytes([byte]))

    @property
    def token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _may_not_write(self) -> Reply | None:
        if self.token == TOKEN:
            return None
        if self.token == READ_ONLY:
            return refused(403, message="You don't have the rights to create a model under this namespace")
        return refused(401, message="Invalid username or password.")

    def _unseen(self, repo_id: str) -> Reply | None:
        repository = self.hub.repositories.get(repo_id)
        if self.token not in ("", TOKEN, READ_ONLY):
            return refused(401, message="Invalid credentials in Authorization header")
        if repository is None or (repository.private and self.token not in (TOKEN, READ_ONLY)):
            status = 404 if self.token else 401
            return refused(status, "RepoNotFound", "Repository not found")
        if repository.gated and "/resolve/" in self.path:
            return refused(403, "GatedRepo", "Access to this model is restricted")
        return None

    def create(self) -> Reply:
        wanted = json.loads(self.body)
        repo_id = f"{wanted['organization']}/{wanted['name']}"
        denied = self._may_not_write()
        if denied:
            return denied
        if repo_id in self.hub.repositories:
            return as_json({"error": "You already created this model repo", "url": f"{self.hub.url}/{repo_id}"}, 409)
        self.hub.add(repo_id, {}, private=wanted.get("visibility") == "private")
        return as_json({"url": f"{self.hub.url}/{repo_id}", "name": repo_id})

    def validate(self) -> Reply:
        text = json.loads(self.body)["content"]
        head = yaml.safe_load(text.split("---")[1])
        if "license" in head and head["license"] not in LICENCES:
            return as_json(
                {"errors": [{"message": f'"license" must be one of {sorted(LICENCES)}'}], "warnings": []}, 400
            )
        return as_json({"errors": [], "warnings": []})

    def info(self, repo_id: str, revision: str | None) -> Reply:
        denied = self._unseen(repo_id)
        if denied:
            return denied
        repository = self.hub.repositories[repo_id]
        sha = repository.find(revision or "main")
        if sha is None:
            return refused(404, "RevisionNotFound", "Invalid rev id")
        blobs = "blobs" in parse_qs(urlsplit(self.path).query)
        siblings = [
            {"rfilename": name, **({"size": len(data), "blobId": git_id(data)} if blobs else {})}
            for name, data in repository.commits[sha].items()
        ]
        content = {"id": repo_id, "modelId": repo_id, "sha": sha, "private": repository.private, "tags": []}
        return as_json({**content, "siblings": siblings, "downloads": 0, "likes": 0})

    def tree(self, repo_id: str, revision: str) -> Reply:
        files = self.hub.repositories[repo_id].commits[revision]
        return as_json([self._entry(name, data) for name, data in files.items()])

    def _entry(self, name: str, data: bytes) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": name, "size": len(data), "oid": git_id(data)}
        if is_binary(data):
            entry["lfs"] = {"oid": etag(data), "size": len(data), "pointerSize": 130}
        return entry

    def preupload(self, repo_id: str, _: str) -> Reply:
        denied = self._may_not_write()
        if denied:
            return denied
        head = self.hub.repositories[repo_id].head
        files = []
        for file in json.loads(self.body)["files"]:
            mode = "lfs" if is_binary(base64.b64decode(file["sample"])) else "regular"
            old = head.get(file["path"])
            oid = None if old is None else etag(old)
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return as_json({"files": files})

    def lfs(self, repo_id: str) -> Reply:
        objects: list[dict[str, Any]] = []
        for wanted in json.loads(self.body)["objects"]:
            upload = {"href": f"{self.hub.cdn}/cdn/{wanted['oid']}"}
            verify = {"href": f"{self.hub.url}/api/verify/{repo_id}"}
            objects.append({**wanted, "actions": {"upload": upload, "verify": verify}})
        return as_json({"transfer": "basic", "objects": objects})

    def store(self, oid: str) -> Reply:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return refused(400, message="checksum differs")
        self.hub.blobs[oid] = self.body
        return 200, {}, b""

    def verify(self, _: str) -> Reply:
        wanted = json.loads(self.body)
        sound = len(self.hub.blobs.get(wanted["oid"], b"")) == wanted["size"]
        return as_json({}) if sound else refused(400, message="size differs")

    def commit(self, repo_id: str, _: str) -> Reply:
        denied = self._may_not_write()
        if denied:
            return denied
        files = {}
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
        sha = self.hub.repositories[repo_id].commit(files)
        return as_json({"success": True, "commitOid": sha, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{sha}"})

    def tag(self, repo_id: str, revision: str) -> Reply:
        repository = self.hub.repositories[repo_id]
        repository.tags[json.loads(self.body)["tag"]] = repository.find(revision) or ""
        return as_json({})

    def resolve(self, repo_id: str, revision: str, name: str) -> Reply:
        denied = self._unseen(repo_id)
        if denied:
            return denied
        repository = self.hub.repositories[repo_id]
        sha = repository.find(revision)
        if sha is None or name not in repository.commits[sha]:
            return refused(404, "EntryNotFound", "Entry not found")
        data = repository.commits[sha][name]
        headers = {"X-Repo-Commit": sha, "ETag": f'"{etag(data)}"'}
        if not is_binary(data):
            return 200, headers, data
        self.hub.blobs[etag(data)] = data
        headers |= {"X-Linked-Etag": f'"{etag(data)}"', "X-Linked-Size": str(len(data))}
        return 302, {**headers, "Location": f"{self.hub.cdn}/cdn/{etag(data)}"}, b""

    def download(self, oid: str) -> Reply:
        self.hub.tokens_at_cdn += [self.token] if self.token else []
        data = self.hub.blobs[oid]
        if "short" in self.hub.faults:
            return 200, {}, data[: len(data) // 2]
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if start:
            first = int(start.group(1))
            return 206, {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}, data[first:]
        return 200, {"Accept-Ranges": "bytes"}, data


_ID = r"([^/]+/[^/]+?)"
ROUTES = (
    ("POST", "/api/repos/create", "create"),
    ("POST", "/api/validate-yaml", "validate"),
    ("GET", rf"/api/models/{_ID}(?:/revision/(.+))?", "info"),
    ("GET", rf"/api/models/{_ID}/tree/([^/]+)", "tree"),
    ("POST", rf"/api/models/{_ID}/preupload/(.+)", "preupload"),
    ("POST", rf"/api/models/{_ID}/commit/(.+)", "commit"),
    ("POST", rf"/api/models/{_ID}/tag/(.+)", "tag"),
    ("POST", rf"/{_ID}\.git/info/lfs/objects/batch", "lfs"),
    ("POST", r"/api/verify/(.+)", "verify"),
    ("PUT", "/cdn/([0-9a-f]{64})", "store"),
    ("GET", "/cdn/([0-9a-f]{64})", "download"),
    ("GET HEAD", rf"/{_ID}/resolve/([^/]+)/(.+)", "resolve"),
)


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A Hub on a free port; ``127.0.0.1`` is the Hub and ``localhost`` its CDN."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("BoundHandler", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url, hub.cdn = (f"http://{host}:{server.server_port}" for host in ("127.0.0.1", "localhost"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
