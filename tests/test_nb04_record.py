"""Notebook 04's record, whole, on the shapes of small models; and what a committed one says."""

import json

import pytest
import torch
from machines import LAPTOP
from models import REPORTED
from transformers import AutoConfig, AutoModelForCausalLM, CompileConfig

from gemma_lab import bench, catalog, gemma3, hardware, loading, memory, profile
from gemma_lab.lessons import nb04_probe, nb04_record

SMALL = profile.CHECKPOINTS / "pocket-small"
SHAPES = dict(
    vocab_size=2048,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    head_dim=64,
    intermediate_size=256,
    max_position_embeddings=512,
)


@pytest.fixture
def shapes(tmp_path):
    """Name -> a folder with a config alone: two layers of a Gemma 1 and of a Gemma 2."""
    found = {}
    for family in ("gemma", "gemma2"):
        AutoConfig.for_model(family, **SHAPES).save_pretrained(tmp_path / family)
        found[family] = str(tmp_path / family)
    return found


@pytest.fixture
def quick(monkeypatch):
    """Small curves, a told bandwidth; and the third way compiles on a CPU too, for nothing."""
    everywhere = CompileConfig(backend="eager")
    everywhere._compile_all_devices = True
    compiled = nb04_record.WAYS["static cache"] | {
        "disable_compile": False,
        "compile_config": everywhere,
    }
    monkeypatch.setitem(nb04_record.WAYS, "static cache, compiled", compiled)
    monkeypatch.setattr(nb04_record, "BATCHES", (1, 2))
    monkeypatch.setattr(nb04_record, "CONTEXTS", (16,))
    monkeypatch.setattr(bench, "bandwidth", lambda device: 10.0)


def started(out, seconds_ago=0.0):
    began = nb04_record.time.monotonic() - seconds_ago
    return {"began": began, "out": out, "quick": True, "bandwidth_gb_per_s": 10.0, "rows": []}


@pytest.mark.parametrize("hub_id", REPORTED)
def test_a_random_model_has_the_parameters_that_the_reports_count(hub_id):
    """On the meta device: nothing is allocated. The table of embeddings stands beside them."""
    info = catalog.find(hub_id)
    plan = loading.Plan("bf16", "bfloat16", "eager", None, {"": "meta"}, 0, True, "")
    made = nb04_probe.random_model(info, plan)
    table = made.get_input_embeddings().weight.numel()
    assert made.num_parameters() - table == REPORTED[hub_id]


@pytest.mark.parametrize("precision", ["int8", "nf4", "fp4"])
def test_a_random_model_is_quantized_as_from_pretrained_does_it(precision, shapes, tmp_path):
    """Saved in 16 bits and loaded by transformers, it gives the same logits."""
    plan = loading.plan_loading(shapes["gemma"], precision, LAPTOP)
    info = catalog.find(shapes["gemma"])
    made = loading.portable_4bit(nb04_probe.random_model(info, plan))
    plain = loading.plan_loading(shapes["gemma"], "bf16", LAPTOP)
    nb04_probe.random_model(info, plain).save_pretrained(tmp_path / "saved")
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", **plan.kwargs())
    ids = torch.tensor([[2, 7, 70, 700]])
    with torch.no_grad():
        own, library = made(ids).logits, loading.portable_4bit(saved)(ids).logits
        full = nb04_probe.random_model(info, plain)(ids).logits
    assert torch.equal(own, library) and not torch.equal(own, full)


@pytest.mark.slow
@pytest.mark.parametrize("family, precisions", [("gemma", ["bf16"]), ("gemma2", ["nf4"])])
def test_each_way_to_generate_writes_the_same_tokens(
    family, precisions, shapes, quick, tmp_path, monkeypatch
):
    """Whichever cache, and compiled or not; the first load's curves stand between."""
    monkeypatch.setattr(nb04_record, "PRECISIONS", precisions)
    found = started(tmp_path / "record.json")
    nb04_record.ladder(found, {family: shapes[family]}, LAPTOP, nb04_record.WAYS)
    assert [row for row in found["rows"] if "failed" in row] == []
    rows = [row for row in found["rows"] if row["kind"] == "precision"]
    assert [row["way"] for row in rows] == list(nb04_record.WAYS)
    usual = {"gemma": "sdpa", "gemma2": "eager"}[family]  # sdpa would drop Gemma 2's cap
    assert {row["attention"] for row in rows} == {usual}
    assert all(row["same_tokens"] == row["num_tokens"] == 4 for row in rows)
    kinds = [row["kind"] for row in found["rows"]]
    assert (kinds.count("batch"), kinds.count("context"), kinds.count("parts")) == (2, 1, 1)


@pytest.mark.slow
def test_every_precision_of_every_shape_is_loaded_once_and_written(shapes, quick, tmp_path):
    found = started(tmp_path / "record.json")
    nb04_record.ladder(found, shapes, LAPTOP, {"plain": {}})
    assert [row for row in found["rows"] if "failed" in row] == []
    for kind in ("load", "precision"):
        rows = [row for row in found["rows"] if row["kind"] == kind]
        pairs = [(row["precision"], row["model"]) for row in rows]
        assert pairs == [(p, m) for p in nb04_record.PRECISIONS for m in shapes]
    assert {row["weights"] for row in found["rows"] if row["kind"] == "load"} == {"random"}
    assert json.loads(found["out"].read_text())["rows"] == found["rows"]


def test_the_limit_is_bandwidth_by_bytes_for_each_row_of_the_batch(tmp_path):
    plan = loading.plan_loading(str(SMALL), "bf16", LAPTOP)
    model, tokenizer = nb04_probe.load(str(SMALL), plan), nb04_probe.tokenizer_of(str(SMALL))
    row = nb04_record.speed(started(tmp_path), model, tokenizer, [], batch_size=3)
    assert row["limit_tokens_per_s"] == 3 * 10e9 / bench.bytes_per_token(model, 16 + 2, 3)
    share = 100 * row["decode_tokens_per_s"] / row["limit_tokens_per_s"]
    assert row["percent_of_limit"] == share


def test_tokens_are_compared_up_to_the_first_that_differs(tmp_path, monkeypatch):
    wrote = iter([[5, 6, 7, 8], [5, 6, 9, 8], [5, 6, 7, 8]])
    row = dict(batch_size=1, prompt_tokens=1, num_tokens=4, decode_tokens_per_s=1.0)
    monkeypatch.setattr(bench, "measure", lambda *_, **__: row | {"tokens": next(wrote)})
    monkeypatch.setattr(bench, "bytes_per_token", lambda *_: 1.0)
    found, first = started(tmp_path), []
    same = [nb04_record.speed(found, None, None, first)["same_tokens"] for _ in range(3)]
    assert same == [4, 2, 4] and first == [5, 6, 7, 8]


@pytest.mark.parametrize(
    "error, kept",
    [
        (torch.OutOfMemoryError("CUDA out of memory.\nmore"), "CUDA out of memory."),
        (ImportError("no kernel"), "ImportError: no kernel"),
        (RuntimeError(), "no reason is given"),
    ],
)
def test_what_fails_is_a_sentence_and_the_rest_goes_on(tmp_path, error, kept):
    def fail():
        raise error

    found = started(tmp_path / "record.json")
    row = nb04_record.add(found, {"kind": "load"}, fail)
    nb04_record.add(found, {"kind": "batch"}, dict)
    assert kept in row["failed"] and "more" not in row["failed"]
    assert [one["kind"] for one in json.loads(found["out"].read_text())["rows"]] == [
        "load",
        "batch",
    ]


def test_an_interrupt_keeps_the_rows_that_are_done(tmp_path, monkeypatch, capsys):
    def stop():
        raise KeyboardInterrupt

    def interrupted(models, machine, out, quick):
        found = started(out)
        nb04_record.add(found, {"kind": "load"}, dict)
        nb04_record.add(found, {"kind": "batch"}, stop)

    monkeypatch.setattr(gemma3, "is_here", lambda: True)
    monkeypatch.setattr(gemma3, "convert", lambda: tmp_path)
    monkeypatch.setattr(hardware, "describe_machine", lambda: LAPTOP)
    monkeypatch.setattr(nb04_record, "FOLDER", tmp_path)
    monkeypatch.setattr(nb04_record, "record", interrupted)
    with pytest.raises(SystemExit, match="Interrupted. .* has the rows that are done"):
        nb04_record.main([])
    kept = json.loads((tmp_path / "cpu_gemma-3-270m.json").read_text())
    assert [row["kind"] for row in kept["rows"]] == ["load"]


def test_a_row_that_would_come_too_late_is_not_begun(tmp_path):
    found = started(tmp_path / "record.json", seconds_ago=nb04_record.SECONDS + 1)
    row = nb04_record.add(found, {"kind": "load"}, lambda: 1 / 0)
    assert "not reached in" in row["failed"]


def test_what_does_not_fit_is_said_and_not_loaded(tmp_path, monkeypatch):
    small = hardware.Machine("Linux", True, 2, 12.7, "cuda", "Tesla T4", 14.74, (7, 5), 1)
    monkeypatch.setattr(nb04_record, "PRECISIONS", ("fp32",))
    found = started(tmp_path / "record.json")
    nb04_record.ladder(found, {"gemma-7b": "google/gemma-7b"}, small, nb04_record.WAYS)
    (row,) = found["rows"]
    assert "does not fit: Tesla T4 has 14.7 free" in row["failed"]


def test_without_the_270m_a_cpu_has_nothing_to_record(monkeypatch):
    monkeypatch.setattr(gemma3, "is_here", lambda: False)
    monkeypatch.setattr(hardware, "describe_machine", lambda: LAPTOP)
    with pytest.raises(SystemExit) as ended:
        nb04_record.main([])
    assert ended.value.code == gemma3.MISSING


def test_a_checkpoint_that_the_hub_s_client_keeps_is_used(tmp_path, monkeypatch):
    def cached(hub_id, name):
        return str(tmp_path / name) if (hub_id, name) == ("a/b", "model.safetensors") else None

    monkeypatch.setattr(nb04_record.huggingface_hub, "try_to_load_from_cache", cached)
    assert nb04_record.at_hand("a/b") == str(tmp_path)
    assert nb04_record.at_hand("a/c") == "a/c"


def test_a_checkpoint_on_this_machine_gives_its_own_weights_and_tokens(shapes):
    plan = loading.plan_loading(str(SMALL), "bf16", LAPTOP)
    own = AutoModelForCausalLM.from_pretrained(SMALL, dtype=torch.bfloat16).state_dict()
    found = nb04_probe.load(str(SMALL), plan).state_dict()
    assert all(torch.equal(found[name], own[name]) for name in own)
    assert nb04_probe.has_weights(str(SMALL)) and not nb04_probe.has_weights(shapes["gemma"])
    assert not nb04_probe.has_weights("google/gemma-7b")
    random = nb04_probe.tokenizer_of(shapes["gemma"])
    assert len(random) <= SHAPES["vocab_size"]


def test_the_parts_of_a_step_add_up_and_leave_no_hook():
    plan = loading.plan_loading(str(SMALL), "bf16", LAPTOP)
    model, tokenizer = nb04_probe.load(str(SMALL), plan), nb04_probe.tokenizer_of(str(SMALL))
    shares = nb04_probe.time_by_part(model, tokenizer, num_tokens=4, prompt_tokens=8)
    assert set(shares) == {"head", "MLP", "attention", "rest"}
    assert sum(shares.values()) == pytest.approx(1) and min(shares.values()) > 0
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_was_let_go_is_given_back_before_a_peak_counts():
    large = torch.ones(50_000_000)  # 200 MB
    nb04_probe.trim()
    with memory.measured_peak("cpu") as with_it:
        pass
    if with_it["before"] is None:
        pytest.skip("resident memory is read on Linux")
    del large
    nb04_probe.trim()
    with memory.measured_peak("cpu") as without:
        another = torch.ones(50_000_000)
    grown = without["peak"] - without["before"]
    assert with_it["before"] - without["before"] > 150e6 and grown > 150e6 and len(another)
