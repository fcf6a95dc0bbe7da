"""Each answer of the Hub is one sentence; it is that of the Hub's own client."""

import time

import pytest
from hub_stand_in import COPY, FINE, GOOD, NEW, OLD, REPO, WRONG, portal, silent, status

from gemma_lab import access, profile
from gemma_lab.tokens import Token

pytestmark = pytest.mark.usefixtures("no_tokens")


def token(value):
    return Token("a test", value)


@pytest.mark.parametrize(
    "repo, value, outcome, advice",
    [
        (REPO, GOOD, "ok", "may be downloaded"),
        (REPO, None, "no-token", "Make a Read token"),
        (REPO, WRONG, "bad-token", "make a new Read token"),
        (COPY, OLD, "bad-token", "make a new Read token"),
        (REPO, NEW, "licence", "Accept the licence on https://huggingface.co/google/gemma-2b-it"),
        (REPO, FINE, "licence", "fine-grained"),
        (COPY, FINE, "ok", "may be downloaded"),
        (COPY, None, "ok", "may be downloaded"),
        ("google/gemma-2b-tt", GOOD, "not-found", "check the spelling"),
        ("google/gemma 2b", GOOD, "not-found", "check the spelling"),
    ],
)
def test_each_answer_of_the_hub_is_that_of_its_client(hub, repo, value, outcome, advice):
    from huggingface_hub import HfApi, errors

    found = access.check_access(repo, token(value) if value else None)
    assert found.status == outcome and advice in found.advice and "\n" not in found.advice
    try:
        HfApi().auth_check(repo, token=value or False)
        assert outcome == "ok"
    except errors.GatedRepoError as error:
        assert {401: "no-token", 403: "licence"}[error.response.status_code] == outcome
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        assert outcome == "not-found"
    except errors.HfHubHTTPError as error:
        assert {401: "bad-token", 403: "licence"}[error.response.status_code] == outcome


def test_a_name_is_a_name_and_no_part_of_an_address(hub):
    assert access.check_access(f"{REPO}/auth-check?", token(GOOD)).status == "not-found"


def test_half_an_emoji_in_a_name_is_a_name_that_there_is_not(hub):
    found = access.check_access("a/\ud83d", token(GOOD))
    assert found.status == "not-found" and "There is no a/? on the Hub" in found.advice
    assert hub.asked[0] == "/api/models/a/?/auth-check"


@pytest.mark.parametrize(
    "fault, advice",
    [
        (status(503), "error (503): wait a minute"),
        (status(429), "error (429)"),
        (status(500), "error (500)"),
        (portal, "log in to this network"),
    ],
)
def test_a_hub_out_of_order_and_a_page_in_its_place(hub, fault, advice):
    hub.faults = [fault]
    found = access.check_access(REPO, token(GOOD))
    assert found.status == "no-network" and advice in found.advice


@pytest.mark.parametrize(
    "endpoint, advice",
    [
        ("http://127.0.0.1:9", "does not answer: check the network"),
        ("huggingface.co", "HF_ENDPOINT"),
        ("http://[::1", "HF_ENDPOINT"),
        ("http://127.0.0.1:port", "HF_ENDPOINT"),
    ],
)
def test_no_hub_at_all(hub, monkeypatch, endpoint, advice):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    found = access.check_access(REPO, token(GOOD))
    assert found.status == "no-network" and advice in found.advice and GOOD not in found.advice


def test_a_hub_that_says_nothing_is_not_waited_for(hub, monkeypatch):
    access.check_access(REPO, token(GOOD))
    hub.faults = [silent]
    monkeypatch.setattr(access, "LIMIT_S", 0.3)
    start = time.monotonic()
    found = access.check_access(REPO, token(GOOD))
    assert found.status == "no-network" and "does not answer" in found.advice
    assert time.monotonic() - start < 3


def test_the_limit_is_that_of_the_check_alone(hub):
    from huggingface_hub import get_session

    access.check_access(REPO, token(GOOD))
    assert get_session().timeout.read is None


def test_offline_mode_is_named(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE" in access.check_access(REPO, token(GOOD)).advice
    assert not hub.asked


def test_an_interrupted_check_shows_no_token(hub, monkeypatch):
    """The frames that hold the token are not those of the KeyboardInterrupt that comes out."""
    from huggingface_hub import utils

    def interrupt(**arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(utils, "build_hf_headers", interrupt)
    with pytest.raises(KeyboardInterrupt) as caught:
        access.check_access(REPO, token(GOOD))
    assert caught.value.__suppress_context__ and caught.traceback[-1].name == "_ask_hub"


def test_errors_of_access_and_profile_are_one_line_in_jupyter():
    refused = access.AccessError("Accept it.")
    assert isinstance(refused, PermissionError)
    assert refused._render_traceback_() == ["AccessError: Accept it."]
    with pytest.raises(ValueError) as caught:
        profile.choose_profile("gpu", None, None)
    (line,) = caught.value._render_traceback_()
    assert line.startswith("ProfileError: GEMMA_LAB_PROFILE must be one of")
