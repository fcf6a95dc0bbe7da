"""Notebook 02: what it says of learning, data, plots and models; its cells that ask a real Gemma.

The first from its executed cells, the second against stand-ins for Colab and for the Hub.
"""

import csv
import json
import math
import re
import shutil
from pathlib import Path

import matplotlib
import pytest
import torch
from hub_stand_in import Hub, status
from notebook_cells import ROOT, printed, run_cells, shown, tagged, values_after, with_values
from test_notebook_01 import minutes, starts

matplotlib.use("Agg")
from gemma_lab import catalog, figures, hardware, loading, memory
from gemma_lab.lessons import nb02, nb02_learn

MIRROR = "unsloth/gemma-3-270m-it"
POCKET = ROOT / "gemma_lab" / "checkpoints" / "pocket-small-it"
ASKED = {
    "watch-it-learn": {
        "texts": "{step: nb02_learn.go_on(nano, tokenizer, prompt) for step, nano in nanos.items()}"
    },
    "one-step": {"gradient": "scores.grad", "loss": "loss", "after": "after"},
    "second-step": {
        "untouched": "after.softmax(0)",
        "with_an_answer": "(after - torch.tensor([0.58 - 1, 0.21, 0.21])).softmax(0)",
    },
    "base-and-it": {
        "base": "nb02_learn.write(base, base_tokenizer, question)",
        "instruct": "nb02_learn.write(instruct, tokenizer, prompt)",
        "name": "name",
    },
    "fits": {"needs": "nb02.needs(hub_ids, T4)", "t4_gib": "T4.free_gib"},
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
    assert said["name"] == "Our stand-in"  # in pocket
    assert said["instruct"] == "The capital of Japan is Tokyo."
    assert "Tokyo" not in said["base"] and len(said["base"]) > 2 * len(said["instruct"])


def test_the_270m_says_tokyo_and_asks_itself_again():
    said = shown("02_meet_gemma", "base-and-it").split("Ours, base:")[0]
    assert "\nThe 270M, base:" in said
    assert "The capital of Japan is Tokyo." in said and "What is the capital of Japan?" in said


@pytest.mark.parametrize("name, limit", [("02_meet_gemma", 10), ("03_architecture", 15)])
def test_the_minutes_hold_that_the_header_states(name, limit):
    text = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    header, *read = json.loads(text)["cells"]
    stated = re.search(r"Live: (\d+) minutes\. Alone, .*?: (\d+)\.", "".join(header["source"]))
    live, alone = map(int, stated.groups())
    read.remove(next(cell for cell in read if cell["cell_type"] == "code"))  # the same everywhere
    read.insert(0, header)
    assert minutes(read[: starts(read, "## Recap")]) <= live == limit
    assert abs(minutes(read) - alone) <= 5


# ----------------------------------------------------------------------------- how a model learns


def test_one_step_by_hand_is_that_of_the_formula(notebook):
    """Softmax in float64 by the textbook, its gradient by differences."""

    def loss(scores):
        return -math.log(math.exp(scores[0]) / sum(map(math.exp, scores)))

    step, h = notebook["one-step"], 1e-6
    slopes = [loss([h * (i == at) for i in range(3)]) - loss([0, 0, 0]) for at in range(3)]
    assert step["gradient"] == pytest.approx([slope / h for slope in slopes], abs=1e-4)
    assert step["loss"] == pytest.approx(math.log(3), abs=1e-6)
    assert f"{loss([0, 0, 0]):.2f} {loss(step['after']):.2f}" == "1.10 0.55"  # as the prose says
    second = notebook["second-step"]
    assert [f"{share:.2f}" for share in second["untouched"]] == ["0.58", "0.21", "0.21"]
    assert f"{second['with_an_answer'][0]:.2f}" == "0.72"


@pytest.mark.parametrize(
    "answer, share",
    [([-0.42, 0.21, 0.21], "0.72"), (torch.tensor([-0.42, 0.21, 0.21]), "0.72"), ("x", "0.58")],
)
def test_a_right_answer_takes_the_second_step_and_a_wrong_one_stops_nothing(answer, share, capsys):
    given = {"my_gradient": answer, "after": torch.tensor([2 / 3, -1 / 3, -1 / 3])}
    run_cells("02_meet_gemma", *["second-step"] * 2, **given, nb02=nb02, torch=torch)
    assert capsys.readouterr().out == f"Tokyo's share: {share}\n" * 2  # run twice: the same


@pytest.fixture(scope="module")
def nano():
    return nb02_learn.load_nano()


def test_nano_begins_with_noise_and_ends_with_sense(notebook, nano):
    tokenizer, models = nano
    assert list(models) == [0, 400, 800, 1600, 3200, 6400]
    texts = list(notebook["watch-it-learn"]["texts"].values())
    assert texts[-1] == " Tokyo." and not any("Tokyo" in text for text in texts[:4])
    assert len(set(texts[:5])) == 5
    assert models[6400].num_parameters() == 291_264  # as the prose says


def test_at_step_0_the_loss_is_a_blind_guess_and_then_falls(nano):
    """The model's own loss on a sentence: transformers' beside what the curve shows."""
    tokenizer, models = nano
    ids = tokenizer("A volcano is a mountain from which hot rock comes.", return_tensors="pt")
    with torch.no_grad():
        found = {
            step: model(**ids, labels=ids["input_ids"]).loss.item()
            for step, model in models.items()
        }
    curve = nb02_learn.training_losses()
    assert curve[0] == pytest.approx(found[0], abs=0.3)
    assert found[0] > found[400] > found[1600] > found[6400]
    marked = [curve[step] for step in nb02_learn.STEPS]
    assert marked == sorted(marked, reverse=True)


def test_writing_is_what_generate_does_and_leaves_chance_alone(nano):
    tokenizer, models = nano
    inputs = tokenizer("A volcano is", return_tensors="pt")
    output = models[6400].generate(**inputs, max_new_tokens=12, do_sample=False)
    wanted = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert nb02_learn.write(models[6400], tokenizer, "A volcano is", 12) == wanted
    before = torch.random.get_rng_state()
    drawn = [nb02_learn.go_on(models[800], tokenizer, "Hà Nội là") for _ in range(2)]
    assert drawn[0] == drawn[1] and torch.equal(before, torch.random.get_rng_state())


def test_a_prompt_with_a_bos_gets_no_second_one(nano):
    tokenizer, _ = nano

    class Asked(Exception):
        pass

    class Model:
        def generate(self, input_ids, **_):
            raise Asked(input_ids[0].tolist().count(tokenizer.bos_token_id))

    for text in ("Hà Nội", "<bos>Hà Nội", ""):
        with pytest.raises(Asked, match="^1$"):
            nb02_learn.write(Model(), tokenizer, text)


def test_the_slider_and_the_box_ask_another_model_other_words(nano):
    tokenizer, models = nano
    box, slider, said, curve = nb02_learn.watch(
        tokenizer, models, "The capital of Japan is"
    ).children
    assert box.description and slider.description  # what a screen reader says
    first, picture = said.value, curve.value
    slider.value = 6400
    assert "<b> Tokyo.</b>" in said.value and said.value != first and curve.value != picture
    box.value = "<i>2 + 3 = $"
    assert "&lt;i&gt;2 + 3 = $<b>" in said.value
    box.value = ""
    assert said.value.split("<b>")[1]  # nothing typed: it begins a text


@pytest.mark.parametrize("text", [r"$\frac{$", "x" * 200, ""])
def test_the_curve_stands_whatever_is_written(text):
    figure = nb02_learn.learning({0: text, 400: text}, "t")
    assert figures.png(figure).startswith(b"\x89PNG")
    label = figure.axes[0].get_xlabel().splitlines()
    assert len(label) == 3 and max(map(len, label)) < 70


def test_one_step_shows_the_loss_before_and_after():
    _, loss, gradient = nb02_learn.one_step(list("abc"), [0, 0, 0], [2 / 3, -1 / 3, -1 / 3]).axes
    before, after = (line.get_xydata()[0] for line in loss.lines[1:])
    assert before == pytest.approx([1 / 3, math.log(3)])
    assert after == pytest.approx([0.576, 0.551], abs=1e-3)
    tangent = gradient.lines[1].get_ydata()
    assert (tangent[1] - tangent[0]) / 2 == pytest.approx(-2 / 3)
    figures.plt.close("all")


# ---------------------------------------------------------------------------- a token is a vector


def test_neighbours_are_those_of_torch(nano):
    tokenizer, models = nano
    rows = models[6400].get_input_embeddings().weight.detach()
    (token,) = tokenizer(" mother", add_special_tokens=False)["input_ids"]
    wanted = torch.cosine_similarity(rows.double(), rows[token].double(), dim=-1)
    order = [other for other in wanted.argsort(descending=True).tolist() if other != token][:6]
    found = nb02_learn.neighbours(rows, token)
    assert [other for other, _ in found] == order
    assert [cosine for _, cosine in found] == pytest.approx(wanted[order].tolist(), abs=1e-5)


def test_google_s_table_knows_hanoi_beautiful_and_two_tokens_of_ha_noi():
    lines = dict(line.split(": ", 1) for line in shown("02_meet_gemma", "nearest").splitlines()[1:])
    assert list(lines) == ["▁Hanoi", "▁đẹp", "▁Hà", "▁Nội"]
    assert {"▁Bangkok", "▁Saigon", "▁Jakarta"} <= set(lines["▁Hanoi"].split(", "))
    beautiful = ["สวย", "▁красивые", "漂亮", "▁bonita", "▁جميلة"]
    assert lines["▁đẹp"].split(", ") == beautiful and lines["▁Nội"].startswith("▁nội")
    assert "▁서울" in lines["▁Hà"]


def test_a_word_of_your_own_is_looked_up(nano):
    tokenizer, models = nano
    rows = models[6400].get_input_embeddings().weight.detach()
    box, said = nb02_learn.look_up(rows, tokenizer, "mother").children
    assert "<b>▁mother</b> is near ▁cousin" in said.value and box.description
    box.value = "<b>đẹp"
    assert said.value.count("<li>") == 4 and "&lt;" in said.value
    box.value = "  "
    assert "<ul" in said.value


# ------------------------------------------------------------------------ does it fit my machine?


def test_gemma_2b_in_16_bits_has_one_answer(notebook):
    """Weights in GB and GiB, and all that a run needs, wherever it is asked."""
    weights = memory.weight_bytes(catalog.find("google/gemma-2b-it"), "bf16")
    assert f"{weights / 1e9:.1f} {weights / 2**30:.1f}" == "5.0 4.7"
    machines = [hardware.T4, hardware.A100, hardware.Machine("Linux", False, 2, 16, "cpu")]
    needed = [
        loading.plan_loading("google/gemma-2b-it", "bf16", machine).needed_gib
        for machine in machines
    ]
    needed.append(notebook["fits"]["needs"]["google/gemma-2b-it"]["bf16"])
    assert {f"{gib:.1f}" for gib in needed} == {"5.8"}
    assert f"{notebook['fits']['needs']['google/gemma-2b-it']['nf4']:.1f}" == "3.1"


def test_what_fits_a_free_t4(notebook):
    found = notebook["fits"]
    large, small = found["needs"]["google/gemma-7b-it"], found["needs"]["google/gemma-2b-it"]
    assert f"{found['t4_gib']:.1f}" == "14.7"
    assert large["nf4"] < large["int8"] < found["t4_gib"] < large["bf16"]
    assert small["fp32"] < found["t4_gib"]
    e4b = found["needs"]["google/gemma-4-E4B-it"]  # in float32 where it is not quantized
    assert all(gib > found["t4_gib"] for gib in e4b.values())
    for hub_id, gib in found["needs"].items():
        is_old = catalog.find(hub_id).family in ("gemma", "gemma2")  # float16 is for these alone
        assert (gib["bf16"] < gib["fp32"]) if is_old else (gib["bf16"] == gib["fp32"]), hub_id


@pytest.mark.parametrize("answer", [..., "x", 3, 50 / 2.1, "23.81", torch.tensor([23.8])])
def test_a_right_ceiling_of_2b_gives_that_of_7b_and_a_wrong_one_stops_nothing(answer, capsys):
    weights = memory.weight_bytes(catalog.find("google/gemma-7b"), "nf4") / 1e9
    run_cells("02_meet_gemma", "seven-ceiling", my_tokens_per_s=answer, nb02=nb02)
    said = f"Gemma 7B, {weights:.1f} GB in 4 bits: at most {50 / weights:.0f} tokens a second\n"
    assert capsys.readouterr().out == said


def test_the_table_is_the_data_and_the_overview_a_part_of_it(notebook, scores):
    assert set(scores["overview"].items()) < set(scores["full"].items())
    shown = notebook["averages"]["table"]
    assert sum(len(column) for column in shown.values()) == len(scores["full"]) == 5 * 18
    for (model, benchmark), score in scores["full"].items():
        assert shown[model][benchmark] == score


def test_both_tables_of_the_talk_stand_there_in_full(scores):
    said = {tag: shown("02_meet_gemma", tag) for tag in ("overview-table", "full-table")}
    for table, tag, model_of in (("overview", "overview-table", 3), ("full", "full-table", 5)):
        values = scores[table]
        assert len({model for model, _ in values}) == model_of
        head, *lines = [line.split() for line in said[tag].split("\n\n")[0].splitlines()]
        order = [f"{a} {b}" for a, b in zip(head[1::2], head[2::2])]
        rows = {line[-model_of - 1]: line[-model_of:] for line in lines if len(line) > model_of}
        for (model, benchmark), score in values.items():
            at = order.index(nb02.SHORT[model])
            assert float(rows[benchmark][at].rstrip("*")) == score, (model, benchmark)
    assert said["full-table"].count("*") == 7


def test_each_benchmark_is_explained():
    cells = json.loads((ROOT / "notebooks" / "02_meet_gemma.ipynb").read_text(encoding="utf-8"))
    lines = "".join("".join(cell["source"]) + "\n" for cell in cells["cells"]).splitlines()
    explained = {line.split("|")[1].strip() for line in lines if line.startswith("|")}
    with open(ROOT / "gemma_lab" / "data" / "benchmarks.csv", encoding="utf-8") as file:
        assert {row["benchmark"] for row in csv.DictReader(file)} <= explained


def test_sums_and_trivia_have_other_winners(scores):
    full = scores["full"]
    models = {model for model, _ in full}
    best = {
        name: max(models, key=lambda model: full[model, name]) for name in ("GSM8K", "TriviaQA")
    }
    assert best == {"GSM8K": "Gemma 7B", "TriviaQA": "LLaMA-2 13B"}
    assert full["Gemma 7B", "GSM8K"] == 46.4
    assert (full["LLaMA-2 13B", "TriviaQA"], full["Gemma 7B", "TriviaQA"]) == (79.6, 63.4)


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


# ------------------------------------------------------------------- cells that ask a real Gemma


def cell(tag: str) -> str:
    return tagged("02_meet_gemma", tag)


@pytest.mark.parametrize(
    "models, says",
    [
        ("google/gemini-2.5-flash google/gemma-3-4b", "google/gemma-3-4b: 5"),
        ("google/gemini-2.5-flash", "lists no Gemma today"),
    ],
)
def test_on_colab_the_first_gemma_of_the_account_is_asked(models, says, tmp_path):
    stand_in = str(ROOT / "tests" / "colab_stand_in")
    assert says in printed(cell("ask-colab"), tmp_path, PYTHONPATH=stand_in, COLAB_MODELS=models)


def test_elsewhere_the_cell_says_that_it_needs_colab(tmp_path):
    assert "Only Colab has google.colab.ai" in printed(cell("ask-colab"), tmp_path)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A Hub with a tiny Gemma 3 under the name of the public copy."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    folder = tmp_path_factory.mktemp("hub") / MIRROR
    config = Gemma3TextConfig(
        vocab_size=2048,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=64,
    )
    Gemma3ForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (POCKET / name).exists():
            shutil.copy(POCKET / name, folder)
    server = Hub(folder.parent.parent)
    yield server
    server.shutdown()


def first_word(hub, folder: Path, download: bool = True) -> str:
    """What the cell prints that asks a real Gemma, with its switch as it is or turned."""
    before = f"import torch\nfrom gemma_lab.lessons import nb02_learn\n{cell('base-and-it')}"
    asks = cell("download-real")
    if download:
        asks = with_values(asks, DOWNLOAD=True)
    source = f"import gemma_lab\n{before}\nprint('=====')\n{asks}"
    return printed(source, folder, HF_ENDPOINT=hub.url, HF_HUB_DISABLE_XET="1").split("=====\n")[1]


@pytest.mark.slow
def test_nothing_is_downloaded_unasked(hub, tmp_path):
    hub.asked.clear()
    assert "DOWNLOAD is False" in first_word(hub, tmp_path, download=False) and not hub.asked


def test_the_public_copy_answers_without_a_token(hub, tmp_path):
    hub.asked.clear()
    said = first_word(hub, tmp_path)
    assert "Hub" not in said and any(path.endswith("model.safetensors") for path in hub.asked)


@pytest.mark.slow
@pytest.mark.parametrize(
    "gated, faults, says",
    [({MIRROR}, [], "Make a Read token"), (set(), [status(503)], "wait a minute")],
)
def test_a_copy_that_cannot_be_had_gives_one_sentence(hub, tmp_path, gated, faults, says):
    hub.gated, hub.faults = gated, faults
    try:
        assert says in first_word(hub, tmp_path)
    finally:
        hub.gated, hub.faults = set(), []
