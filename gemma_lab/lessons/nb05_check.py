"""Notebook 05: what is wrong with rows before anything is trained. No row is dropped in silence."""

from __future__ import annotations

import collections
import math
import unicodedata
from dataclasses import dataclass, field

LEFT_OUT = "left out"
OPENING, CLOSING = "\"'“‘«([¿¡", "\"'”’»)].,;:!?…"
MOST_LINES, MOST_EXAM = 8, 84


@dataclass
class Rows:
    """Clean rows to train on and for the exam, and what was done to reach them.

    train, exam: dicts with the texts instruction, input and output.
    report: (line, "train" or "exam", kind, what happens), for each row that was changed or left
        out. notes: sentences on the sources as a whole. Printed, it is at most a dozen lines.
    """

    train: list[dict] = field(default_factory=list)
    exam: list[dict] = field(default_factory=list)
    report: list[tuple[int, str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kinds = [kind for _, _, kind, _ in self.report]
        first = sorted({kinds.index(kind) for kind in kinds})  # at least one line of each kind
        rest = [at for at in range(len(kinds)) if at not in first]
        shown = sorted((first + rest)[: max(MOST_LINES, len(first))])
        lines = [f"Rows to train on: {len(self.train)}. For the exam: {len(self.exam)}."]
        lines += self.notes
        for line, split, kind, what in (self.report[at] for at in shown):
            lines.append(f"{split}, line {line}: {kind}: {what}.")
        left = collections.Counter(kinds) - collections.Counter(kinds[at] for at in shown)
        if left:
            counts = ", ".join(f"{count} {kind}" for kind, count in left.items())
            lines.append(f"… and {left.total()} more: {counts}.")
        return "\n".join(lines)


def check(train, exam, tokenizer, max_length: int, notes=()) -> Rows:
    """Clean rows to train on and for the exam; each row that was changed or left out is named.

    Args:
        train, exam: (line, row) pairs. A row has the keys instruction, input and output, or is the
            rest of a sentence that says why there is none. Without `exam`, a part of `train` is it.
        max_length: the most tokens of prompt and completion, in both.
    Texts come out in Unicode's NFC, the form in which models have seen most text, with \\n alone as
    line break; where a text was written otherwise, the report says so.
    Raises: ValueError if no row is left for one of the two.
    """
    found, num_needed = Rows(notes=list(notes)), 2 if exam is None else 1
    usable = _clean(train, "train", tokenizer, max_length, found.report)
    if len(usable) < num_needed:
        why = f"{len(usable)} of {len(train)} rows can be used, where at least {num_needed} should"
        raise ValueError(why + _first_of(found.report, "train"))
    if exam is None:
        usable, asked = split(usable)
        found.notes.append(
            f"No exam file is named: the exam takes {len(asked)} of the last rows. Better is a "
            "file of your own, with topics that are in no training row."
        )
    else:
        asked = _clean(exam, "exam", tokenizer, max_length, found.report)
    line_of = {question(row): line for line, row in asked}
    for line, row in usable:
        if question(row) in line_of:
            what = f"asks what line {line_of[question(row)]} of the exam asks: {LEFT_OUT}"
            found.report.append((line, "train", "in the exam", what))
        else:
            found.train.append(row)
    found.exam = [row for _, row in asked]
    found.report.sort(key=lambda entry: (entry[1] != "train", entry[0]))
    for name, rows in (("exam", found.exam), ("train", found.train)):
        if not rows:
            raise ValueError(f"no row is left of “{name}”{_first_of(found.report, name)}")
    return found


def split(rows, share: float = 0.2):
    """(line, row) pairs to train on, and those of the last `share` for the exam: 1 to 84 rows.

    A row whose question is asked twice is never in the exam.
    Raises: ValueError for fewer than two rows, or if each question is asked twice.
    """
    times = collections.Counter(question(row) for _, row in rows)
    once = [line for line, row in rows if times[question(row)] == 1]
    if len(rows) < 2 or not once:
        raise ValueError(
            f"{len(rows)} rows, in which {len(once)} questions are asked once, cannot be split "
            "into training and exam: add rows, or name a file in EXAM."
        )
    num = min(MOST_EXAM, max(1, round(share * len(rows))))
    chosen = set(once[-num:])
    train = [(line, row) for line, row in rows if line not in chosen]
    return train, [(line, row) for line, row in rows if line in chosen]


def question(row: dict) -> str:
    """Instruction and input in a spelling that two ways to write the same question share.

    Compatible characters, capitals, blanks, invisible characters and punctuation around words make
    no difference: "Ｗhat  is it?" is "what is it". "5 - 3" is not "5 * 3".
    """
    text = unicodedata.normalize("NFKC", f"{row['instruction']}\n{row['input']}").casefold()
    text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    words = [word.lstrip(OPENING).rstrip(CLOSING) for word in text.split()]
    return " ".join(filter(None, words)) or text


def num_tokens(rows: list[dict], tokenizer) -> list[tuple[int, int]]:
    """(tokens of the prompt, tokens of prompt and completion) for each row, as TRL counts them."""
    from gemma_lab import finetune

    if not rows:
        return []
    pairs = [finetune.to_prompt_completion(row, tokenizer.eos_token) for row in rows]
    texts = [pair["prompt"] for pair in pairs]
    texts += [pair["prompt"] + pair["completion"] for pair in pairs]
    lengths = list(map(len, tokenizer(texts, verbose=False)["input_ids"]))  # no word on long ones
    return list(zip(lengths[: len(pairs)], lengths[len(pairs) :]))


def control_tokens(tokenizer) -> list[str]:
    """What a tokenizer reads as a control token wherever it stands in a text."""
    turns = {"<start_of_turn>", "<end_of_turn>"} & set(tokenizer.get_added_vocab())
    return sorted({*tokenizer.all_special_tokens, *turns})


def _clean(rows, name: str, tokenizer, max_length: int, report: list):
    """(line, row) of those that can be used; the others, and what was changed, into `report`."""
    kept, seen, tokens = [], {}, control_tokens(tokenizer)
    for line, row in rows:
        row, faults = _texts(row)
        if row and (fault := _acting(row, tokens)):
            row, faults = None, [*faults, fault]
        if row:
            twin = seen.setdefault((question(row), row["output"]), line)
            if twin != line:
                row, faults = None, [*faults, ("twice", f"is line {twin} again: {LEFT_OUT}")]
        report += [(line, name, kind, what) for kind, what in faults]
        kept += [(line, row)] if row else []
    fitting = []
    lengths = num_tokens([row for _, row in kept], tokenizer)
    for (line, row), (prompt, whole) in zip(kept, lengths):
        if whole <= max_length:
            fitting.append((line, row))
            continue
        what = f"{whole} tokens, of which {max_length} fit; a cut answer teaches not to stop"
        if prompt >= max_length:
            what = f"its prompt alone has {prompt} tokens, and {max_length} fit"
        report.append((line, name, "too long", f"{what}: {LEFT_OUT}"))
    return fitting


def _texts(row) -> tuple[dict | None, list[tuple[str, str]]]:
    """A row whose three values are texts, or None, and (kind, what happens) for each change."""
    if isinstance(row, str):
        return None, [("cannot be read", f"{row}: {LEFT_OUT}")]
    texts, faults = {}, []
    for name, value in row.items():
        if value is None or (isinstance(value, float) and math.isnan(value)):
            if name != "input":
                return None, [("missing", f"it has no {name}: {LEFT_OUT}")]
            value = ""
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            faults.append(("number", f"its {name} is a number, taken as the text “{value}”"))
            value = str(value)
        if not isinstance(value, str):
            what = f"its {name} is of the type {type(value).__name__}"
            return None, [("no text", f"{what}: {LEFT_OUT}")]
        text = unicodedata.normalize("NFC", value.replace("\r\n", "\n"))
        text = text.lstrip("\n") if name == "output" else text  # it would merge with the prompt's
        if text.encode("utf-8", "replace").decode() != text:
            return None, [("no text", f"its {name} holds half a character: {LEFT_OUT}")]
        if text != value:
            how = "letters in pieces, Windows' line breaks, or line breaks in front"
            faults.append(("other form", f"its {name} had {how}: written in the usual form"))
        texts[name] = text
    if not texts["output"].strip():
        return None, [("empty", f"its output is empty: {LEFT_OUT}")]
    if not (texts["instruction"] + texts["input"]).strip():
        return None, [("empty", f"instruction and input are both empty: {LEFT_OUT}")]
    return texts, faults


def _acting(row: dict, tokens: list[str]) -> tuple[str, str] | None:
    """The first control token in a row, which would act there instead of being read."""
    for name, text in row.items():
        for token in tokens:
            if token in text:
                spaced = f"{token[0]} {token[1:-1]} {token[-1]}"
                what = f"{token} in its {name} would act as one: write it as {spaced}"
                return "control token", f"{what}; {LEFT_OUT}"
    return None


def _first_of(report: list, name: str) -> str:
    """How a sentence ends that says that too few rows are left of `name`."""
    first = next((entry for entry in report if entry[1] == name), None)
    return ": {1}, line {0}: {2}: {3}.".format(*first) if first else ": add rows."
