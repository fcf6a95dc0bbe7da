"""Where a token comes from, what is done with it, and that nothing shows it."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub_stand_in import COPY, GOOD, NEW, REPO, WRONG
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gemma_lab import access, profile, tokens

pytestmark = pytest.mark.usefixtures("no_tokens")


@pytest.fixture
def file(tmp_path):
    """A function that writes the Hub's token file."""
    path = tmp_path / "token"
    return lambda text: path.write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture
def colab(monkeypatch):
    """A function that sets secrets of a stand-in for Colab; a value may name an error."""
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("colab_stand_in")))
    importlib.invalidate_caches()
    return lambda **secrets: monkeypatch.setenv("COLAB_SECRETS", json.dumps(secrets))


def token(value):
    return tokens.Token("a test", value)


def public_info(repo):
    """What the Hub's client says of a model, with the token that it chooses by itself."""
    from huggingface_hub import HfApi

    return HfApi().model_info(repo)


def typing(monkeypatch, *answers):
    """What the learner types at the next prompts; one more prompt is an error."""
    left = iter(answers)
    monkeypatch.setattr(tokens.getpass, "getpass", lambda prompt: next(left))


# ------------------------------------------------------------------------------------------ sources


def test_the_environment_comes_first_then_colab_then_the_file(monkeypatch, file, colab):
    file("hf_file\n")
    assert tokens.find_token() == tokens.Token("the Hub's token file", "hf_file")
    colab(HF_TOKEN="hf_secret")
    tokens.hosted_secret.cache_clear()
    assert tokens.find_token() == tokens.Token("the Colab secret HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HUGGING_FACE_HUB_TOKEN", "hf_old_name")
    assert tokens.find_token() == tokens.Token("the variable HUGGING_FACE_HUB_TOKEN", "hf_old_name")
    monkeypatch.setenv("HF_TOKEN", "  hf_environment\n")
    learners = tokens.Token("the environment variable HF_TOKEN", "hf_environment")
    for _ in range(2):  # it is not replaced by the secret, in any cell
        assert tokens.find_token() == learners
        assert os.environ["HF_TOKEN"] == "hf_environment"


def test_a_login_after_a_token_from_the_file_counts(file):
    from huggingface_hub import get_token

    file(GOOD)
    assert tokens.find_token().value == GOOD and "HF_TOKEN" not in os.environ
    file(NEW)  # as login() does
    assert get_token() == NEW and tokens.find_token().value == NEW


def test_the_token_is_exported_for_the_hub_client_and_what_was_there_comes_back(monkeypatch, colab):
    from huggingface_hub import get_token

    monkeypatch.setenv("HF_TOKEN", "not a token")
    colab(HF_TOKEN=f" {GOOD} ")
    for _ in range(2):
        assert tokens.find_token().value == os.environ["HF_TOKEN"] == get_token() == GOOD
    tokens.forget()
    assert os.environ["HF_TOKEN"] == "not a token"


def test_a_token_set_after_the_export_is_left_alone(monkeypatch, colab):
    colab(HF_TOKEN=GOOD)
    tokens.find_token()
    monkeypatch.setenv("HF_TOKEN", NEW)
    tokens.forget()
    assert os.environ["HF_TOKEN"] == NEW


def test_the_prompt_comes_last_only_if_asked_and_stays_known_by_its_name(monkeypatch):
    assert tokens.find_token() is None
    typing(monkeypatch, "not a token", GOOD)
    assert tokens.find_token(ask=True) is None and tokens.find_token() is None
    for ask in (True, True, False):
        assert tokens.find_token(ask) == tokens.Token("the prompt", GOOD)


def test_a_prompt_that_nobody_can_answer_is_no_token(monkeypatch):
    for error in (EOFError, NotImplementedError):  # the second: IPython's StdinNotImplementedError

        def fail(prompt, error=error):
            raise error

        monkeypatch.setattr(tokens.getpass, "getpass", fail)
        assert tokens.find_token(ask=True) is None


# ------------------------------------------------------------------------------------------- Colab


@pytest.fixture
def kaggle(monkeypatch, colab):
    """The same for Kaggle, whose images hold google.colab too; None: a session without secrets."""
    colab(HF_TOKEN="slow")
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("kaggle_stand_in")))
    monkeypatch.setenv("KAGGLE_KERNEL_RUN_TYPE", "Interactive")
    monkeypatch.delenv("KAGGLE_SECRETS", raising=False)
    yield lambda **secrets: monkeypatch.setenv("KAGGLE_SECRETS", json.dumps(secrets))
    sys.modules.pop("kaggle_secrets", None)


def test_a_kaggle_secret_is_found_and_exported(kaggle, hub):
    kaggle(HF_TOKEN=f"'{GOOD}' ")
    token = tokens.find_token()
    words = "the Kaggle secret HF_TOKEN (quotes around it taken away)"
    assert token == tokens.Token(words, GOOD) and os.environ["HF_TOKEN"] == GOOD
    assert access.check_access(REPO, token).status == "ok"


@pytest.mark.parametrize(
    "secrets, advice",
    [
        (None, "Kaggle gives this session no secret HF_TOKEN: start a new one"),
        ({}, "Add a secret named HF_TOKEN in Kaggle (Add-ons, Secrets), attach it"),
        ({"HF_TOKEN": "offline"}, "switch Internet on"),
        ({"HF_TOKEN": " "}, "The Kaggle secret HF_TOKEN is empty"),
    ],
)
def test_each_refusal_of_kaggle_is_a_sentence_without_colab(kaggle, hub, secrets, advice):
    if secrets is not None:
        kaggle(**secrets)
    assert tokens.find_token() is None
    found = access.check_access(REPO)
    assert found.status == "no-token" and advice in found.advice
    assert "Colab" not in found.advice and found.advice.endswith("run the set-up cell again.")


@pytest.mark.parametrize(
    "secrets, advice",
    [
        ({}, "Add a secret"),
        ({"HF_TOKEN": "denied"}, "Notebook access"),
        ({"HF_TOKEN": "slow"}, "in time"),
        ({"HF_TOKEN": " "}, "is empty"),
    ],
)
def test_each_colab_refusal_is_a_sentence(colab, hub, secrets, advice):
    colab(**secrets)
    assert tokens.find_token() is None
    found = access.check_access(REPO)
    assert advice in found.advice and found.status == "no-token"


@pytest.mark.parametrize("error", [Exception, AttributeError, RuntimeError])
def test_any_other_error_of_colabs_front_end_is_a_sentence(colab, hub, monkeypatch, error):
    colab()
    from google.colab import userdata

    def fail(name):
        raise type("MessageError", (error,), {})("Error: credential propagation was unsuccessful")

    monkeypatch.setattr(userdata, "get", fail)
    assert tokens.find_token() is None
    assert "cannot be read now (MessageError)" in access.check_access(REPO).advice


def test_colab_is_asked_once_and_again_by_a_new_decision(colab, hub, monkeypatch):
    colab(HF_TOKEN="denied")
    from google.colab import userdata

    asked, get = [], userdata.get
    monkeypatch.setattr(userdata, "get", lambda name: asked.append(name) or get(name))
    for _ in range(3):
        assert tokens.find_token() is None and access.check_access(REPO).status == "no-token"
    assert len(asked) == 1
    profile.current_profile(again=True)
    assert tokens.find_token() is None and len(asked) == 2


def test_a_replaced_secret_is_read_and_a_deleted_one_is_gone(colab, hub, monkeypatch):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "hub")
    colab(HF_TOKEN=WRONG)
    refusal = "refused a token from the Colab secret HF_TOKEN: make a new"
    for _ in range(2):
        with pytest.raises(access.AccessError, match=refusal):
            profile.current_profile(again=True)
        assert "HF_TOKEN" not in os.environ
    assert set(hub.sent) == {WRONG}
    colab(HF_TOKEN=GOOD)
    assert profile.current_profile(again=True).name == "hub" and os.environ["HF_TOKEN"] == GOOD
    colab()
    with pytest.raises(access.AccessError, match="Add a secret named HF_TOKEN in Colab"):
        profile.current_profile(again=True)
    assert "HF_TOKEN" not in os.environ and access.check_access(REPO).status == "no-token"


# ----------------------------------------------------------------------------- refused, and granted


def test_a_first_grant_is_asked_for_once_and_kept(hub, colab, monkeypatch):
    colab(HF_TOKEN=GOOD)
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "hub")
    assert profile.current_profile(again=True).name == "hub"
    assert profile.checkpoint(REPO) == REPO and profile.current_profile(again=True).name == "hub"
    assert hub.asked.count(f"/api/models/{REPO}/auth-check") == 1


def test_a_licence_accepted_meanwhile_is_seen(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", NEW)
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "hub")
    with pytest.raises(PermissionError, match="Accept the licence"):
        profile.current_profile(again=True)
    hub.accepted[NEW] = {REPO}
    assert profile.current_profile(again=True).name == "hub"


def test_a_token_that_was_refused_once_is_tried_again_by_a_new_decision(hub, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", GOOD)
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "hub")
    hub.tokens = set()
    with pytest.raises(access.AccessError, match="refused"):
        profile.current_profile(again=True)
    hub.tokens = {GOOD}
    assert profile.current_profile(again=True).name == "hub"


def test_a_refused_answer_to_the_prompt_is_asked_for_again(hub, monkeypatch):
    typing(monkeypatch, WRONG, GOOD)
    found = access.check_access(REPO, tokens.find_token(ask=True))
    assert "refused a token from the prompt" in found.advice and "HF_TOKEN" not in os.environ
    assert tokens.find_token() is None
    assert access.check_access(REPO) == found  # the reason is not lost
    tokens.ask_anew()
    assert access.check_access(REPO, tokens.find_token(ask=True)).status == "ok"


def test_a_refused_token_gives_way_to_the_next_source(hub, monkeypatch, file):
    monkeypatch.setenv("HF_TOKEN", WRONG)
    file(GOOD)
    assert access.check_access(REPO, tokens.find_token()).status == "bad-token"
    assert tokens.find_token() == tokens.Token("the Hub's token file", GOOD)
    monkeypatch.setenv("HF_TOKEN", NEW)  # as a cell may do
    assert tokens.find_token().value == NEW


@pytest.mark.parametrize("name", ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"])
@pytest.mark.parametrize("passed_over", ["hf_ấ" + "q" * 30, WRONG])
def test_the_client_sends_the_token_of_the_file_where_it_would_read_another_one(
    hub, monkeypatch, file, name, passed_over
):
    monkeypatch.setenv(name, passed_over)
    file(GOOD)
    for _ in range(2):  # the first look meets WRONG
        access.check_access(REPO, tokens.find_token())
    assert tokens.find_token() == tokens.Token("the Hub's token file", GOOD)
    hub.sent.clear()
    public_info(REPO)
    assert hub.sent and hub.sent[-1] == GOOD


def test_the_mirror_needs_no_token_keeps_a_bad_one_from_the_client_and_a_good_one_in_use(
    hub, monkeypatch
):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "mirror")
    assert profile.checkpoint(REPO) == COPY and not hub.sent
    monkeypatch.setenv("HF_TOKEN", WRONG)
    assert profile.checkpoint(REPO) == COPY
    hub.sent.clear()
    assert public_info(COPY).id == COPY and not hub.sent
    monkeypatch.setenv("HF_TOKEN", GOOD)
    assert profile.checkpoint(REPO) == COPY
    public_info(REPO)
    assert hub.sent[-1] == GOOD


def test_the_client_sends_no_token_that_was_refused(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", WRONG)
    assert access.check_access(REPO, tokens.find_token()).status == "bad-token"
    hub.sent.clear()
    assert public_info(COPY).id == COPY and not hub.sent
    assert os.environ["HF_HUB_DISABLE_IMPLICIT_TOKEN"] == "1"
    assert constants.HF_HUB_DISABLE_IMPLICIT_TOKEN
    monkeypatch.setenv("HF_TOKEN", GOOD)
    assert access.check_access(REPO, tokens.find_token()).status == "ok"
    public_info(REPO)
    assert hub.sent[-1] == GOOD and "HF_HUB_DISABLE_IMPLICIT_TOKEN" not in os.environ


# ----------------------------------------------------------------------------------- characters


QUOTED, INVISIBLE, WORDED = "quotes around it", "invisible characters", "the words before it"


@pytest.mark.parametrize(
    "text, taken",
    [
        (f" \t{GOOD}\r\n", ""),
        (f"\xa0{GOOD}\u3000", ""),
        (GOOD[:9] + "\n" + GOOD[9:], "line breaks inside it"),
        (f'"{GOOD}"', QUOTED),
        (f"“{GOOD}”", QUOTED),
        (f" '«{GOOD}»'\n", QUOTED),
        (f"`{GOOD}`", QUOTED),
        (f"{GOOD}”", QUOTED),
        (f'{GOOD}"', QUOTED),
        (f"\ufeff{GOOD}", INVISIBLE),
        (f"hf_\u200b{GOOD[3:]}\u2060", INVISIBLE),
        (f"HF_TOKEN={GOOD}", WORDED),
        (f"Bearer {GOOD}", WORDED),
        (f"export HF_TOKEN = '{GOOD}'", f"{WORDED} and {QUOTED}"),
    ],
)
def test_what_pasting_adds_is_taken_away_and_named(hub, monkeypatch, text, taken):
    monkeypatch.setenv("HF_TOKEN", text)
    found = tokens.find_token()
    assert found.value == os.environ["HF_TOKEN"] == GOOD
    named = found.source.partition(" (")[2].removesuffix(" taken away)")
    assert set(named.split(" and ")) == set(taken.split(" and "))
    assert access.check_access(REPO, found).status == "ok"


REST = "q" * 34
ODD = {  # what is left of each of these can be no token; here with the kind of fault that is named
    "vietnamese": (f"hf_ấạ{REST}", "character"),
    "emoji": (f"hf_{REST}🤗{REST}", "character"),
    "inner curly quote": (f"hf_{REST}”{REST}", "character"),
    "inner blank": (f"hf_q {REST}", "blank"),
    "comment": (f"hf_{REST}  # my token", "blank"),
    "no-break space": (f"hf_q\xa0{REST}", "blank"),
    "nothing in quotes": ('""', "is empty"),
}
ODD_FILES = {
    "latin-1": (f"hf_é{REST}".encode("latin-1"), "character"),
    "NUL": (f"hf_q\0{REST}".encode(), "character"),
    "UTF-16, and not ASCII": (f"hf_ấ{REST}".encode("utf-16"), "character"),
}
NAMES = {
    "environment": "the environment variable HF_TOKEN",
    "secret": "the Colab secret HF_TOKEN",
    "file": "the Hub's token file",
    "prompt": "the prompt",
}


@pytest.mark.parametrize("source", NAMES)
def test_what_no_token_can_be_is_named_never_sent_and_kept_from_the_client(
    hub, monkeypatch, colab, file, source
):
    for raw, kind in [*ODD.values(), *(ODD_FILES.values() if source == "file" else ())]:
        tokens.forget()
        if source == "environment":
            monkeypatch.setenv("HF_TOKEN", raw)
        elif source == "file":
            file(raw)
        elif source == "secret":
            colab(HF_TOKEN=raw)
        else:
            typing(monkeypatch, raw)
        before = os.environ.get("HF_TOKEN")
        assert tokens.find_token(ask=source == "prompt") is None
        assert os.environ.get("HF_TOKEN") == before
        found = access.check_access(REPO)
        assert found.status == "bad-token" and "qqqq" not in found.advice
        assert NAMES[source] in found.advice and kind in found.advice
        assert found.advice.endswith(f"copy it again from {tokens.TOKEN_PAGE}.")
        assert access.check_access(COPY).status == "ok" and public_info(COPY).id == COPY
    assert not hub.sent


def test_an_unfit_token_is_kept_from_the_client_also_where_no_token_was_looked_for(
    hub, monkeypatch, file
):
    """As in notebook 02, which asks for a public model in any profile."""
    file("“" + GOOD)
    monkeypatch.setenv("HF_TOKEN", f'"{WRONG}"')
    assert access.check_access(COPY).status == "ok"
    assert public_info(COPY).id == COPY and not hub.sent


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_token_file_is_read_in_any_encoding(hub, file, encoding):
    file(f"{GOOD}\r\n".encode(encoding))
    found = tokens.find_token()
    assert found.value == GOOD and ("invisible" in found.source) == (encoding != "utf-8")
    assert access.check_access(REPO, found).status == "ok"


@pytest.mark.parametrize("value", ["api_org_" + "w" * 30, "my password", "w" * 40])
def test_a_value_that_does_not_look_like_a_token_gets_a_hint(hub, monkeypatch, value):
    monkeypatch.setenv("HF_TOKEN", value)
    found = access.check_access(REPO, tokens.find_token())
    assert found.status == "bad-token"
    assert ("does not start with hf_" in found.advice) == (" " not in value)


WORDS, MARKS = ("hf_", GOOD, "HF_TOKEN=", "Bearer "), '"” \n\u200b\ufeff\xa0ấ\ud800'
PIECES = st.one_of(st.sampled_from([*WORDS, *MARKS]), st.text(max_size=5))
PRINTABLE = st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\"'`")


@settings(deadline=None)
@given(st.lists(PIECES, max_size=6).map("".join))
@example("“hf_ab”\n")
@example("hf_a b")
def test_what_is_exported_is_printable_ascii_without_blanks(text):
    tokens.forget()
    tokens._memory.typed = tokens.Token("the prompt", text)
    os.environ.pop("HF_TOKEN", None)
    found = tokens.find_token()
    assert os.environ.get("HF_TOKEN") == (found.value if found else None)
    assert found is None or (found.value and set(found.value) <= set(map(chr, range(33, 127))))


@settings(deadline=None)
@given(st.text(PRINTABLE, max_size=40))
@example("oauth_ey.J-h_B")
def test_a_token_that_the_clients_own_cleaning_leaves_is_left(rest):
    from huggingface_hub.utils._auth import _clean_token

    text = "hf_" + rest
    if _clean_token(text) == text and " " not in text:
        assert tokens.clean("a test", text) == token(text)


# --------------------------------------------------------------------------- nothing shows a token


def test_a_token_is_never_shown(hub):
    for value in (GOOD, NEW, WRONG, "hf_ấ" + "q" * 30):
        one = token(value)
        assert value not in f"{one} {one!r} {access.check_access(REPO, one)} {tokens._memory}"


def of_a_shell(hub, folder, **more) -> dict:
    """The environment of a fresh shell in the hub profile, whose files are in `folder`."""
    names = dict(HF_ENDPOINT=hub.url, HF_HOME=str(folder), IPYTHONDIR=str(folder))
    others = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    return others | names | {"GEMMA_LAB_PROFILE": "hub"} | more


VERBOSE = """
import json, os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("xmode", "Verbose")
shell.run_line_magic("colors", "NoColor")
import getpass
from pathlib import Path
from gemma_lab import profile, tokens
shell.run_cell("import gemma_lab")
source, odd = sys.argv[1], json.load(sys.stdin)
for name, raw in odd.items():
    getpass.getpass = lambda prompt: raw
    if source == "environment":
        os.environ["HF_TOKEN"] = raw
    elif source == "secret":
        os.environ["COLAB_SECRETS"] = json.dumps({"HF_TOKEN": raw})
    elif source == "file":
        Path(os.environ["HF_TOKEN_PATH"]).write_bytes(raw.encode("latin-1"))
    for cell in (
        "gemma_lab.setup(ask=%s)" % (source == "prompt"),
        'gemma_lab.checkpoint("google/gemma-2b-it")',
        'print(gemma_lab.check_access("google/gemma-2b-it",'
        " gemma_lab.find_token(ask=True)).advice)",
    ):
        print(f"=== {name}: {cell}", flush=True)
        shell.run_cell(cell)
        sys.stdout.flush()
    tokens.forget(), profile.forget()
"""


@pytest.mark.slow
@pytest.mark.parametrize("source", NAMES)
def test_no_output_or_verbose_traceback_of_ipython_shows_a_token(hub, tmp_path, source):
    """Each odd token from each source, in a shell whose tracebacks show every variable."""
    core = "Qz7" * 8
    odd = {
        "vietnamese": f"hf_ấ{core}",
        "curly quotes": f"“hf_{core}”",
        "curly quote inside": f"hf_{core}”{core}",
        "blank": f"hf_a {core}",
        "comment": f"hf_{core} # mine",
        "line break": f"hf_\n{core}",
        "emoji": f"🤗hf_{core}",
        "quotes": f'"hf_{core}"',
        "assignment": f"HF_TOKEN=hf_{core}",
        "well formed": f"hf_{core}",
        "no hf_": core,
    }
    odd |= {"NUL": f"hf_\0{core}"} if source != "environment" else {"not UTF-8": f"hf_\udce9{core}"}
    if source == "file":
        utf_16 = f"hf_{core}".encode("utf-16").decode("latin-1")
        odd = {name: raw.encode().decode("latin-1") for name, raw in odd.items()}
        odd |= {"latin-1": f"hf_é{core}", "utf-16": utf_16}
    environment = of_a_shell(hub, tmp_path, HF_TOKEN_PATH=str(tmp_path / "token"))
    if source == "secret":
        environment["PYTHONPATH"] = str(Path(__file__).with_name("colab_stand_in"))
    command, sent = [sys.executable, "-c", VERBOSE, source], json.dumps(odd)
    done = subprocess.run(command, env=environment, input=sent, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    runs = done.stdout.split("=== ")[1:]
    assert len(runs) == 3 * len(odd)
    for run in runs:
        lines = run.strip().splitlines()[1:]
        assert 1 <= len(lines) <= 4 and NAMES[source] in lines[-1], run
    said = done.stdout + done.stderr
    assert core[:20] not in said and "Traceback" not in said


DOWNLOAD = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("xmode", "Verbose")
for cell in (
    "import gemma_lab",
    "gemma_lab.setup()",
    "path = gemma_lab.checkpoint('google/gemma-2b-it')",
    "from huggingface_hub import hf_hub_download",
    "hf_hub_download(path, 'not-there.json')",
):
    shell.run_cell(cell)
"""


def test_a_failed_download_of_the_learners_own_shows_no_token_either(hub, tmp_path):
    """With a good token; the variables of the Hub's client hold the headers that it sent."""
    environment = of_a_shell(hub, tmp_path, HF_TOKEN=GOOD)
    command = [sys.executable, "-c", DOWNLOAD]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert "EntryNotFound" in said and "Bearer hf_…" in said and GOOD[:20] not in said


LOCALS = """
import json, os, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("xmode", "Verbose")
from gemma_lab import tokens
file = Path(os.environ["HF_TOKEN_PATH"])
shell.run_cell("def fail(raw, clean): return raw / len(clean)")
for raw in json.load(sys.stdin):
    file.write_text(raw)
    shell.user_ns.update(raw=raw, clean=getattr(tokens.find_token(), "value", ""))
    file.write_text("hf_another")
    tokens.find_token()
    shell.run_cell("fail(raw, clean)")
"""


def test_no_verbose_traceback_shows_a_token_of_the_file_or_its_text_as_it_was_read(hub, tmp_path):
    """Also where it has no prefix to know it by, or was replaced since."""
    core = "Qz7" * 8
    texts = [core, f"oauth_{core}\n", f"hf_{core[:10]}\n{core}", f"hf_\n{core}", f"hf_a {core}"]
    environment = of_a_shell(hub, tmp_path, HF_TOKEN_PATH=str(tmp_path / "token"))
    command, sent = [sys.executable, "-c", LOCALS], json.dumps(texts)
    done = subprocess.run(command, env=environment, input=sent, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and said.count("unsupported operand") == len(texts), said
    assert core[:9] not in said and said.count("hf_…") >= 2 * len(texts) - 1


def test_why_there_is_no_token_names_what_was_passed_over_and_else_what_to_do(monkeypatch):
    status, advice = tokens.why_none()
    assert status == "no-token" and "Make a Read token" in advice
    monkeypatch.setenv("HF_TOKEN", "hf_ with a blank")
    assert tokens.find_token() is None
    status, advice = tokens.why_none()
    assert status == "bad-token" and "has a blank inside" in advice and "with a" not in advice
