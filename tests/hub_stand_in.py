"""A Hub on the loopback interface, as far as the course asks it: models, gates, tokens, and faults.

A folder ROOT/owner/name is served as the model owner/name. The headers are those by which the real client tells a gated
repository (401, 403) from an unknown one.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ROUTE = re.compile(r"/(?:api/models/)?([\w.-]+/[\w.-]+)(?:/(auth-check|revision|tree|resolve)(?:/([^/]+))?(?:/(.*))?)?")


class Hub(ThreadingHTTPServer):
    """Start with `Hub(root)`; `url` goes into HF_ENDPOINT. Sets of names decide who may read what.

    `tokens` exist; those in `accepted` have accepted the licence of the `gated` repositories; `fault` is a status that
    every request gets, or "truncate" to cut files in half.
    """

    daemon_threads = True

    def __init__(self, root: Path, gated=(), tokens=(), accepted=(), fault=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.gated, self.tokens, self.accepted, self.fault = root, gated, tokens, accepted, fault
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """No log on stderr."""

    def answer(self, status: int, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def refuse(self, status: int, message: str, code: str | None = None):
        self.answer(status, {"error": message}, X_Error_Message=message, **({"X_Error_Code": code} if code else {}))

    def do_GET(self):
        hub, path = self.server, unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        hub.asked.append(path)
        if isinstance(hub.fault, int):
            return self.refuse(hub.fault, "out of order")
        if token and token not in hub.tokens:
            return self.refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self.answer(200, {"type": "user", "name": "learner"}) if token else self.refuse(401, "Invalid username")
        match = ROUTE.fullmatch(path)
        repo, verb, _, name = match.groups() if match else (None,) * 4
        folder = hub.root / (repo or "")
        if not repo or not folder.is_dir():
            return self.refuse(404 if token else 401, "Repository not found", "RepoNotFound")
        if repo in hub.gated and verb in ("auth-check", "resolve") and token not in hub.accepted:
            return self.refuse(403 if token else 401, f"Access to model {repo} is restricted", "GatedRepo")
        if verb == "auth-check":
            return self.answer(200, {})
        files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        if verb == "resolve":
            return self.serve_file(folder, name) if name in files else self.refuse(404, "Not found", "EntryNotFound")
        if verb == "tree":
            size = lambda file: (folder / file).stat().st_size  # noqa: E731
            return self.answer(200, [{"type": "file", "path": file, "size": size(file), "oid": file} for file in files])
        siblings = [{"rfilename": file} for file in files]
        return self.answer(200, {"_id": "1", "id": repo, "sha": COMMIT, "tags": [], "siblings": siblings})

    do_HEAD = do_GET

    def serve_file(self, folder: Path, name: str):
        content = (folder / name).read_bytes()
        tag = hashlib.sha256(content).hexdigest()
        if self.server.fault == "truncate" and name.endswith(".safetensors"):
            content = content[: len(content) // 2]
        self.answer(200, content, ETag=f'"{tag}"', X_Repo_Commit=COMMIT, Content_Type="application/octet-stream")
