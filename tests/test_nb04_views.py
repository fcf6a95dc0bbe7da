"""Pictures and table of notebook 04's record, on a told one; and what committed records say."""

import json

import pytest

from gemma_lab.lessons import nb04_record, nb04_views

SPEEDS = {
    "bf16": (20, 40, 536),
    "nf4": (16, 50, 388),
    "int8": (12, 46, 436),
    "fp32": (10, 19, 1072),
}
COMMITTED = sorted(nb04_record.FOLDER.glob("*.json"))


@pytest.fixture
def found():
    """bf16 is fastest; 16 at once write 7 times as much; a long context leaves half."""

    def row(kind, precision="bf16", speed=20.0, limit=40.0, **more):
        measured = dict(decode_tokens_per_s=speed, limit_tokens_per_s=limit)
        measured |= dict(percent_of_limit=100 * speed / limit, peak_mb=1000.0, first_token_s=0.1)
        measured |= dict(prefill_tokens_per_s=900.0)
        return dict(kind=kind, model="gemma-3-270m", precision=precision, **measured) | more

    plain = dict(attention="sdpa", way="plain")
    of_it = [row("precision", name, *told, **plain) for name, (*told, _) in SPEEDS.items()]
    about = {"kind": "load", "model": "gemma-3-270m", "load_s": 3.5, "base_mb": 400.0}
    loads = [about | {"precision": n, "weight_mb": float(mb)} for n, (*_, mb) in SPEEDS.items()]
    of_it += [
        row("batch", speed=20.0 * gain, batch_size=b) for b, gain in ((1, 1), (4, 3), (16, 7))
    ]
    of_it += [row("context", speed=s, prompt_tokens=n) for n, s in ((128, 20.0), (4096, 10.0))]
    shares = {"head": 0.5, "MLP": 0.3, "attention": 0.15, "rest": 0.05}
    of_it += [{"kind": "parts", "model": "gemma-3-270m", "precision": "bf16"} | shares]
    of_it += [{"kind": "load", "model": "gemma-7b", "precision": "fp4", "failed": "does not fit"}]
    return {"rows": loads + of_it}


def test_the_table_has_a_row_a_precision_and_the_loads_columns(found):
    table = nb04_views.record_table(found)
    assert [key[1] for key in table.index] == ["fp32", "bf16", "int8", "nf4"]
    row = table.loc[("gemma-3-270m", "nf4", "sdpa", "plain")]
    assert (row["tokens/s"], row["limit"], row["% of limit"]) == (16, 50, 32)
    assert (row["MB"], row["load, s"], row["first token, s"]) == (388, 3.5, 0.1)
    assert row["peak, MB"] == 600  # without what the process held before


def test_bars_end_at_the_speeds_and_the_lines_stand_at_the_limits(found):
    (axis,) = nb04_views.speed_bars(found).axes
    assert [bar.get_width() for bar in axis.patches] == [10, 20, 12, 16]
    assert [line.get_xdata()[0] for line in axis.lines] == [19, 40, 46, 50]
    title = axis.figure.get_suptitle()
    assert title == "gemma-3-270m: bf16 is fastest, and nf4 has the fewest bytes"


def test_the_title_follows_the_record(found):
    for row in nb04_views.rows(found, "precision"):
        row["decode_tokens_per_s"] = 100.0 if row["precision"] == "nf4" else 1.0
    title = nb04_views.speed_bars(found).get_suptitle()
    assert title == "gemma-3-270m: nf4 is fastest"


def test_the_curves_say_what_a_batch_brings_and_a_context_costs(found):
    figure = nb04_views.speed_curves(found)
    said = "16 at once write 7.0 x as much; at 4,096 tokens 50% of the speed is left"
    assert figure.get_suptitle() == said
    left, right = figure.axes
    assert list(left.lines[0].get_ydata()) == [20, 60, 140]
    assert list(right.lines[0].get_xdata()) == [128, 4096]


def test_the_largest_part_is_the_title(found):
    figure = nb04_views.time_bars(found)
    assert figure.get_suptitle() == "gemma-3-270m: the output head takes 50% of a token's time"
    (parts,) = nb04_views.rows(found, "parts")
    parts["head"], parts["MLP"] = 0.2, 0.6
    assert "the MLPs take 60%" in nb04_views.time_bars(found).get_suptitle()


def test_pictures_fit_a_page(found):
    for draw in (nb04_views.speed_bars, nb04_views.speed_curves, nb04_views.time_bars):
        width, height = draw(found).get_size_inches()
        assert width <= 7 and height <= 3.2


# ------------------------------------------------------------------ what is committed

PARTS = ("head", "MLP", "attention", "rest")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_a_committed_record_is_whole(path):
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["command"] == "python -m gemma_lab.bench --record precision"
    assert set(found["versions"]) == set(nb04_record.PACKAGES) and found["machine"]["num_cores"]
    assert found["bandwidth_gb_per_s"] > 1 and found["threads"] >= 1
    tried = {row["precision"] for row in found["rows"] if row["kind"] == "load"}
    assert tried == set(nb04_record.PRECISIONS)
    for row in nb04_views.rows(found, "precision"):
        assert 0 < row["percent_of_limit"] < 110


@pytest.mark.parametrize("path", [p for p in COMMITTED if p.stem.startswith("cpu_")], ids=str)
def test_what_the_notebook_says_of_the_270m_on_a_cpu(path):
    """fp32 comes nearest to its limit, bf16 is as fast; a batch of 4 and llama.cpp gain."""
    found = json.loads(path.read_text(encoding="utf-8"))
    by = {row["precision"]: row for row in nb04_views.rows(found, "precision")}
    shares = {name: row["percent_of_limit"] for name, row in by.items()}
    assert max(shares, key=shares.get) == "fp32" and shares["fp32"] > 50
    assert all(shares[few] < 25 for few in ("int8", "nf4"))
    speeds = {name: row["decode_tokens_per_s"] for name, row in by.items()}
    assert 0.85 < speeds["bf16"] / speeds["fp32"] < 1.15
    assert all(speeds[few] < 0.8 * speeds["bf16"] for few in ("int8", "nf4"))
    batches = {r["batch_size"]: r["decode_tokens_per_s"] for r in nb04_views.rows(found, "batch")}
    assert batches[4] >= 2.5 * batches[1]
    (llama,) = nb04_views.rows(found, "llama.cpp")
    assert llama["times_as_fast"] >= 1.5
    (parts,) = nb04_views.rows(found, "parts")
    assert 0.28 <= parts["head"] <= 0.4 and parts["head"] == max(parts[x] for x in PARTS)
