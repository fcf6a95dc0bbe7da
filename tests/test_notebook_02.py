"""What notebook 02 says of its plots, its data and the pocket models, from its executed cells."""

import csv

import pytest
from notebook_cells import ROOT, values_after

ASKED = {
    "base-and-it": {"base": "continued", "instruct": "answered"},
    "fits": {"needs": "needs", "t4_gib": "T4.free_gib"},
    "averages": {"table": "table.to_dict()"},
    "lead-bars": {"lead": "lead.to_dict()", "wins": "wins"},
    "gain-bars": {"pairs": "pairs", "billions": "[size / 1e9 for size in sizes.values()]"},
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return values_after("02_meet_gemma", ASKED, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def scores():
    """The rows of benchmarks.csv: table -> (model, benchmark) -> score."""
    tables = {}
    with open(ROOT / "gemma_lab" / "data" / "benchmarks.csv", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            table = tables.setdefault(row["table"], {})
            table[row["model"], row["benchmark"]] = float(row["score"])
    return tables


def test_the_instruction_tuned_model_answers_and_the_base_model_goes_on(notebook):
    said = notebook["base-and-it"]
    assert said["instruct"] == "The capital of Japan is Tokyo."
    assert "Tokyo" not in said["base"] and len(said["base"]) > 2 * len(said["instruct"])


def test_what_fits_a_free_t4(notebook):
    found = notebook["fits"]
    large, small = found["needs"]["google/gemma-7b-it"], found["needs"]["google/gemma-2b-it"]
    assert f"{found['t4_gib']:.1f}" == "14.3"
    assert large["nf4"] < large["int8"] < found["t4_gib"] < large["bf16"]
    assert small["fp32"] < found["t4_gib"]


def test_the_table_is_the_data_and_the_overview_a_part_of_it(notebook, scores):
    assert set(scores["overview"].items()) < set(scores["full"].items())
    shown = notebook["averages"]["table"]
    assert sum(len(column) for column in shown.values()) == len(scores["full"]) == 5 * 18
    for (model, benchmark), score in scores["full"].items():
        assert shown[model][benchmark] == score


def test_gemma_7b_is_ahead_of_llama_2_13b_in_14_of_18(notebook, scores):
    full, lead = scores["full"], notebook["lead-bars"]["lead"]
    assert notebook["lead-bars"]["wins"] == sum(points > 0 for points in lead.values()) == 14
    assert len(lead) == 18
    for name, points in lead.items():
        assert points == pytest.approx(full["Gemma 7B", name] - full["LLaMA-2 13B", name])
    assert min(lead, key=lead.get) == "TriviaQA" and lead["NQ"] < 0
    assert max(lead, key=lead.get) == "MATH"
    assert lead["MATH"] == pytest.approx(20.4) and lead["GSM8K"] == pytest.approx(17.7)
    assert full["LLaMA-2 7B", "TriviaQA"] > full["Gemma 7B", "TriviaQA"]


def test_the_step_from_2b_to_7b_helps_school_arithmetic_most(notebook):
    gain = {
        name: after - before for name, (before, after) in notebook["gain-bars"]["pairs"].items()
    }
    assert len(gain) == 18 and min(gain.values()) > 0
    assert max(gain, key=gain.get) == "GSM8K" and gain["GSM8K"] == pytest.approx(28.7)
    assert min(gain, key=gain.get) == "SIQA" and gain["SIQA"] == pytest.approx(2.1)
    small, large, _ = notebook["gain-bars"]["billions"]
    assert round(large - small) == 6
