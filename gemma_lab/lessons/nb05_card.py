"""Notebook 05: the card of an adapter, README.md, in the form that the Hub reads."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from gemma_lab import finetune, gemma3, profile
from gemma_lab.lessons.nb05_keep import CARD, config_of, is_pocket
from gemma_lab.lessons.nb05_verdict import digest

COURSE_ROWS = "The health cards of this course (gemma_lab/data/health_instructions_*.jsonl)"
COPIED = " The base of the course's own copy had gone through a file of 4 to 8 bits (Q4_K_M)."
PAGE = """
# A LoRA adapter for {base}

Rank {r}, alpha {alpha}, on {modules}. It is no model by itself: it needs `{base}`.
{warning}
```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("{load}")
model = PeftModel.from_pretrained(base, "this folder, or its repository")
```

It was trained on prompts of this layout:

```
{layout}
```

## Data

{data}: {num_train:,} rows to train on. What follows was measured on {num_exam:,} rows that it never
saw. The sha256 of these, one JSON object a line: `{sha256}`.

## What it learned

{learned}

## What it forgot

{forgot}

## Licence

{licence}

Versions: {versions}.
"""


def write_card(
    folder: str | Path,
    rows: dict[str, list[dict]],
    learned: dict[str, tuple[float, float]],
    forgot: dict[str, tuple[float, float]],
    data: str | None = None,
) -> str:
    """The card of a saved adapter, which README.md of its folder now holds.

    Args:
        rows: "train" and "exam", rows of `instruction`, `input` and `output`.
        learned, forgot: what was measured, before and after training; `forgot` on other text.
        data: a file, or a data set on the Hub, that the rows are from; None: the course's own.
    """
    from huggingface_hub import ModelCard, ModelCardData

    config = config_of(folder)
    base, is_ours, data = config["base_model_name_or_path"], data is None, str(data or "")
    is_on_hub = data.count("/") == 1 and not Path(data).exists()
    licence, terms = _licence(base)
    about = ModelCardData(
        base_model=base,
        library_name="peft",
        pipeline_tag="text-generation",
        license=licence,
        language="en" if is_ours else None,
        datasets=[data] if is_on_hub else None,
        tags=["lora"],
    )
    is_with_package = (profile.CHECKPOINTS / base).is_dir()
    home = "gemma_lab/checkpoints" if is_with_package else "pocket/family"  # in a clone
    name = data if is_on_hub else Path(data).name
    name = "the talk's data set, or Dolly where that is gone" if data == "talk" else f"`{name}`"
    text = PAGE.format(
        base=base,
        r=config["r"],
        alpha=config["lora_alpha"],
        modules=", ".join(sorted(config["target_modules"])),
        load=f"{home}/{base}" if is_pocket(base) else base,
        warning="\nThe answers are general information, **not medical advice**.\n" * is_ours,
        layout=finetune.PROMPT.rstrip(),
        data=COURSE_ROWS if is_ours else name,
        num_train=len(rows["train"]),
        num_exam=len(rows["exam"]),
        sha256=digest(rows["exam"]),
        learned=_table(learned),
        forgot=_table(forgot),
        licence=terms,
        versions=", ".join(f"{name} {version(name)}" for name in ("peft", "transformers", "torch")),
    )
    card = ModelCard(f"---\n{about.to_yaml()}\n---\n{text}")
    card.save(Path(folder, CARD))
    return str(card)


def _licence(base: str) -> tuple[str | None, str]:
    """The Hub's name for the licence of an adapter on `base`, and a sentence or two about it."""
    if is_pocket(base) or base.startswith("google/gemma-4"):
        return "apache-2.0", "Apache-2.0, as its base."
    if "gemma" in base.lower():
        given = f"Gemma is provided under and subject to {gemma3.TERMS}."
        copied = COPIED if base == gemma3.HUB_ID else ""
        return "gemma", f"{given} An adapter is a derivative: the same terms apply to it.{copied}"
    return None, f"That of {base} applies."


def _table(measured: dict[str, tuple[float, float]]) -> str:
    """Lines of Markdown: what was measured, before and after."""
    if not measured:
        return "Not measured."
    lines = [f"| {name} | {a:.3f} | {b:.3f} |" for name, (a, b) in measured.items()]
    return "\n".join(["| | before | after |", "|---|---|---|", *lines])
