"""The Hugging Face token and gated access: where a token comes from, what is wrong with it, what to do.

A token is never printed: `Token` hides its value, and no message of this module contains one.
"""

from __future__ import annotations

import functools
import getpass
import os
from dataclasses import dataclass, field

TOKEN_PAGE = "https://huggingface.co/settings/tokens"


@dataclass(frozen=True)
class Token:
    """A token and where it was found; printing it shows the source only."""

    source: str
    value: str = field(repr=False)

    def __str__(self) -> str:
        return f"a token from {self.source}"


@dataclass(frozen=True)
class Access:
    """May this token download this repository? `advice` is one sentence that says what to do."""

    status: str  # "ok", "no-token", "bad-token", "licence", "not-found", "no-network"
    advice: str


def find_token(ask: bool = False) -> Token | None:
    """The first token found: environment, Hub token file, Colab secret, then a hidden prompt if `ask`.

    The value is exported as `HF_TOKEN`, because the Hub's client and command line cannot see Colab's secrets.
    """
    for source, read in (
        ("the environment variable HF_TOKEN", _from_environment),
        ("the Hub's token file", _from_file),
        ("the Colab secret HF_TOKEN", lambda: colab_secret()[0]),
        ("the prompt", lambda: getpass.getpass("Hugging Face token (input is hidden): ") if ask else ""),
    ):
        value = (read() or "").strip()
        if value:
            os.environ["HF_TOKEN"] = value
            return Token(source, value)
    return None


@functools.cache
def colab_secret(name: str = "HF_TOKEN") -> tuple[str, str]:
    """The value of a Colab secret, and a sentence that says why there is none ("" outside Colab or when found).

    Colab may open a dialog, so it is asked once; `setup` asks again.

    Source: `google.colab.userdata`, whose first two errors subclass `google.colab.errors.Error`; the third does not.
    """
    try:
        from google.colab import userdata
    except ImportError:
        return "", ""
    try:
        value = (userdata.get(name) or "").strip()
    except userdata.SecretNotFoundError:
        return "", f"Add a secret named {name} in Colab: click the key in the left side bar, then run this cell again."
    except userdata.NotebookAccessError:
        return "", f"Switch on “Notebook access” for the secret {name} in Colab's left side bar, then run this cell again."
    except userdata.TimeoutException:
        return "", "Colab's secrets did not answer in time: run this cell again, and allow the access it asks for."
    return value, "" if value else f"The Colab secret {name} is empty: paste your token from {TOKEN_PAGE} into it."


def check_access(repo_id: str, token: Token | None = None) -> Access:
    """Ask the Hub whether `repo_id` may be downloaded with `token`. Nothing is downloaded and nothing is raised.

    Source: huggingface_hub's `auth_check`; a 401 on a gated repository is a missing or wrong token, a 403 is a licence
    not accepted or a fine-grained token without access to gated repositories.
    """
    import httpx
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    page = f"https://huggingface.co/{repo_id}"
    if constants.is_offline_mode():
        return Access("no-network", "HF_HUB_OFFLINE is set: unset it, and restart, to use models from the Hub.")
    try:
        HfApi().auth_check(repo_id, token=token.value if token else False)
        return Access("ok", f"{repo_id} may be downloaded.")
    except GatedRepoError as error:
        refused = error.response.status_code
    except RepositoryNotFoundError as error:  # the Hub answers 401 to a wrong token and to an unknown name
        refused = error.response.status_code
        known = _whoami_status(token) if token else 401
        if refused == 404 or known == 200:
            return Access("not-found", f"There is no {repo_id} on the Hub: check the spelling of the name.")
        if known not in (401, 403):
            return Access("no-network", "The Hub does not say whether your token is right: wait a minute, then try again.")
    except HfHubHTTPError as error:
        refused = error.response.status_code
        if refused not in (401, 403):
            return Access("no-network", f"The Hub answered with an error ({refused}): wait a minute, then try again.")
    except (httpx.TransportError, OfflineModeIsEnabled):
        return Access("no-network", "The Hugging Face Hub does not answer: check the network, then try again.")
    if refused == 403:
        return Access(
            "licence",
            f"Accept the licence on {page} and use a token of the type Read (a fine-grained one needs “Read access to "
            "contents of all public gated repos you can access”).",
        )
    if token is None:
        return Access("no-token", colab_secret()[1] or f"Make a Read token at {TOKEN_PAGE} and set it as HF_TOKEN.")
    return Access("bad-token", f"The Hub refused {token}: make a new Read token at {TOKEN_PAGE} and replace it.")


def _whoami_status(token: Token) -> int:
    """The HTTP status of the Hub's answer to "who am I", 0 where it does not answer."""
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    try:
        HfApi().whoami(token=token.value)
    except HfHubHTTPError as error:
        return error.response.status_code
    except httpx.TransportError:
        return 0
    return 200


def _from_environment() -> str:
    return os.environ.get("HF_TOKEN") or os.environ.get("HUGGING_FACE_HUB_TOKEN") or ""


def _from_file() -> str:
    home = os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface")
    path = os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""
