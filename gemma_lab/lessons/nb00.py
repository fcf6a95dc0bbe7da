"""Notebook 00: the talk's cell, what the Hub lets you download, and tables."""

from __future__ import annotations

import contextlib
import html
import os
import re

import pandas

from gemma_lab import access, gemma3, hardware, profile, tokens
from gemma_lab.access import Access

HUB = "https://huggingface.co/"
TWO, SEVEN, GEMMA_2 = profile.FIRST_MODEL, "google/gemma-7b-it", "google/gemma-2-2b-it"
CODE, CODE_CHAT = "google/codegemma-2b", "google/codegemma-7b-it"
RECURRENT, SHIELD = "google/recurrentgemma-2b", "google/shieldgemma-2b"
SEE = "google/paligemma-3b-mix-224"
USED_IN = {TWO: "04, 05", SEVEN: "04", GEMMA_2: "06"}
USED_IN |= dict.fromkeys((CODE, CODE_CHAT, SEE, SHIELD, RECURRENT), "07") | {gemma3.HUB_ID: "all"}


@contextlib.contextmanager
def the_talks_way():
    """Runs a block that puts a Colab secret into HF_TOKEN; one sentence says how that went.

    HF_TOKEN is afterwards as it was: a copy would outlive the secret that you replace.
    """
    before = os.environ.get("HF_TOKEN")
    try:
        yield
        print("Colab gave the secret HF_TOKEN. The next cell asks for it again.")
    except ImportError:
        print("This is not Colab: there is no google.colab. The next cell looks elsewhere.")
    except Exception as error:  # Colab has several, some of no common type
        why = f"Colab gave no secret ({type(error).__name__})"
        why = "Kaggle has secrets of its own" if hardware.is_kaggle() else why
        print(f"{why}. The next cell says what to do.")
    finally:
        os.environ.pop("HF_TOKEN", None)
        os.environ.update({} if before is None else {"HF_TOKEN": before})


def look_for_token() -> tokens.Token | None:
    """A usable token from wherever it is now: a secret may have been replaced a minute ago."""
    tokens.ask_anew()
    return tokens.find_token()


def ask_for_each(token: tokens.Token | None) -> dict[str, Access]:
    """What the Hub says to a download of each of the course's models with this token.

    Once it does not answer, it is not asked again.
    """
    found = {}
    for hub_id in USED_IN:
        silent = next((one for one in found.values() if one.status == "no-network"), None)
        found[hub_id] = silent or access.check_access(hub_id, token)
    return found


def access_rows(found: dict[str, Access]) -> list[dict]:
    """A row for each model: its page, what to do, if it may be downloaded, its notebooks."""
    rows, before = [], ""
    for hub_id, answer in found.items():
        may = {"ok": "yes", "no-network": "not known"}.get(answer.status, "no")
        todo = "As above." if answer.advice == before else answer.advice
        before = answer.advice
        if answer.status == "ok":
            todo = "Nothing."
        elif hub_id == gemma3.HUB_ID:
            todo = "Nothing: it is public elsewhere."
        row = {"model, licence page": HUB + hub_id, "what to do": todo}
        rows.append(row | {"may be downloaded": may, "used in": USED_IN[hub_id]})
    return rows


def as_html(rows: list[dict]) -> str:
    """The rows as a table; the address of a page on the Hub becomes a link."""

    def cell(value) -> str:
        text = html.escape(str(value))
        is_page = text.startswith(HUB)
        return f'<a href="{text}" target="_blank">{text[len(HUB) :]}</a>' if is_page else text

    frame = pandas.DataFrame([{name: cell(row[name]) for name in row} for row in rows])
    table = frame.to_html(index=False, escape=False, border=0)
    left = r'<\1 style="text-align: left; vertical-align: top">'
    return re.sub("<(t[hd])>", left, table)


def show(rows: list[dict]) -> None:
    """Displays the rows as a table."""
    from IPython.display import display

    text = pandas.DataFrame(rows).to_string(index=False)
    display({"text/html": as_html(rows), "text/plain": text}, raw=True)
