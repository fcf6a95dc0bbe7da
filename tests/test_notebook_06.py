"""Notebook 06: what its text says of tables and of the pocket model, and what its asserts hold."""

import csv
import shutil

import pandas
import pytest
from hub_stand_in import Hub
from notebook_cells import ROOT, numbers, printed, run_cells, shown, shown_table, tagged

from gemma_lab import catalog
from gemma_lab.lessons import nb06

NAME = "06_gemma_2_and_beyond"
GEMMA_2, GEMMA_1, TOKEN = "google/gemma-2-2b-it", "google/gemma-2b-it", "hf_" + "x" * 30
TRAP_CELLS = (
    "talk-table",
    "claims",
    "masks",
    "window-reach",
    "cap-model",
    "cap-poems",
    "cap-measure",
    "cap-proof",
)
STUBS = {"my_sliding_mask": ..., "my_uncap": ...}  # the exercises, not attempted


def test_the_talks_table_of_gemma_2_is_whole():
    scores = pandas.read_csv(ROOT / "gemma_lab" / "data" / "benchmarks.csv")
    scores = scores[scores["table"] == "gemma2"]
    means = scores.groupby("model")["score"].agg(["count", "sum"]).round(1)
    assert means.to_dict("index") == {
        "Gemma 2 9B": {"count": 6, "sum": 366.8},
        "Gemma 2 27B": {"count": 6, "sum": 404.6},
        "Llama 3 8B": {"count": 4, "sum": 255.4},
        "Llama 3 70B": {"count": 2, "sum": 160.8},
        "Grok-1 314B": {"count": 4, "sum": 223.0},
    }
    assert scores["mark"].dropna().tolist() == ["8-shot", "0-shot"]


def test_27b_is_behind_llama_and_ahead_of_grok():
    """The plot's title, and the points that the text reads off it."""
    with open(ROOT / "gemma_lab" / "data" / "benchmarks.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["table"] == "gemma2" and row["score"]]
    score = {(row["model"], row["benchmark"]): float(row["score"]) for row in rows}
    lead = {
        rival: {
            test: score["Gemma 2 27B", test] - points
            for (model, test), points in score.items()
            if model == rival and ("Gemma 2 27B", test) in score
        }
        for rival in ("Llama 3 70B", "Grok-1 314B")
    }
    assert sorted(round(-points) for points in lead["Llama 3 70B"].values()) == [4, 6]
    grok = lead["Grok-1 314B"].values()
    assert (len(grok), sum(points > 0 for points in grok)) == (4, 3)


def test_the_rivals_are_2_6_and_11_5_times_as_large():
    info = run_cells(NAME, "talk-table", "claims")["info"]  # of 27B, the last one there
    parameters = info.num_parameters
    assert round(70e9 / parameters, 1) == 2.6 and round(314e9 / parameters, 1) == 11.5


def test_both_tables_ask_the_three_tests_in_the_same_way():
    with open(ROOT / "gemma_lab" / "data" / "benchmarks.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for test in ("MMLU", "MATH", "HumanEval"):
        assert {row["table"] for row in rows if row["benchmark"] == test} >= {"full", "gemma2"}
        assert len({row["metric"] for row in rows if row["benchmark"] == test}) == 1, test


def test_the_window_counts_the_token_itself():
    masks = run_cells(NAME, "talk-table", "masks")["masks"]
    assert masks["sliding: a window of 4"][-1].tolist() == [False] * 8 + [True] * 4
    assert masks["global: all that came before"][-1].tolist() == [True] * 12


def test_the_first_global_layer_carries_the_change_to_the_last_token():
    lines = [line for line in shown(NAME, "window-reach").splitlines() if line.startswith("after")]
    embedding, sliding, *later = [numbers(line)[-1] for line in lines]
    assert "sliding_attention" in lines[1] and "full_attention" in lines[2] and len(later) == 5
    assert embedding == 0 and sliding < 1e-3 < 0.01 < min(later)


def test_the_soft_cap_always_rises():
    import torch

    cell = run_cells(NAME, "talk-table", "masks", "soft-cap")
    assert (cell["slope"] > 0).all()
    assert torch.allclose(cell["slope"], 1 - torch.tanh(cell["x"] / 50) ** 2)


def test_six_answers_are_lost_with_the_cap_and_one_with_four_bits():
    said = {
        row: {name: float(text) for name, text in cells.items()}
        for row, cells in shown_table(NAME, "cap-measure").items()
    }
    right = {name: round(120 * row["right answers"]) for name, row in said.items()}
    assert right == {"eager": 117, "sdpa": 111, "eager, 4 bits": 116}
    kl = {name: row["KL to eager, nats"] for name, row in said.items()}
    assert kl["sdpa"] > 10 * kl["eager, 4 bits"] > kl["eager"] == 0
    assert said["sdpa"]["perplexity"] > said["eager"]["perplexity"]


def test_without_the_cap_the_model_is_sdpa():
    said = shown(NAME, "cap-proof")
    with_cap, without = numbers(said.split(":")[1])
    assert "difference to sdpa" in said and without < 0.001 < 0.1 < with_cap


def test_the_text_s_reading_of_all_generations():
    rows = shown_table(NAME, "all-generations")
    slides = [
        rows[name]["sliding layers"] for name in ("Gemma 3 4B", "Gemma 3n E4B", "Gemma 4 E4B")
    ]
    assert slides == ["29 of 34", "28 of 35", "35 of 42"]  # five for a global one, four, five
    assert {row["window"] for row in rows.values()} == {"–", "4096", "1024", "512"}
    capped = {name for name, row in rows.items() if row["cap of scores"] != "–"}
    assert capped == {name for name in rows if name.startswith("Gemma 2 ")}
    assert set(rows) == {info.name for info in catalog.CATALOG.values()}


# ------------------------------------------------------------------- the cells themselves


@pytest.fixture(scope="module")
def caches():
    """The names after the cells of sections 3 and 6 that need configurations only."""
    from transformers import AutoModelForCausalLM  # as the cell that loads the pocket model does

    tags = ("talk-table", "claims", "masks", "generations", "window-saves", "all-generations")
    known = {"AutoModelForCausalLM": AutoModelForCausalLM}
    return run_cells(NAME, *tags, "cache-lengths", "cache-formula", **known)


def test_the_window_saves_a_quarter_at_8192_tokens_and_nothing_before(caches):
    without, alternating = caches["without"], caches["alternating"]
    assert round(1 - alternating[-1] / without[-1], 2) == 0.25
    assert caches["lengths"][3] == 2048 and alternating[3] == without[3]


def test_from_gemma_7b_to_gemma_4_e4b_is_24_times_less(caches):
    at_8192 = caches["at_8192"]
    assert max(at_8192, key=at_8192.get) == "Gemma 7B"
    assert round(at_8192["Gemma 7B"] / at_8192["Gemma 4 E4B"]) == 24
    assert (round(caches["by_keys"]), round(caches["by_window"])) == (8, 3)


def test_a_formula_that_keeps_the_whole_window_is_refused(caches):
    from types import SimpleNamespace

    def whole_window(info, num_tokens):
        right = caches["memory"].kv_cache_bytes(info, num_tokens)
        slides = [layer for layer in info.layers if layer.window is not None]
        return right + sum(2 * layer.num_key_value_heads * layer.head_dim * 2 for layer in slides)

    wrong = SimpleNamespace(kv_cache_bytes=whole_window)
    with pytest.raises(AssertionError, match="to the byte"):
        run_cells(NAME, "cache-formula", **caches | {"memory": wrong})


def test_the_proof_of_the_cap_refuses_eager(monkeypatch):
    """Eager attention keeps the cap, so it is not the model without one."""
    import transformers

    import gemma_lab

    load = transformers.AutoModelForCausalLM.from_pretrained
    before = run_cells(NAME, "talk-table", "masks", "window-reach", gemma_lab=gemma_lab, **STUBS)
    before |= {"AutoModelForCausalLM": transformers.AutoModelForCausalLM}
    run_cells(NAME, "cap-proof", **before)
    eager = lambda *names, **given: load(*names, attn_implementation="eager", **given)  # noqa: E731
    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", eager)
    with pytest.raises(AssertionError, match="without its cap"):
        run_cells(NAME, "cap-proof", **before)


def test_right_answers_of_the_exercises_are_used_and_wrong_ones_are_not():
    import transformers

    import gemma_lab

    asked = []

    def mask(num_tokens, window):
        asked.append((num_tokens, window))
        return nb06.my_sliding_mask(num_tokens, window)

    names = {"AutoModelForCausalLM": transformers.AutoModelForCausalLM, "gemma_lab": gemma_lab}
    names |= {"my_sliding_mask": mask, "my_uncap": lambda capped, cap: capped}
    names = run_cells(NAME, "talk-table", "masks", "window-reach", "cap-proof", **names)
    assert asked[-1] == (63, 32) and names["uncap"] is nb06.my_uncap
    names |= {"my_sliding_mask": lambda num_tokens, window: 1}
    names |= {"my_uncap": lambda capped, cap: nb06.my_uncap(capped, cap)}
    names = run_cells(NAME, "window-reach", "cap-proof", **names)
    assert names["mask"] is nb06.my_sliding_mask and names["uncap"] is names["my_uncap"]


def test_eager_and_sdpa_wrote_one_text_on_the_machine_that_wrote_the_page():
    _, *poems = shown(NAME, "cap-poems").split("--- ")
    eager, sdpa = (poem.split("\n", 1)[1].strip() for poem in poems)
    prose = (ROOT / "notebooks" / f"{NAME}.ipynb").read_text(encoding="utf-8")
    assert eager == sdpa and "wrote the same one twice, word for word" in prose


# ------------------------------------------------- section 4 in the hub profile: a Hub serves ours


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    for name in (GEMMA_2, GEMMA_1):
        shutil.copytree(ROOT / "gemma_lab" / "checkpoints" / "pocket-gemma2-it", root / name)
    server = Hub(root, tokens={TOKEN})
    yield server
    server.shutdown()


@pytest.mark.slow
@pytest.mark.parametrize(
    "is_open", [True, False], ids=["licence accepted", "licence of Gemma 2 not accepted"]
)
def test_the_trap_is_measured_on_what_the_hub_serves(hub, tmp_path, is_open):
    """Access to Gemma 1 decides the profile; without Gemma 2 the pocket model stays."""
    hub.asked.clear()
    hub.gated = {GEMMA_2, GEMMA_1} if is_open else {GEMMA_2}
    hub.accepted = {TOKEN: hub.gated} if is_open else {}
    cells = "\n".join(tagged(NAME, tag) for tag in TRAP_CELLS)
    source = f"""
import gemma_lab, matplotlib
matplotlib.use("Agg")
profile = gemma_lab.current_profile().name
my_sliding_mask = my_uncap = ...
{cells}
kl = summary["KL to eager, nats"]
least = 2 if path == folder else 0.1  # on text that the pocket model never saw, anything goes
is_larger = kl["sdpa"] > least * kl["eager, 4 bits"] > 0
print(profile, path, PRECISION, len(reference.targets), is_larger)
"""
    said = printed(
        source,
        tmp_path,
        HF_ENDPOINT=hub.url,
        HF_TOKEN=TOKEN,
        HF_HUB_DISABLE_XET="1",
        GEMMA_LAB_PROFILE="hub",
    )
    assert "--- eager" in said and "--- sdpa" in said and TOKEN not in said
    was_loaded = any(GEMMA_2 in path and path.endswith("model.safetensors") for path in hub.asked)
    if is_open:
        assert f"hub {GEMMA_2} bf16 8 True" in said and was_loaded
    else:
        assert "Until then this section asks the pocket model" in said and not was_loaded
        assert "licence" in said and "pocket-gemma2-it fp32 120 True" in said


def test_a_sliding_layer_of_the_270m_hides_a_word_700_tokens_back_and_the_global_ones_do_not():
    *layers, kept, cache = shown(NAME, "real-window").splitlines()[1:]
    assert len(layers) == 18 and layers[0].endswith("the same")
    changes = [numbers(line.split("changed by")[1])[0] for line in layers[1:]]
    assert 0 < changes[0] < changes[3] < changes[4] / 5  # the sixth layer is global
    assert [at for at, line in enumerate(layers, 1) if "global" in line] == [6, 12, 18]
    tokens = numbers(kept.split(":")[1])
    assert tokens.count(511) == 15 and tokens.count(700) == 3
    held, counted = numbers(cache.replace(",", ""))
    assert held == counted
