"""The numbers in the sentences of the deck's first half, from data files and outputs."""

from __future__ import annotations

from gemma_lab import catalog
from tools import deck_figures_gemma
from tools.deck_figures_gemma import GPT_3
from tools.deck_stored import ahead, average, found, read_json, scores, stored


def _score(benchmark: str, model: str):
    return lambda: scores("full")[benchmark][model][0]


def _billions(hub_id: str):
    return lambda: f"{catalog.find(hub_id).num_parameters / 1e9:.1f}"


def _ratio() -> str:
    return f"{GPT_3 / catalog.find('google/gemma-2b').num_parameters:.0f}"


def _times() -> str:
    powers = [float(power) for power in found("01", "a6b5e1d0", r"10\^(-[\d.]+)$")]
    return f"{round(10 ** (max(powers) - min(powers)), -3):,.0f}"


def _leading() -> str:
    (share,) = found("01", "real-next-word", r"#1 +([\d.]+)%")
    return f"{float(share):.1f}"


def _answer() -> str:
    sentence = read_json("vietnamese.json")["sentence"]
    return stored("00", "pre-answer")[0].removeprefix(sentence).strip()


def _tokens(line: int):
    return lambda: found("01", "5933a599", r"Gemma 3 +(\d+) tokens:")[line]


def _counts() -> list[int]:
    return sorted(read_json("tokens_by_language.json")["recorded"]["tokens"].values())


def _t4() -> str:
    from gemma_lab.hardware import T4

    return f"{T4.free_gib:.1f}"


def _first(number: str, cell_id: str, pattern: str):
    return lambda: found(number, cell_id, pattern)[0]


NUMBERS = {
    "first_answer": _answer,
    "likeliest_order": _times,
    "leading": _leading,
    "vocabulary": _first("02", "nearest", r"^([\d,]+) rows"),
    "tokens_en": _tokens(0),
    "tokens_vi": _tokens(1),
    "fewest_tokens": lambda: str(_counts()[0]),
    "most_tokens": lambda: str(_counts()[-1]),
    "millions_270m": lambda: f"{catalog.find('google/gemma-3-270m').num_parameters / 1e6:.0f}",
    "t4_gib": _t4,
    "loss_before": lambda: f"{deck_figures_gemma.losses()[0]:.2f}",
    "loss_after": lambda: f"{deck_figures_gemma.losses()[1]:.2f}",
    "billions_2b": _billions("google/gemma-2b"),
    "gpt3_ratio": _ratio,
    "sums_gemma_7b": _score("GSM8K", "Gemma 7B"),
    "trivia_gemma_7b": _score("TriviaQA", "Gemma 7B"),
    "trivia_llama_13b": _score("TriviaQA", "LLaMA-2 13B"),
    "ahead_of_13b": lambda: str(ahead("Gemma 7B", "LLaMA-2 13B")),
    "average_2b": lambda: f"{average('Gemma 2B'):.1f}",
    "average_llama_7b": lambda: f"{average('LLaMA-2 7B'):.1f}",
}
