"""Tables and numbers of the deck's second half, from the course's data, records and outputs."""

from __future__ import annotations

import datetime
import re
import textwrap
from functools import partial

from gemma_lab import catalog, memory
from gemma_lab.lessons import nb04_language, nb04_record, nb05_record, nb05_views, nb07
from tools import deck_corrections, deck_figures_inside, deck_figures_later
from tools.deck_fill import find_cell, printed
from tools.deck_stored import markdown, read_csv

TINY = deck_figures_inside.TINY
SMALL, LARGE = "google/gemma-2b", "google/gemma-7b"
STANZA, NBSP = "\n\n", "\N{NO-BREAK SPACE}"
LATER = 6  # rows of what came later on one slide
COLUMN, COLUMN_LINES = 32, 8  # letters in a line and lines of code in half a slide


def poem(precision: str) -> str:
    """One of the talk's poems, a row for each stanza; a stroke ends a line."""
    stanzas = deck_figures_inside.poems()[precision].split(STANZA)
    rows = [[at, " / ".join(text.splitlines())] for at, text in enumerate(stanzas, 1)]
    return markdown(["", f"Gemma 7B-it, {precision}"], rows)


def endings() -> str:
    """The last two lines of each poem, ordered by the last word, as notebook 04 orders them."""
    found = sorted(deck_figures_inside.poems().values(), key=lambda text: text.split()[-1])
    rows = [[letter, " / ".join(text.splitlines()[-2:])] for letter, text in zip("ABCDE", found)]
    return markdown(["", "Its last two lines"], rows)


def ladder() -> str:
    """The recorded ladder of the 270M: megabytes, perplexity and KL in both languages."""
    table = nb04_language.ladder(nb04_language.recorded(TINY))
    loads = {
        row["precision"]: row["weight_mb"]
        for row in nb04_record.records("cpu")[0]["rows"]
        if row["kind"] == "load"
    }
    rows = []
    for precision, row in table.iterrows():
        held = f"{loads[precision]:,.0f}" if precision in loads else ""
        values = [f"{row['perplexity', of]:.1f}" for of in nb04_language.LANGUAGES]
        values += [f"{row['KL', of]:.3f}" for of in nb04_language.LANGUAGES]
        values += [f"{100 * row['top-1', of]:.0f} %" for of in nb04_language.LANGUAGES]
        rows.append([precision, held, *values])
    header = ["", "MB", "perplexity, EN", "VI", "KL, EN", "VI", "first choice kept, EN", "VI"]
    return markdown(header, rows, "lrrrrrrr")


def verdict() -> str:
    """What Codelab 2 taught the 270M and what it cost: before, a good prompt, three seeds."""
    runs = nb05_record.recorded(TINY)["runs"]
    table = nb05_record.table(nb05_record.recorded(TINY))
    low, high = table.loc["three seeds, least"], table.loc["three seeds, most"]
    before, prompted = runs["before"], runs["before"]["three_examples"]

    def span(column: str, form: str) -> str:
        one, other = form.format(low[column]), form.format(high[column])
        return one if one == other else f"{one} to {other}"

    topics = f"{14 * prompted['exact']:.0f}"
    rows = [
        ["topics right to the letter, of 14", "0", topics]
        + [span("topics exact, of 14", "{:.0f}")],
        ["held-out loss, nats a token", f"{before['target']['loss']:.2f}"]
        + [f"{prompted['loss']:.2f}", span("loss", "{:.3f}")],
    ]
    for language in nb04_language.LANGUAGES:
        rows.append(
            [f"{language} perplexity, + %", "0", "0"]
            + [span(f"perplexity, {language}, + %", "{:.0f}")]
        )
    header = ["", "before", "3 examples", "trained, 3 seeds"]
    return markdown(header, rows, "lrrr")


def gemma_2() -> str:
    """The talk's table on Gemma 2, whole."""
    found = [row for row in read_csv("benchmarks.csv") if row["table"] == "gemma2"]
    models = dict.fromkeys(row["model"] for row in found)
    scores = {
        (row["benchmark"], row["model"]): f"{float(row['score']):.1f}{'*' * bool(row['mark'])}"
        for row in found
    }
    rows, last = [], ""
    for row in {row["benchmark"]: row for row in found}.values():
        kind, last = ("" if row["capability"] == last else row["capability"]), row["capability"]
        values = [scores.get((row["benchmark"], model), "–") for model in models]
        rows.append([kind, row["benchmark"], row["metric"], *values])
    return markdown(["", "benchmark", "metric", *models], rows, "lll" + "r" * len(models))


def fenced(lines: list[str]) -> str:
    """Lines as they came out, in a block of their own."""
    return "\n".join(("```text", *lines, "```"))


def asked(cell: str, num_lines: int) -> str:
    """What notebook 05's 270M answered to the talk's question, `COLUMN` letters in a line."""
    text = printed(find_cell("05", cell)).splitlines()[:num_lines]
    wrapped = [part for line in text for part in textwrap.wrap(line, COLUMN) or [""]]
    cut = wrapped[: COLUMN_LINES - 1] + ["…"] if len(wrapped) > COLUMN_LINES else wrapped
    return fenced(cut + [""] * (COLUMN_LINES - len(cut)))


def forgotten() -> str:
    """One text before training, after it, and after training with old rows, from the record."""
    runs = nb05_record.recorded(TINY)["runs"]
    plain, rehearsed = (runs[name]["examples"][1] for name in ("seed 0", "rehearsed, seed 0"))
    texts = {"before": plain["before"], "new rows": plain["after"], "with old": rehearsed["after"]}
    lines = [f"{plain['prompt']} …"]
    for name, text in texts.items():
        first, *rest = text.strip().splitlines()
        lines += ["", *textwrap.wrap(f"{name + ':':10}{first}", 70, subsequent_indent=" " * 10)]
        lines += [" " * 10 + line for line in rest]
    return fenced(lines)


def code(notebook: str, cell: str, first: int, last: int) -> str:
    """Lines of a cell without the comments at their ends and what all are indented by."""
    lines = "".join(find_cell(notebook, cell)["source"]).splitlines()[first - 1 : last]
    kept = textwrap.dedent("\n".join(re.sub(r"\s+# .*$", "", line) for line in lines))
    return f"```python\n{kept}\n```"


def training_tokens() -> str:
    """Tokens of training text of three Gemmas, as notebook 06 prints them."""
    text = printed(find_cell("06", "cefaccdc"))
    names = {"gemma-7b": "Gemma 7B", "gemma-2-9b": "Gemma 2 9B", "gemma-2-27b": "Gemma 2 27B"}
    form = r"^(gemma\S+) +([\d.]+) B .*; +(\d+) T tokens, (\d+) a parameter$"
    rows = [
        [names[name], f"{billions} B", f"{tokens} T", each]
        for name, billions, tokens, each in re.findall(form, text, re.MULTILINE)
    ]
    return markdown(["", "parameters", "tokens of text", "tokens for each parameter"], rows, "lrrr")


def cap() -> str:
    """What losing the cap did to our pocket Gemma 2, as notebook 06 prints it."""
    (output,) = [one for one in find_cell("06", "258ed0f3")["outputs"] if "data" in one]
    lines = "".join(output["data"]["text/plain"]).splitlines()[1:]
    rows = []
    for line in lines:
        name, *numbers = re.split(r"\s{2,}", line.strip())
        right, perplexity, kl = map(float, numbers)
        rows.append([name, f"{round(120 * right)} of 120", f"{perplexity:.3f}", f"{kl:.4f}"])
    return markdown(["", "right answers", "perplexity", "KL to eager, nats"], rows, "lrrr")


def day(released: str) -> str:
    """A date such as 31 Jul 2024, or without its day where that is not known."""
    parts = released.split("-")
    form = "%d %b %Y" if len(parts) == 3 else "%b %Y"
    return datetime.date(*map(int, parts + ["1"] * (3 - len(parts)))).strftime(form)


def later(part: int) -> str:
    """What came after the talk, `LATER` rows for each slide, the first part being 0."""
    rows = deck_figures_later.later()[LATER * part : LATER * (part + 1)]
    told = [
        [*(one.replace(" ", NBSP) for one in (day(row["released"]), row["name"])), row["sizes"]]
        + [row["note"]]
        for row in rows
    ]
    return markdown(["", "name", "sizes", "what it is"], told)


def see_and_judge() -> str:
    """PaliGemma and ShieldGemma, as the course's table of variants has them."""
    rows = {row["name"]: row for row in read_csv("variants.csv")}
    told = []
    for name in ("PaliGemma", "ShieldGemma"):
        row = rows[name]
        told.append([name, day(row["released"]).replace(" ", NBSP), row["sizes"], row["kinds"]])
    return markdown(["", "came", "sizes", "kinds"], told)


def corrections(group: str) -> str:
    """One slide of what the talk said and what holds."""
    header = ["the talk, July 2024", "what holds", "notebook"]
    rows = [[*row[:2], row[2].replace(" ", NBSP)] for row in deck_corrections.CORRECTIONS[group]]
    return markdown(header, rows)


TABLES = {
    "poem_fp32": partial(poem, "full precision"),
    "poem_bf16": partial(poem, "bfloat16"),
    "poem_int8": partial(poem, "int8"),
    "poem_4bit": partial(poem, "4-bit"),
    "poem_flash": partial(poem, "flash attention"),
    "endings": endings,
    "ladder": ladder,
    "verdict": verdict,
    "code_norm": partial(code, "03", "efa0f21e", 2, 2),
    "code_nf4": partial(code, "04", "cde17086", 3, 6),
    "code_load": partial(code, "05", "ca073a65", 13, 20),
    "asked_before": partial(asked, "c16c6ded", 4),
    "asked_after": partial(asked, "after", 5),
    "forgotten": forgotten,
    "gemma_2": gemma_2,
    "training_tokens": training_tokens,
    "cap": cap,
    "see_and_judge": see_and_judge,
    **{f"later_{part + 1}": partial(later, part) for part in range(3)},
    **{f"corrections_{name}": partial(corrections, name) for name in deck_corrections.CORRECTIONS},
}


def _budget() -> dict:
    seven = nb05_views.MODULES["all seven"]
    return nb05_views.budget(catalog.find("google/gemma-2b-it"), 16, seven, "nf4", 8)


def _kib(model: str) -> int:
    return memory.kv_cache_bytes(catalog.find(model), 1) // 2**10


def _kl(language: str) -> str:
    table = nb04_language.ladder(nb04_language.recorded(TINY))
    return f"{table.loc['nf4', ('KL', language)]:.2f}"


def _passed(model: str, task: str) -> int:
    return len(nb07.recorded()["code"][model][task]["passed"])


NUMBERS = {
    "kib_7b": partial(_kib, LARGE),
    "kib_2b": partial(_kib, SMALL),
    "kl_nf4_en": partial(_kl, "English"),
    "kl_nf4_vi": partial(_kl, "Vietnamese"),
    "lora_trained": lambda: f"{_budget()['trained_parameters'] / 1e6:.1f}",
    "lora_percent": lambda: f"{_budget()['trained_percent']:.2f}",
    "code_body_270m": partial(_passed, "gemma-3-270m", "body"),
    "code_hole_270m": partial(_passed, "gemma-3-270m", "hole"),
    "num_later": lambda: len(deck_figures_later.later()),
    "record_date": lambda: nb04_language.recorded(TINY)["date"],
}

FIGURES = {
    f"b_{name}": getattr(module, name)
    for module, names in {
        deck_figures_inside: "part_map causal heads_and_keys cache rope_wide gelu norms two_gemmas "
        "parameters fit shared_words levels kl_by_language speed",
        deck_figures_later: "lora lora_budget loss_curve forgot gemma_2_leads masks_wide "
        "window_cache soft_cap hole layer_map kept timeline",
    }.items()
    for name in names.split()
}
