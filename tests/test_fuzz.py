"""Whatever a learner writes, types, names or saves: it works, or one sentence says what to do.

Hypothesis tries every function of `TABLE`, 30 inputs each; 220 in `course.py test --full`.
"""

import ast
import contextlib
import functools
import inspect
import io
import json
import types
from pathlib import Path

import pytest
import torch
from hub_stand_in import GOOD
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from machines import LAPTOP
from transformers import AutoModelForCausalLM, AutoTokenizer

import course
import tools
from gemma_lab import (
    access,
    bench,
    catalog,
    figures,
    loading,
    memory,
    profile,
    sandbox,
    shapes,
    tokens,
)
from gemma_lab.lessons import (
    nb01,
    nb01_game,
    nb01_views,
    nb02,
    nb03,
    nb03_diagrams,
    nb04,
    nb04_ask,
    nb04_bos,
    nb05,
    nb05_keep,
    nb05_live,
    nb05_machines,
    nb05_old,
    nb05_options,
    nb05_rows,
    nb05_verdict,
    nb05_views,
    nb06,
    nb07,
    nb07_draw,
    nb07_fill,
    nb07_judge,
    nb07_judge_box,
    nb07_see,
    nb07_views,
    views,
)
from pocket.tokenizer import JUDGE_TEMPLATE

ROOT = tools.ROOT
FEW, MANY = 30, 220
POCKET = profile.CHECKPOINTS / "pocket-small-it"
TWO_B = catalog.find("google/gemma-2b")

# ------------------------------------------------------------------------- what a learner may give

SIGNS = "\ufeff\u200b\xa0\t\n\r\0\x1b\"'`“”«»/\\.:;,=*?[]{}()<>|%$#~^&@!-_ \ud83d💎éệ́"
TEXT = st.text(st.one_of(st.sampled_from(SIGNS), st.characters()), max_size=40)
NAME = st.one_of(
    TEXT,
    st.sampled_from([*catalog.CATALOG, "pocket-small", "gemma-2b", "google/gemma", "..", "/", "~"]),
    st.builds("{}/{}".format, TEXT, TEXT),
)
NUMBER = st.one_of(
    st.integers(-3, 5),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.fractions(),
    st.decimals(allow_nan=False),
    st.sampled_from([10**400, -(2**63), 1e-300, torch.tensor(3), torch.ones(2)]),
)
PLAIN = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT)
NESTED = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner)
)
ANYTHING = st.one_of(PLAIN, NUMBER, NESTED, st.binary(max_size=9), st.just(...), st.just(print))

COLUMN = st.sampled_from("instruction input output prompt completion messages context text".split())
ROW = st.dictionaries(COLUMN | TEXT, NESTED, max_size=4)
TURN = st.dictionaries(
    st.sampled_from(["role", "content"]), st.sampled_from(["user", "system"]) | NESTED
)
WORD = NAME.filter(str.isprintable)  # as typed into a command line
TYPED = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)  # into a box of a browser
SUFFIX = st.sampled_from([".csv", ".tsv", ".jsonl", ".json", ".parquet", ".xlsx", ".txt", ""])


def as_jsonl(rows: list) -> bytes:
    return "\n".join(json.dumps(row) for row in rows).encode()


def as_json(rows: list) -> bytes:
    return json.dumps(rows).encode()


def as_csv(texts: list[list[str]]) -> bytes:
    return "\n".join(",".join(row) for row in texts).encode("utf-8", "replace")


FILE = st.one_of(
    st.binary(max_size=60),
    st.lists(ROW | NESTED, max_size=5).map(as_jsonl),
    st.lists(ROW | NESTED, max_size=5).map(as_json),
    st.lists(st.lists(COLUMN | TEXT, max_size=4), max_size=5).map(as_csv),
    TEXT.map(lambda text: text.encode("utf-16", "replace")),
    TEXT.map(lambda text: text.encode("cp1252", "replace")),
)

# ------------------------------------------------------------------------- what is called with it


@functools.cache
def model():
    """The pocket model and its tokenizer."""
    loaded = AutoModelForCausalLM.from_pretrained(POCKET, dtype=torch.float32)
    return loaded, AutoTokenizer.from_pretrained(POCKET)


@functools.cache  # boxes do not keep it
def quick():
    """A model that writes nothing and thinks one thing, with the tokenizer."""

    class Quick(types.SimpleNamespace):
        def __call__(self, ids, **_):
            return types.SimpleNamespace(logits=torch.zeros(*ids.shape, 8))

    about = types.SimpleNamespace(max_position_embeddings=512)
    asked = {"device": "cpu", "config": about, "generate": lambda input_ids, **_: input_ids}
    return Quick(**asked), model()[1]


@functools.cache  # boxes do not keep it
def quick_judge():
    """A model that thinks one thing of every text, and a judge's tokenizer."""

    class Judge(types.SimpleNamespace):
        def __call__(self, input_ids, **_):
            return types.SimpleNamespace(logits=torch.zeros(len(input_ids), 1, len(tokenizer)))

    tokenizer = AutoTokenizer.from_pretrained(POCKET)
    tokenizer.chat_template = JUDGE_TEMPLATE
    about = types.SimpleNamespace(max_position_embeddings=512)
    return Judge(device="cpu", config=about), tokenizer


def saved(data: bytes, name: str) -> str:
    """The path of a file with these bytes in the working folder, which is a test's own."""
    Path(name).write_bytes(data)
    return name


def typed(box, text: str):
    """What typing `text` into a widget's first box, then pressing its buttons, runs."""
    first, *others = box.children
    first.value = text
    for one in others:
        for button in (one, *getattr(one, "children", ())):
            for press in getattr(getattr(button, "_click_handlers", None), "callbacks", ()):
                press(button)  # `click` would log an error, and go on


def slid(box, values: tuple):
    for control, value in zip(box.children, values):
        control.value = value


def in_course(words: list[str]):
    """course.py with these words: no command really starts."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("set_up", "call", "test", "fork", "offer_fork", "choose_gemma", "clean"):
            patch.setattr(course, name, lambda *_, **__: 0)
        course.main(words)


def forked(name: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tools.fork, "ROOT", Path("course"))
        patch.setattr(tools.fork, "NOTEBOOKS", Path("course"))
        Path("course").mkdir(exist_ok=True)
        Path("course", "pyproject.toml").write_text('Repository = "https://github.com/a/b"\n')
        tools.fork.fork(name)


def pushed(name: str):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_TOKEN", GOOD)
        nb05_keep.push(".", name)


def config_of(data: bytes):
    for name in (nb05_keep.CONFIG, nb05_keep.WEIGHTS):
        saved(data, name)
    nb05_keep.config_of(".")


def folder_found(data: bytes):
    Path("mine").mkdir(exist_ok=True)
    saved(data, "mine/config.json")
    return catalog.find("mine").num_parameters


def token_said(text: str):
    token = tokens.clean("the prompt", text)
    return Said(token.fault()) if token and token.fault() else None


class Said(str):
    """A sentence that comes back instead of being raised."""


SMALL = st.integers(-3, 2)
WRONG_COUNT = SMALL | st.floats() | TEXT | st.none() | st.just(10**9)
CONFIG = st.dictionaries(
    st.sampled_from(["model_type", "hidden_size", "vocab_size", "num_hidden_layers", "head_dim"]),
    st.sampled_from(["gemma", "gemma3_text", "llama"]) | SMALL | PLAIN,
).map(lambda row: json.dumps(row).encode())
ANSWER = ANYTHING | ANYTHING.map(lambda result: lambda *_: result)
LESSONS = nb01, nb02, nb03, nb04, nb04_bos, nb05, nb06, nb07, nb07_judge, nb07_see
CHECKS = {
    f"{lesson.__name__.split('.')[-1]}.{name}": (ANSWER, check)
    for lesson in LESSONS
    for name, check in inspect.getmembers(lesson)
    if hasattr(check, "judge")
}
TABLE = {
    **CHECKS,
    "access.check_access": (NAME, lambda x: Said(access.check_access(x).advice)),
    "bench.measure": (
        st.tuples(WRONG_COUNT, WRONG_COUNT, SMALL | TEXT, SMALL | st.floats()),
        lambda x: bench.measure(*model(), *x),
    ),
    "catalog.find": (NAME | st.none(), catalog.find),
    "catalog.find, a folder": (FILE | CONFIG, folder_found),
    "course.main": (
        st.lists(
            st.sampled_from("run lint fork clean --yes 04 --write --check --profile hub -h".split())
            | NAME.map(lambda name: name.replace("\0", ""))  # which no command line can hold
        ),
        in_course,
    ),
    "loading.attention_implementations": (
        NAME,
        lambda x: loading.attention_implementations(x, LAPTOP),
    ),
    "loading.plan_loading": (
        st.tuples(NAME | st.just("google/gemma-2b"), TEXT | st.sampled_from([*memory.BITS])),
        lambda x: loading.plan_loading(*x, LAPTOP),
    ),
    "memory.parts": (
        st.tuples(
            TEXT | st.sampled_from([*memory.BITS]),
            st.integers(),
            st.integers(),
            TEXT | st.sampled_from(memory.DOING),
        ),
        lambda x: memory.parts(TWO_B, *x),
    ),
    "memory.weight_bytes": (TEXT, lambda x: memory.weight_bytes(TWO_B, x)),
    "nb01_game.split": (TEXT, nb01_game.split),
    "nb01_views.next_word": (
        st.tuples(TYPED, st.floats(0, 3), st.integers(0, 10), st.floats(0.05, 1)),
        lambda x: slid(nb01_views.next_word(*model(), "a"), x),
    ),
    "nb01_views.reshape": (
        st.tuples(
            st.lists(st.floats(-99, 99), min_size=1).map(torch.tensor),
            st.floats(),
            st.integers(0, 9),
            st.floats(0, 1),
        ),
        lambda x: nb01_views.reshape(*x),
    ),
    "nb01_views.word_order": (TYPED, lambda x: typed(nb01_views.word_order(*model(), "a"), x)),
    "nb03.rope_wheels": (
        st.tuples(SMALL, SMALL, st.lists(st.floats(0, 1), min_size=1, max_size=3)),
        lambda x: nb03.rope_wheels(*x),
    ),
    "nb03_diagrams.the_map": (TEXT, nb03_diagrams.the_map),
    "nb04_ask.ask": (
        st.tuples(TEXT, SMALL | TEXT | st.just(10**9), NUMBER | TEXT),
        lambda x: nb04_ask.ask(*model(), *x),
    ),
    "nb04_ask.prompt_ids": (
        ANYTHING | st.lists(TURN),
        lambda x: nb04_ask.prompt_ids(model()[1], x),
    ),
    "nb04_ask.turns": (ANYTHING | st.lists(TURN), nb04_ask.turns),
    "nb05_keep.config_of": (FILE, config_of),
    "nb05_keep.push": (NAME, pushed),
    "nb05_live.assistant": (TYPED, lambda x: typed(nb05_live.assistant(*quick(), ""), x)),
    "nb05_machines.on_many_gpus": (NUMBER, lambda x: nb05_machines.on_many_gpus(TWO_B, x)),
    "nb05_old.rehearsed": (NUMBER, lambda x: nb05_old.rehearsed([{}] * 3, [{}], x)),
    "nb05_options.arguments": (
        st.lists(
            st.sampled_from("--model --out --rank --rows --steps --rehearse x 4".split()) | WORD
        ),
        nb05_options.arguments,
    ),
    "nb05_read.read": (
        st.tuples(FILE, SUFFIX),
        lambda x: nb05_rows.unify(saved(x[0], f"rows{x[1]}")),
    ),
    "nb05_rows.load": (
        st.tuples(FILE, SUFFIX, FILE | st.none()),
        lambda x: nb05_rows.load(
            saved(x[0], f"rows{x[1]}"), x[2] and saved(x[2], "exam.jsonl"), model()[1], 512
        ),
    ),
    "nb05_rows.load, good columns": (
        st.lists(
            st.fixed_dictionaries(
                {"instruction": TEXT | PLAIN, "input": TEXT | PLAIN, "output": TEXT | PLAIN}
            )
        ),
        lambda x: str(nb05_rows.load(saved(as_jsonl(x), "rows.jsonl"), None, model()[1], 64)),
    ),
    "nb05_rows.unify": (NAME | ANYTHING, nb05_rows.unify),
    "nb05_verdict.spread": (NUMBER, lambda x: nb05_verdict.spread([{}] * 9, x)),
    "nb05_views.budget": (
        st.tuples(
            NUMBER, st.tuples(TEXT | st.just("q_proj")), TEXT | st.just("nf4"), NUMBER | st.just(8)
        ),
        lambda x: nb05_views.budget(TWO_B, *x),
    ),
    "nb07_draw.opened": (
        st.binary(max_size=80) | st.binary(max_size=40).map(lambda end: b"\x89PNG\r\n\x1a\n" + end),
        lambda x: nb07_draw.opened(({"content": memoryview(x)},)),
    ),
    "nb07_fill.fill_in": (
        TEXT | st.none() | st.just("___"),
        lambda x: typed(nb07_fill.fill_in(*quick(), x or 5, ""), "x = ___"),
    ),
    "nb07_fill.picture": (TYPED, lambda x: nb07_fill.picture(*quick(), str(x))),
    "nb07_judge.roc": (
        st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["Yes", "No"]) | TEXT)),
        lambda x: nb07_judge.roc([one for one, _ in x], [answer for _, answer in x]),
    ),
    "nb07_judge_box.judge_box": (
        TYPED,
        lambda x: typed(nb07_judge_box.judge_box(*quick_judge(), 0.5), x),
    ),
    "nb07_judge_box.judged": (
        TEXT | ANYTHING,
        lambda x: nb07_judge_box.judged(*quick_judge(), x, "Be kind."),
    ),
    "nb07_see.patches": (
        st.tuples(st.integers(-2, 99), st.integers(-2, 99)),
        lambda x: figures.png(nb07_see.patches(shapes.draw([]), *x)),
    ),
    "nb07_see.prefix_mask": (
        st.tuples(st.integers(-1, 20), st.lists(TEXT, max_size=5), st.lists(TEXT, max_size=3)),
        lambda x: nb07_see.prefix_mask(*x),
    ),
    "nb07_see.shares_of_tokens": (
        st.tuples(st.integers(-1, 9999), st.integers(-1, 9999)),
        lambda x: nb07_see.shares_of_tokens(*x),
    ),
    "shapes.one": (
        st.tuples(WORD | st.just("star"), WORD | st.just("red"), NUMBER, NUMBER, NUMBER),
        lambda x: shapes.draw([shapes.one(*x)]),
    ),
    "nb07_views.half_lives": (
        st.tuples(st.lists(st.floats(), max_size=4), TEXT, st.integers(1, 99)),
        lambda x: nb07_views.half_lives(*x),
    ),
    "nb07_views.layer_map": (
        st.dictionaries(st.sampled_from(["a model", "đ"]), st.lists(st.sampled_from("rag?"))),
        nb07_views.layer_map,
    ),
    "nb07_views.window_mask": (
        st.tuples(st.integers(-3, 24), st.integers(-3, 24)),
        lambda x: nb07_views.window_mask(*x),
    ),
    "profile.checkpoint": (
        st.tuples(WORD, st.sampled_from([None, "pocket", "laptop", "hub"]) | TEXT),
        lambda x: profile.checkpoint(*x),
    ),
    "profile.choose_profile": (TEXT, lambda x: profile.choose_profile(x, LAPTOP, None)),
    "sandbox.run": (
        st.tuples(
            TEXT | ANYTHING, TEXT | st.just("assert f(2) == 4"), st.just(1) | NUMBER, st.just(256)
        ),
        lambda x: Said(sandbox.run(*x).why),
    ),
    "tokens.clean": (TEXT | NAME, token_said),
    "tools.find_notebooks": (st.lists(WORD), tools.find_notebooks),
    "tools.fork": (WORD, forked),
    "views.go_on": (TYPED, lambda x: typed(views.go_on(*quick(), "a"), x)),
}

ON_HUB = {  # what asks a Hub by a name: the tests' own, as offline no name is looked at
    "access.check_access",
    "catalog.find",
    "nb05_keep.push",
    "profile.checkpoint",
}


# ------------------------------------------------------------------------- the property


def is_one_sentence(text: str) -> bool:
    """It is one line, and ends as a sentence does."""
    return "\n" not in text and text.endswith((".", "?")) and len(text) < 400


@pytest.mark.parametrize("count", [FEW, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", TABLE)
def test_it_works_or_one_sentence_says_what_to_do(
    name, count, tmp_path, monkeypatch, record_property, request
):
    strategy, call = TABLE[name]
    if name in ON_HUB:
        request.getfixturevalue("no_tokens")
        request.getfixturevalue("hub")
    monkeypatch.chdir(tmp_path)
    tried = 0

    def one(given):
        nonlocal tried
        tried += 1
        shown = io.StringIO()
        try:
            with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
                said = call(given)
        except (ValueError, PermissionError, tools.CourseError) as error:
            said = Said(error)
        except SystemExit as end:  # of a command
            last = (shown.getvalue().splitlines() or ["."])[-1]
            said = end.code if isinstance(end.code, str) else ""
            assert end.code in (0, 2) or said, last
        if isinstance(said, Said):
            assert is_one_sentence(said), f"{given!r}: {said}"

    careful = settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=count == FEW,
        suppress_health_check=list(HealthCheck),
    )
    careful(given(strategy)(one))()
    assert tried >= count
    record_property("inputs", tried)


# ------------------------------------------------------------------------- nobody is forgotten

OTHERS = {  # functions that document an error, and are not in TABLE
    "they take a model, a trainer or tensors": "exercises.compared nb04_attention.tolerance "
    "nb04_language.interval nb04_probe.llama_cpp nb04_quality.read nb05_keep.save "
    "nb05_keep.check_base nb05_live.refuse_trained nb05_live.resume_point "
    "nb05_live.refuse_second_adapters nb05_views_rows.loss_tokens scores.token_kl "
    "memory.layer_bytes gemma.check_built griffin.check_built lora.add_lora lora.merge "
    "quantize.quantize_int8 quantize.quantize_blocks quantize.round_weights to_gguf.named "
    "to_gguf.write",
    "others of TABLE call them": "exercises.number exercises.text exercises.members "
    "exercises.returned nb05_check.check nb05_check.split catalog.read_config download.fetch "
    "download.fetch_pocket profile.pocket_folder",
    "they hand on what others of TABLE say": "nb00_plan.plan nb02_learn.load",
    "they read what the course has written": "nb04_language.sums",
    "of a set-up, with tests of their own": "gemma3.convert install.install "
    "install.missing_requirements install.pins start.setup",
}


def test_who_documents_an_error_is_in_the_table():
    named = {one.split(",")[0] for one in TABLE} | set(" ".join(OTHERS.values()).split())
    documented = {
        f"{path.stem}.{node.name}"
        for path in (ROOT / "gemma_lab").rglob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and "Raises" in (ast.get_docstring(node) or "")
        if not node.name.startswith("_")
    }
    assert documented - named == set(), "put them into TABLE, or say in OTHERS why not"


def test_every_check_of_an_exercise_is_in_the_table():
    for path in (ROOT / "gemma_lab" / "lessons").glob("nb*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if "exercise" in map(ast.unparse, getattr(node, "decorator_list", ())):
                assert f"{path.stem}.{node.name}" in CHECKS


def test_the_full_check_tries_ten_thousand_inputs():
    assert MANY * len(TABLE) >= 10_000
