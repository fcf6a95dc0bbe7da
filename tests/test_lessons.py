"""Every exercise check: an untouched stub, the solution, and wrong answers whose message teaches."""

import pandas
import pytest
import torch

from gemma_lab.lessons import nb01, nb02, nb03, nb04, nb05, nb06

CASES = [
    (nb04.check_four_bit_poem, " c ", [("A", "C was"), ("Z", "C was")]),
    (nb04.check_int8_gigabytes, 9.32, [(8.5377, "embedding table"), (8.68, "GiB"), ("9.3", "one number"), (34.2, "one byte")]),
    (nb04.check_absmax_int8, nb04.absmax_int8_solution, [
        (lambda numbers: [round(n * 127 / 2) for n in numbers], "levels"),
        (lambda numbers: [round(n * 127) / 127 for n in numbers], "divided by the scale"), (lambda numbers: numbers[:2], "came out"),
        (lambda numbers: [2 * n for n in numbers], "grew"), (lambda numbers: [0.0 for n in numbers], "rounded"),
    ]),
    (nb05.check_lora_layer_parameters, 294_912, [
        (2048 * 16384, "frozen matrix"), (16 * 2048, "one of the two"), (16 * 2048 * 16384, "do not multiply"), (5, "A is 16"),
    ]),
    (nb05.check_completion, nb05.completion_solution, [
        (lambda row, eos: row["output"], "never learns to stop"), (lambda row, eos: row["output"] + " " + eos, "space too many"),
        (lambda row, eos: row["instruction"] + row["output"] + eos, "prompt is in it"), (lambda row, eos: "x", "row['output']"),
    ]),
    (nb01.check_linh_comes, 6, [(3, "somebody else"), (5, "denies"), (1, "right after Linh"), ([6], "one line"), (9, "one line")]),
    (nb01.check_next_merge, ("th", "an"), [
        ("than", "two pieces"), (("an", "g"), "once"), (("a", "n"), "already"), (("x", "y"), "no pair"),
    ]),
    (nb01.check_top_p, nb01.top_p_solution, [
        (lambda probabilities, p: sum(sum(probabilities[: i + 1]) < p for i in range(4)), "reaches p is kept"),
        (lambda probabilities, p: sum(sum(probabilities[:i]) <= p for i in range(4)), "first is enough"),
        (lambda probabilities, p: 4, "add up"), (lambda probabilities, p: 1 / 0, "raised ZeroDivisionError"),
    ]),
    (nb02.check_token_ceiling, 23.8, [(105, "multiplied"), (40, "embedding table"), (10, "16 bits"), ("24", "one number"), (3, "for each token")]),
    (nb02.check_family_member, "Gemma 4", [("Gemma 3n", "Gemma Terms"), ("CodeGemma", "all three"), (["Gemma 3", "Gemma 4"], "2 rows"), (4, "all three")]),
    (nb02.check_strict_wins, 10, [(11, "tie"), (14, "13B alone"), (3, "others.max"),
        (pandas.Series([True, False]), "count the yes")]),
    (nb03.check_rotate_half, nb03.rotate_half_solution, [
        (lambda x: torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2), "turned neighbours"),
        (lambda x: x.roll(2, -1), "no sign changed"), (lambda x: torch.cat((x[..., 2:], -x[..., :2]), -1), "first half"),
        (lambda x: torch.cat((-x[..., :2], x[..., 2:]), -1), "kept their places"), (lambda x: x[..., :2], "came out"),
        (lambda x: 0 * x, "became"), (lambda x: x / None, "raised TypeError"),
        (lambda x: (-x[..., 2:], x[..., :2]), "not tuple"), (lambda x: torch.cat((-x[..., 2:], x[..., :2]), -1), "another"),
    ]),
    (nb03.check_rotate_half, lambda x: x.copy_(nb03.rotate_half_solution(x)), []),  # changes what it was given
    (nb03.check_cache_bytes, 18_432, [
        (9_216, "keys and values"), (1_024, "one layer"), (147_456, "multi-head"), (36_864, "two bytes"), (18, "KiB"), (7, "KV heads"),
        ("18432", "one number"), ([18_432], "one number"),
    ]),
    (nb06.check_sliding_mask, nb06.sliding_mask_solution, [
        (lambda t, w: nb06.sliding_mask_solution(t, w).T, "look ahead"),
        (lambda t, w: ~nb06.sliding_mask_solution(t, w), "what is hidden"),
        (lambda t, w: torch.ones(t, t).tril(), "global mask"), (lambda t, w: torch.ones(t, t).triu(1 - w), "later one"),
        (lambda t, w: nb06.sliding_mask_solution(t, w + 1) & ~torch.eye(t).bool(), "does not see itself"),
        (lambda t, w: torch.zeros(t, t).masked_fill(~nb06.sliding_mask_solution(t, w), -1e9), "numbers to add"),
        (lambda t, w: nb06.sliding_mask_solution(t, w + 1), "sees 4, not 3"),
        (lambda t, w: nb06.sliding_mask_solution(t, w - 1), "sees 2, not 3"), (lambda t, w: torch.ones(t), "6 by 6"),
        (lambda t, w: torch.ones(6, 6).tril().triu(-2).bool(), "another"),
    ]),
    (nb06.check_uncap, nb06.uncap_solution, [
        (lambda x, cap: torch.atanh(x / cap), "x / cap"), (lambda x, cap: torch.atanh(x) * cap, "divide by the cap first"), (lambda x, cap: torch.tanh(x / cap) * cap, "once more"),
        (lambda x, cap: x, "not 20"), (lambda x, cap: 30 * torch.atanh(x / 30), "another"), (lambda x, cap: 1 / 0, "raised ZeroDivisionError"),
    ]),
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


@pytest.mark.parametrize(
    "one",
    [nb04.check_absmax_int8, nb05.check_completion, nb01.check_top_p, nb06.check_uncap, nb06.check_sliding_mask, nb03.check_rotate_half],
)
def test_a_stub_that_returns_nothing_is_not_attempted(one, capsys):
    assert one(lambda *arguments: None) is None
    assert "Not attempted yet" in capsys.readouterr().out


def test_the_four_bit_poem_is_the_notebooks_third():
    import json
    from importlib.resources import files

    poems = json.loads(files("gemma_lab").joinpath("data/talk_poems.json").read_text(encoding="utf-8"))["poems"]
    by_last_word = sorted(poems, key=lambda row: row["poem"].split()[-1])
    assert "ABCDE"[[row["precision"] for row in by_last_word].index("4-bit")] == nb04.FOUR_BIT_POEM


def test_absmax_round_trip_equals_torch():
    import torch

    numbers = torch.randn(64, dtype=torch.float64)
    quantized = torch.fake_quantize_per_tensor_affine(numbers.float(), float(numbers.abs().max() / 127), 0, -127, 127)
    assert torch.tensor(nb04.absmax_int8_solution(numbers.tolist())).float().allclose(quantized, atol=1e-6)


def test_solutions_of_01_and_02_follow_from_the_data():
    from importlib.resources import files

    from gemma_lab import catalog, memory

    data = files("gemma_lab").joinpath("data")
    scores = pandas.read_csv(data.joinpath("benchmarks.csv"))
    table = scores[scores["table"] == "full"].pivot(index="benchmark", columns="model", values="score")
    assert table.shape == (18, 5) and not table.isna().any().any()
    others = table.drop(columns="Gemma 7B").max(axis=1)
    assert (table["Gemma 7B"] > others).sum() == nb02.SOLUTIONS["strict_wins"]
    overview = scores[scores["table"] == "overview"].pivot(index="benchmark", columns="model", values="score")
    assert (overview == table.loc[overview.index, overview.columns]).all().all()
    family = pandas.read_csv(data.joinpath("variants.csv"))
    fitting = family[family["inputs"].str.contains("image") & (family["licence"] == "Apache-2.0")]
    assert nb02.check_family_member(fitting) and nb02.check_family_member(fitting["name"]) and nb01.check_linh_comes("6")
    assert fitting["name"].tolist() == [nb02.SOLUTIONS["family_member"]] and "E4B" in fitting["sizes"].item()
    assert family["source"].str.startswith("https://").all() and family["name"].is_unique
    nf4 = memory.weight_bytes(catalog.find("google/gemma-2b"), "nf4") / 1e9
    assert round(50 / nf4) == round(nb02.SOLUTIONS["token_ceiling"])


def test_linh_comes_in_one_line_of_the_talk():
    import json
    from importlib.resources import files

    talk = json.loads(files("gemma_lab").joinpath("data/vietnamese.json").read_text(encoding="utf-8"))
    assert len(talk["orders"]) == 8
    for row in talk["orders"]:
        assert sorted(row["order"].lower().split()) == sorted(word.lower() for word in talk["words"])
    comes = [number for number, row in enumerate(talk["orders"], 1) if row["gloss"].startswith("Linh comes")]
    assert comes == [nb01.SOLUTIONS["linh_comes"]]


def test_the_fifth_merge_is_the_librarys():
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    text = "tranh thang banh than canh thanh thanh thanh"
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.train_from_iterator([text], trainers.BpeTrainer(vocab_size=len(set(text) - {" "}) + 5, show_progress=False))
    assert tuple(json.loads(library.to_str())["model"]["merges"][4]) == nb01.SOLUTIONS["next_merge"]


def test_solutions_of_03_and_06_equal_transformers():
    from transformers import DynamicCache, GemmaConfig
    from transformers.masking_utils import sliding_window_causal_mask_function
    from transformers.models.gemma2 import modeling_gemma2

    x = torch.randn(2, 3, 8)
    assert nb03.rotate_half_solution(x).equal(modeling_gemma2.rotate_half(x))
    sees = sliding_window_causal_mask_function(5)
    theirs = [[bool(sees(0, 0, torch.tensor(row), torch.tensor(column))) for column in range(12)] for row in range(12)]
    assert nb06.sliding_mask_solution(12, 5).tolist() == theirs
    assert nb06.uncap_solution(30 * torch.tanh(x / 30), 30).allclose(x, atol=1e-4)
    cache = DynamicCache(config=GemmaConfig(num_hidden_layers=18, num_key_value_heads=1))
    one = torch.zeros(1, 1, 1, 256, dtype=torch.bfloat16)
    for layer in range(18):
        cache.update(one, one, layer)
    held = sum(part.numel() * part.element_size() for layer in cache.layers for part in (layer.keys, layer.values))
    assert nb03.check_cache_bytes(held)
