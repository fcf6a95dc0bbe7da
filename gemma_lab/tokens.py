"""The Hugging Face token: where it comes from, what is wrong with it, and who gets to see it.

No output and no traceback shows one: `Token` hides its value, and what can be none is never sent.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import importlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from unicodedata import category

from gemma_lab import hardware

TOKEN_PAGE = "https://huggingface.co/settings/tokens"
QUOTES = "\"'`´‘’‚‛“”„‟«»‹›′″〝〞〟「」＂＇"
PREFIX = re.compile(r"\A((export\s+)?(HF_TOKEN|HUGGING_FACE_HUB_TOKEN)\s*=|Bearer\s)")
# What pasting adds to a token, and the text without it; blanks around it go in any case.
CLEANERS = {
    "line breaks inside it": lambda text: re.sub(r"[\r\n]", "", text),
    "invisible characters": lambda text: "".join(c for c in text if category(c) != "Cf"),
    "quotes around it": lambda text: text.strip(QUOTES),
    "the words before it": lambda text: PREFIX.sub("", text),
}
SECRET_ADVICE = {  # by the place and its error: of google.colab.userdata, of kaggle_secrets
    "Colab SecretNotFoundError": "Add a secret named {} in Colab (the key in the side bar), then",
    "Colab NotebookAccessError": "Switch on “Notebook access” for {} in the side bar, then",
    "Colab TimeoutException": "Colab did not give {} in time: allow what it asks for, and",
    "Kaggle BackendError": "Add a secret named {} in Kaggle (Add-ons, Secrets), attach it, then",
    "Kaggle ConnectionError": "Kaggle does not give the secret {}: switch Internet on in the side "
    "bar (it needs a verified phone), then",
    "Kaggle CredentialError": "Kaggle gives this session no secret {}: start a new one, then",
}


@dataclass(frozen=True)
class Token:
    """A token and where it was found; printing it shows the source only."""

    source: str
    value: str = field(repr=False)

    def __str__(self) -> str:
        return f"a token from {self.source}"

    def fault(self) -> str:
        """Why this token is of no use, and what to do: one sentence, or "" if nothing is known."""
        value, page = self.value, TOKEN_PAGE
        if value in _memory.refused:
            hint = "" if value.startswith("hf_") else ", which does not start with hf_ as tokens do"
            return f"The Hub refused {self}{hint}: make a new Read token at {page} and replace it."
        if value and value.isascii() and value.isprintable() and " " not in value:
            return ""
        kind = "holds a character that no token has" if value else "is empty"
        kind = "has a blank inside" if any(map(str.isspace, value)) else kind
        return f"The token from {self.source} {kind}: copy it again from {page}."


@dataclass
class _Memory:
    """All that this module remembers; `forget` clears it."""

    exported: Token | None = None  # what find_token put into HF_TOKEN, ...
    before: dict = field(default_factory=dict, repr=False)  # ... and what it found there
    typed: Token = Token("the prompt", "")
    refused: set = field(default_factory=set, repr=False)
    seen: set = field(default_factory=set, repr=False)  # values, and texts as they were read
    fault: str = ""  # that of the first token which find_token passed over
    is_muted: bool = False


_memory = _Memory()


def find_token(ask: bool = False) -> Token | None:
    """The first usable token: environment, secret, token file, a hidden prompt if `ask`.

    It is exported as HF_TOKEN, for the Hub's client and command line see no replaced secret. Each
    call takes that back first and reads all anew. What it passes over, `check_access` explains.
    """
    _take_back()
    _hide_in_tracebacks()
    _memory.fault, found = "", None
    for source, read in (*ENVIRONMENT, SECRET, FILE, ("the prompt", lambda: _typed(ask))):
        token = clean(source.format(_place()), raw := read())
        _memory.seen |= {raw.strip(), token.value} if token else set()
        if token and not token.fault():
            found = token
            if source == FILE[0] and _of_client() == token.value:
                break  # the client reads it, and a later login() must count
            _memory.exported = token
            _memory.before = {name: old for name, old in os.environ.items() if name == "HF_TOKEN"}
            os.environ["HF_TOKEN"] = token.value
            break
        _memory.fault = _memory.fault or (token.fault() if token else "")
    mute(_client_is_misled())
    return found


def clean(source: str, text: str) -> Token | None:
    """The token in `text`, its source saying what was taken away; None where nothing is there.

    Letters and digits after hf_ are left as they are.
    """
    value, taken, before = text.strip(), {}, None
    while value != before and not re.fullmatch(r"hf_\w+", value, re.ASCII):
        before = value
        for what, cleaner in CLEANERS.items():
            taken |= {what: True} if cleaner(value) != value else {}
            value = cleaner(value).strip()
    words = f"{source} ({' and '.join(taken)} taken away)" if taken else source
    return Token(words, value) if text.strip() else None


@functools.cache
def hosted_secret(name: str = "HF_TOKEN") -> tuple[str, str]:
    """The value of a Colab or Kaggle secret, and why there is none, a sentence ("" elsewhere).

    Colab may open a dialog, so it is asked once; `setup` asks again.
    """
    place = _place()
    why = f"The {place} secret {{}} is empty: paste your token from {TOKEN_PAGE} into it, then"
    try:
        if place == "Kaggle":
            kaggle = importlib.import_module("kaggle_secrets")
            value = kaggle.UserSecretsClient().get_secret(name)
        else:
            value = importlib.import_module("google.colab.userdata").get(name)
    except ImportError:
        return "", ""
    except Exception as error:  # those above, and whatever else a front end raises
        value, kind = "", type(error).__name__
        other = f"{place}'s secrets cannot be read now ({kind}): reload the page, then"
        why = SECRET_ADVICE.get(f"{place} {kind}", other)
    value = (value or "").strip()
    return value, "" if value else f"{why.format(name)} run the set-up cell again."


def refuse(token: Token) -> str:
    """What to do about a token that the Hub refused; it is no longer exported, nor sent."""
    _memory.refused.add(token.value)
    mute(True)
    if token == _memory.exported:
        _take_back()  # so that another one can be given
    return token.fault()


def why_none() -> tuple[str, str]:
    """The status, "bad-token" if `find_token` passed over one, or "no-token"; and what to do."""
    make_one = f"Make a Read token at {TOKEN_PAGE} and set it as HF_TOKEN."
    kind = "bad-token" if _memory.fault else "no-token"
    return kind, _memory.fault or hosted_secret()[1] or make_one


def mute(is_muted: bool | None = None) -> None:
    """Whether the Hub's client sends no token by itself; None: none that is unfit or refused."""
    is_muted = _memory.is_muted or _client_is_misled() if is_muted is None else is_muted
    name, constants = "HF_HUB_DISABLE_IMPLICIT_TOKEN", sys.modules.get("huggingface_hub.constants")
    if is_muted == _memory.is_muted or (is_muted and os.getenv(name)):
        return  # as it is already, or as the learner wants it
    os.environ.pop(name, None)
    os.environ.update({name: "1"} if is_muted else {})
    if constants:  # it read the variable when it was imported
        constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = is_muted
    _memory.is_muted = is_muted


def ask_anew() -> None:
    """Makes the next look ask for secrets again, and try again what the Hub has refused."""
    hosted_secret.cache_clear()
    if (typed := clean("", _memory.typed.value)) and typed.value in _memory.refused:
        _memory.typed = Token("the prompt", "")
    _memory.refused.clear()
    mute(False)


def forget() -> None:
    """Clears what was exported, typed, refused, muted, and what Colab said."""
    _take_back()
    ask_anew()
    _memory.__init__()


def _place() -> str:
    """Whose secrets are asked. Kaggle's images hold google.colab, which does not answer there."""
    return "Kaggle" if hardware.is_kaggle() else "Colab"


def _of_client() -> str:
    """What the Hub's client reads by itself, "" for nothing. Source: its `get_token`."""
    sources = (*ENVIRONMENT, FILE, SECRET)
    return next(filter(None, (re.sub(r"[\r\n]", "", read()).strip() for _, read in sources)), "")


def _client_is_misled() -> bool:
    """Whether the token that the Hub's client reads by itself is unfit, or was refused."""
    token = clean("", value := _of_client())
    return bool(token) and (bool(token.fault()) or token.value != value)


def _typed(ask: bool) -> str:
    """What was typed at the prompt; `ask` asks, but only until something usable was typed."""
    token = clean("", _memory.typed.value)
    if ask and (not token or token.fault()):
        with contextlib.suppress(EOFError, NotImplementedError):  # nobody is there to type
            _memory.typed = Token("", getpass.getpass("Hugging Face token (input is hidden): "))
    return _memory.typed.value


def _from_file() -> str:
    """The text of the Hub's token file in whatever encoding, with its byte order mark."""
    from huggingface_hub import constants

    try:
        data = Path(constants.HF_TOKEN_PATH).read_bytes()
    except OSError:
        return ""
    encoding = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}.get(data[:2], "utf-8")
    return data.decode(encoding, errors="replace")


def _take_back() -> None:
    """HF_TOKEN is as `find_token` found it, unless it was set since."""
    if _memory.exported and os.getenv("HF_TOKEN") == _memory.exported.value:
        os.environ.pop("HF_TOKEN")
        os.environ.update(_memory.before)
    _memory.exported, _memory.before = None, {}


def _hide_in_tracebacks() -> None:
    """Takes tokens out of all tracebacks in IPython: `%xmode Verbose` prints every variable."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None or getattr(shell, "hides_tokens", False):
        return
    show, shell.hides_tokens = shell._showtraceback, True

    def show_without(kind, error, lines):
        texts = {text for text in _memory.seen | _memory.refused if len(text) >= 8}
        texts |= {repr(text)[1:-1] for text in texts}  # as a variable with a line break is shown
        known = [re.escape(text) for text in sorted(texts, key=len, reverse=True)]
        pattern = re.compile("|".join([*known, r"\bhf_\w{8,}"]))
        show(kind, error, [pattern.sub("hf_…", str(line)) for line in lines])

    shell._showtraceback = show_without


SECRET = ("the {} secret HF_TOKEN", lambda: hosted_secret()[0])
ENVIRONMENT = (
    ("the environment variable HF_TOKEN", lambda: os.getenv("HF_TOKEN", "")),
    ("the variable HUGGING_FACE_HUB_TOKEN", lambda: os.getenv("HUGGING_FACE_HUB_TOKEN", "")),
)
FILE = ("the Hub's token file", _from_file)
