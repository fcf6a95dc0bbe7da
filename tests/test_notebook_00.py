"""Notebook 00: the talk's cell, the Hub's answers, the plan for described machines, its numbers."""

import ast
import itertools
import json
import os
import re
import sys
from dataclasses import replace

import machines
import matplotlib
import pytest
from hub_stand_in import FINE, GOOD, NEW, WRONG, status
from notebook_cells import ROOT, minutes, numbers, run_cells, shown, shown_table, tagged, text_shown

matplotlib.use("Agg")
import gemma_lab
from gemma_lab import catalog, gemma3, hardware, loading, profile
from gemma_lab.access import Access
from gemma_lab.hardware import A100, T4
from gemma_lab.lessons import nb00, nb00_plan, nb04_fit
from tools import find_notebooks
from tools.contract import code_cells, markdown_cells, text

NAME = "00_prework"
SLIDE = """import os
from google.colab import userdata
os.environ["HF_TOKEN"] = userdata.get('HF_TOKEN')"""
NOTEBOOK = json.loads((ROOT / "notebooks" / f"{NAME}.ipynb").read_text(encoding="utf-8"))
PROSE = "\n".join(map(text, markdown_cells(NOTEBOOK)))
TWO, SEVEN, GEMMA_2, *FAMILY, TINY = nb00.USED_IN
GRANTS = nb00_plan.GRANTS
NONE, ONE, ALL = GRANTS.values()


@pytest.fixture
def colab(no_tokens, monkeypatch):
    """A function that starts Colab's stand-in with the secrets that it is given."""

    def start(**secrets):
        stand_in = str(ROOT / "tests" / "colab_stand_in")
        monkeypatch.syspath_prepend(stand_in)
        monkeypatch.setenv("COLAB_SECRETS", json.dumps(secrets))

    return start


# ------------------------------------------------------------------------- the talk's three lines


def test_the_slides_lines_stand_in_the_text_to_the_letter_and_in_the_cell():
    assert f"```python\n{SLIDE}\n```" in PROSE
    first, _, block = ast.parse(tagged(NAME, "talks-way")).body
    assert ast.unparse([first, *block.body]) == ast.unparse(ast.parse(SLIDE).body)


@pytest.mark.parametrize(
    "secrets, says",
    [
        ({"HF_TOKEN": GOOD}, "Colab gave the secret HF_TOKEN."),
        ({}, "no secret (SecretNotFoundError)"),
        ({"HF_TOKEN": "denied"}, "no secret (NotebookAccessError)"),
        ({"HF_TOKEN": "slow"}, "no secret (TimeoutException)"),
        ({"HF_TOKEN": None}, "no secret (TypeError)"),
    ],
)
@pytest.mark.parametrize("before", [{}, {"HF_TOKEN": NEW}])
def test_on_colab_they_say_one_sentence_and_leave_no_copy(
    colab, capsys, monkeypatch, secrets, says, before
):
    colab(**secrets)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    left = run_cells(NAME, "talks-way")
    said = capsys.readouterr().out
    assert says in said and said.count("\n") == 1 and "hf_" not in said
    assert os.environ.get("HF_TOKEN") == before.get("HF_TOKEN")
    assert not [name for name, value in left.items() if value in (GOOD, NEW)]


def test_elsewhere_they_say_that_this_is_not_colab(no_tokens, capsys):
    run_cells(NAME, "talks-way")
    assert "This is not Colab" in capsys.readouterr().out and "HF_TOKEN" not in os.environ


def test_an_interrupt_passes_and_no_frame_of_ours_shows_the_token(no_tokens, monkeypatch):
    """`%xmode Verbose` prints the variables of each frame of a traceback."""
    monkeypatch.setenv("HF_TOKEN", GOOD)
    with pytest.raises(KeyboardInterrupt) as caught, nb00.the_talks_way():
        os.environ["HF_TOKEN"] = NEW
        raise KeyboardInterrupt
    assert os.environ["HF_TOKEN"] == GOOD
    assert not [one for one in caught.traceback if GOOD in one.frame.f_locals.values()]


# --------------------------------------------------------------------------- what may be downloaded


@pytest.fixture
def course_hub(hub, no_tokens):
    """The Hub with the course's seven models, all gated; GOOD has the licence of 2B alone."""
    for hub_id in nb00.USED_IN:
        (hub.root / hub_id).mkdir(parents=True, exist_ok=True)
    hub.gated = set(nb00.USED_IN)
    return hub


def answers(token: str | None, monkeypatch) -> tuple[dict, list[dict]]:
    """The Hub's answers with `token` in the environment, and the rows of the table."""
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    found = nb00.ask_for_each(nb00.look_for_token())
    rows = nb00.access_rows(found)
    assert token is None or token not in str(rows) + nb00.as_html(rows)
    return found, rows


@pytest.mark.parametrize(
    "token, may, says",
    [
        (GOOD, "yes", f"Accept the licence on https://huggingface.co/{SEVEN}"),
        (NEW, "", f"Accept the licence on https://huggingface.co/{TWO}"),
        (FINE, "", "“Read access to contents of all public gated repos"),
        (WRONG, "", "make a new Read token"),
        (None, "", "Make a Read token"),
    ],
)
def test_each_model_has_a_row_with_what_to_do(course_hub, monkeypatch, token, may, says):
    found, rows = answers(token, monkeypatch)
    every = may.split() + ["no"] * (len(nb00.USED_IN) - len(may.split()))
    assert [row["may be downloaded"] for row in rows] == every
    assert any(says in row["what to do"] for row in rows)
    assert "Nothing" in rows[-1]["what to do"]  # the 270M needs no licence
    assert course_hub.fetched == []


def test_a_secret_that_was_replaced_is_read_by_the_same_cell(course_hub, colab, capsys):
    colab(HF_TOKEN=WRONG)
    run_cells(NAME, "talks-way", "access")
    colab(HF_TOKEN=GOOD)
    left = run_cells(NAME, "talks-way", "access")
    assert left["found"][TWO].status == "ok" and "hf_" not in capsys.readouterr().out
    assert str(left["token"]) == "a token from the Colab secret HF_TOKEN"


def test_a_hub_that_does_not_answer_is_asked_once(course_hub, monkeypatch):
    course_hub.faults = [status(503)]
    found, rows = answers(None, monkeypatch)
    assert len(course_hub.asked) == 1 and {one.status for one in found.values()} == {"no-network"}
    assert [row["may be downloaded"] for row in rows] == ["not known"] * len(nb00.USED_IN)
    assert "wait a minute" in rows[0]["what to do"] and rows[1]["what to do"] == "As above."


def test_a_table_links_the_licence_pages_and_shows_no_markup_of_its_values():
    html = nb00.as_html([{"page": nb00.HUB + TWO, "advice": "a <b> & c"}])
    assert f'<a href="https://huggingface.co/{TWO}" target="_blank">{TWO}</a>' in html
    assert "a &lt;b&gt; &amp; c" in html


# ----------------------------------------------------------------------------------------- the plan

COLAB_CPU = replace(machines.LAPTOP, is_colab=True)
# machine, answers, hosted -> the profiles of 04 and 06, precisions of 04, all GB but those of 07
WORLDS = {
    "laptop, no token": (machines.LAPTOP, NONE, False, "laptop laptop", "fp32 bf16 int8 nf4", 0),
    "laptop, all granted": (machines.LAPTOP, ALL, False, "laptop laptop", "fp32 bf16 int8 nf4", 0),
    "Mac": (machines.MAC, NONE, False, "laptop laptop", "fp32 int8 nf4", 0),
    "P100": (machines.P100, ALL, False, "laptop laptop", "fp32 bf16 int8 nf4", 0),
    "Colab CPU": (COLAB_CPU, NONE, True, "laptop laptop", "fp32 int8 nf4", 1.62),
    "Colab CPU, all": (COLAB_CPU, ALL, True, "hub laptop", "fp32 fp16 int8 nf4; nf4", 28.18),
    "Colab T4, 2B": (T4, ONE, True, "hub laptop", "fp32 fp16 int8 nf4", 11.1),
    "Kaggle, no token": (machines.TWO_T4, NONE, True, "laptop laptop", "fp32 int8 nf4", 1.62),
    "Kaggle, all": (machines.TWO_T4, ALL, True, "hub hub", "fp32 fp16 int8 nf4; nf4", 34.48),
    "8 GB, all": (machines.CARD_8_GB, ALL, False, "hub hub", "bf16 int8 nf4; nf4", 27.32),
    "4 GB, 2B": (machines.CARD_4_GB, ONE, False, "hub hub", "nf4", 5.01),
    "L4, all": (machines.L4, ALL, True, "hub laptop", "fp32 bf16 int8 nf4; nf4", 28.18),
}


def planned(machine, found, hosted=False, **options) -> dict[str, dict]:
    rows = nb00_plan.plan(machine, found, is_hosted=hosted, **options)
    return {row["notebook"]: row for row in rows}


@pytest.mark.parametrize("name", WORLDS)
def test_the_plan_of_each_world(name):
    machine, found, hosted, worlds, precisions, gb = WORLDS[name]
    rows = planned(machine, found, hosted)
    assert [rows[number]["profile"].split(",")[0] for number in ("04", "06")] == worlds.split()
    assert rows["04"]["precisions"] == precisions
    before_07 = [row for number, row in rows.items() if number != "07"]
    assert nb00_plan.total_gb(before_07) == pytest.approx(gb, abs=0.02)
    assert all(rows[number]["models"] == "gemma-3-270m" for number in ("01", "02", "03"))


# Parameters by arXiv:2406.11409 (Gemma's own) and arXiv:2404.07839; a file has 2 bytes for each.
CODE_GB, CODE_7B_GB, RECURRENT_GB, TINY_GB = 5.01, 17.08, 5.37, 0.54
SEE_GB = 5.85  # 2,923,466,480 parameters, as the Hub shows of google/paligemma-3b-mix-224
SHIELD_GB = 5.23  # Gemma 2 2B's parameters: tests/models.py
PACKAGE_GB = 0.27  # of the 270M, where a notebook starts on a new machine
WORLDS_OF_07 = {
    "laptop, all granted": (machines.LAPTOP, ALL, False, "fp32", 0),
    "Colab, all": (T4, ALL, True, "fp32", PACKAGE_GB),
    "Kaggle, 2B": (machines.TWO_T4, ONE, True, "fp32", TINY_GB),
    "Kaggle, all": (
        machines.TWO_T4,
        ALL,
        True,
        "fp32; fp16; nf4; fp16; fp16; fp16",
        TINY_GB + CODE_GB + CODE_7B_GB + SEE_GB + SHIELD_GB + RECURRENT_GB,
    ),
    "8 GB, all": (
        machines.CARD_8_GB,
        ALL,
        False,
        "fp32; bf16; nf4; bf16; bf16; bf16",
        CODE_GB + CODE_7B_GB + SEE_GB + SHIELD_GB + RECURRENT_GB,
    ),
    "4 GB, all": (
        machines.CARD_4_GB,
        ALL,
        False,
        "fp32; nf4; nf4; nf4; nf4",
        CODE_GB + SEE_GB + SHIELD_GB + RECURRENT_GB,
    ),
    "2 GB, all": (machines.CARD_2_GB, ALL, False, "fp32", 0),
}


@pytest.mark.parametrize("name", WORLDS_OF_07)
def test_the_plan_of_07_in_each_world(name):
    machine, found, hosted, precisions, gb = WORLDS_OF_07[name]
    row = planned(machine, found, hosted)["07"]
    assert row["precisions"] == precisions and row["GB"] == pytest.approx(gb, abs=0.02)
    assert row["models"].startswith("gemma-3-270m")
    assert ("codegemma-7b-it" in row["models"]) == (gb > 25)  # it and the others
    is_on_cpu = machine.is_colab or machine.device == "cpu"  # Colab opens it without a GPU
    assert row["profile"].endswith(", on a CPU" if is_on_cpu else f", on {machine.gpu_name}")


def test_one_of_the_family_may_be_granted_alone_and_one_has_no_public_copy():
    alone = planned(machines.CARD_8_GB, ONE | {FAMILY[-1]: nb00_plan.YES})["07"]
    assert alone["models"] == "gemma-3-270m, recurrentgemma-2b"
    assert alone["GB"] == pytest.approx(RECURRENT_GB, abs=0.01)
    assert alone["tonight"].startswith(
        "Get codegemma-2b, codegemma-7b-it, paligemma-3b-mix-224 and shieldgemma-2b: "
    )
    copies = planned(machines.CARD_8_GB, NONE, requested="mirror")["07"]
    assert copies["models"] == "gemma-3-270m, codegemma-2b, codegemma-7b-it"


@pytest.mark.parametrize(
    "machine", [machines.LAPTOP, machines.MAC, machines.CARD_8_GB, machines.CARD_4_GB, A100]
)
def test_codelab_1_has_the_same_plan_of_its_own(machine):
    machine = replace(machine, is_colab=False)
    row, theirs = planned(machine, ALL, has_270m=False)["04"], nb04_fit.plan_for(machine)
    if theirs["model"] == TINY:  # they count the Hub's file, we what the package has brought
        row = planned(machine, ALL)["04"]
    else:
        assert row["GB"] == pytest.approx(theirs["download_gb"], abs=0.06)
    assert row["models"].startswith(theirs["model"].removeprefix("google/"))
    assert (SEVEN.removeprefix("google/") in row["models"]) == bool(theirs["large"])
    first = row["precisions"].split(";")[0].split()
    assert first == [one for one in theirs["ladder"] if one != "bf16" or machine.has_bf16]


@pytest.mark.parametrize("has_bf16, wanted", [(True, "bf16"), (False, "fp32")])
def test_codelab_2_trains_in_float32_where_a_cpu_emulates_bfloat16(has_bf16, wanted):
    rows = planned(replace(machines.LAPTOP, cpu_has_bf16=has_bf16), ALL)
    assert rows["05"]["precisions"] == wanted


def test_a_notebook_downloads_what_an_earlier_one_has_not():
    hosted, own = (planned(machines.CARD_8_GB, ALL, hosted) for hosted in (True, False))
    assert own["05"]["GB"] == 0 < own["04"]["GB"] and hosted["05"]["GB"] == 5.01
    first = planned(machines.CARD_8_GB, ALL, has_270m=False)
    assert [first[number]["GB"] for number in ("01", "02")] == [0.54, 0]


@pytest.mark.parametrize(
    "machine, found, hosted, number, says",
    [
        (T4, NONE, True, "04", "Get gemma-2b-it and gemma-7b-it: section 2 says how."),
        (T4, ONE, True, "04", "Get gemma-7b-it: section 2 says how."),
        (machines.TWO_T4, ONE, True, "06", "Get gemma-2-2b-it: section 2 says how."),
        (machines.CARD_4_GB, ONE, False, "04", "Run it once, on a good network."),  # not 7B
        (machines.CARD_4_GB, ALL, False, "06", "Nothing."),  # 06 itself asks what fits
        (machines.CARD_4_GB, ONE, False, "06", "Nothing."),
        (
            machines.TWO_T4,
            NONE,
            True,
            "07",
            "Get codegemma-2b, codegemma-7b-it, paligemma-3b-mix-224, shieldgemma-2b and "
            "recurrentgemma-2b: section 2",
        ),
        (
            machines.CARD_4_GB,
            ONE,
            False,
            "07",
            "Get codegemma-2b, paligemma-3b-mix-224, shieldgemma-2b and recurrentgemma-2b:",
        ),
        (machines.CARD_4_GB, ALL, False, "07", "Run it once, on a good network."),  # not 7B
        (T4, NONE, True, "07", "Nothing."),  # Colab opens it without a GPU
        (machines.CARD_8_GB, ALL, False, "05", "Nothing."),
        (machines.LAPTOP, NONE, False, "04", "Nothing."),
    ],
)
def test_what_to_do_tonight(machine, found, hosted, number, says):
    assert planned(machine, found, hosted)[number]["tonight"].startswith(says)


def test_a_profile_that_does_not_fit_is_named():
    rows = planned(machines.CARD_2_GB, ALL, requested="hub")
    assert rows["05"]["precisions"] == "nf4 (does not fit)"
    assert rows["05"]["tonight"] in ("As above.", rows["04"]["tonight"])
    assert rows["04"]["tonight"].startswith("Set GEMMA_LAB_PROFILE to laptop for this one")
    assert planned(machines.CARD_2_GB, ALL)["04"]["tonight"] == "Nothing."


def test_the_columns_that_decide_come_first():
    """A telephone shows the first ones without scrolling."""
    (row, *_) = nb00_plan.plan(machines.LAPTOP, NONE)
    assert [*row] == ["notebook", "tonight", "GB", "models", "precisions", "profile"]
    (row, *_) = nb00.access_rows(NONE)
    assert [*row] == ["model, licence page", "what to do", "may be downloaded", "used in"]


def test_without_a_network_and_without_the_270m():
    found = dict.fromkeys(nb00.USED_IN, Access("no-network", "The Hub does not answer."))
    rows = planned(machines.TWO_T4, found, True, has_270m=False)
    assert {row["profile"].split(",")[0] for row in rows.values()} == {"pocket"}
    assert rows["01"]["models"] == "pocket-small" and rows["04"]["models"] == "pocket-small-it"
    assert (
        "Switch the Internet on" in rows["01"]["tonight"] and rows["02"]["tonight"] == "As above."
    )
    assert rows["04"]["tonight"].startswith("Run section 2 again")
    own = planned(machines.LAPTOP, found, has_270m=False)
    assert own["01"]["tonight"] == gemma3.MISSING and own["06"]["GB"] == 0


@pytest.mark.parametrize("word", profile.PROFILES)
def test_the_profile_is_the_one_that_set_up_chooses(word, monkeypatch):
    """And the codelabs' main model is that of `main_model`."""
    monkeypatch.setenv("GEMMA_LAB_PROFILE", f" {word.upper()} ")
    monkeypatch.setattr(gemma3, "is_here", lambda: True)
    rows = {row["notebook"]: row for row in nb00_plan.plan_here(machines.CARD_8_GB, ONE)}
    wanted = profile.choose_profile(word, machines.CARD_8_GB, ONE[TWO], True)
    assert rows["04"]["profile"].startswith(wanted.name)
    assert (SEVEN.removeprefix("google/") in rows["04"]["models"]) == wanted.uses_mirror
    monkeypatch.setattr(profile, "current_profile", lambda: wanted)
    main = profile.main_model()
    main = catalog.find(main).pocket if wanted.name == "pocket" else main
    assert rows["05"]["models"] == main.removeprefix("google/")


def test_every_later_notebook_has_a_row_and_colab_opens_it_where_the_plan_says():
    later = [path for path in find_notebooks([]) if path.stem != NAME]
    assert [path.stem[:2] for path in later] == [*nb00_plan.NOTEBOOKS]
    notebooks = {path.stem[:2]: json.loads(path.read_text(encoding="utf-8")) for path in later}
    on_t4 = [name for name, one in notebooks.items() if "accelerator" in one["metadata"]]
    assert on_t4 == [*nb00_plan.CODELABS]
    for hub_id, used in nb00.USED_IN.items():  # the ids that their code names, or main_model's
        asks = rf'"{hub_id}"|\w+\.main_model\(\)' if hub_id == TWO else f'"{hub_id}"'
        code = {name: "\n".join(map(text, code_cells(one))) for name, one in notebooks.items()}
        call = rf'(?:checkpoint|nb02_learn\.load)\((?:{asks})\)|nb07\.choose\("{hub_id}"'
        loads = [name for name in code if re.search(call, code[name])]
        assert used == "all" or set(loads) <= set(used.split(", ")), hub_id
        assert hub_id != TINY or set(loads) | {"05"} == set(code)  # 05 trains it: main_model
    chosen = re.findall(r'nb07\.choose\("(.+?)", (.+?)\)', code["07"])
    asked = {hub_id: tuple(re.findall(r"\w+", precisions)) for hub_id, precisions in chosen}
    assert asked and asked.items() <= nb00_plan.ALSO["07"].items()


def test_the_precision_is_that_in_which_the_machine_computes():
    for machine, found in ((machines.TWO_T4, NONE), (machines.TWO_T4, ALL), (machines.L4, ALL)):
        row = planned(replace(machine, is_colab=False), found)["05"]
        model = f"google/{row['models']}"
        is_tiny = model == TINY
        one = loading.plan_loading(model, "bf16" if is_tiny else "nf4", machine)
        assert row["precisions"] == ({"float32": "fp32"}[one.dtype] if is_tiny else "nf4")


def test_the_view_answers_for_every_card_and_token():
    view = nb00_plan.what_if(machines.LAPTOP, NONE)
    card, grant, table = view.children
    seen = set()
    for card_name, grant_name in itertools.product(card.options, grant.options):
        card.value, grant.value = card_name, grant_name
        assert table.value.count("<tr") == 1 + len(nb00_plan.NOTEBOOKS)
        assert '<p role="status">To download: ' in table.value
        seen.add((card.value, table.value))
    assert len(seen) >= len(card.options) + 6  # and a token changes what a T4 and a card get


def test_the_picture_has_the_gb_of_the_plan_and_a_telephone_shows_its_words():
    figure = nb00_plan.download_bars()
    (axis,) = figure.axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    bars = dict(zip(names, [bar.get_width() for bar in axis.patches]))
    assert len(bars) == 9 and bars["8 GB card: no token"] == 0
    for grant, answers in GRANTS.items():
        gb = nb00_plan.total_gb(nb00_plan.plan_on("Colab", answers))
        assert bars[f"Colab: {grant}"] == gb
    scale = 350 / 72 / figure.get_size_inches()[0]  # pixels a point, in a page of 400
    texts = [*axis.get_yticklabels(), *axis.texts, *figure.texts]
    assert min(one.get_fontsize() for one in texts) * scale >= 9
    figure.draw_without_rendering()
    assert min(one.get_window_extent().x0 for one in texts) >= 0
    assert max(one.get_window_extent().x1 for one in texts) <= figure.bbox.x1
    matplotlib.pyplot.close(figure)


# ------------------------------------------------------------------- every world to the last cell


@pytest.mark.parametrize(
    "machine, secrets, accepted, world",
    [
        (machines.LAPTOP, None, (), "laptop, on a CPU"),
        (COLAB_CPU, {}, (), "laptop, on Tesla T4"),
        (T4, {"HF_TOKEN": "denied"}, (), "laptop, on Tesla T4"),
        (T4, {"HF_TOKEN": GOOD}, (TWO,), "hub, on Tesla T4"),
        (machines.CARD_4_GB, None, (), "laptop, on NVIDIA RTX A500 Laptop GPU"),
        (machines.MAC, None, (), "laptop, on an Apple GPU"),
    ],
)
@pytest.mark.parametrize("has_270m", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_all_cells_run_and_a_model_answers(
    course_hub, colab, monkeypatch, capsys, machine, secrets, accepted, world, has_270m, request
):
    """The machine is described; the Hub has no files, so that the 270M comes from here or not."""
    if secrets is not None:
        colab(**secrets)
    if has_270m:
        request.getfixturevalue("real_gemma")
    else:
        monkeypatch.setattr(gemma3, "find", lambda: None)
        monkeypatch.setattr(gemma3, "MODULES", ("no_such_package",))
        world = world.replace("laptop", "pocket")
    course_hub.accepted = {GOOD: set(accepted)}
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "auto")
    monkeypatch.setattr(hardware, "describe_machine", lambda: machine)
    cells = ("talks-way", "access", "plan", "what-if", "first-model", "first-answer")
    left = run_cells(NAME, *cells, gemma_lab=gemma_lab)
    said = capsys.readouterr().out
    assert left["rows"][3]["profile"] == world and len(left["rows"]) == 7
    on_cpu = left["rows"][0]["profile"].split(",")[0]  # on Colab without a GPU, for one
    assert on_cpu == ("laptop" if has_270m or "hub" in world else "pocket")
    assert "quy tụ những chuyên gia hàng" in said.splitlines()[-1] and "hf_" not in said
    assert ("hàng đầu trong lĩnh vực" in said) == has_270m
    assert [name for name, one in left["found"].items() if one.status == "ok"] == [*accepted]


def test_the_cells_run_offline(no_tokens, monkeypatch, capsys):
    left = run_cells(NAME, "talks-way", "access", "plan", "what-if", gemma_lab=gemma_lab)
    assert {one.status for one in left["found"].values()} == {"no-network"}
    assert "google.colab" not in sys.modules


def test_another_beginning_needs_no_other_load_nor_care_for_a_space(capsys, monkeypatch):
    monkeypatch.setenv("GEMMA_LAB_PROFILE", "pocket")
    cell, said = tagged(NAME, "first-answer"), []
    assert "from_pretrained" not in cell
    names = run_cells(NAME, "first-model", gemma_lab=gemma_lab)
    for end in ('hàng"', 'hàng  "', 'hàng hóa"'):
        capsys.readouterr()
        exec(cell.replace('hàng"', end), names)
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] and "hàng  " not in said[1] and "hàng hóa" in said[2]


# ------------------------------------------------------------------------------ what the text says


def test_numbers_of_the_text():
    gb = {grant: nb00_plan.total_gb(nb00_plan.plan_on("Colab", GRANTS[grant])) for grant in GRANTS}
    assert f"Colab fetches {gb['no token']:.1f} GB" in PROSE
    seven = 2 * catalog.find(SEVEN).num_parameters / 1e9
    assert f"it is {gb['all granted']:.0f} GB, and {seven:.0f} of them are Gemma 7B" in PROSE
    assert f"Gemma 7B alone is {seven:.0f} GB" in PROSE
    own = nb00_plan.total_gb(nb00_plan.plan_on("a card of 8 GB", ALL))
    assert f"With a card of 8 GB it is {own:.0f} GB: 07 fetches CodeGemma 7B, too" in PROSE
    assert f"which is {2**30 / 1e9 - 1:.0%} more".replace("%", " %") in PROSE
    assert nb00_plan.plan_on("a card of 4 GB", ALL)[3]["precisions"] == "nf4"
    assert gemma3.COST == "a download of 266 MB, and 0.9 GB of disk"
    assert len(nb00.USED_IN) == 9 and "asked the Hub about nine models" in PROSE


def test_it_fits_ten_live_minutes():
    assert minutes(NOTEBOOK["cells"]) <= 10


def test_what_is_stored_is_the_270ms_answer_and_a_plan_without_a_download():
    assert "những chuyên gia hàng đầu trong lĩnh vực công nghệ và thiết kế" in shown(
        NAME, "first-answer"
    )
    (plan,) = [c for c in code_cells(NOTEBOOK) if "plan" in c["metadata"].get("tags", [])]
    gib, gb, download = numbers(text_shown(plan))[:3]
    assert gb == pytest.approx(gib * 1.0737, abs=0.11) and download == 0  # both are rounded
    table = shown_table(NAME, "plan")
    assert [*table] == [*nb00_plan.NOTEBOOKS] and table["05"]["models"] == "gemma-3-270m"
    asked = shown_table(NAME, "access")
    assert {row["may be downloaded"] for row in asked.values()} == {"not known"}
    assert [*asked] == [*nb00.USED_IN]


def minutes_in_map(readme: str) -> dict[str, tuple[int, int]]:
    """Notebook -> minutes live, and minutes alone, as the course map has them."""
    rows = r"^\| (\d\d) \|.*?\| (\d+) / (\d+) \|"
    found = re.findall(rows, (ROOT / readme).read_text(encoding="utf-8"), re.M)
    return {number: (int(live), int(alone)) for number, live, alone in found}


@pytest.mark.parametrize("number", ["00", *nb00_plan.NOTEBOOKS])
@pytest.mark.parametrize("readme", ["README.md", "README.vi.md"])
def test_map_and_header_give_the_same_minutes_and_the_text_takes_them(number, readme):
    (path,) = (ROOT / "notebooks").glob(f"{number}_*.ipynb")
    notebook = json.loads(path.read_text(encoding="utf-8"))
    live, alone = minutes_in_map(readme)[number]
    deeper = "" if number == "00" else ", with *Go deeper*"
    assert f"Live: {live} minutes. Alone{deeper}: {alone}." in text(notebook["cells"][0])
    assert alone == pytest.approx(minutes(notebook["cells"]), abs=5)


@pytest.mark.parametrize(
    "readme, says",
    [
        ("README.md", "two hours in a workshop, with 00 to 06; alone, about seven and a half"),
        ("README.vi.md", "hai tiếng trong một workshop, với 00 đến 06; nếu tự học thì khoảng bảy"),
    ],
)
def test_the_hours_are_those_of_the_map(readme, says):
    found = minutes_in_map(readme)
    assert sum(live for number, (live, _) in found.items() if number != "07") <= 120
    assert sum(alone for _, alone in found.values()) / 60 == pytest.approx(7.5, abs=0.25)
    assert says in (ROOT / readme).read_text(encoding="utf-8")
