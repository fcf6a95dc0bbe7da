"""Codelab 2's record: which runs, how each is called, and what the committed ones show."""

import json
import subprocess

import pytest

from gemma_lab import bench, catalog
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
    assert {run["steps"] for run in trained} == {shared["steps"]}
    plain = every["seed 0"]
    for run in every.values():
        assert len([key for key in run if run[key] != plain.get(key)]) <= 2


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

    def run(words, check):
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
    (work / "seed-1").mkdir(parents=True)
    (work / "seed-1" / "run.json").write_text(json.dumps(RUN))
    out = nb05_record.record(work)
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
    runs["seed 2"]["target"] = RUN["target"] | {"exact": 0.75}
    table = nb05_record.table({"runs": runs})
    assert list(table.index[: len(runs)]) == list(runs)
    assert table.loc["rank 4", "perplexity, English paragraphs, + %"] == pytest.approx(20)
    assert table.loc["three seeds, least", "exact, % of 84"] == 25
    assert table.loc["three seeds, most", "exact, % of 84"] == 75
    assert table.loc["rehearsed, three seeds, most", "exact, % of 84"] == 25


def test_the_command_records_this_lab_and_asks_for_a_model_otherwise(monkeypatch, capsys):
    called = []
    done = subprocess.CompletedProcess([], 0)
    monkeypatch.setattr(subprocess, "run", lambda words: called.append(words) or done)
    with pytest.raises(SystemExit) as ended:
        bench.main(["--record", "finetune"])
    assert ended.value.code == 0 and called[0][-1] == "gemma_lab.lessons.nb05_record"
    with pytest.raises(SystemExit):
        bench.main([])
    assert "name a model, or --record finetune" in capsys.readouterr().err


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


def test_each_seed_of_the_270m_learns_the_card_and_forgets_some_english():
    """Twelve of fourteen unseen topics, a loss of 0.03 at most; the price stands beside it."""
    found = nb05_record.recorded("gemma-3-270m")
    before = found["runs"]["before"]["regression"]
    for seed in (0, 1, 2):
        run = found["runs"][f"seed {seed}"]
        assert 14 * run["topics_exact"] >= 12 and run["target"]["loss"] <= 0.03
        english = "perplexity, English paragraphs"
        assert 1.05 < run["regression"][english] / before[english] < 2
