"""Where a token comes from, and what each refusal of the Hub becomes: one sentence, never the token."""

import importlib
import os
import sys
from pathlib import Path

import pytest
from hub_stand_in import Hub

from gemma_lab import access

GOOD, NEW, WRONG = (f"hf_{letter * 34}" for letter in "gnw")
REPO = "google/gemma-2b-it"


@pytest.fixture(autouse=True)
def no_tokens(monkeypatch, tmp_path):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    yield
    os.environ.pop("HF_TOKEN", None)  # find_token exports it


@pytest.fixture
def colab(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("colab_stand_in")))
    importlib.invalidate_caches()
    access.colab_secret.cache_clear()
    yield lambda secrets: monkeypatch.setenv("COLAB_SECRETS", secrets)
    access.colab_secret.cache_clear()
    for name in [name for name in sys.modules if name.startswith("google.colab")]:
        del sys.modules[name]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import constants

    (tmp_path / "hub" / REPO).mkdir(parents=True)
    server = Hub(tmp_path / "hub", gated={REPO}, tokens={GOOD, NEW}, accepted={GOOD})
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    yield server
    server.shutdown()


def test_the_environment_comes_first_then_the_file_then_colab(monkeypatch, tmp_path, colab):
    colab('{"HF_TOKEN": "from colab"}')
    assert access.find_token().value == "from colab"
    monkeypatch.delenv("HF_TOKEN")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "token").write_text("from file\n")
    assert access.find_token().value == "from file"
    monkeypatch.setenv("HF_TOKEN", "  from environment\n")
    assert access.find_token().value == "from environment"


def test_the_token_is_exported_for_the_hub_client(colab):
    colab(f'{{"HF_TOKEN": " {GOOD} "}}')
    access.find_token()
    assert os.environ["HF_TOKEN"] == GOOD


def test_the_prompt_comes_last_and_only_if_asked(monkeypatch):
    monkeypatch.setattr(access.getpass, "getpass", lambda prompt: GOOD)
    assert access.find_token() is None
    assert access.find_token(ask=True).source == "the prompt"


@pytest.mark.parametrize("secrets, advice", [
    ("{}", "Add a secret"), ('{"HF_TOKEN": "denied"}', "Notebook access"), ('{"HF_TOKEN": "slow"}', "in time"),
    ('{"HF_TOKEN": " "}', "is empty"),
])  # fmt: skip
def test_each_colab_refusal_is_a_sentence(colab, hub, secrets, advice):
    colab(secrets)
    assert access.find_token() is None
    assert advice in access.check_access(REPO).advice


def test_colab_is_asked_once_and_again_by_a_new_decision(colab, hub, monkeypatch):
    from google.colab import userdata

    from gemma_lab import loading

    colab('{"HF_TOKEN": "denied"}')
    asked, get = [], userdata.get
    monkeypatch.setattr(userdata, "get", lambda name: asked.append(name) or get(name))
    for _ in range(3):
        assert access.find_token() is None and access.check_access(REPO).status == "no-token"
    assert len(asked) == 1
    loading.current_profile(again=True)
    assert access.find_token() is None and len(asked) == 2


def test_a_licence_accepted_meanwhile_is_seen_and_a_grant_is_kept(hub, monkeypatch):
    from gemma_lab import loading

    monkeypatch.setenv("HF_TOKEN", NEW)
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "hub")
    with pytest.raises(PermissionError, match="Accept the licence"):
        loading.current_profile(again=True)
    hub.accepted = {GOOD, NEW}
    assert loading.current_profile(again=True).name == "hub"
    hub.asked.clear()
    assert loading.checkpoint(REPO) == REPO and not hub.asked
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "pocket")
    loading.current_profile(again=True)


def test_who_am_i_answers_with_a_status_and_raises_nothing(hub, monkeypatch):
    from huggingface_hub import constants

    assert access._whoami_status(token(GOOD)) == 200 and access._whoami_status(token(WRONG)) == 401
    hub.fault = 429
    assert access._whoami_status(token(GOOD)) == 429
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert access._whoami_status(token(GOOD)) == 0


def token(value):
    return access.Token("a test", value)


@pytest.mark.parametrize("repo, value, status, advice", [
    (REPO, GOOD, "ok", "may be downloaded"),
    (REPO, None, "no-token", "Make a Read token"),
    (REPO, WRONG, "bad-token", "make a new Read token"),
    (REPO, NEW, "licence", "Accept the licence on https://huggingface.co/google/gemma-2b-it"),
    (REPO, NEW, "licence", "fine-grained"),
    ("google/gemma-2b-tt", GOOD, "not-found", "check the spelling"),
])  # fmt: skip
def test_each_answer_of_the_hub(hub, repo, value, status, advice):
    found = access.check_access(repo, token(value) if value else None)
    assert found.status == status
    assert advice in found.advice and "\n" not in found.advice


def test_a_hub_out_of_order_and_no_hub_at_all(hub, monkeypatch):
    from huggingface_hub import constants

    hub.fault = 503
    assert access.check_access(REPO, token(GOOD)).status == "no-network"
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "check the network" in access.check_access(REPO, token(GOOD)).advice


def test_offline_mode_is_named(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in access.check_access(REPO, token(GOOD)).advice
    assert not hub.asked


def test_a_token_is_never_shown(hub):
    for value in (GOOD, NEW, WRONG):
        one = token(value)
        assert value not in f"{one} {one!r} {access.check_access(REPO, one)}"
