"""The Hub stand-in is what the Hub's real client takes it for: gates, files, sizes, and faults."""

import hashlib
import json
import subprocess
import time

import httpx
import hub_stand_in as stand_in
import pytest
import torch
from hub_stand_in import COPY, FINE, GOOD, NEW, OLD, REPO, WRONG
from huggingface_hub import (
    HfApi,
    constants,
    errors,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from models import TINY
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GemmaConfig, GemmaForCausalLM

WEIGHTS = "model.safetensors"
SHARDS = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
OTHER = "google/gemma-7b-it"  # gated as well; nobody has accepted its licence


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder of repositories: the same tiny Gemma in two shards as REPO, else in one file."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    model = GemmaForCausalLM(GemmaConfig(**TINY))
    model.save_pretrained(root / REPO, max_shard_size="1MB")
    for repo in (COPY, OTHER):
        model.save_pretrained(root / repo)
    assert sorted(path.name for path in (root / REPO).glob("*.safetensors")) == SHARDS
    (root / COPY / "notes").mkdir()
    (root / COPY / "notes" / "read me.txt").write_text("Xin chào", encoding="utf-8")
    return root


@pytest.fixture
def hub(hub, models, monkeypatch):
    """The Hub of conftest.py, with files."""
    hub.root, hub.gated = models, {REPO, OTHER}
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client waits between attempts
    return hub


@pytest.fixture
def download(hub, tmp_path):
    """`hf_hub_download` from this Hub into a cache of this test."""

    def from_hub(repo, file, token=False, **arguments):
        return hf_hub_download(repo, file, cache_dir=tmp_path / "cache", token=token, **arguments)

    return from_hub


def sha256(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# -------------------------------------------------------------------------------- who may have what


REFUSED = [
    (REPO, False, errors.GatedRepoError, 401, "restricted"),
    (REPO, NEW, errors.GatedRepoError, 403, "not in the authorized list"),
    (OTHER, GOOD, errors.GatedRepoError, 403, "not in the authorized list"),
    (REPO, FINE, errors.HfHubHTTPError, 403, "in your fine-grained token settings"),
    (COPY, WRONG, errors.HfHubHTTPError, 401, "Invalid credentials"),
    (COPY, OLD, errors.HfHubHTTPError, 401, "is expired"),  # by https: RepositoryNotFoundError
    ("google/nobody", GOOD, errors.RepositoryNotFoundError, 404, "Repository Not Found"),
    ("google/nobody", False, errors.RepositoryNotFoundError, 401, "Invalid username or password"),
]


@pytest.mark.parametrize("repo, token, kind, status, words", REFUSED)
def test_a_refusal_is_the_error_of_the_client(hub, repo, token, kind, status, words):
    with pytest.raises(errors.HfHubHTTPError, match=words) as caught:
        HfApi().auth_check(repo, token=token)
    assert type(caught.value) is kind and caught.value.response.status_code == status


@pytest.mark.parametrize("repo, token, kind, status, words", REFUSED)
def test_a_refused_download_is_the_same_error(download, repo, token, kind, status, words):
    """But 403 without an error code, which the client takes for a Hub out of order."""
    with pytest.raises(errors.HfHubHTTPError if token != FINE else FileNotFoundError) as caught:
        download(repo, "config.json", token)
    error = caught.value if token != FINE else caught.value.__cause__
    assert type(error) is kind and error.response.status_code == status and words in str(error)


@pytest.mark.parametrize("repo, token", [(REPO, GOOD), (COPY, NEW), (COPY, FINE), (COPY, False)])
def test_who_may_download_does(hub, models, download, repo, token):
    HfApi().auth_check(repo, token=token)
    with open(download(repo, "config.json", token)) as config:
        assert json.load(config)["hidden_size"] == TINY["hidden_size"]


def test_what_is_in_a_gated_repository_is_known_to_all(hub):
    info = HfApi().model_info(REPO, token=False)
    assert info.gated == "manual" and info.sha == stand_in.COMMIT
    assert not HfApi().model_info(COPY, token=False).gated
    assert set(SHARDS) < {sibling.rfilename for sibling in info.siblings}


def test_the_hub_says_whose_a_token_is(hub):
    assert HfApi().whoami(GOOD)["name"] == "learner"
    for token in (WRONG, OLD):
        with pytest.raises(errors.HfHubHTTPError, match="Invalid user token"):
            HfApi().whoami(token)
    assert hub.sent == [GOOD, WRONG, OLD]


# ---------------------------------------------------------------------------------- files and sizes


def test_a_file_or_version_that_is_not_there_is_remembered_or_named(hub, tmp_path, download):
    with pytest.raises(errors.RemoteEntryNotFoundError):
        download(COPY, "vocab.json")
    cache = tmp_path / "cache"
    assert type(try_to_load_from_cache(COPY, "vocab.json", cache)) is object  # "not there"
    with pytest.raises(errors.RevisionNotFoundError):
        download(COPY, "config.json", revision="2024")


def test_sizes_and_names_are_announced_before_a_download(hub, models):
    api, files = HfApi(), {}
    for path in (models / COPY).rglob("*"):
        if path.is_file():
            files[path.relative_to(models / COPY).as_posix()] = path
    listed = {one.path: one for one in api.list_repo_tree(COPY, recursive=True)}
    assert listed.keys() == files.keys() | {"notes"}
    for one in [listed[name] for name in files] + api.get_paths_info(COPY, list(files)):
        file, url = files[one.path], hf_hub_url(COPY, one.path)
        head = get_hf_file_metadata(url)
        assert one.size == head.size == file.stat().st_size
        assert (one.lfs is not None) == (one.path == WEIGHTS)
        if one.lfs:
            assert one.lfs.size == one.size and one.lfs.sha256 == head.etag == sha256(file)
        else:
            git = ["git", "hash-object", str(file)]
            blob = subprocess.run(git, check=True, capture_output=True, text=True).stdout.strip()
            assert one.blob_id == head.etag == blob
    assert [one.path for one in api.list_repo_tree(COPY, "notes")] == ["notes/read me.txt"]
    assert "notes/read me.txt" not in [one.path for one in api.list_repo_tree(COPY)]
    assert [one.path for one in api.get_paths_info(COPY, ["config.json", "none"])] == [
        "config.json"
    ]


def test_a_changed_file_has_another_name(hub, tmp_path):
    hub.root = tmp_path
    file, url = tmp_path / "me" / "mine" / WEIGHTS, hf_hub_url("me/mine", WEIGHTS)
    file.parent.mkdir(parents=True)
    for content in (b"1", b"22"):
        file.write_bytes(content)
        assert get_hf_file_metadata(url).etag == sha256(file)


def test_weights_come_from_another_host_which_sees_no_token(hub, download):
    download(REPO, SHARDS[0], GOOD)
    assert hub.fetched == [f"/{REPO}/{SHARDS[0]}"] and set(hub.sent) == {GOOD}
    assert hub.leaked == []
    download(REPO, "config.json", GOOD)
    assert len(hub.fetched) == 1  # a small file comes from the Hub itself


def test_a_token_at_a_file_host_of_the_same_name_is_seen(hub, download):
    """The wrong variant: the client would send it, and the test above would fail."""
    hub.file_host.url = hub.file_host.url.replace("localhost", "127.0.0.1")
    download(REPO, SHARDS[0], GOOD)
    assert set(hub.leaked) == {GOOD}


def test_a_checkpoint_in_two_shards_loads_by_its_name_and_from_a_snapshot(hub, models, tmp_path):
    expected = load_file(models / COPY / WEIGHTS)
    place = dict(cache_dir=tmp_path / "cache", token=GOOD)
    for loaded in (
        AutoModelForCausalLM.from_pretrained(REPO, **place),
        AutoModelForCausalLM.from_pretrained(snapshot_download(REPO, **place)),
    ):
        weights = loaded.state_dict()
        assert expected and all(torch.equal(weights[name], expected[name]) for name in expected)
    assert sorted(hub.fetched) == [f"/{REPO}/{name}" for name in SHARDS] and hub.leaked == []


def test_any_part_of_a_file_can_be_had(hub, models):
    url, whole = f"{hub.file_host.url}/{COPY}/{WEIGHTS}", (models / COPY / WEIGHTS).read_bytes()
    for asked, first, last in (("5-9", 5, 9), ("5-", 5, len(whole) - 1), ("0-0", 0, 0)):
        part = httpx.get(url, headers={"Range": f"bytes={asked}"})
        assert part.status_code == 206 and part.content == whole[first : last + 1]
        assert part.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
    assert httpx.get(url, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416
    assert hub.ranges == ["bytes=5-9", "bytes=5-", "bytes=0-0", f"bytes={len(whole)}-"]


# ------------------------------------------------------------------------------------------- faults


def test_a_cut_download_goes_on_from_where_it_was(hub, models, download, monkeypatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # parts, as of a larger file
    hub.faults = [stand_in.first(1, stand_in.cut)]
    with open(download(COPY, WEIGHTS), "rb") as arrived:
        whole = (models / COPY / WEIGHTS).read_bytes()
        assert arrived.read() == whole
    assert hub.ranges == [f"bytes={len(whole) // 2 // 1000 * 1000}-"]


def test_a_download_cut_every_time_fails_and_the_next_one_is_whole(hub, models, download):
    hub.faults = [stand_in.cut]
    with pytest.raises(httpx.RemoteProtocolError):
        download(COPY, WEIGHTS)
    hub.faults = []
    with open(download(COPY, WEIGHTS), "rb") as arrived:
        assert arrived.read() == (models / COPY / WEIGHTS).read_bytes()


def test_truncated_weights_are_taken_for_whole_ones_until_they_are_read(hub, models, download):
    hub.faults = [stand_in.truncated]
    file = download(COPY, WEIGHTS)
    whole = (models / COPY / WEIGHTS).read_bytes()
    with open(file, "rb") as arrived:
        assert arrived.read() == whole[: len(whole) // 2]
    with pytest.raises(SafetensorError, match="(?i)incomplete"):
        load_file(file)


def test_wrong_bytes_of_the_right_length_load_and_only_their_digest_tells(hub, models, download):
    hub.faults = [stand_in.wrong_bytes]
    weights, expected = load_file(download(COPY, WEIGHTS)), load_file(models / COPY / WEIGHTS)
    equal = [torch.equal(weights[name], expected[name]) for name in expected]
    assert weights.keys() == expected.keys() and any(equal) and not all(equal)
    head = get_hf_file_metadata(hf_hub_url(COPY, WEIGHTS))
    assert head.etag == sha256(models / COPY / WEIGHTS)


def test_a_missing_shard_is_an_entry_that_is_not_there(hub, tmp_path):
    hub.faults = [stand_in.missing(SHARDS[1])]
    with pytest.raises(errors.RemoteEntryNotFoundError, match=SHARDS[1]):
        snapshot_download(REPO, cache_dir=tmp_path / "cache", token=GOOD)


@pytest.mark.parametrize(
    "fault, words",
    [
        (stand_in.status(503), "503"),
        (stand_in.status(429), "429"),
        (stand_in.portal, "does not seem to be served by a Hugging Face Hub endpoint"),
    ],
)
def test_without_an_answer_only_what_was_downloaded_before_is_there(hub, download, fault, words):
    kept = download(COPY, "config.json")
    hub.faults = [fault]
    assert download(COPY, "config.json") == kept
    with pytest.raises(errors.LocalEntryNotFoundError) as caught:
        download(COPY, "generation_config.json")
    assert words in f"{caught.value} {caught.value.__cause__}"


def test_a_silent_hub_takes_the_connection_and_the_client_waits(hub):
    hub.faults = [stand_in.silent]
    with pytest.raises(httpx.ReadTimeout):
        get_hf_file_metadata(hf_hub_url(COPY, "config.json"), timeout=0.2)
    assert len(hub.asked) == 1


def test_one_repository_alone_can_be_out_of_order(hub, download):
    hub.faults = [stand_in.status(500, "unsloth/gemma-2b")]
    download(COPY, "config.json")  # unsloth/gemma-2b-it
    hub.faults = [stand_in.status(500, COPY)]
    assert HfApi().model_info(REPO).id == REPO
    with pytest.raises(errors.HfHubHTTPError, match="500"):
        HfApi().model_info(COPY)


def test_a_hub_that_is_busy_once_is_asked_again(hub, download):
    hub.faults = [stand_in.first(1, stand_in.status(429))]
    assert download(COPY, WEIGHTS)
    assert len(hub.asked) == 2 and len(set(hub.asked)) == 1
