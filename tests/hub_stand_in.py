"""A Hub on the loopback interface, as far as the course asks it: models, gates, tokens, and faults.

A folder ROOT/owner/name is served as the model owner/name. The headers are those by which the real
client tells a gated repository (401, 403) from an unknown one.
"""

import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

REPO, COPY = "google/gemma-2b-it", "unsloth/gemma-2b-it"  # a gated model, and its public copy
GOOD, NEW, WRONG = (f"hf_{letter * 34}" for letter in "gnw")  # may have it, not yet, no token
COMMIT = "0123456789abcdef0123456789abcdef01234567"
VERBS = "auth-check|revision|tree|resolve"
ROUTE = re.compile(rf"/(?:api/models/)?([\w.-]+/[\w.-]+)(?:/({VERBS})(?:/([^/]+))?(?:/(.*))?)?")
PORTAL = b"<!DOCTYPE html><title>Log in</title>Welcome to this network."


class Hub(ThreadingHTTPServer):
    """Start with `Hub(root)`; `url` goes into HF_ENDPOINT. Sets of names decide who may read what.

    `tokens` exist; those in `accepted` have accepted the licence of the `gated` repositories.
    `fault` is one of
    - a status that every request gets;
    - "silent": the connection is taken and nothing is ever said;
    - "portal": every answer is the log-in page of a network, with status 200;
    - "cut": the connection of a download of weights ends halfway, `cuts` times.
    `asked` are the paths of all requests, `sent` the tokens that came with them, `ranges` the parts
    that were asked for.
    """

    daemon_threads = True

    def __init__(self, root: Path, gated=(), tokens=(), accepted=(), fault=None, cuts=10**9):
        super().__init__(("127.0.0.1", 0), Handler)
        self.root, self.gated, self.tokens, self.accepted = root, gated, tokens, accepted
        self.fault, self.cuts = fault, cuts
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked, self.sent, self.ranges = [], [], []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """No log on stderr."""

    def answer(self, status: int, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        usual = {"Content_Type": "application/json", "Content_Length": len(content)}
        for name, value in (usual | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def refuse(self, status: int, message: str, code: str | None = None):
        headers = {"X_Error_Code": code} if code else {}
        if code == "EntryNotFound":  # so the client can remember that there is no such file
            headers["X_Repo_Commit"] = COMMIT
        self.answer(status, {"error": message}, X_Error_Message=message, **headers)

    def do_GET(self):
        hub, path = self.server, unquote(urlsplit(self.path).path)
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        hub.asked.append(path)
        hub.sent += [token] if token else []
        if hub.fault == "silent":
            self.connection.settimeout(10)  # a test that waits for longer is to fail, not to hang
            return self.rfile.read(1)  # comes back when the client gives up
        if hub.fault == "portal":
            return self.answer(200, PORTAL, Content_Type="text/html")
        if isinstance(hub.fault, int):
            return self.refuse(hub.fault, "out of order")
        if token and token not in hub.tokens:
            return self.refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            if not token:
                return self.refuse(401, "Invalid username")
            return self.answer(200, {"type": "user", "name": "learner"})
        match = ROUTE.fullmatch(path)
        repo, verb, _, name = match.groups() if match else (None,) * 4
        folder = hub.root / (repo or "")
        if not repo or not folder.is_dir():
            return self.refuse(404 if token else 401, "Repository not found", "RepoNotFound")
        if repo in hub.gated and verb in ("auth-check", "resolve") and token not in hub.accepted:
            status = 403 if token else 401
            return self.refuse(status, f"Access to model {repo} is restricted", "GatedRepo")
        if verb == "auth-check":
            return self.answer(200, {})
        paths = [path for path in folder.rglob("*") if path.is_file()]
        files = sorted(path.relative_to(folder).as_posix() for path in paths)
        if verb == "resolve" and name in files:
            return self.serve_file(folder / name)
        if verb == "tree":
            inside = [file for file in files if not name or file.startswith(f"{name}/")]
            sizes = {file: (folder / file).stat().st_size for file in inside}
            entries = [
                {"type": "file", "path": file, "size": size, "oid": file}
                for file, size in sizes.items()
            ]
            if entries:
                return self.answer(200, entries)
        if verb in ("resolve", "tree"):
            return self.refuse(404, "Not found", "EntryNotFound")
        siblings = [{"rfilename": file} for file in files]
        info = {"_id": "1", "id": repo, "sha": COMMIT, "tags": [], "siblings": siblings}
        return self.answer(200, info)

    do_HEAD = do_GET

    def serve_file(self, file: Path):
        """The whole file, or from the byte on that the client has reached; half if it is cut."""
        content, hub = file.read_bytes(), self.server
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X_Repo_Commit": COMMIT,
            "Accept_Ranges": "bytes",
        }
        status, size = 200, len(content)
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            hub.ranges.append(match[0])
            first, last = int(match[1]), min(int(match[2] or size), size - 1)
            if first > last:
                return self.answer(416, b"", Content_Range=f"bytes */{size}")
            status, content = 206, content[first : last + 1]
            headers["Content_Range"] = f"bytes {first}-{last}/{size}"
        headers["Content_Length"] = len(content)
        is_download = self.command == "GET" and file.suffix == ".safetensors"
        if hub.fault == "cut" and hub.cuts and is_download:
            hub.cuts -= 1
            self.close_connection = True
            content = content[: len(content) // 2]
        self.answer(status, content, Content_Type="application/octet-stream", **headers)
