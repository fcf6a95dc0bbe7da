"""The box for code with a hole: what a model is asked, what is shown, what a mistake says."""

import gc
import html
import re
import types
import weakref

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import coding, profile, sandbox
from gemma_lab.lessons import nb07_fill

CODE = "def add(a, b):\n    return ___\n"
PASS = "assert add(2, 3) == 5"
FOLDER = profile.CHECKPOINTS / "pocket-small"


@pytest.fixture(scope="module")
def tokenizer():
    """With CodeGemma's four tokens, which are no special ones there either."""
    found = AutoTokenizer.from_pretrained(FOLDER)
    found.add_tokens(["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|file_separator|>"])
    return found


@pytest.fixture(scope="module")
def plain():
    """A base model without the control tokens, and its tokenizer."""
    return AutoModelForCausalLM.from_pretrained(FOLDER), AutoTokenizer.from_pretrained(FOLDER)


class Writer(types.SimpleNamespace):
    """Can be referred to weakly, as a model can."""


LOADED = []  # the box keeps no model in memory


def writer(tokenizer, text: str, context: int = 512):
    """A model that writes `text`, whatever it is asked; `asked` keeps the prompts."""
    asked = []

    def generate(input_ids, attention_mask, **options):
        asked.append(tokenizer.decode(input_ids[0]).removeprefix("<bos>"))
        new = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        return torch.cat([input_ids, new.to(input_ids)], 1)

    config = types.SimpleNamespace(max_position_embeddings=context)
    LOADED.append(Writer(generate=generate, device="cpu", asked=asked, config=config))
    return LOADED[-1]


def parts(view) -> types.SimpleNamespace:
    *boxes, button, said, filled, wish, prompt = view.children
    found = dict(button=button, said=said, filled=filled, wish=wish, prompt=prompt)
    return types.SimpleNamespace(boxes=boxes, **found)


def seen(widget) -> str:
    """The text that a reader sees of an HTML widget."""
    shown = re.sub("<style>.*?</style>", "", widget.value, flags=re.DOTALL)
    return html.unescape(re.sub("<[^>]*>", "", shown))


def pressed(model, tokenizer, code: str = CODE, tests: str = ""):
    view = parts(nb07_fill.fill_in(model, tokenizer, code, tests))
    view.button.click()
    assert view.button.disabled is False and 'role="status"' in view.said.value
    return view


def test_a_press_fills_the_hole_and_says_what_python_thinks(tokenizer):
    model = writer(tokenizer, "a + b<|file_separator|>more.py")
    view = pressed(model, tokenizer)
    before = "def add(a, b):\n    return "
    assert model.asked == [f"<|fim_prefix|>{before}<|fim_suffix|>\n<|fim_middle|>"]
    assert seen(view.filled) == "def add(a, b):\n    return a + b\n"
    assert re.search("<mark[^>]*>(.*)</mark>", view.filled.value)[1] == "a + b"
    num = len(tokenizer("a + b", add_special_tokens=False)["input_ids"])
    assert seen(view.said) == f"The model wrote {num} tokens. Python can read the code."
    assert len(view.boxes) == 1


def test_typing_starts_no_model_and_a_press_says_that_it_writes(tokenizer):
    during = []
    model = writer(tokenizer, "a<|file_separator|>")
    view = parts(nb07_fill.fill_in(model, tokenizer))
    quick = model.generate

    def generate(**asked):
        during.append((view.button.disabled, seen(view.said), view.filled.value))
        return quick(**asked)

    model.generate = generate
    view.boxes[0].value = CODE
    view.wish.value = True
    assert during == [] and seen(view.said) == ""
    view.button.click()
    view.button.click()
    assert during == [(True, "The model writes …", "")] * 2
    assert seen(view.said) == "The model wrote 1 token. Python can read the code."


def test_the_prompt_is_shown_on_request_as_it_will_be_read(tokenizer):
    model = writer(tokenizer, "a")
    view = parts(nb07_fill.fill_in(model, tokenizer, CODE))
    assert view.prompt.value == ""
    view.wish.value = True
    prompt = "<|fim_prefix|>def add(a, b):\n    return <|fim_suffix|>\n<|fim_middle|>"
    assert seen(view.prompt) == prompt
    bold = re.findall("<b>(.*?)</b>", view.prompt.value)
    assert [html.unescape(token) for token in bold] == [*coding.HOLE_TOKENS[:3]]
    view.boxes[0].value = "a < ___"
    assert seen(view.prompt) == "<|fim_prefix|>a < <|fim_suffix|><|fim_middle|>"
    view.boxes[0].value = "a < 1"
    assert seen(view.prompt) == "" and seen(view.said).startswith("There is no hole")
    view.boxes[0].value = CODE
    view.button.click()
    assert model.asked == [prompt]
    view.wish.value = False
    assert view.prompt.value == ""


@pytest.mark.parametrize(
    "wrote, says",
    [
        ("a + b", "The tests pass."),
        ("a * b", "The tests do not pass. add(2, 3) gives 6, not 5."),
        ("a + c", "The tests do not pass. NameError: name 'c' is not defined."),
    ],
)
def test_your_tests_run_where_there_are_any(tokenizer, wrote, says):
    view = pressed(writer(tokenizer, wrote), tokenizer, CODE, PASS)
    assert [box.value for box in view.boxes] == [CODE, PASS]
    assert seen(view.said).endswith(f" tokens. Python can read the code. {says}")


@pytest.mark.parametrize(
    "tests, says",
    [
        ("assert add(", "Python can read the code. Python cannot read the tests: "),
        ("add(2, 3) == 5", "Python can read the code. The tests hold no assert: "),
        ("assert add('<b>', '') == ''", "not ''."),
        ("  \n", "tokens. Python can read the code."),
    ],
)
def test_tests_that_are_none_are_named_and_the_filled_code_is_shown(tokenizer, tests, says):
    view = parts(nb07_fill.fill_in(writer(tokenizer, "a + b"), tokenizer, CODE, PASS))
    view.boxes[1].value = tests
    view.button.click()
    assert says in seen(view.said) and "<b>" not in view.said.value
    assert seen(view.filled) == "def add(a, b):\n    return a + b\n"


def test_the_example_can_be_filled_and_passes_its_own_tests(tokenizer):
    model = writer(tokenizer, "result.append(n ** 2)")
    view = pressed(model, tokenizer, nb07_fill.EXAMPLE, nb07_fill.TESTS)
    assert seen(view.said).endswith("The tests pass.")


def test_code_that_python_cannot_read_is_not_run(tokenizer, monkeypatch):
    monkeypatch.setattr(sandbox, "run", lambda *_: pytest.fail("It ran."))
    view = pressed(writer(tokenizer, "a +"), tokenizer, CODE, PASS)
    assert "Python cannot read line 2: invalid syntax." in seen(view.said)
    view = pressed(writer(tokenizer, ""), tokenizer, "def f(:\n  ___", PASS)
    assert seen(view.said).startswith("The model wrote nothing. Python cannot read line 1: ")
    view = pressed(writer(tokenizer, "1"), tokenizer, "a = '\0'___", PASS)
    assert "null bytes" in seen(view.said)


def test_a_warning_of_python_reaches_nobody(tokenizer, recwarn):
    view = pressed(writer(tokenizer, "1"), tokenizer, 'a = "\\d" is ___')
    assert seen(view.said).endswith("Python can read the code.") and len(recwarn) == 0


@pytest.mark.parametrize(
    "code, says",
    [
        ("", "The box is empty: type a function, and ___ where the model is to write."),
        (" \n\t", "The box is empty: type a function, and ___ where the model is to write."),
        ("a = 1", "There is no hole: type ___, three underscores, where one is to be."),
        ("__init__", "There is no hole: type ___, three underscores, where one is to be."),
        ("___ + ___", "There are 2 holes: leave one ___ and write the others."),
        ("x = '<|fim_middle|>' ___", "The code holds <|fim_middle|>, which the model would obey"),
        ("x = '<eos>' ___", "The code holds <eos>, which the model would obey: take it out."),
        ("x = '\ud83d' ___", "The code holds half a character: type it again."),
    ],
)
def test_a_mistake_gets_one_sentence_and_starts_no_model(tokenizer, code, says):
    model = writer(tokenizer, "a")
    view = parts(nb07_fill.fill_in(model, tokenizer))
    view.boxes[0].value = code
    view.button.click()
    assert seen(view.said).startswith(says) and model.asked == []
    assert view.filled.value == "" and view.button.disabled is False
    with pytest.raises(ValueError, match=re.escape(says)):
        nb07_fill.picture(model, tokenizer, code)


def test_a_prompt_that_leaves_no_room_is_counted(tokenizer):
    code = "x = 1\n" * 40 + "___"
    prompt = coding.hole_prompt("x = 1\n" * 40, "")
    num = len(tokenizer(prompt)["input_ids"])
    model = writer(tokenizer, "a", context=num + coding.LONGEST - 1)
    says = seen(pressed(model, tokenizer, code).said)
    assert says == (
        f"The prompt has {num:,} tokens and 96 may follow, but the model reads {num + 95:,}: "
        "shorten the code."
    )
    assert model.asked == []
    assert pressed(writer(tokenizer, "a", context=num + 96), tokenizer, code).filled.value


@pytest.mark.parametrize("wrong", [7, None, ["def f():"], b"___"])
def test_code_and_tests_must_be_texts(tokenizer, wrong):
    kind = type(wrong).__name__
    with pytest.raises(ValueError, match=f"The code must be a text in quotes, not {kind}."):
        nb07_fill.fill_in(None, tokenizer, wrong)
    with pytest.raises(ValueError, match=f"The tests must be a text in quotes, not {kind}."):
        nb07_fill.fill_in(None, tokenizer, CODE, wrong)


def test_html_stays_text(tokenizer):
    code = "page = '<script>alert(1)</script> &amp;' + ___"
    view = pressed(writer(tokenizer, "'<b>'"), tokenizer, code)
    view.wish.value = True
    for widget in (view.filled, view.prompt):
        assert "<script" not in widget.value and "<b>'" not in widget.value
    assert seen(view.filled) == "page = '<script>alert(1)</script> &amp;' + '<b>'"


@pytest.mark.parametrize(
    "code", ['"""Cộng hai số, rồi trả về."""\nchào = ___', "if a:\n\treturn ___\n", "🐍 = '___'"]
)
def test_accents_tabs_and_signs_come_back(tokenizer, code):
    model = writer(tokenizer, "số")
    view = pressed(model, tokenizer, code)
    assert seen(view.filled) == code.replace("___", "số")
    before, after = code.split("___")
    assert model.asked == [f"<|fim_prefix|>{before}<|fim_suffix|>{after}<|fim_middle|>"]


def test_line_ends_of_windows_become_those_the_model_knows(tokenizer):
    model = writer(tokenizer, "a + b")
    view = pressed(model, tokenizer, CODE.replace("\n", "\r\n"), PASS + "\r\n")
    assert model.asked == [
        "<|fim_prefix|>def add(a, b):\n    return <|fim_suffix|>\n<|fim_middle|>"
    ]
    assert seen(view.said).endswith("The tests pass.")


def test_a_model_without_control_tokens_reads_what_is_before_the_hole(plain):
    _, tokenizer = plain
    model = writer(tokenizer, "a + b\n\nprint(1)")
    view = pressed(model, tokenizer, CODE, PASS)
    assert model.asked == ["def add(a, b):\n    return "]
    assert seen(view.filled) == "def add(a, b):\n    return a + b\n"
    assert "It has no control tokens: it read only what is before the hole" in seen(view.said)
    assert seen(view.said).endswith("The tests pass.")


def test_pocket_small_writes_what_transformers_writes_after_the_beginning(plain):
    model, tokenizer = plain
    before = "My grandmother kept"
    view = pressed(model, tokenizer, f"{before}___\n")
    inputs = tokenizer(before, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=96, do_sample=False)
    new = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert len(new) > 10 and seen(view.filled) == f"{before}{new.splitlines()[0]}\n"


def test_an_error_of_the_model_is_said_and_the_button_works_again(tokenizer):
    model = writer(tokenizer, "a")

    def generate(**_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    model.generate = generate
    assert seen(pressed(model, tokenizer).said) == "CUDA out of memory."


def test_without_a_kernel_a_picture_shows_what_the_model_wrote(tokenizer):
    figure = nb07_fill.picture(writer(tokenizer, "a + b"), tokenizer, CODE)
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown[1:4] == ["def add(a, b):", "    return ", "a + b"]


def test_the_box_keeps_no_model_in_memory(tokenizer):
    writer(tokenizer, "1")
    model = weakref.ref(LOADED[-1])
    view = parts(nb07_fill.fill_in(LOADED.pop(), tokenizer, "x = ___"))
    gc.collect()
    assert model() is None
    view.button.click()
    assert "The model is not loaded any more: run its cell" in seen(view.said)
    assert not view.button.disabled
