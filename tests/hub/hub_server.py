"""A stand-in for the Hugging Face Hub on this machine: the endpoints that huggingface_hub calls to upload and download
a model, with commits, large files by the LFS protocol, and a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"


@dataclass
class Hub:
    """repositories: by name, the files of each commit, oldest first. calls: method and path of each request."""

    address: str = ""
    repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.repositories.get(name, [])
        if revision == "main" and commits:
            return commits[-1]
        return next((one for one in commits if one[0] == revision), None)

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        commits = self.repositories.setdefault(name, [])
        content = repr((len(commits), sorted((k, hashlib.sha1(v).hexdigest()) for k, v in files.items())))
        commits.append((hashlib.sha1(content.encode()).hexdigest(), files))
        return commits[-1][0]


def handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            pass

        def reply(self, code: int, content: Any = b"", **headers: str) -> None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            self.send_response(code)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def handle_one(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            if "chunked" in self.headers.get("Transfer-Encoding", ""):
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            path = unquote(urlsplit(self.path).path)
            hub.calls.append(f"{self.command} {path}")
            if self.command in ("POST", "PUT") and path != "/lfs" and not self.allowed(path):
                self.reply(401, {"error": "Invalid username or password."})
                return
            parts = path.strip("/").split("/")
            if path == "/api/repos/create":
                about = json.loads(body)
                name = f"{about['organization']}/{about['name']}" if about.get("organization") else about["name"]
                exists = name in hub.repositories
                hub.repositories.setdefault(name, [("0" * 40, {})])
                self.reply(409 if exists else 200, {"url": f"{hub.address}/{name}", "name": name})
            elif parts[:2] == ["api", "validate-yaml"]:
                self.reply(200, {"errors": [], "warnings": []})
            elif parts[:2] == ["api", "models"]:
                self.model("/".join(parts[2:4]), parts[4:], body)
            elif path.endswith(".git/info/lfs/objects/batch"):
                self.batch(json.loads(body))
            elif parts[0] == "upload":
                hub.large[parts[1]] = body
                self.reply(200)
            elif len(parts) > 4 and parts[2] == "resolve":
                self.file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
            else:
                self.reply(404, {"error": f"not found: {path}"})

        do_GET = do_POST = do_PUT = do_HEAD = handle_one  # noqa: N815

        def allowed(self, path: str) -> bool:
            return path.startswith("/upload/") or self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def model(self, name: str, rest: list[str], body: bytes) -> None:
            kind = rest[0] if rest else "revision"
            found = hub.files(name, rest[1] if len(rest) > 1 else "main")
            if found is None:
                code = "RevisionNotFound" if name in hub.repositories else "RepoNotFound"
                self.reply(404, {"error": "not found"}, X_Error_Code=code)
            elif kind == "revision":
                siblings = [{"rfilename": file, "size": len(content)} for file, content in found[1].items()]
                self.reply(200, {"id": name, "modelId": name, "sha": found[0], "siblings": siblings, "tags": []})
            elif kind == "tree":
                rows = [
                    {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                    for file, content in found[1].items()
                ]
                self.reply(200, rows)
            elif kind == "preupload":
                rows = [
                    {
                        "path": one["path"], "shouldIgnore": False, "oid": None,
                        "uploadMode": "lfs" if one["path"].endswith(".safetensors") else "regular",
                    }
                    for one in json.loads(body)["files"]
                ]  # fmt: skip
                self.reply(200, {"files": rows})
            elif kind == "commit":
                self.commit(name, found[1], [json.loads(line) for line in body.splitlines()])
            else:
                self.reply(404, {"error": kind})

        def commit(self, name: str, before: dict[str, bytes], lines: list[dict[str, Any]]) -> None:
            files = dict(before)
            for line in lines:
                value = line["value"]
                if line["key"] == "file":
                    assert value["encoding"] == "base64"
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = hub.large[value["oid"]]
                elif line["key"] == "deletedFile":
                    del files[value["path"]]
            oid = hub.commit(name, files)
            self.reply(200, {"commitOid": oid, "commitUrl": f"{hub.address}/{name}/commit/{oid}", "success": True})

        def batch(self, about: dict[str, Any]) -> None:
            rows = []
            for one in about["objects"]:
                action = {} if one["oid"] in hub.large else {"upload": {"href": f"{hub.address}/upload/{one['oid']}"}}
                rows.append({**one, "authenticated": True, "actions": action} if action else one)
            self.reply(200, {"transfer": "basic", "objects": rows}, Content_Type="application/vnd.git-lfs+json")

        def file(self, name: str, revision: str, file: str) -> None:
            found = hub.files(name, revision)
            if found is None or file not in found[1]:
                self.reply(404, X_Error_Code="EntryNotFound" if found else "RepoNotFound")
                return
            content = found[1][file]
            tag = hashlib.sha256(content).hexdigest()
            self.reply(200, content, X_Repo_Commit=found[0], ETag=f'"{tag}"')

    return Handler


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A Hub that runs while the block does."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(hub))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
