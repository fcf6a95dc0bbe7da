"""Notebook 07: a box for code with a hole, which a model fills and Python judges."""

from __future__ import annotations

import html
import re
import warnings
import weakref

import ipywidgets

from gemma_lab import coding, sandbox
from gemma_lab.figures import LET_GO
from gemma_lab.lessons.nb07_views import PARTS, hole_order

EXAMPLE = '''\
def squares(numbers):
    """Return a list of the squares of numbers."""
    result = []
    for n in numbers:
        ___
    return result
'''
TESTS = "assert squares([3, 0, -2]) == [9, 0, 4]\nassert squares([]) == []\n"
STYLE = "<style>.course-code textarea {font-family: monospace !important; tab-size: 4}</style>"
CODE = (
    '<pre style="white-space:pre-wrap;word-break:normal;overflow-wrap:anywhere;tab-size:4;'
    'line-height:1.4">'
)
NO_TOKENS = (
    "It has no control tokens: it read only what is before the hole, and one line of its answer "
    "counts. "
)


def _split(model, tokenizer, code: str) -> tuple[str, str]:
    """What stands before and after the hole of a text.

    Raises: ValueError, one sentence that says what to do, for what no model could fill.
    """
    code = code.replace("\r\n", "\n").replace("\r", "\n")
    parts = re.split("_{3,}", code)
    if not code.strip():
        raise ValueError("The box is empty: type a function, and ___ where the model is to write.")
    if len(parts) == 1:
        raise ValueError("There is no hole: type ___, three underscores, where one is to be.")
    if len(parts) > 2:
        raise ValueError(f"There are {len(parts) - 1} holes: leave one ___ and write the others.")
    for token in (*coding.HOLE_TOKENS, *tokenizer.all_special_tokens):
        if token in code:
            raise ValueError(f"The code holds {token}, which the model would obey: take it out.")
    try:
        code.encode()
    except UnicodeEncodeError:
        raise ValueError("The code holds half a character: type it again.") from None
    num_tokens = len(tokenizer(_prompt(tokenizer, *parts), verbose=False)["input_ids"])
    most = model.config.max_position_embeddings
    if num_tokens + coding.LONGEST > most:
        raise ValueError(
            f"The prompt has {num_tokens:,} tokens and {coding.LONGEST} may follow, but the model "
            f"reads {most:,}: shorten the code."
        )
    return parts[0], parts[1]


def _prompt(tokenizer, before: str, after: str) -> str:
    """With control tokens, the whole file; to a model without them, what stands before the hole."""
    return coding.hole_prompt(before, after) if coding.has_hole_tokens(tokenizer) else before


def picture(model, tokenizer, code: str = EXAMPLE):
    """The code and what the model writes into its hole, as a figure: for readers without a kernel.

    Raises: ValueError, one sentence, for a text that no model could fill.
    """
    before, after = _split(model, tokenizer, code)
    return hole_order(before, coding.fill(model, tokenizer, before, after), after)


def _verdict(code: str, tests: str) -> str:
    """Whether Python can read the code, and if there are tests, whether they pass."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of the model's code, not of yours
            warnings.simplefilter("ignore", DeprecationWarning)
            compile(code, "code", "exec", dont_inherit=True)
    except SyntaxError as error:
        return f"Python cannot read line {error.lineno or 1}: {error.msg}."
    except (ValueError, RecursionError, MemoryError) as error:
        return f"Python cannot read the code: {error}."
    if not tests.strip():
        return "Python can read the code."
    try:
        outcome = sandbox.run(code, tests)
    except ValueError as error:  # the tests are none
        return f"Python can read the code. {error}"
    told = "The tests pass." if outcome.passed else f"The tests do not pass. {outcome.why}"
    return f"Python can read the code. {told}"


def _area(label: str, text: str) -> ipywidgets.Textarea:
    layout = {"width": "97%", "flex_flow": "column"}  # the label above the box
    rows = min(max(text.count("\n") + 2, 3), 14)
    style = {"description_width": "auto"}
    area = ipywidgets.Textarea(
        text, description=label, rows=rows, layout=layout, style=style, **LET_GO
    )
    area.add_class("course-code")
    return area


def fill_in(model, tokenizer, code: str = EXAMPLE, tests: str = "") -> ipywidgets.VBox:
    """A box for code with a hole, ___; a button lets the model fill it, and Python judge it.

    The box does not keep the model in memory, though ipywidgets keeps the box.
    Args: tests: asserts in a second box, such as `TESTS`, which then run; by default there is none.
    Raises: ValueError for code or tests that are no text.
    """
    for name, text in {"code": code, "tests": tests}.items():
        if not isinstance(text, str):
            raise ValueError(f"The {name} must be a text in quotes, not {type(text).__name__}.")
    box, checks = _area("Your code", code), _area("Your tests", tests)
    button = ipywidgets.Button(description="Fill the hole")
    wish = ipywidgets.Checkbox(
        False, description="show the prompt", indent=False, layout={"width": "auto"}
    )
    said, filled, prompt = (ipywidgets.HTML() for _ in range(3))

    loaded = weakref.ref(model)
    del model

    def read() -> tuple:
        """The model, and what stands before and after the hole."""
        model = loaded()
        if model is None:
            raise ValueError("The model is not loaded any more: run its cell and this one again.")
        return model, *_split(model, tokenizer, box.value)

    def say(sentence: str) -> None:
        said.value = f'{STYLE}<p role="status">{html.escape(sentence)}</p>'

    def show(_=None) -> None:
        prompt.value = ""
        if wish.value:
            try:
                text = html.escape(_prompt(tokenizer, *read()[1:]))
                bold = re.sub(r"&lt;\|\w+\|&gt;", r"<b>\g<0></b>", text)  # the control tokens
                prompt.value = f"{CODE}{bold}</pre>"
            except ValueError as error:
                say(str(error))

    def press(_) -> None:
        button.disabled, filled.value = True, ""
        say("The model writes …")
        try:
            answer()
        except (ValueError, RuntimeError) as error:  # torch's "out of memory" is the latter
            say(str(error))
        finally:
            button.disabled = False

    def answer() -> None:
        model, before, after = read()
        wrote = coding.fill(model, tokenizer, before, after)
        num = len(tokenizer(wrote, add_special_tokens=False)["input_ids"])
        marked = (
            f'<mark style="color:black;background:{PARTS["hole"][0]}">{html.escape(wrote)}</mark>'
        )
        filled.value = f"{CODE}{html.escape(before)}{marked}{html.escape(after)}</pre>"
        count = {0: "nothing", 1: "1 token"}.get(num, f"{num} tokens")
        note = "" if coding.has_hole_tokens(tokenizer) else NO_TOKENS
        say(f"The model wrote {count}. {note}{_verdict(before + wrote + after, checks.value)}")

    for control in (box, wish):
        control.observe(show, "value")
    button.on_click(press)
    say("")
    parts = [box, checks] if tests else [box]
    return ipywidgets.VBox([*parts, button, said, filled, wish, prompt])
