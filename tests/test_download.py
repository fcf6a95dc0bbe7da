"""What is downloaded arrives whole, or one sentence says what to do: the Hub's real client."""

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
import types
from errno import ECONNRESET, EROFS, ETIMEDOUT
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import hub_stand_in as stand_in
import pytest
import torch
from hub_stand_in import COPY, GOOD, REPO
from huggingface_hub import HfApi, constants, file_download
from models import SMALL_IT, TINY
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
)

from gemma_lab import access, download, profile

SHARDS = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
RECORD = download.RECORD


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """REPO in two shards, COPY in one file, with what a repository holds beside a checkpoint."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    model = GemmaForCausalLM(GemmaConfig(**TINY))
    model.save_pretrained(root / REPO, max_shard_size="1MB")
    model.save_pretrained(root / COPY)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(Path(SMALL_IT, name), root / COPY)
    for name in (
        "gemma-2b-it.gguf",
        "pytorch_model.bin",
        "README.md",
        "original/model.safetensors",
    ):
        (root / COPY / name).parent.mkdir(exist_ok=True)
        (root / COPY / name).write_bytes(b"not for from_pretrained")
    return root


@pytest.fixture
def hub(hub, models, no_tokens, tmp_path, monkeypatch):
    """The Hub of conftest.py with files, a good token, an empty cache, and no time to lose."""
    hub.root, hub.gated = models, {REPO}
    monkeypatch.setenv("HF_TOKEN", GOOD)
    monkeypatch.delenv("HF_HUB_DISABLE_XET", raising=False)
    hub.cache = tmp_path / "cache"
    for name, value in {
        "HF_HUB_CACHE": str(hub.cache),
        "HF_HUB_DISABLE_XET": False,
        "HF_HUB_DOWNLOAD_TIMEOUT": 0.2,
        "DOWNLOAD_CHUNK_SIZE": 1000,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(access, "LIMIT_S", 0.3)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client waits between attempts
    return hub


BAD_INDEXES = ["{", "{}", "[]", "null", '{"weight_map": []}', '{"weight_map": {"a": 7}}']


def own_repository(hub, tmp_path, monkeypatch, **files):
    """A public repository "me/mine" on another root, with these files."""
    folder = tmp_path / "own" / "me" / "mine"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content, encoding="utf-8")
    hub.root = tmp_path / "own"
    return folder


def cached(hub, repo=COPY) -> Path:
    return hub.cache / f"models--{repo.replace('/', '--')}"


def snapshot(hub, repo=COPY) -> Path:
    return cached(hub, repo) / "snapshots" / stand_in.COMMIT


def refused(repo=COPY, **arguments) -> str:
    """The message of the one line that Jupyter shows; no other error is behind it."""
    with pytest.raises(download.DownloadError) as caught:
        download.fetch(repo, **arguments)
    error = caught.value
    assert error._render_traceback_() == [f"DownloadError: {error}"] and "\n" not in str(error)
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    assert str(error).startswith(f"{repo} is not here. ") and GOOD not in str(error)
    return str(error)


# ------------------------------------------------------------------------------------------ it goes


@pytest.mark.parametrize("repo", [REPO, COPY])
def test_what_from_pretrained_needs_arrives_whole_and_loads_without_a_hub(
    hub, models, repo, monkeypatch, capsys
):
    download.fetch(repo)
    said = capsys.readouterr()
    assert said.out == f"{repo}: 0.0 GB to download into {hub.cache}.\n" and said.err == ""
    names = {path.name for path in snapshot(hub, repo).rglob("*")}
    others = {
        "gemma-2b-it.gguf",
        "pytorch_model.bin",
        "README.md",
        "original",
        "consolidated.safetensors",
    }
    assert names == {path.name for path in (models / repo).glob("*")} - others
    result = HfApi().verify_repo_checksums(repo, cache_dir=hub.cache)
    assert result.checked_count == len(names) and not result.mismatches
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.forget()
    loaded = AutoModelForCausalLM.from_pretrained(repo, cache_dir=hub.cache).state_dict()
    expected = AutoModelForCausalLM.from_pretrained(models / repo).state_dict()
    assert hub.asked == [] and all(torch.equal(loaded[name], expected[name]) for name in expected)


def test_a_gb_is_ten_to_the_ninth_bytes(hub, monkeypatch, capsys):
    monkeypatch.setattr(stand_in.HubHandler, "describe", huge)
    free = types.SimpleNamespace(free=10**12)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: free)
    download.fetch(COPY)
    assert capsys.readouterr().out.startswith(f"{COPY}: 17.1 GB to download into ")


def huge(handler, repo, folder):
    files = sorted(path for path in folder.glob("*") if path.is_file())
    siblings = [stand_in.sibling(folder, path, True) for path in files]
    for one in siblings:
        one["size"] = 17_100_000_000 if one["rfilename"].endswith(".safetensors") else one["size"]
    handler.answer(200, {"_id": "1", "id": repo, "sha": stand_in.COMMIT, "siblings": siblings})


def test_the_second_time_one_question_is_asked_and_nothing_is_said_or_read(
    hub, monkeypatch, capsys
):
    download.fetch(COPY)
    hub.forget()
    capsys.readouterr()
    monkeypatch.setattr("huggingface_hub.utils.sha.sha_fileobj", None)
    monkeypatch.setattr("huggingface_hub.utils.sha.git_hash", None)
    download.fetch(COPY)
    assert hub.asked == [f"/api/models/{COPY}"] and capsys.readouterr().out == ""


@pytest.mark.parametrize("record", ["", "[1]", "{", '{"a": 1}', "null"])
def test_a_record_that_was_lost_or_spoilt_means_to_check_again(hub, record):
    download.fetch(COPY)
    (cached(hub) / RECORD).write_text(record)
    download.fetch(COPY)
    assert len(json.loads((cached(hub) / RECORD).read_text())) >= 6


def test_only_what_is_missing_is_downloaded(hub):
    download.fetch(REPO)
    (snapshot(hub, REPO) / SHARDS[0]).resolve().unlink()
    hub.forget()
    download.fetch(REPO)
    assert hub.fetched == [f"/{REPO}/{SHARDS[0]}"]


def test_a_cut_or_a_stall_once_is_mended_by_the_client_in_silence(hub, capfd):
    hub.faults = [stand_in.first(1, stand_in.cut)]
    download.fetch(COPY)
    hub.faults = [stand_in.first(1, stand_in.while_downloading(stand_in.silent))]
    download.fetch(REPO)
    assert len(hub.ranges) == 1 and capfd.readouterr().err == ""


def test_a_file_that_takes_seconds_to_check_is_named(hub, monkeypatch, capsys):
    size = (hub.root / COPY / "model.safetensors").stat().st_size
    monkeypatch.setattr(download, "LONG", size - 1)
    download.fetch(COPY)
    assert capsys.readouterr().out.splitlines()[1:] == ["Checking model.safetensors …"]


def moved(handler, path):
    """The repository's newest version is another one by now, without the files of the old."""
    is_meant = "/resolve/main/" in path
    if is_meant:
        handler.refuse(404, "Entry not found", "EntryNotFound")
    return is_meant


def test_all_files_are_of_the_version_that_was_listed(hub, monkeypatch):
    hub.faults = [moved]
    download.fetch(COPY)
    main = cached(hub) / "refs" / "main"
    for older in ("f" * 40, None):  # the version that is here whole is the one that loads
        main.unlink() if older is None else main.write_text(older)
        download.fetch(COPY)
        assert main.read_text() == stand_in.COMMIT
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert AutoModelForCausalLM.from_pretrained(COPY, cache_dir=hub.cache)


def test_xet_is_left_to_who_asks_for_it(hub, monkeypatch):
    download.fetch(COPY)
    assert constants.HF_HUB_DISABLE_XET and os.environ["HF_HUB_DISABLE_XET"] == "1"
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "0")
    download.fetch(COPY)
    assert not constants.HF_HUB_DISABLE_XET


# ----------------------------------------------------------------------------------- it does not go


def gone(hub):
    hub.file_host.shutdown()
    hub.file_host.server_close()


FAULTS = {
    "cut every time": (stand_in.cut, "The connection broke off: check the network"),
    "stalled every time": (
        stand_in.while_downloading(stand_in.silent),
        "The Hub stopped answering: check the network",
    ),
    "stalled from the beginning": (stand_in.silent, "The Hub stopped answering"),
    "truncated": (stand_in.truncated, "had other bytes than the Hub announces, and is deleted"),
    "wrong bytes": (stand_in.wrong_bytes, "had other bytes than the Hub announces, and is deleted"),
    "page for everything": (stand_in.portal, "A web page answers instead of the Hub: log in"),
    "page for files": (stand_in.after_list(stand_in.portal), "A web page answers instead"),
    "page for weights": (
        stand_in.while_downloading(stand_in.portal),
        "The download failed (Consistency check failed: file should be of size",
    ),
    "a shard is not there": (stand_in.missing(SHARDS[1]), f"The Hub has no {SHARDS[1]} of it"),
    "404 of the version": (stand_in.status(404, "api/models"), "The Hub has no gemma-2b-it of it"),
}
for code in (429, 500, 503):
    FAULTS[f"{code} at once"] = (stand_in.status(code), f"with an error ({code}): wait a minute")
    late = stand_in.after_list(stand_in.status(code))
    FAULTS[f"{code} for files"] = (late, f"with an error ({code}): wait a minute")
    late = stand_in.while_downloading(stand_in.status(code))
    FAULTS[f"{code} for weights"] = (late, f"with an error ({code}): wait a minute")


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_is_one_sentence_and_the_next_time_mends_it(hub, name, capfd):
    fault, words = FAULTS[name]
    hub.faults = [fault]
    assert words in refused(REPO)
    assert capfd.readouterr().err == ""
    hub.faults = []
    download.fetch(REPO)
    assert AutoModelForCausalLM.from_pretrained(REPO, cache_dir=hub.cache)


def test_a_wrong_file_is_deleted_with_its_link_and_no_other_one_is(hub):
    download.fetch(COPY)
    weights = snapshot(hub) / "model.safetensors"
    blob, content = weights.resolve(), bytearray(weights.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)  # the disk's own fault, after it was checked
    assert "model.safetensors had other bytes" in refused()
    assert not weights.is_symlink() and not blob.exists()
    assert (snapshot(hub) / "config.json").exists()


def test_a_small_file_is_checked_too(hub):
    download.fetch(COPY)
    config = (snapshot(hub) / "config.json").resolve()
    config.write_text(config.read_text().replace('"hidden_size": 128', '"hidden_size": 256'))
    assert "config.json had other bytes" in refused()


def test_a_file_host_that_is_gone_after_the_set_up(hub):
    gone(hub)
    assert "The connection broke off: check the network" in refused()


def test_a_whole_copy_is_enough_when_the_hub_is_not_there(hub, capsys):
    assert download.fetch(COPY) == COPY
    capsys.readouterr()
    for fault in (stand_in.silent, stand_in.portal, stand_in.status(503)):
        hub.faults = [fault]
        assert download.fetch(COPY) == str(snapshot(hub, COPY))
    hub.forget()
    here = download.fetch(COPY, out_of_reach="There is no network.")
    assert AutoConfig.from_pretrained(here).model_type
    assert hub.asked == [] and capsys.readouterr().out == ""


@pytest.mark.parametrize("lost", ["config.json", *SHARDS, "model.safetensors.index.json", "refs"])
def test_half_a_copy_is_not(hub, lost):
    download.fetch(REPO)
    path = snapshot(hub, REPO) / lost
    path.unlink() if path.exists() else shutil.rmtree(cached(hub, REPO) / "refs")
    hub.forget()
    why = "HF_HUB_OFFLINE is set: unset it."
    assert refused(REPO, out_of_reach=why) == f"{REPO} is not here. {why}"
    assert hub.asked == []


def test_an_index_that_is_none_is_half_a_copy(hub):
    download.fetch(REPO)
    index = (snapshot(hub, REPO) / "model.safetensors.index.json").resolve()
    for text in BAD_INDEXES:
        index.write_text(text)
        refused(REPO, out_of_reach="There is no network.")


@pytest.mark.parametrize("index", BAD_INDEXES)
def test_an_index_of_the_hub_that_is_none_is_named(hub, tmp_path, monkeypatch, index):
    files = {"config": '{"model_type": "gemma"}', "model.safetensors.index": index}
    own_repository(hub, tmp_path, monkeypatch, **files)
    words = "The Hub has no 7 of it" if "7" in index else "model.safetensors.index.json cannot be"
    assert words in refused("me/mine")


def test_a_disk_without_room_is_named_before_any_download(hub, monkeypatch, capsys):
    monkeypatch.setattr(stand_in.HubHandler, "describe", huge)
    free = types.SimpleNamespace(free=3_000_000_000)
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: free)
    said = refused()
    assert "It needs 17.1 GB, and " in said and "has 3.0 GB free: make room" in said
    assert capsys.readouterr().out == "" and not any("resolve" in path for path in hub.asked)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_disk_that_fills_up_meanwhile(hub, monkeypatch):
    """What the client writes goes to the kernel's own full device."""
    monkeypatch.setattr(file_download.uuid, "uuid4", lambda: types.SimpleNamespace(hex="0" * 8))
    download_to = file_download._download_to_tmp_and_move

    def to_a_full_disk(incomplete_path, **arguments):
        name = f"{incomplete_path.stem}.{'0' * 8}.incomplete"
        incomplete_path.with_name(name).symlink_to("/dev/full")
        download_to(incomplete_path=incomplete_path, **arguments)

    monkeypatch.setattr(file_download, "_download_to_tmp_and_move", to_a_full_disk)
    assert f"The disk of {hub.cache} is full: make room" in refused()


def test_a_cache_that_cannot_be_written(hub, monkeypatch):
    hub.cache.write_text("a file where the folder should be")
    said = refused()
    assert f"{hub.cache} cannot be written to (" in said and "HF_HOME" in said


def test_a_whole_cache_may_be_read_only(hub, monkeypatch):
    download.fetch(COPY)
    (cached(hub) / RECORD).unlink()

    def refuse(path, *arguments, **options):  # a file that is not there, too
        raise OSError(EROFS, os.strerror(EROFS), str(path))

    for name in ("unlink", "write_text", "mkdir"):  # root may write everywhere
        monkeypatch.setattr(Path, name, refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    hub.forget()
    download.fetch(COPY)
    assert not (cached(hub) / RECORD).exists() and hub.asked == [f"/api/models/{COPY}"]


@pytest.mark.parametrize(
    "error, words",
    [
        (ConnectionResetError(ECONNRESET, "Connection reset by peer"), "The connection broke off"),
        (TimeoutError(ETIMEDOUT, "Connection timed out"), "The connection broke off"),
        (OSError(EROFS, "Read-only file system"), "cannot be written to (Read-only file system)"),
        (OSError(), "The download failed (OSError): check the network"),
        (ValueError("first\nsecond"), "The download failed (first): check the network"),
    ],
)
def test_an_error_of_the_system_is_named_for_what_it_is(hub, monkeypatch, error, words):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    assert words in refused()


@pytest.mark.parametrize(
    "files, words",
    [
        ({"tokenizer": "{}"}, "me/mine holds no config.json"),
        ({"config": "{"}, "The config of me/mine cannot be read"),
        ({"config": "[1]"}, "The config of me/mine cannot be read"),
        ({"config": "{}"}, "it names no model_type"),
        ({"config": '{"model_type": "gemma"}'}, "The Hub has no model.safetensors of it"),
        (
            {"adapter_config": '{"base_model_name_or_path": "google/gemma-2b"}'},
            "me/mine is a LoRA adapter: load google/gemma-2b",
        ),
    ],
)
def test_a_repository_that_is_no_checkpoint_costs_no_gigabytes(
    hub, tmp_path, monkeypatch, files, words
):
    folder = own_repository(hub, tmp_path, monkeypatch, **files)
    (folder / "adapter_model.safetensors").write_bytes(b"much")
    assert words in refused("me/mine")
    assert not any("safetensors" in path for path in hub.asked)


def test_an_interrupt_passes_and_shows_no_token(hub):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    import huggingface_hub

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt) as caught:
        patch.setattr(huggingface_hub, "hf_hub_download", interrupted)
        download.fetch(COPY)
    frames = [entry.frame.f_locals for entry in caught.traceback]
    assert caught.value.__suppress_context__ and GOOD not in str(frames[1:])
    download.fetch(COPY)


# ---------------------------------------------------------------- processes of their own, one cache

FETCH = f"""
import traceback
from gemma_lab import download
try:
    download.fetch({COPY!r})
except KeyboardInterrupt as error:
    assert error.__suppress_context__
    error.__context__ = None  # shown nowhere; an object half built in there has no repr
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    print("".join(shown.format()))
"""


def started(hub) -> subprocess.Popen:
    """A process that runs FETCH with the real client's own settings."""
    settings = {"HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(hub.cache), "HF_HUB_OFFLINE": "0"}
    here = {"PYTHONPATH": str(Path(download.__file__).parent.parent), "HF_TOKEN": GOOD}
    environment = {**os.environ, **settings, **here}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", FETCH], env=environment, **pipes)


def test_two_processes_fill_one_cache(hub):
    """Both ask what there is before either downloads; each file comes once, and all are right."""
    both_are_there = threading.Barrier(2)

    def together(handler, path):
        if path.startswith("/api/models/"):
            both_are_there.wait(60)
        return False

    hub.faults = [together]
    processes = [started(hub), started(hub)]
    ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], ends
    assert all(out.count("to download") == 1 for out, _ in ends)
    assert hub.fetched.count(f"/{COPY}/model.safetensors") == 1
    hub.faults = []
    result = HfApi().verify_repo_checksums(COPY, cache_dir=hub.cache)
    assert result.checked_count >= 6 and not result.mismatches


def test_ctrl_c_in_the_middle_of_a_file_leaves_no_half_one(hub):
    halfway = threading.Event()

    def stalls(handler, path):
        is_meant = stand_in.cut(handler, path)
        if is_meant:
            halfway.set()
            stand_in.silent(handler, path)
        return is_meant

    hub.faults = [stalls]
    process = started(hub)
    assert halfway.wait(60)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=8)  # the client alone would wait for ten seconds
    assert "KeyboardInterrupt" in out and GOOD not in out and out.count("File ") == 2
    assert (snapshot(hub) / "config.json").exists()
    assert not (snapshot(hub) / "model.safetensors").exists()
    hub.faults = []
    download.fetch(COPY)
    assert AutoModelForCausalLM.from_pretrained(COPY, cache_dir=hub.cache)


# --------------------------------------------------------------------------------------- checkpoint


def test_checkpoint_downloads_before_it_names_a_model(hub, monkeypatch, capsys):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "hub")
    hub.faults = [stand_in.wrong_bytes]
    with pytest.raises(PermissionError, match="had other bytes") as caught:  # notebooks go on
        profile.checkpoint(REPO)
    assert str(caught.value).endswith(f" anew. {profile.MEANWHILE}")
    with pytest.raises(PermissionError, match="to download it anew.$"):  # no world is chosen anew
        profile.checkpoint(REPO, profile="hub")
    with pytest.raises(PermissionError, match="to download it anew.$"):  # nothing smaller for it
        profile.checkpoint(COPY)
    hub.faults = []
    assert profile.checkpoint(REPO) == REPO
    assert "from the Hugging Face Hub" in capsys.readouterr().out.splitlines()[-1]
    profile.forget()
    hub.faults = [stand_in.silent]
    assert profile.checkpoint(REPO) == str(snapshot(hub, REPO))
    assert "does not answer" in capsys.readouterr().out
    shutil.rmtree(hub.cache)
    with pytest.raises(download.DownloadError, match="is not here. The Hugging Face Hub does not"):
        profile.checkpoint(REPO)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("README.md", "", r"^google/gemma-2b-it \(a folder here\) holds no config.json"),
        ("config.json", "{", r"^The config of google/gemma-2b-it \(a folder here\) cannot"),
        (
            "adapter_config.json",
            "{}",
            r"\(a folder here\) is a LoRA adapter: load the model that it was trained on",
        ),
    ],
)
def test_a_folder_that_is_no_checkpoint_is_named(tmp_path, monkeypatch, name, content, words):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / REPO
    folder.mkdir(parents=True)
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=words) as caught:
        profile.checkpoint(REPO)
    assert len(caught.value._render_traceback_()) == 1


def test_a_folder_of_another_family_is_a_checkpoint(tmp_path, capsys):
    LlamaConfig().save_pretrained(tmp_path)
    assert profile.checkpoint(str(tmp_path)) == str(tmp_path)


def test_a_certificate_that_nobody_knows(hub, tmp_path, monkeypatch):
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost".split()
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    url = f"https://localhost:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr("huggingface_hub.hf_api.constants.ENDPOINT", url)
    assert access.check_access(COPY) == access.Access("no-network", access.CERTIFICATE)
    assert access.CERTIFICATE in refused()
    server.shutdown()
