"""Codelab 2's record: which runs, how each is called, and what the committed ones show."""

import json
import subprocess

import pytest
from notebook_cells import ROOT, tagged

from gemma_lab import catalog
from gemma_lab.lessons import nb05_options, nb05_record, nb05_verdict

RECORDS = sorted(nb05_record.FOLDER.glob("*.json"))


@pytest.mark.parametrize("profile", nb05_record.SETTINGS)
def test_the_runs_vary_one_thing_at_a_time_and_all_that_was_asked(profile):
    shared = nb05_record.SETTINGS[profile]
    every = {name: shared | options for name, options in nb05_record.runs(shared).items()}
    assert every.pop("before")["steps"] == 0
    trained = [run | {"rank": run.get("rank", 16)} for run in every.values()]
    assert {run["seed"] for run in trained} == {0, 1, 2}
    assert {run["rank"] for run in trained} == {4, 16, 64}
    assert {run["bits"] for run in trained} == {4, 16}
    assert len({run["learning_rate"] for run in trained}) == 3
    assert {bool(run.get("unsloth")) for run in trained} == {True, False}
    assert {bool(run.get("rehearse")) for run in trained} == {True, False}
    steps = {run["steps"] for name, run in every.items() if "talk" not in name}
    assert steps == {shared["steps"]}
    plain = every["seed 0"]
    for name, run in every.items():
        assert "talk" in name or len([key for key in run if run[key] != plain.get(key)]) <= 2


def test_the_talk_s_settings_are_recorded_on_a_card_with_unsloth_and_without():
    shared = nb05_record.SETTINGS["hub"]
    talk = [run for name, run in nb05_record.runs(shared).items() if "talk" in name]
    assert [bool(run.get("unsloth")) for run in talk] == [False, True]
    for run in talk:
        assert (run["steps"], run["batch_size"], run["accumulation"]) == (10, 8, 16)


def test_the_notebook_and_the_record_have_the_same_settings():
    source = tagged("05_lora_finetuning", "steps").split("on_gpu")[0]
    for size, shared in nb05_record.SETTINGS.items():
        names = {"size": size}
        exec(source, names)
        rows, batches = names["ROWS_A_STEP"], names["ACCUMULATION"]
        assert (names["STEPS"], names["LEARNING_RATE"], rows, batches) == (
            shared["steps"],
            shared["learning_rate"],
            shared["batch_size"],
            shared.get("accumulation", 1),
        )


def test_the_script_takes_every_command(tmp_path):
    for shared in nb05_record.SETTINGS.values():
        for options in nb05_record.runs(shared).values():
            words = nb05_record.command("some-model", tmp_path, shared | options)
            chosen = nb05_options.arguments(words[words.index("--model") :])
            for name, value in (shared | options).items():
                assert getattr(chosen, name) == value
            assert chosen.judge and chosen.model == "some-model"


RUN = {
    "exam": "0",
    "target": {"loss": 0.5, "exact": 0.25, "stops": 1.0},
    "topics_exact": 0.5,
    "topics_in_format": 1.0,
    "regression": {"own old answers, English": 0.8, "perplexity, English paragraphs": 12.0},
    "tokens_per_s": 3.0,
    "examples": [],
}


@pytest.fixture
def faked(monkeypatch, tmp_path):
    """Runs that take no time; the list of those that were started."""
    started = []

    def run(words, **_):
        if "--out" not in words:
            raise FileNotFoundError("there is no nvidia-smi")
        out = words[words.index("--out") + 1]
        started.append(out)
        (tmp_path / "work").mkdir(exist_ok=True)
        folder = nb05_record.Path(out)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps(RUN))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(nb05_record, "FOLDER", tmp_path / "recorded")
    return started


def test_a_record_goes_on_where_it_stopped_and_holds_no_path(faked, tmp_path):
    work = tmp_path / "work"
    out = nb05_record.record(work)
    (seed,) = work.glob("pocket-small-it-*/seed-1")
    for left in work.glob("pocket-small-it-*/*"):
        if left != seed:  # as if it had been stopped
            (left / "run.json").unlink()
            left.rmdir()
    faked.clear()
    assert nb05_record.record(work) == out
    expected = len(nb05_record.runs(nb05_record.SETTINGS["pocket"]))
    assert len(faked) == expected - 1 and not any(name.endswith("/seed-1") for name in faked)
    found = json.loads(out.read_text(encoding="utf-8"))
    assert out.name == "pocket-small-it_cpu.json" and found["model"] == "pocket-small-it"
    assert len(found["runs"]) == expected and found["runs"]["rank 4"]["rank"] == 4
    assert str(tmp_path) not in out.read_text() and str(catalog.DATA) not in out.read_text()
    assert nb05_record.recorded("google/pocket-small-it") == found
    assert nb05_record.recorded("another") is None
    nb05_record.record(work)
    assert len(faked) == expected - 1, "nothing is run twice"


def test_the_table_has_a_row_a_run_and_the_spread_of_the_seeds():
    runs = {name: dict(RUN) for name in nb05_record.runs(nb05_record.SETTINGS["laptop"])}
    runs["before"]["regression"] = RUN["regression"] | {"perplexity, English paragraphs": 10.0}
    runs["before"]["three_examples"] = {"loss": 0.1, "exact": 0.5}
    runs["seed 2"]["target"] = RUN["target"] | {"exact": 0.75}
    table = nb05_record.table({"runs": runs})
    assert [name for name in table.index if name in runs] == list(runs)
    assert table.loc["examples in the prompt", "topics exact, of 14"] == 7
    assert table.loc["examples in the prompt"].count() == 1, (
        "its loss is of other rows than the runs'"
    )
    assert table.loc["rank 4", "perplexity, English, + %"] == pytest.approx(20)
    assert table.loc["three seeds, least", "exact, % of 84"] == 25
    assert table.loc["three seeds, most", "exact, % of 84"] == 75
    assert table.loc["rehearsed, three seeds, most", "exact, % of 84"] == 25


# ------------------------------------------------------------------ what is committed


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_committed_record_is_whole_and_of_this_exam(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    assert set(found["runs"]) == set(nb05_record.runs(found["shared"]))
    exam = catalog.json_lines("health_instructions_held_out.jsonl")
    assert {run["exam"] for run in found["runs"].values()} == {nb05_verdict.digest(exam)}
    assert found["command"] == "python -m gemma_lab.bench --record finetune"
    assert set(found["versions"]) == set(nb05_record.PACKAGES) and found["machine"]["num_cores"]
    for name, run in found["runs"].items():
        assert len(run["examples"]) == 3 and (name == "before" or len(run["losses"]) > 1)


def test_unsloth_and_plain_peft_begin_alike_and_stay_near():
    """Each in a process of its own; the 270M in bfloat16, so that rounding drives them apart."""
    runs = nb05_record.recorded("gemma-3-270m")["runs"]
    plain, unsloth = (list(runs[name]["losses"].values()) for name in ("seed 0", "Unsloth"))
    gaps = [abs(one - other) for one, other in zip(plain, unsloth, strict=True)]
    assert max(gaps[:3]) < 5e-5 and 0 < max(gaps) < 0.1


def test_each_seed_of_the_270m_learns_the_card_and_forgets_some_english():
    """Twelve of fourteen unseen topics, a loss of 0.03 at most; the price stands beside it."""
    found = nb05_record.recorded("gemma-3-270m")
    before = found["runs"]["before"]["regression"]
    for seed in (0, 1, 2):
        run = found["runs"][f"seed {seed}"]
        assert 14 * run["topics_exact"] >= 12 and run["target"]["loss"] <= 0.03
        english = "perplexity, English paragraphs"
        assert 1.05 < run["regression"][english] / before[english] < 2


def test_the_text_of_notebook_05_says_what_the_record_of_the_270m_says():
    notebook = (ROOT / "notebooks" / "05_lora_finetuning.ipynb").read_text(encoding="utf-8")
    table = nb05_record.table(nb05_record.recorded("gemma-3-270m"))

    def spread(kind: str, column: str) -> str:
        least, most = (table.loc[f"{kind}three seeds, {end}", column] for end in ("least", "most"))
        return f"{least:.0f} to {most:.0f} %"

    for kind in ("", "rehearsed, "):
        for language in ("English", "Vietnamese"):
            assert spread(kind, f"perplexity, {language}, + %") in notebook
    shares = table.loc[["three seeds, least", "three seeds, most"], "exact, % of 84"]
    least, most = (round(0.84 * share) for share in shares)
    assert f"of all 84 rows {least} to {most}" in notebook
    topics, english = table["topics exact, of 14"], table["perplexity, English, + %"]
    assert [*topics[[f"seed {seed}" for seed in (0, 1, 2)]]] == [12, 12, 12]
    assert (topics["examples in the prompt"], topics["rank 4"], topics["rank 64"]) == (2, 11, 14)
    assert topics["learning rate 0.00025"] == 10 and abs(english["learning rate 0.00025"]) < 1
    assert (
        topics["learning rate 0.004"] == 12 and 6.5 < 1 + english["learning rate 0.004"] / 100 < 7.5
    )
    assert english.drop("learning rate 0.004").idxmax() == "4 bits"
