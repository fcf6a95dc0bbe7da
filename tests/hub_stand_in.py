"""A Hub on the loopback interface, as its real client meets it: gates, tokens, files, and faults.

A folder ROOT/owner/name, or a link to one, is served as the model and the dataset owner/name. As on
the real Hub, a large file comes from a second server: the Hub announces its size and sha256 and
redirects to it. That server has another host name, so the client must not send it the token. A
repository can be made, and files sent to it: all of them in the commit itself, as the real Hub
takes small ones.
"""

import base64
import functools
import hashlib
import json
import re
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REPO, COPY = "google/gemma-2b-it", "unsloth/gemma-2b-it"  # a gated model, and its public copy
# Tokens: may have it; not yet; does not exist; lacks the right to it (fine-grained); has expired.
GOOD, NEW, WRONG, FINE, OLD = (f"hf_{letter * 34}" for letter in "gnwfo")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = (".safetensors", ".bin", ".gguf", ".model", "tokenizer.json")  # stored by Git LFS
VERBS = "auth-check|revision|tree|paths-info|resolve|preupload|commit"
PLACE = "(?:(?:api/(?:models|datasets)|datasets)/)?"  # where a repository's address begins
ROUTE = re.compile(rf"/{PLACE}([\w.-]+/[\w.-]+)(?:/({VERBS})(?:/([^/]+))?(?:/(.*))?)?")
LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n"
PORTAL = b"<!DOCTYPE html><title>Log in</title>Welcome to this network."


class Server(ThreadingHTTPServer):
    """Answers on a free port of this machine from now on, until `shutdown()`."""

    def __init__(self, hub: "Hub", handler: type, name: str):
        super().__init__(("127.0.0.1", 0), handler)
        self.hub, self.url = hub, f"http://{name}:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    def handle_error(self, request, client_address):
        """Says nothing of a client that went away, as many faults make it do."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Hub(Server):
    """Start with `Hub(root)`; `url` goes into HF_ENDPOINT. All that follows may be changed later.

    Args:
        gated: repositories whose licence has to be accepted.
        tokens: those that exist. A request with another one is refused.
        accepted: token -> the gated repositories whose licence its owner has accepted.
        fine_grained: tokens without the right to read gated repositories.
        expired: tokens that were good once.
        writers: tokens that may make repositories of "learner", and write to them.
        faults: functions `fault(handler, path)`; the first that returns True has given the answer.

    A test reads what was asked: `asked` and `fetched` are the paths of all requests to the Hub and
    to the file host, `ranges` the parts of files that were asked for, `sent` and `leaked` the
    tokens that reached the one and the other.
    """

    def __init__(
        self,
        root: Path,
        gated=(),
        tokens=(),
        accepted: dict[str, set[str]] | None = None,
        fine_grained=(),
        expired=(),
        faults=(),
        writers=(),
    ):
        self.root, self.gated, self.tokens, self.accepted = root, gated, tokens, accepted or {}
        self.fine_grained, self.expired, self.faults = fine_grained, expired, list(faults)
        self.writers, self.private = writers, set()
        self.asked, self.fetched, self.ranges, self.sent, self.leaked = [], [], [], [], []
        super().__init__(self, HubHandler, "127.0.0.1")
        self.file_host = Server(self, FileHandler, "localhost")

    def shutdown(self):
        self.file_host.shutdown()
        super().shutdown()

    def forget(self):
        """Clears the record of what was asked."""
        for record in (self.asked, self.fetched, self.ranges, self.sent, self.leaked):
            record.clear()

    def refusal(self, repo: str, token: str) -> tuple[int, str, str | None] | None:
        """Status, message and error code where `token` may not read the files of `repo`."""
        if repo not in self.gated:
            return None
        restricted = f"Access to model {repo} is restricted"
        if not token:
            return 401, f"{restricted}. You must be authenticated to access it.", "GatedRepo"
        if token in self.fine_grained:  # the one refusal without an error code
            place = "in your fine-grained token settings to view this repository."
            return 403, f"Please enable access to public gated repositories {place}", None
        if repo not in self.accepted.get(token, ()):
            return 403, f"{restricted} and you are not in the authorized list.", "GatedRepo"
        return None


# ----------------------------------------------------------------------------------- what is served


@functools.cache
def _sha256(file: Path, changed_ns: int, size: int) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def sha256(file: Path) -> str:
    """Computed once for each version of a file: weights may have many gigabytes."""
    version = file.stat()
    return _sha256(file, version.st_mtime_ns, version.st_size)


def blob_id(content: bytes) -> str:
    """Git's name for a file with this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(file: Path) -> str:
    return sha256(file) if file.name.endswith(LARGE) else blob_id(file.read_bytes())


def entry(folder: Path, path: Path) -> dict:
    """What the Hub lists about a file or a folder inside the repository `folder`."""
    name = path.relative_to(folder).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "size": 0, "oid": COMMIT}
    listed = {"type": "file", "path": name, "size": path.stat().st_size, "oid": etag(path)}
    if name.endswith(LARGE):
        pointer = LFS_POINTER.format(etag(path), listed["size"]).encode()
        listed["lfs"] = {"oid": etag(path), "size": listed["size"], "pointerSize": len(pointer)}
        listed["oid"] = blob_id(pointer)
    return listed


def sibling(folder: Path, path: Path, has_hashes: bool) -> dict:
    """What the Hub says about a file along with its repository: the name or, if asked, all."""
    listed = entry(folder, path)
    named = {"rfilename": listed["path"]}
    if not has_hashes:
        return named
    if lfs := listed.get("lfs"):
        named["lfs"] = {
            "sha256": lfs["oid"],
            "size": lfs["size"],
            "pointerSize": lfs["pointerSize"],
        }
    return named | {"size": listed["size"], "blobId": listed["oid"]}


class Handler(BaseHTTPRequestHandler):
    """One request. `serve(path)` of each server gives the answer where no fault does.

    A fault may call it with `change`, a function from the content of a file to what is sent.
    """

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        """No log on stderr."""

    def do_GET(self):
        self.hub = self.server.hub
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        path = unquote(urlsplit(self.path).path)
        asked, tokens = self.records()
        asked.append(path)
        tokens += [self.token] if self.token else []
        if not any(fault(self, path) for fault in list(self.hub.faults)):
            self.serve(path)

    do_HEAD = do_POST = do_GET

    def answer(self, status: int, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        usual = {"Content_Type": "application/json", "Content_Length": len(content)}
        self.send_response(status)
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

    def send_file(self, content: bytes, tag: str, is_cut: bool = False):
        """The content, or the part of it that is asked for; half of that if `is_cut`."""
        headers = {
            "Content_Type": "application/octet-stream",
            "ETag": f'"{tag}"',
            "X_Repo_Commit": COMMIT,
            "Accept_Ranges": "bytes",
        }
        status, size = 200, len(content)
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            self.hub.ranges.append(match[0])
            first, last = int(match[1]), min(int(match[2] or size), size - 1)
            if first > last:
                return self.answer(416, b"", Content_Range=f"bytes */{size}")
            status, content = 206, content[first : last + 1]
            headers["Content_Range"] = f"bytes {first}-{last}/{size}"
        headers["Content_Length"] = len(content)
        if is_cut:
            self.close_connection = True
            content = content[: len(content) // 2]
        self.answer(status, content, **headers)


class FileHandler(Handler):
    """The file host: it knows no repositories and no gates, as the address alone opens a file."""

    def records(self):
        return self.hub.fetched, self.hub.leaked

    def serve(self, path: str, change: Callable[[bytes], bytes] = bytes, is_cut: bool = False):
        file = self.hub.root / path[1:]
        if not file.is_file():
            return self.refuse(404, "Not found")
        self.send_file(change(file.read_bytes()), sha256(file), is_cut)


class HubHandler(Handler):
    def records(self):
        return self.hub.asked, self.hub.sent

    def serve(self, path: str, change: Callable[[bytes], bytes] | None = None):
        hub, token = self.hub, self.token
        if token in hub.expired:
            return self.refuse(401, 'User Access Token "course" is expired')
        if token and token not in hub.tokens:
            return self.refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self.say_who()
        if path == "/api/repos/create":
            return self.create()
        if path == "/api/validate-yaml":
            return self.validate()
        match = ROUTE.fullmatch(path)
        repo, verb, revision, name = match.groups() if match else (None,) * 4
        folder = hub.root / (repo or "")
        if not repo or not folder.is_dir():
            if token:
                return self.refuse(404, "Repository not found", "RepoNotFound")
            return self.refuse(401, "Invalid username or password.", "RepoNotFound")
        if verb in ("auth-check", "resolve") and (refusal := hub.refusal(repo, token)):
            return self.refuse(*refusal)
        if verb == "auth-check":
            return self.answer(200, {})
        if verb in ("preupload", "commit"):
            return self.take_files(repo, folder, verb)
        if revision not in (None, "main", COMMIT):
            return self.refuse(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        if verb == "tree":
            return self.list_files(folder, folder / (name or ""))
        if verb == "paths-info":
            paths = [folder / path for path in parse_qs(self.body).get("paths", [])]
            return self.answer(200, [entry(folder, path) for path in paths if path.exists()])
        if verb == "resolve":
            return self.serve_file(folder, name, change)
        self.describe(repo, folder)

    def say_who(self):
        if not self.token:
            return self.refuse(401, "Invalid username or password.")
        self.answer(200, {"type": "user", "name": "learner"})

    def describe(self, repo: str, folder: Path):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        has_hashes = parse_qs(urlsplit(self.path).query).get("blobs") == ["true"]
        siblings = [sibling(folder, path, has_hashes) for path in files]
        gated = "manual" if repo in self.hub.gated else False
        private = repo in self.hub.private
        info = {"_id": "1", "id": repo, "sha": COMMIT, "private": private, "gated": gated}
        self.answer(200, info | {"tags": [], "siblings": siblings})

    def may_write(self, owner: str) -> bool:
        return self.token in self.hub.writers and owner == "learner"

    def create(self):
        """A new repository; 409 where there is one of that name already."""
        asked = json.loads(self.body)
        owner = asked.get("organization") or "learner"
        repo = f"{owner}/{asked['name']}"
        if not self.token:
            return self.refuse(401, "Invalid username or password.")
        if not self.may_write(owner):
            message = f'You don\'t have the rights to create a model under the namespace "{owner}"'
            return self.refuse(403, message)
        url = {"url": f"{self.hub.url}/{repo}"}
        if (self.hub.root / repo).exists():
            return self.answer(409, url | {"error": "You already created this model repo"})
        (self.hub.root / repo).mkdir(parents=True)
        if asked.get("visibility") == "private":
            self.hub.private.add(repo)
        self.answer(200, url)

    def validate(self):
        """Whether the metadata of a card are well-formed: `base_model` has to be a repository."""
        import yaml
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils import validate_repo_id

        card = json.loads(self.body)["content"]
        data = yaml.safe_load(card.split("---\n")[1]) if card.startswith("---\n") else {}
        try:
            validate_repo_id(data.get("base_model") or "none")
        except HFValidationError:
            error = {"message": '"base_model" is not valid: use a model id from hf.co.'}
            return self.answer(400, {"errors": [error], "warnings": []})
        self.answer(200, {"errors": [], "warnings": []})

    def take_files(self, repo: str, folder: Path, verb: str):
        """First what the client wants to send, then a commit: a line of JSON for each file."""
        if not self.may_write(repo.split("/")[0]):
            return self.refuse(403, "Forbidden: pass a write token.")
        if verb == "preupload":
            how = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
            files = [{"path": file["path"]} | how for file in json.loads(self.body)["files"]]
            return self.answer(200, {"files": files})
        lines = [json.loads(line) for line in self.body.splitlines()]
        for file in [line["value"] for line in lines if line["key"] == "file"]:
            (folder / file["path"]).write_bytes(base64.b64decode(file["content"]))
        url = f"{self.hub.url}/{repo}/commit/{COMMIT}"
        self.answer(200, {"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})

    def list_files(self, folder: Path, inside: Path):
        """What is in one folder of the repository, or below it; anyone may see it, gated or not."""
        is_recursive = parse_qs(urlsplit(self.path).query).get("recursive") == ["true"]
        paths = sorted(inside.glob("**/*" if is_recursive else "*"))
        if not paths:
            return self.refuse(404, "Not found", "EntryNotFound")
        self.answer(200, [entry(folder, path) for path in paths])

    def serve_file(self, folder: Path, name: str, change: Callable[[bytes], bytes] | None):
        """A small file; of a large one its size, its sha256 and the address at the file host."""
        file = folder / name
        if not file.is_file():
            return self.refuse(404, "Entry not found", "EntryNotFound")
        if not name.endswith(LARGE):
            return self.send_file(file.read_bytes(), etag(file))
        headers = {
            "Location": f"{self.hub.file_host.url}/{file.relative_to(self.hub.root).as_posix()}",
            "X_Linked_Size": len(change(file.read_bytes())) if change else file.stat().st_size,
            "X_Linked_ETag": f'"{etag(file)}"',
            "X_Repo_Commit": COMMIT,
            "Accept_Ranges": "bytes",
        }
        self.answer(302, b"", **headers)


# ------------------------------------------------------------------------------------------- faults

Fault = Callable[[Handler, str], bool]  # whether it has given the answer to this path


def silent(handler: Handler, path: str) -> bool:
    """The connection is taken, and nothing is ever said."""
    handler.connection.settimeout(10)  # a test that waits for longer is to fail, not to hang
    handler.rfile.read(1)  # comes back when the client gives up
    return True


def portal(handler: Handler, path: str) -> bool:
    """Every answer is the log-in page of a network, with status 200."""
    handler.answer(200, PORTAL, Content_Type="text/html")
    return True


def status(code: int, repo: str = "") -> Fault:
    """Every answer, or every answer about one repository, is this status."""

    def fault(handler: Handler, path: str) -> bool:
        is_meant = f"/{repo}/" in f"{path}/" if repo else True
        if is_meant:
            handler.refuse(code, "out of order")
        return is_meant

    return fault


def missing(name: str) -> Fault:
    """The file of this name is listed, but cannot be had: one shard of several, for example."""

    def fault(handler: Handler, path: str) -> bool:
        is_meant = "/resolve/" in path and path.endswith(f"/{name}")
        if is_meant:
            handler.refuse(404, "Entry not found", "EntryNotFound")
        return is_meant

    return fault


def cut(handler: Handler, path: str) -> bool:
    """The connection ends halfway through a download of weights, whose whole size was announced."""
    is_download = isinstance(handler, FileHandler) and handler.command == "GET"
    is_meant = is_download and path.endswith(".safetensors")
    if is_meant:
        handler.serve(path, is_cut=True)
    return is_meant


def truncated(handler: Handler, path: str) -> bool:
    """Weights have half their size, and the Hub announces that: their own header promises more."""
    return _with_other_weights(handler, path, lambda content: content[: len(content) // 2])


def wrong_bytes(handler: Handler, path: str) -> bool:
    """Weights have the right size and header, and zeros instead of the second half of their bytes.

    Only the sha256 that the Hub announces tells.
    """

    def change(content: bytes) -> bytes:
        half = len(content) // 2
        return content[:half] + bytes(len(content) - half)

    return _with_other_weights(handler, path, change)


def _with_other_weights(handler: Handler, path: str, change: Callable[[bytes], bytes]) -> bool:
    is_meant = path.endswith(".safetensors")
    if is_meant:
        handler.serve(path, change)
    return is_meant


def while_downloading(fault: Fault) -> Fault:
    """The fault at the file host alone: the Hub itself answers, and weights are announced."""
    return lambda handler, path: isinstance(handler, FileHandler) and fault(handler, path)


def after_list(fault: Fault) -> Fault:
    """The fault wherever a file is asked for; what the Hub says about a repository goes well."""
    return lambda handler, path: "/api/" not in path and fault(handler, path)


def first(times: int, fault: Fault) -> Fault:
    """The fault for the first requests that it answers; all later ones go well."""
    left, one_at_a_time = times, threading.Lock()

    def limited(handler: Handler, path: str) -> bool:
        nonlocal left
        with one_at_a_time:
            is_answered = left > 0 and fault(handler, path)
            left -= is_answered
        return is_answered

    return limited
