"""A record of a model on this machine."""

import json

import pytest

from gemma_lab import bench, catalog, profile


@pytest.fixture(scope="module")
def path():
    return str(profile.CHECKPOINTS / "pocket-small-it")


def test_a_record_names_the_machine_the_versions_and_the_command(path, tmp_path, capsys):
    out = tmp_path / "record.json"
    bench.main([path, "--precisions", "bf16", "nf4", "--rows", "4", "--out", str(out)])
    found = json.loads(out.read_text())
    assert [row["precision"] for row in found["rows"]] == ["bf16", "nf4"]
    assert found["rows"][0]["tokens_per_s"] > 0 and found["rows"][1]["kl_to_first"] > 0
    assert set(found["versions"]) == {"torch", "transformers", "bitsandbytes"}
    assert "--precisions bf16 nf4" in found["command"] and found["machine"]["num_cores"]


def test_only_records_of_a_gpu_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "DATA", tmp_path)
    (tmp_path / "recorded").mkdir()
    for name, device in (("a", "cpu"), ("b", "cuda")):
        row = {"model": "google/gemma-2b-it", "machine": {"device": device}}
        (tmp_path / "recorded" / f"{name}.json").write_text(json.dumps(row))
    assert [r["machine"]["device"] for r in bench.recorded("google/gemma-2b-it")] == ["cuda"]
    assert bench.recorded("google/gemma-7b-it") == []
