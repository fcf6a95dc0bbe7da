"""Gated access: what the Hub answers to a download, as one sentence; no traceback shows a token."""

from dataclasses import dataclass
from urllib.parse import quote

from gemma_lab import failures, tokens

WEB_PAGE = "A web page answers instead of the Hub: log in to this network, then try again."
CERTIFICATE = "This network has its own certificate: restart with SSL_CERT_FILE set to its file."
LIMIT_S = 10.0  # for each answer of the Hub; its client would wait for ever
ANSWERS = {
    200: ("ok", "{} may be downloaded."),
    403: (
        "licence",
        "Accept the licence on https://huggingface.co/{} and use a token of the type Read (a fine-"
        "grained one needs “Read access to contents of all public gated repos you can access”).",
    ),
    404: ("not-found", "There is no {} on the Hub: check the spelling of the name."),
}


class AccessError(failures.OneLine, PermissionError):
    """The Hub refuses; the message says what to do."""


@dataclass(frozen=True)
class Access:
    """May this token download this repository? `advice` is one sentence that says what to do."""

    status: str  # "ok", "no-token", "bad-token", "licence", "not-found", "no-network"
    advice: str


def check_access(repo_id: str, token: tokens.Token | None = None) -> Access:
    """What the Hub says to a download of `repo_id`. Nothing is downloaded or raised.

    Source: huggingface_hub's `auth_check`. 403 is a licence not accepted or a token without access
    to gated repositories; 401 a missing or wrong token or, unless GatedRepo, an unknown name.
    """
    repo_id = repo_id.encode(errors="replace").decode()  # half an emoji has no place in an address
    if token is None:
        tokens.mute()
    elif fault := token.fault():
        return Access("bad-token", fault)
    status, words = _ask_hub(f"models/{repo_id}/auth-check", token)
    if status == 401 and token and words != "GatedRepo":
        status, words = _ask_hub("whoami-v2", token)
        status = {200: 404, 403: 401}.get(status, status)
    if status == 401 and token:
        return Access("bad-token", tokens.refuse(token))
    if status == 401:
        return Access(*tokens.why_none())
    kind, advice = ANSWERS.get(status, ("no-network", words))
    return Access(kind, advice.format(repo_id))


def _ask_hub(path: str, token: tokens.Token | None) -> tuple[int, str]:
    """The status of the Hub's answer, and its error code or advice; 0 where no Hub answers."""
    import httpx
    from huggingface_hub import constants, get_session, utils

    if constants.is_offline_mode():
        return 0, "HF_HUB_OFFLINE is set: unset it, and restart, to use models from the Hub."
    limit = httpx.Timeout(LIMIT_S, connect=LIMIT_S / 2)  # it may have several addresses
    try:
        url = f"{constants.ENDPOINT}/api/{quote(path)}"
        headers = utils.build_hf_headers(token=token.value if token else False)
        answer = get_session().get(url, headers=headers, timeout=limit)
    except (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError) as error:
        silent = "The Hugging Face Hub does not answer: check the network, then try again."
        return 0, CERTIFICATE if "CERTIFICATE_VERIFY" in str(error) else silent
    except KeyboardInterrupt:
        raise KeyboardInterrupt from None  # without the frames that hold the token
    except Exception as error:  # an address or a proxy that httpx cannot use: many types
        kind = type(error).__name__
        return 0, f"The Hub cannot be asked ({kind}): check HF_ENDPOINT and your proxy's settings."
    status, code = answer.status_code, answer.headers.get("X-Error-Code", "")
    if answer.content.lstrip()[:1] == b"<" and status in (200, 401, 403, 404):
        return 0, WEB_PAGE
    other = f"The Hub answered with an error ({status}): wait a minute, then try again."
    return status, code if status == 401 else other
