"""Every exercise check: an untouched stub, the solution, and wrong answers whose message teaches."""

import pandas
import pytest

from gemma_lab import check

CASES = [
    (check.four_bit_poem, " c ", [("A", "C was"), ("Z", "C was")]),
    (check.int8_gigabytes, 9.32, [(8.5377, "embedding table"), (8.68, "GiB"), ("9.3", "one number"), (34.2, "one byte")]),
    (check.absmax_int8, check.absmax_int8_solution, [
        (lambda numbers: [round(n * 127 / 2) for n in numbers], "levels"),
        (lambda numbers: [round(n * 127) / 127 for n in numbers], "divided by the scale"), (lambda numbers: numbers[:2], "came out"),
        (lambda numbers: [2 * n for n in numbers], "grew"), (lambda numbers: [0.0 for n in numbers], "rounded"),
    ]),
    (check.lora_layer_parameters, 294_912, [
        (2048 * 16384, "frozen matrix"), (16 * 2048, "one of the two"), (16 * 2048 * 16384, "do not multiply"), (5, "A is 16"),
    ]),
    (check.completion, check.completion_solution, [
        (lambda row, eos: row["output"], "never learns to stop"), (lambda row, eos: row["output"] + " " + eos, "space too many"),
        (lambda row, eos: row["instruction"] + row["output"] + eos, "prompt is in it"), (lambda row, eos: "x", "row['output']"),
    ]),
    (check.linh_comes, 6, [(3, "somebody else"), (5, "denies"), (1, "right after Linh"), ([6], "one line"), (9, "one line")]),
    (check.next_merge, ("th", "an"), [
        ("than", "two pieces"), (("an", "g"), "once"), (("a", "n"), "already"), (("x", "y"), "no pair"),
    ]),
    (check.top_p, check.top_p_solution, [
        (lambda probabilities, p: sum(sum(probabilities[: i + 1]) < p for i in range(4)), "reaches p is kept"),
        (lambda probabilities, p: sum(sum(probabilities[:i]) <= p for i in range(4)), "first is enough"),
        (lambda probabilities, p: 4, "add up"), (lambda probabilities, p: 1 / 0, "raised ZeroDivisionError"),
    ]),
    (check.token_ceiling, 23.8, [(105, "multiplied"), (40, "embedding table"), (10, "16 bits"), ("24", "one number"), (3, "for each token")]),
    (check.family_member, "Gemma 4", [("Gemma 3n", "Gemma Terms"), ("CodeGemma", "all three"), (["Gemma 3", "Gemma 4"], "2 rows"), (4, "all three")]),
    (check.strict_wins, 10, [(11, "tie"), (14, "13B alone"), (3, "others.max"),
        (pandas.Series([True, False]), "count the yes")]),
]  # fmt: skip


@pytest.mark.parametrize("one, right, wrong", CASES, ids=lambda value: getattr(value, "__name__", ""))
def test_check(one, right, wrong, capsys):
    assert one(...) is None
    assert "Not attempted yet" in capsys.readouterr().out
    assert one(right) is True
    assert capsys.readouterr().out.startswith("Right. ")
    for answer, message in wrong:
        assert one(answer) is False
        printed = capsys.readouterr().out
        assert printed.startswith("Not yet. ") and message in printed


@pytest.mark.parametrize("one", [check.absmax_int8, check.completion, check.top_p])
def test_a_stub_that_returns_nothing_is_not_attempted(one, capsys):
    assert one(lambda *arguments: None) is None
    assert "Not attempted yet" in capsys.readouterr().out


def test_the_four_bit_poem_is_the_notebooks_third():
    import json
    from importlib.resources import files

    poems = json.loads(files("gemma_lab").joinpath("data/talk_poems.json").read_text(encoding="utf-8"))["poems"]
    by_last_word = sorted(poems, key=lambda row: row["poem"].split()[-1])
    assert "ABCDE"[[row["precision"] for row in by_last_word].index("4-bit")] == check.FOUR_BIT_POEM


def test_absmax_round_trip_equals_torch():
    import torch

    numbers = torch.randn(64, dtype=torch.float64)
    quantized = torch.fake_quantize_per_tensor_affine(numbers.float(), float(numbers.abs().max() / 127), 0, -127, 127)
    assert torch.tensor(check.absmax_int8_solution(numbers.tolist())).float().allclose(quantized, atol=1e-6)


def test_solutions_of_01_and_02_follow_from_the_data():
    from importlib.resources import files

    from gemma_lab import catalog

    data = files("gemma_lab").joinpath("data")
    scores = pandas.read_csv(data.joinpath("benchmarks.csv"))
    table = scores[scores["table"] == "full"].pivot(index="benchmark", columns="model", values="score")
    assert table.shape == (18, 5) and not table.isna().any().any()
    others = table.drop(columns="Gemma 7B").max(axis=1)
    assert (table["Gemma 7B"] > others).sum() == check.SOLUTIONS["strict_wins"]
    overview = scores[scores["table"] == "overview"].pivot(index="benchmark", columns="model", values="score")
    assert (overview == table.loc[overview.index, overview.columns]).all().all()
    family = pandas.read_csv(data.joinpath("variants.csv"))
    fitting = family[family["inputs"].str.contains("image") & (family["licence"] == "Apache-2.0")]
    assert check.family_member(fitting) and check.family_member(fitting["name"]) and check.linh_comes("6")
    assert fitting["name"].tolist() == [check.SOLUTIONS["family_member"]] and "E4B" in fitting["sizes"].item()
    assert family["source"].str.startswith("https://").all() and family["name"].is_unique
    nf4 = catalog.weight_bytes(catalog.lookup("google/gemma-2b"), "nf4") / 1e9
    assert round(50 / nf4) == round(check.SOLUTIONS["token_ceiling"])


def test_linh_comes_in_one_line_of_the_talk():
    import json
    from importlib.resources import files

    talk = json.loads(files("gemma_lab").joinpath("data/vietnamese.json").read_text(encoding="utf-8"))
    assert len(talk["orders"]) == 8
    for row in talk["orders"]:
        assert sorted(row["order"].lower().split()) == sorted(word.lower() for word in talk["words"])
    comes = [number for number, row in enumerate(talk["orders"], 1) if row["gloss"].startswith("Linh comes")]
    assert comes == [check.SOLUTIONS["linh_comes"]]


def test_the_fifth_merge_is_the_librarys():
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    text = "tranh thang banh than canh thanh thanh thanh"
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.train_from_iterator([text], trainers.BpeTrainer(vocab_size=len(set(text) - {" "}) + 5, show_progress=False))
    assert tuple(json.loads(library.to_str())["model"]["merges"][4]) == check.SOLUTIONS["next_merge"]
