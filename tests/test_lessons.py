"""Every exercise: its folded solution is right, and wrong answers get the sentence that teaches."""

import inspect
import json
import re
from decimal import Decimal
from fractions import Fraction
from importlib.resources import files

import numpy
import pandas
import pytest
import torch
from notebook_cells import ROOT

from gemma_lab import catalog, memory
from gemma_lab.lessons import nb01, nb02, nb03, nb04, nb05, nb06, nb07

LESSONS = [nb01, nb02, nb03, nb04, nb05, nb06, nb07]
NAMES = [(lesson, name) for lesson in LESSONS for name in lesson.SOLUTIONS]
DATA = files("gemma_lab").joinpath("data")

scores = pandas.read_csv(DATA.joinpath("benchmarks.csv"))
full = scores[scores["table"] == "full"]
ABOVE = {  # what a notebook has defined above its exercises
    "family": pandas.read_csv(DATA.joinpath("variants.csv")),
    "table": full.pivot(index="benchmark", columns="model", values="score"),
    "catalog": catalog,
    "memory": memory,
    "nb04": nb04,
    "torch": torch,
}
family, table = ABOVE["family"], ABOVE["table"]
HEARD = family[family["inputs"].str.contains("audio") & (family["licence"] == "Apache-2.0")]

RIGHT = {  # more than the folded solution
    "gradient": [
        (-0.42, 0.21, 0.21),
        numpy.array([-0.4239, 0.2119, 0.2119]),
        torch.tensor([-0.42, 0.21, 0.21]),
        [Fraction(-42, 100), Decimal("0.21"), 0.21],
    ],
    "linh_comes": ["6", 6.0, numpy.int64(6), torch.tensor(6), [6], Decimal(6), Fraction(6), " 6\n"],
    "next_merge": [["th", "an"], numpy.array(["th", "an"]), pandas.Series(["th ", " an"])],
    "top_p": [
        lambda probabilities, p: torch.tensor(nb01.my_top_p(probabilities, p)),
        lambda probabilities, p: int((numpy.cumsum(probabilities) < p).sum()) + 1,
    ],
    "token_ceiling": [
        23.8,
        numpy.float32(50 / 2.1),
        "23.81",
        torch.tensor([23.8]),
        Fraction(500, 21),
    ],
    "family_member": [
        "google/gemma-4-E2B-it",
        "google/gemma-4-12b-it",
        "gemma4",
        pandas.Series({"name": "Gemma 4", "licence": "Apache-2.0"}),
        "Gemma 4",
        "gemma 4 E4B",
        family[family["name"] == "Gemma 4"],
        ["Gemma 4"],
    ],
    "strict_wins": [10, "10", numpy.int64(10), 10.0, pandas.Series([10])],
    "cache_bytes": [
        numpy.prod([2, 18, 1, 256, 2]),
        "18,432",
        "18432",
        [18_432],
        Fraction(18_432),
        Decimal("18432.0"),
        torch.tensor([[18_432]]),
        numpy.float64(18_432),
    ],
    "rotate_half": [
        lambda x: x.copy_(nb03.my_rotate_half(x)),
        lambda x: nb03.my_rotate_half(x).int(),
    ],
    "four_bit_poem": [" c ", numpy.str_("C"), "Poem C", ["c"]],
    "largest_model": ["D", " d ", numpy.str_("D"), ["d"]],
    "absmax_int8": [
        lambda numbers: (
            numpy.round(numpy.array(numbers) / max(map(abs, numbers)) * 127)
            / 127
            * max(map(abs, numbers))
        ),
        lambda numbers: tuple(torch.tensor(one) for one in nb04.my_round_trip(numbers)),
    ],
    "missing_bos": [" d ", numpy.str_("D"), ["d"]],
    "lora_layer_parameters": ["294,912", numpy.int32(294_912), 294_912.0, torch.tensor(294_912)],
    "labels": [
        lambda prompt, completion: torch.tensor([-100] * len(prompt) + completion),
        lambda prompt, completion: tuple(-100 for _ in prompt) + tuple(completion),
        lambda prompt, completion: [numpy.int64(x) for x in nb05.my_labels(prompt, completion)],
    ],
    "breaking_row": ["5", 5.0, [5], numpy.int64(5)],
    "sliding_mask": [
        lambda t, w: torch.ones(t, t).tril() - torch.ones(t, t).tril(-w),
        lambda t, w: torch.ones(t, t, requires_grad=True).tril().triu(1 - w),
    ],
    "uncap": [
        lambda x, cap: nb06.my_uncap(x.float(), cap),
        lambda x, cap: cap / 2 * ((cap + x) / (cap - x)).log(),
    ],
    "hole_prompt": [
        lambda a, b: "".join(("<|fim_prefix|>", a, "<|fim_suffix|>", b, "<|fim_middle|>")),
    ],
    "next_state": [
        lambda state, a, x: torch.mul(a, state) + torch.mul(x, (1 - a.square()).sqrt()),
        lambda state, a, x: (a * state).addcmul(x.clone(), torch.sqrt(1 - a**2)),
    ],
}


def without_a_last_return(probabilities, p):
    total = 0
    for count, probability in enumerate(probabilities, 1):
        total += probability
        if total >= p:
            return count


mask = nb06.my_sliding_mask
turn = nb03.my_rotate_half
labels = nb05.my_labels
WRONG = {
    "gradient": [
        ([-0.67, 0.33, 0.33], "before the step.\nThe shares are 0.58, 0.21, 0.21 now."),
        ([0.58, 0.21, 0.21], "Those are the shares"),
        ([0.42, -0.21, -0.21], "signs are turned"),
        ([-0.42, -0.79, -0.79], "1 off each"),
        ([0.1, 0.2, 0.3], "add up to 0"),
        ([-0.6, 0.3, 0.3], "not it"),
        ([-0.42, 0.21], "three scores"),
        (["-0.42", "0.21", "0.21"], "without quotes"),
        ([[-0.42], [0.21], [0.21]], "plain numbers"),
        (-0.42, "not float"),
        ([None, 0.21, 0.21], "not None"),
    ],
    "linh_comes": [
        (3, "somebody else"),
        (5, "denies"),
        (1, "right after Linh"),
        (7, "the opposite"),
        (9, "no line 9"),
        ([6, 6], "not list"),
        (True, "not bool"),
        (None, "not None"),
        ("six", "no number"),
        (6.5, "no line 6.5"),
    ],
    "next_merge": [
        ("than", "two pieces"),
        (("an", "g"), "once"),
        (("a", "n"), "already"),
        (("x", "y"), "no pair"),
        (("an", "th"), "this order"),
        ((1, 2), "text in quotes"),
        (("t", "h", "an"), "not 3"),
        ({"th", "an"}, "two pieces"),
        (3, "not int"),
        (iter(("th", "an")), "list(...)"),
    ],
    "top_p": [
        (lambda ps, p: next((n for n in range(1, len(ps) + 1) if sum(ps[:n]) >= p), 0), "all ten"),
        (lambda ps, p: [][0], "raised IndexError"),
        (
            lambda probabilities, p: sum(sum(probabilities[: i + 1]) < p for i in range(4)),
            "reaches p is kept",
        ),
        (
            lambda probabilities, p: sum(
                sum(probabilities[:i]) <= p for i in range(len(probabilities))
            ),
            "first is enough",
        ),
        (lambda probabilities, p: 4, "add up"),
        (lambda probabilities, p: 1 / 0, "raised ZeroDivisionError"),
        (lambda probabilities, p: {0.6: 2, 0.5: 1, 0.8: 3}.get(p, 4) - (p == 0.9), "another list"),
        (lambda probabilities, p: print(end=""), "returned None"),
        (lambda probabilities, p: [0.5, 0.25], "how many are kept"),
        (lambda probabilities, p: False, "not bool"),
        (without_a_last_return, "returned None"),
        (lambda probabilities, p: nb01.my_top_p(probabilities, p) + (p == 1), "and not [2, 1"),
        (2, "A function is asked for"),
    ],
    "token_ceiling": [
        ((23, 8), "after a point"),
        ([1].pop, "put () behind"),
        (105, "multiplied"),
        (40, "embedding table"),
        (10, "16 bits"),
        (3, "once for each token"),
        (0, "once for each"),
        ("24 tokens", "no number"),
        (1j, "not complex"),
        (float("nan"), "can be the answer"),
        (10**400, "can be the answer"),
    ],
    "family_member": [
        ("", "empty"),
        ("gemma 3", "all three"),
        ("Gemma 3n", "Gemma Terms"),
        ("DiffusionGemma", "all three"),
        ("EmbeddingGemma 2", "vectors"),
        ("google/embeddinggemma-2", "vectors"),
        ("EmbeddingGemma", "all three"),
        (HEARD, "vectors"),
        (["Gemma 3", "Gemma 4"], "2 rows"),
        (4, "in quotes"),
        (family[family["name"] == "x"], "parentheses"),
        (family["licence"] == "Apache-2.0", "yes or no"),
        (family, "rows are left"),
        ("Gemma 40", "all three"),
        ("google/gemma-4-31B-it", "all three"),
    ],
    "strict_wins": [
        (11, "tie"),
        ("11", "tie"),
        (14, "13B alone"),
        (3, "row by row"),
        (pandas.Series([True, False]), "count the yes"),
        (table["Gemma 7B"] > table["Mistral 7B"], "count the yes"),
        (table, "18 parts"),
        (False, "not bool"),
    ],
    "cache_bytes": [
        (9_216, "Keys and values"),
        (1_024, "one layer"),
        (147_456, "16 bits are 2 bytes"),
        (36_864, "two bytes"),
        (18, "KiB"),
        (4_608, "Three quarters"),
        (7, "one layer first"),
        ([18_432] * 2, "not list"),
        ("18432 bytes", "no number"),
    ],
    "rotate_half": [
        (lambda x: torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2), "turned neighbours"),
        (lambda x: x.roll(x.shape[-1] // 2, -1), "No sign changed"),
        (lambda x: -turn(x), "first half"),
        (lambda x: torch.cat((-x[..., :2], x[..., 2:]), -1), "kept their places"),
        (lambda x: x[..., :2], "came out"),
        (lambda x: torch.cat((-x.chunk(2)[1], x.chunk(2)[0])), "split the rows"),
        (lambda x: 0 * x, "became"),
        (lambda x: x / None, "raised TypeError"),
        (lambda x: (-x[..., 2:], x[..., :2]), "not tuple"),
        (lambda x: torch.cat((-x[..., 2:], x[..., :2]), -1), "another"),
        (lambda x: turn(x) * 1j, "Complex"),
        (lambda x: turn(x).tolist(), "not list"),
    ],
    "four_bit_poem": [
        ("A", "Poem A was not"),
        ("Z", "A to E"),
        (3, "in quotes"),
        (["A", "B"], "not list"),
        ("", "A to E"),
    ],
    "largest_model": [
        ("A", "the table takes two"),
        ("B", "Without its cache"),
        ("C", "7.5 GB"),
        ("E", "more parameters fits as well"),
        ("F", "more bits"),
        ("G", "none of the choices"),
        (4, "in quotes"),
        ("", "A to F"),
    ],
    "absmax_int8": [
        (lambda ns: [round(n / (max(ns) / 127)) * max(ns) / 127 for n in ns], "largest size"),
        (
            lambda ns: [round(n * 128 / max(map(abs, ns))) * max(map(abs, ns)) / 128 for n in ns],
            "127",
        ),
        (lambda numbers: [round(n * 127 / max(map(abs, numbers))) for n in numbers], "levels"),
        (lambda numbers: [round(n * 127) / 127 for n in numbers], "divided by the scale"),
        (lambda numbers: numbers[:2], "came out"),
        (lambda numbers: [2 * n for n in numbers], "grew"),
        (lambda numbers: [0.0 for n in numbers], "rounded"),
        (lambda numbers: [round(n * 63.5) / 63.5 for n in numbers], "[3.0, -0.01, 0.5] came back"),
        (lambda numbers: (n for n in numbers), "list(...)"),
        (lambda numbers: 3, "not int"),
        (lambda numbers: [None], "not None"),
        (lambda numbers: [float("nan")] * len(numbers), "nan"),
        (lambda numbers: [numbers] * len(numbers), "not list"),
    ],
    "missing_bos": [
        ("A", "line break"),
        ("b", "Nothing else"),
        ("C", "even has two"),
        ("E", "<eos> stands before"),
        ("F", "A to E"),
        (4, "in quotes"),
        (["A", "D"], "not list"),
    ],
    "lora_layer_parameters": [
        (2048 * 16384, "frozen matrix"),
        (16 * 2048, "one of the two"),
        ("32,768", "one of the two"),
        (16 * 2048 * 16384, "side by side"),
        (5, "2048 numbers to 16"),
        ([1, 2], "not list"),
    ],
    "labels": [
        (lambda prompt, completion: prompt + completion, "prompt gets loss too"),
        (lambda prompt, completion: labels(prompt, completion)[:-1] + [-100], "learns to stop"),
        (lambda prompt, completion: labels(prompt, completion)[1:] + [-100], "shifted by one"),
        (lambda prompt, completion: [1] + labels(prompt, completion)[:-1], "shifted by one"),
        (lambda prompt, completion: [-100] * len(prompt + completion), "no token gets loss"),
        (lambda prompt, completion: prompt + [-100] * len(completion), "wrong way round"),
        (lambda prompt, completion: completion, "3 labels for 7 tokens"),
        (lambda prompt, completion: [0] * len(prompt) + completion, "Label 0 is 0"),
        (lambda prompt, completion: [-100] * 4 + completion, "9 labels for 7"),
        (lambda prompt, completion: [None] * len(prompt) + completion, "whole number"),
        (lambda prompt, completion: torch.tensor(labels(prompt, completion)) / 1, "whole number"),
        (lambda prompt, completion: len(prompt), "not int"),
        (lambda prompt: prompt, "raised TypeError"),
    ],
    "breaking_row": [
        (1, "may be short"),
        (2, "may be empty"),
        ("3", "ordinary text"),
        (4, "Another language"),
        (6, "repeat a word"),
        (7, "no line 7"),
        (0, "no line 0"),
        ([5, 6], "not list"),
    ],
    "sliding_mask": [
        (lambda t, w: 0 <= torch.arange(t)[:, None] - torch.arange(t) < w, "join comparisons"),
        (lambda t, w: mask(t, w).T, "look ahead"),
        (lambda t, w: ~mask(t, w), "what is hidden"),
        (lambda t, w: torch.ones(t, t).tril(), "global mask"),
        (lambda t, w: torch.ones(t, t).triu(1 - w), "later one"),
        (lambda t, w: mask(t, w + 1) & ~torch.eye(t).bool(), "does not see itself"),
        (lambda t, w: torch.zeros(t, t).masked_fill(~mask(t, w), -1e9), "True and False"),
        (lambda t, w: mask(t, w + 1), "sees 4 tokens"),
        (lambda t, w: mask(t, w - 1), "sees 2 tokens"),
        (lambda t, w: torch.ones(t), "6 by 6"),
        (lambda t, w: torch.ones(6, 6).tril().triu(-2).bool(), "another"),
    ],
    "uncap": [
        (lambda x, cap: torch.atanh(x / cap), "divided by the cap"),
        (lambda x, cap: torch.atanh(x) * cap, "-1 and 1"),
        (lambda x, cap: torch.tanh(x / cap) * cap, "once more"),
        (lambda x, cap: x, "not 20"),
        (lambda x, cap: x[:2], "came out"),
        (lambda x, cap: 30 * torch.atanh(x / 30), "another"),
        (lambda x, cap: 1 / 0, "raised ZeroDivisionError"),
    ],
    "hole_prompt": [
        (lambda a, b: f"<|fim_prefix|>{a}<|fim_suffix|>\n<|fim_middle|>", "wrong for another"),
        (lambda a, b: f"<|fim_prefix|>{a}<|fim_suffix|>{b}", "<|fim_middle|> is missing"),
        (lambda a, b: f"<|fim_prefix|>{a}<|fim_middle|>{b}<|fim_suffix|>", "does not end with"),
        (lambda a, b: f"<|fim_prefix|> {a}<|fim_suffix|>{b}<|fim_middle|>", "and its part"),
        (lambda a, b: f"<|fim_prefix|>{a} <|fim_suffix|>{b}<|fim_middle|>", "else stands before"),
        (
            lambda a, b: f"<|fim_prefix|>{a}<|fim_suffix|>{b} <|fim_middle|>",
            "after the hole, nothing else",
        ),
        (lambda a, b: nb07.my_hole_prompt(a, b) + "<|file_separator|>", "ends the file"),
        (lambda a, b: nb07.my_hole_prompt(a, b) + " ", "too many at an end"),
        (lambda a, b: [a, b], "not list"),
    ],
    "next_state": [
        (lambda state, a, x: a * state + x, "comes in whole"),
        (lambda state, a, x: a * state + (1 - a) * x, "scaled by 1 - a"),
        (lambda state, a, x: a * state + (1 - a * a) ** 0.5 * 3, "another"),
        (lambda state, a, x: a * state + 0.8 * x, "another"),
        (lambda state, a, x: state, "1 became 1.00, not 3.00"),
        (lambda state, a, x: state[:2], "came out"),
    ],
}


def judge(lesson, name):
    return getattr(lesson, f"check_{name}").judge


def folds(lesson, name) -> tuple[str, str, str]:
    """The two hints and the code that unfold under an exercise."""
    number = lesson.__name__[-2:]
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells]
    (at,) = [i for i, source in enumerate(sources) if f"nb{number}.check_{name}(" in source]
    form = "".join(
        rf"<details><summary>{title}</summary>\n\n{body}\n\n</details>\s*"
        for title, body in (
            ("Hint 1", "(.+?)"),
            ("Hint 2", "(.+?)"),
            ("Solution", "```python\n(.+?)\n```"),
        )
    )
    return re.fullmatch(form, sources[at + 1], re.DOTALL).groups()


def answer_of(code: str):
    """What the code of a solution defines first with a name that begins with `my_`."""
    namespace = dict(ABOVE)
    exec(code, namespace)
    (answer,) = [value for name, value in namespace.items() if name.startswith("my_")]
    return answer


@pytest.mark.parametrize("lesson, name", NAMES, ids=lambda value: str(value)[:20])
def test_the_folded_solution_is_the_tested_one_and_right(lesson, name):
    first, second, code = folds(lesson, name)
    solution = lesson.SOLUTIONS[name]
    assert code == (solution if isinstance(solution, str) else inspect.getsource(solution).rstrip())
    assert judge(lesson, name)(answer_of(code)).is_right is True
    answer = re.split(r" = |return ", code.splitlines()[-1])[-1].strip()
    assert answer not in first and code not in second  # a hint is no solution
    calls = [line for line in code.splitlines() if "(" in line and "def " not in line]
    assert not any(line.split(" = ")[-1].strip() in second for line in calls)


@pytest.mark.parametrize("lesson, name", NAMES, ids=lambda value: str(value)[:20])
def test_check(lesson, name):
    check = judge(lesson, name)
    assert check(...).is_right is None
    for answer in RIGHT.get(name, ()):
        assert check(answer).is_right is True, (answer, check(answer))
    for answer, message in WRONG.get(name, ()):
        verdict = check(answer)
        assert verdict.is_right is False and message in str(verdict), (answer, str(verdict))
        assert "cannot be read" not in verdict.what


def test_every_check_has_a_solution_and_wrong_answers():
    for lesson in LESSONS:
        checks = {name.removeprefix("check_") for name in vars(lesson) if name.startswith("check_")}
        assert checks == set(lesson.SOLUTIONS)
    names = {name for _, name in NAMES}
    for answers in (RIGHT, WRONG):
        assert names == set(answers), "a check needs answers in RIGHT and in WRONG, above"


def test_the_four_bit_poem_is_the_notebooks_third():
    poems = json.loads(DATA.joinpath("talk_poems.json").read_text(encoding="utf-8"))["poems"]
    by_last_word = sorted(poems, key=lambda row: row["poem"].split()[-1])
    letter = "ABCDE"[[row["precision"] for row in by_last_word].index("4-bit")]
    assert nb04.check_four_bit_poem.judge(letter).is_right


def test_absmax_round_trip_equals_torch():
    numbers = torch.randn(64, dtype=torch.float64)
    scale = float(numbers.abs().max() / 127)
    quantized = torch.fake_quantize_per_tensor_affine(numbers.float(), scale, 0, -127, 127)
    assert torch.tensor(nb04.my_round_trip(numbers.tolist())).float().allclose(quantized, atol=1e-6)


def test_answers_of_02_follow_from_the_data():
    assert table.shape == (18, 5) and not table.isna().any().any()
    wins = sum(row["Gemma 7B"] > max(row.drop("Gemma 7B")) for _, row in table.iterrows())
    assert nb02.check_strict_wins.judge(wins).is_right
    overview = scores[scores["table"] == "overview"]
    overview = overview.pivot(index="benchmark", columns="model", values="score")
    assert (overview == table.loc[overview.index, overview.columns]).all().all()
    fitting = HEARD[HEARD["kinds"].str.contains("IT")]
    assert nb02.check_family_member.judge(fitting).is_right
    assert len(fitting) == 1 and "E4B" in fitting["sizes"].item()
    assert family["source"].str.startswith("https://").all() and family["name"].is_unique
    nf4 = memory.weight_bytes(catalog.find("google/gemma-2b"), "nf4") / 1e9
    assert nb02.check_token_ceiling.judge(50 / nf4).is_right


def test_linh_comes_in_one_line_of_the_talk():
    talk = json.loads(DATA.joinpath("vietnamese.json").read_text(encoding="utf-8"))
    assert len(talk["orders"]) == 8
    for row in talk["orders"]:
        assert sorted(row["order"].lower().split()) == sorted(
            word.lower() for word in talk["words"]
        )
    glosses = [row["gloss"] for row in talk["orders"]]
    (comes,) = [at for at, gloss in enumerate(glosses, 1) if gloss.startswith("Linh comes")]
    assert nb01.check_linh_comes.judge(comes).is_right


def test_the_fifth_merge_is_the_librarys():
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    text = "tranh thang banh than canh thanh thanh thanh"
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    size = len(set(text) - {" "}) + 5
    library.train_from_iterator([text], trainers.BpeTrainer(vocab_size=size, show_progress=False))
    merge = tuple(json.loads(library.to_str())["model"]["merges"][4])
    assert nb01.check_next_merge.judge(merge).is_right


def test_top_p_keeps_what_generate_keeps():
    from transformers import TopPLogitsWarper

    for probabilities, p in (([0.5, 0.3, 0.2], 0.79), ([0.25] * 4, 0.6), ([0.9, 0.1], 0.95)):
        kept = TopPLogitsWarper(p)(None, torch.tensor([probabilities]).log()).isfinite().sum()
        assert nb01.my_top_p(probabilities, p) == kept


def test_solutions_of_03_and_06_equal_transformers():
    from transformers import DynamicCache, GemmaConfig
    from transformers.masking_utils import sliding_window_causal_mask_function
    from transformers.models.gemma2 import modeling_gemma2

    x = torch.randn(2, 3, 8)
    assert turn(x).equal(modeling_gemma2.rotate_half(x))
    sees = sliding_window_causal_mask_function(5)
    theirs = [
        [bool(sees(0, 0, torch.tensor(row), torch.tensor(at))) for at in range(12)]
        for row in range(12)
    ]
    assert mask(12, 5).tolist() == theirs
    assert nb06.my_uncap(30 * torch.tanh(x / 30), 30).allclose(x, atol=1e-4)
    cache = DynamicCache(config=GemmaConfig(num_hidden_layers=18, num_key_value_heads=1))
    one = torch.zeros(1, 1, 1, 256, dtype=torch.bfloat16)
    for layer in range(18):
        cache.update(one, one, layer)
    held = sum(
        part.numel() * part.element_size()
        for layer in cache.layers
        for part in (layer.keys, layer.values)
    )
    assert nb03.check_cache_bytes.judge(held).is_right


@pytest.mark.parametrize(
    "number, imports_torch",
    [("01", False), ("02", False), ("03", True), ("04", False), ("05", False)],
)
def test_a_lesson_imports_torch_only_where_its_checks_need_it(number, imports_torch):
    import subprocess
    import sys

    code = f"import sys; import gemma_lab.lessons.nb{number}; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(imports_torch)
