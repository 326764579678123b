"""A small Hugging Face Hub in this process: repositories with commits, files in the commit or as large files."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

LARGE = (".safetensors", ".fewshot")


class Repository:
    """Commits, each with all its files, and names of some."""

    def __init__(self, private: bool):
        self.private = private
        self.commits: dict[str, dict[str, bytes]] = {}
        self.names: dict[str, str] = {}
        self.commit({".gitattributes": b""}, "main")

    def commit(self, files: dict[str, bytes], branch: str) -> str:
        """Add a commit with these files, and no others, to a branch."""
        parent = self.names.get(branch, "")
        told = parent.encode() + b"".join(name.encode() + content for name, content in sorted(files.items()))
        self.names[branch] = revision = hashlib.sha1(told).hexdigest()
        self.commits[revision] = dict(files)
        return revision

    def find(self, revision: str) -> str | None:
        """The commit that a name or a hash leads to."""
        revision = self.names.get(revision, revision)
        return revision if revision in self.commits else None


class Hub:
    """What the server holds."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.broken = False
        """Whether every request fails."""


def _tree(files: dict[str, bytes]) -> list[dict[str, Any]]:
    entries = []
    for name, content in files.items():
        entry = {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
        if name.endswith(LARGE):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 100}
        entries.append(entry)
    return entries


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer(b"")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("content-length") or 0)))

    do_PUT = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def _answer(self, body: bytes) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.broken:
            return self._send(500, {"error": "broken"})
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            front = json.loads(body)["content"].split("---")[1]
            ok = isinstance(yaml.safe_load(front), dict)
            return self._send(200, {"errors": [] if ok else [{"message": "no mapping"}], "warnings": []})
        if match := re.fullmatch(r"/large/(\w+)", path):
            assert hashlib.sha256(body).hexdigest() == match[1]
            self.hub.large[match[1]] = body
            return self._send(200, {})
        patterns = {
            r"/api/models/([^/]+/[^/]+)/preupload/(.+)": self._modes,
            r"/api/models/([^/]+/[^/]+)/commit/(.+)": self._commit,
            r"/api/models/([^/]+/[^/]+)/(?:revision|tree)/(.+)": self._about,
            r"/api/models/([^/]+/[^/]+)()": self._about,
            r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch()": self._batch,
            r"/([^/]+/[^/]+)/resolve/([^/]+/.+)": self._file,
        }
        for pattern, work in patterns.items():
            if match := re.fullmatch(pattern, path):
                repository = self.hub.repositories.get(match[1])
                if repository is None or (repository.private and "authorization" not in self.headers):
                    return self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
                return work(match[1], repository, match[2] or "main", body)
        return self._send(404, {"error": f"nothing at {path}"})

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
        if "authorization" not in self.headers:
            return self._send(401, {"error": "Unauthorized"})
        if name in self.hub.repositories:
            return self._send(409, {"error": "there is one", "url": name})
        self.hub.repositories[name] = Repository(bool(asked.get("private") or asked.get("visibility") == "private"))
        return self._send(200, {"url": f"http://{self.headers['host']}/{name}", "name": name})

    def _modes(self, name: str, repository: Repository, revision: str, body: bytes) -> None:
        modes = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
            }
            for one in json.loads(body)["files"]
        ]
        self._send(200, {"files": modes})

    def _batch(self, name: str, repository: Repository, revision: str, body: bytes) -> None:
        objects = [
            {
                "oid": one["oid"],
                "size": one["size"],
                "actions": {"upload": {"href": f"http://{self.headers['host']}/large/{one['oid']}"}},
            }
            for one in json.loads(body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _commit(self, name: str, repository: Repository, revision: str, body: bytes) -> None:
        files = dict(repository.commits[repository.names[revision]])
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(files, revision)
        self._send(200, {"commitUrl": f"http://{self.headers['host']}/{name}/commit/{commit}", "commitOid": commit})

    def _about(self, name: str, repository: Repository, revision: str, body: bytes) -> None:
        commit = repository.find(revision)
        if commit is None:
            return self._send(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        if "/tree/" in self.path:
            return self._send(200, _tree(repository.commits[commit]))
        siblings = [{"rfilename": one} for one in repository.commits[commit]]
        about = {"id": name, "modelId": name, "sha": commit, "siblings": siblings, "tags": [], "downloads": 0}
        return self._send(200, about | {"private": repository.private})

    def _file(self, name: str, repository: Repository, place: str, body: bytes) -> None:
        revision, _, file = place.partition("/")
        commit = repository.find(revision)
        content = None if commit is None else repository.commits[commit].get(file)
        if commit is None or content is None:
            return self._send(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        tag = hashlib.sha256(content).hexdigest()
        return self._raw(200, content, {"X-Repo-Commit": commit, "ETag": f'"{tag}"'})

    def _send(self, status: int, content: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(status, json.dumps(content).encode(), {"content-type": "application/json"} | (headers or {}))

    def _raw(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"content-length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def hub() -> Iterator[tuple[str, Hub]]:
    """Its address, and what it holds."""
    held = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": held}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", held
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
