"""Every exercise check: an untouched stub, the solution, and wrong answers whose message teaches."""

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


@pytest.mark.parametrize("one", [check.absmax_int8, check.completion])
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
