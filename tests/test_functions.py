"""The functions that the code models read: right, told from wrong ones, and held out."""

import ast
import random
import re

import pytest

from gemma_lab import coding
from pocket import code, corpus, data, functions
from pocket import tokenizer as tokenizers_of_ours


@pytest.fixture(scope="module")
def drawn():
    rng = random.Random(3)
    return [functions.draw(rng) for _ in range(6000)]


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers_of_ours.train(is_code=True)


def holds(source: str, tests: str) -> bool:
    """Whether asserts hold with code of ours."""
    try:
        exec(source + tests, {})
    except Exception:
        return False
    return True


def test_every_kind_of_function_passes_its_own_asserts(drawn):
    for one in drawn[:1500]:
        assert holds(one.code, one.tests()), one.code
        assert len(one.inputs) >= 2 and one.docstring.count("\n") == 1


def test_a_function_is_the_same_on_every_machine(drawn):
    rng = random.Random(3)
    assert [functions.draw(rng) for _ in range(50)] == drawn[:50]


def test_training_draws_nothing_that_is_held_out(drawn):
    held = {split: functions.held_out(split) for split in ("dev", "card")}
    keys = {split: {one.key for one in some} for split, some in held.items()}
    assert [len(some) for some in keys.values()] == [120, 120]
    assert not keys["dev"] & keys["card"]
    assert not {one.key for one in drawn} & (keys["dev"] | keys["card"])
    bodies = {(one.says, one.body) for one in drawn}
    assert not bodies & {(one.says, one.body) for some in held.values() for one in some}


def mutants(source: str):
    """`source` with one number, operator or name of a function changed, each in turn."""
    swaps = {" + ": " - ", " - ": " + ", " > ": " < ", " < ": " > ", " and ": " or "}
    swaps |= {"max(": "min(", "min(": "max(", " or ": " and ", "== 0": "== 1", "upper": "lower"}
    start = source.index('"""\n') + 4
    for old, new in swaps.items():
        for found in re.finditer(re.escape(old), source[start:]):
            at = start + found.start()
            yield source[:at] + new + source[at + len(old) :]
    for found in re.finditer(r"(?<![\w\"])\d+(?![\w\"])", source[start:]):
        at, end = start + found.start(), start + found.end()
        yield source[:at] + str(int(found[0]) + 1) + source[end:]


def test_the_asserts_of_held_out_functions_tell_wrong_ones():
    """Most that are missed do the same: `x > 1 and x % 6 == 0` for `x > 0 and x % 6 == 0`."""
    missed, num = [], 0
    for one in functions.held_out("card"):
        for wrong in mutants(one.code):
            num += 1
            missed += [wrong] * holds(wrong, one.tests())
        assert not holds(one.head + "    return None\n", one.tests())
    assert num > 200 and len(missed) < 0.07 * num, "\n".join(missed)


def test_parts_of_a_function_are_read_again_as_python(drawn):
    for one in drawn:
        tree = ast.parse(one.code).body[0]
        assert tree.name == one.name and ast.get_docstring(tree) == f"Return {one.says}."
        assert [argument.arg for argument in tree.args.args] == list(one.parameters)


@pytest.mark.parametrize("kind", code.CHAT_KINDS, ids=lambda kind: kind.__name__)
def test_a_document_holds_whole_functions(kind):
    rng = random.Random(5)
    for _ in range(300):
        text = corpus.text_of(kind(rng))
        if kind is code.with_hole:
            prefix, rest = text.removeprefix("<|fim_prefix|>").split("<|fim_suffix|>")
            suffix, middle = rest.split("<|fim_middle|>")
            assert middle.endswith("<|file_separator|>")
            text = prefix + middle.removesuffix("<|file_separator|>") + suffix
        elif kind is code.request:
            text = text.split("```python\n")[1].split("```")[0]
        elif kind is code.explained:
            continue
        ast.parse(text.removesuffix("<eos>"))


def test_the_four_tokens_are_codegemma_s_and_the_prompt_is_the_training_s(tokenizer):
    assert tokenizers_of_ours.HOLE == [*coding.HOLE_TOKENS]
    ids = tokenizer(coding.hole_prompt("a = ", "\n"), add_special_tokens=False)["input_ids"]
    prefix, suffix, middle, _ = tokenizer.convert_tokens_to_ids([*coding.HOLE_TOKENS])
    assert ids[0] == prefix and ids[-1] == middle and ids.count(suffix) == 1
    rng = random.Random(1)
    for _ in range(50):
        document = code.with_hole(rng)
        pieces = [tokenizer(text, add_special_tokens=False)["input_ids"] for text, _ in document]
        apart = [token for piece in pieces for token in piece]
        assert tokenizer(corpus.text_of(document), add_special_tokens=False)["input_ids"] == apart


def test_code_comes_back_as_it_went_in(tokenizer, drawn):
    for text in [one.code for one in drawn[:300]] + ["tên = 'Hà Nội'\n\tif x:\r\n", "a   b  c"]:
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert tokenizer.tokenize("        return x") == ["▁▁▁▁", "▁▁▁▁", "return", "▁x"]
    assert len(tokenizer) == tokenizers_of_ours.CODE_VOCAB_SIZE


def test_the_rows_of_the_exam_are_their_functions_and_the_empty_hole_fails():
    rows = data.code_rows("card")
    assert len(rows) == 120
    empty = [holds(row["before"] + row["after"], row["tests"]) for row in rows]
    assert not any(empty)
    for row in rows:
        assert row["given"] + row["body"] == row["before"] + row["hole"] + row["after"]
        assert holds(row["given"] + row["body"], row["tests"])
