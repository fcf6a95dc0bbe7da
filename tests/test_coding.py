"""The exam on code: what is asked of a model, what counts of its answer, and who passes."""

import types

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import coding, profile
from pocket import tokenizer as tokenizers_of_ours


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers_of_ours.train(is_code=True)


def writer(tokenizer, text: str):
    """A model that writes `text`, whatever it is asked; `asked` keeps the prompts."""
    asked = []

    def generate(input_ids, attention_mask, **options):
        asked.append((tokenizer.decode(input_ids[0]), options))
        new = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return torch.cat([input_ids, new], 1)

    return types.SimpleNamespace(generate=generate, device="cpu", asked=asked)


def test_a_hole_is_asked_for_as_codegemma_s_model_card_does(tokenizer):
    """https://huggingface.co/google/codegemma-7b: three tokens, no blank beside them; four ends."""
    model = writer(tokenizer, "a + b<|file_separator|>more.py")
    prompt = coding.hole_prompt("def add(a, b):\n    return ", "\n")
    assert coding.write(model, tokenizer, prompt) == "a + b"
    shown, options = model.asked[0]
    assert shown.endswith("<|fim_prefix|>def add(a, b):\n    return <|fim_suffix|>\n<|fim_middle|>")
    ends = tokenizer.convert_tokens_to_ids(
        ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_separator|>", "<eos>"]
    )
    assert sorted(options["eos_token_id"]) == sorted(ends) and options["do_sample"] is False


def test_it_stops_where_the_answer_is_enough_and_writes_the_same_up_to_there():
    folder = profile.CHECKPOINTS / "pocket-small"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = "Write me a haiku about rain."
    whole = coding.write(model, tokenizer, text)
    short = coding.write(model, tokenizer, text, lambda said: said.count("\n") >= 2)
    assert whole.startswith(short) and short.count("\n") == 2 and len(short) < len(whole) / 2


@pytest.mark.parametrize(
    "text, body",
    [
        ("    return 1\n\n\ndef other():\n    pass\n", "    return 1\n\n\n"),
        ("    x = 1\n\n    return x\nprint(x)", "    x = 1\n\n    return x\n"),
        ("\treturn 1", "\treturn 1\n"),
        ("def again():", "\n"),
        ("", "\n"),
    ],
)
def test_a_body_ends_where_the_indent_does(text, body):
    assert coding.body_of(text) == body


def test_the_right_answer_passes_and_another_does_not(tokenizer):
    for row in coding.functions(4):
        right = coding.write_body(writer(tokenizer, row["body"] + "<eos>"), tokenizer, row)
        assert right.outcome.passed and right.wrote == row["body"]
        filled = writer(tokenizer, row["hole"] + "<|file_separator|>")
        assert coding.fill_hole(filled, tokenizer, row).outcome.passed
        wrong = coding.write_body(writer(tokenizer, "    return None<eos>"), tokenizer, row)
        assert not wrong.outcome.passed
        assert coding.passed([right, wrong]) == 0.5


def test_a_model_without_the_tokens_reads_what_stands_before_the_hole():
    """Of what it writes as many lines count as the hole has: it cannot know where to stop."""
    plain = AutoTokenizer.from_pretrained(profile.CHECKPOINTS / "pocket-small")
    assert not coding.has_hole_tokens(plain)
    row = coding.functions(1)[0]
    model = writer(plain, row["hole"] + "\nprint(1 / 0)")
    answer = coding.fill_hole(model, plain, row)
    assert answer.wrote == row["hole"] and answer.outcome.passed
    assert model.asked[0][0].removeprefix("<bos>") == row["before"]


def test_there_are_120_functions_and_no_two_alike():
    rows = coding.functions()
    assert len(rows) == 120 == len({row["given"] + row["body"] for row in rows})
    assert coding.functions(5) == rows[:5]
