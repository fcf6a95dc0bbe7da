"""Measures against transformers' own loss, a float64 formula, bitsandbytes' tensors, and real generation."""

import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

from gemma_lab import loading, measure

ROWS = measure.one_answer_rows()[::8]


@pytest.fixture(scope="module")
def path():
    return str(loading.CHECKPOINTS / "pocket-small-it")


@pytest.fixture(scope="module")
def tokenizer(path):
    return AutoTokenizer.from_pretrained(path)


@pytest.fixture(scope="module")
def model(path):
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def scores(model, tokenizer):
    return measure.answer_log_probs(model, tokenizer, ROWS)


@pytest.fixture(scope="module")
def nf4(path):
    return loading.portable_4bit(
        AutoModelForCausalLM.from_pretrained(path, **loading.plan_loading(path, "nf4", loading.hardware.LAPTOP).kwargs())
    )


def test_perplexity_equals_transformers_loss_on_the_answer(model, tokenizer, scores):
    total = count = 0
    for row in ROWS:
        ids, start = measure.encode(tokenizer, row)
        labels = ids.clone()
        labels[:, :start] = -100
        num_tokens = ids.shape[1] - start
        total, count = total + model(ids, labels=labels).loss.item() * num_tokens, count + num_tokens
    assert measure.perplexity(scores) == pytest.approx(math.exp(total / count), rel=1e-5)


def test_encoding_has_one_bos_and_ends_the_turn(tokenizer):
    ids, start = measure.encode(tokenizer, ROWS[0])
    assert (ids == tokenizer.bos_token_id).sum() == 1
    assert ids[0, -1] == tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert tokenizer.decode(ids[0, start:-1]) == ROWS[0]["answer"]


def test_kl_equals_the_float64_formula_and_has_a_direction(model, nf4, tokenizer, scores):
    other = measure.answer_log_probs(nf4, tokenizer, ROWS)
    p = torch.cat(scores.log_probs).double().numpy()
    q = torch.cat(other.log_probs).double().numpy()
    expected = (np.exp(p) * (p - q)).sum(1).mean()
    assert measure.kl(scores, other) == pytest.approx(expected)
    assert measure.kl(other, scores) != pytest.approx(expected, rel=1e-3)
    assert measure.kl(scores, scores) == 0


def test_top1_agreement_by_hand():
    one = measure.Scores([torch.tensor([[0.0, -9.0], [-9.0, 0.0]])], [torch.tensor([0, 1])])
    two = measure.Scores([torch.tensor([[0.0, -9.0], [0.0, -9.0]])], [torch.tensor([0, 1])])
    assert measure.top1_agreement(one, two) == 0.5
    assert measure.right_answers(one) == 1.0
    assert measure.right_answers(two) == 0.0


def test_right_answers_are_those_that_greedy_generation_writes(model, tokenizer, scores):
    right = 0
    for row in ROWS:
        chat = [{"role": "user", "content": row["prompt"]}]
        inputs = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = model.generate(**inputs, max_new_tokens=60, do_sample=False)[0, inputs["input_ids"].shape[1] :]
        right += tokenizer.decode(output, skip_special_tokens=True).strip() == row["answer"]
    assert measure.right_answers(scores) == pytest.approx(right / len(ROWS))


def test_weight_mb_counts_the_scales_that_the_footprint_leaves_out(path, nf4):
    scales = 0
    for module in nf4.modules():
        if state := getattr(getattr(module, "weight", None), "quant_state", None):
            inner = state.state2
            tensors = (state.absmax, state.code, state.offset, inner.absmax, inner.code)
            scales += sum(t.numel() * t.element_size() for t in tensors)
    expected = nf4.get_memory_footprint() + scales
    assert measure.weight_mb(nf4) * 1e6 == pytest.approx(expected, rel=0.01)
    assert measure.weight_mb(nf4) * 1e6 > nf4.get_memory_footprint()


def test_weight_mb_of_int8_does_not_change_when_the_model_runs(path, tokenizer):
    config = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.bfloat16, quantization_config=config)
    before = measure.weight_mb(model)
    measure.answer_log_probs(model, tokenizer, ROWS[:1])
    assert measure.weight_mb(model) == before
    rows = sum(m.out_features for m in model.modules() if type(m).__name__ == "Linear8bitLt")
    assert before * 1e6 == pytest.approx(model.get_memory_footprint() + 4 * rows, rel=0.001)


def test_a_record_names_the_machine_the_versions_and_the_command(path, tmp_path, capsys):
    out = tmp_path / "record.json"
    measure.main([path, "--precisions", "bf16", "nf4", "--rows", "4", "--out", str(out)])
    found = json.loads(out.read_text())
    assert [row["precision"] for row in found["rows"]] == ["bf16", "nf4"]
    assert found["rows"][0]["tokens_per_s"] > 0 and found["rows"][1]["kl_to_first"] > 0
    assert set(found["versions"]) == {"torch", "transformers", "bitsandbytes"}
    assert "--precisions bf16 nf4" in found["command"] and found["machine"]["num_cores"]


def test_only_records_of_a_gpu_are_shown(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "DATA", tmp_path)
    (tmp_path / "recorded").mkdir()
    for name, device in (("a", "cpu"), ("b", "cuda")):
        row = {"model": "google/gemma-2b-it", "machine": {"device": device}}
        (tmp_path / "recorded" / f"{name}.json").write_text(json.dumps(row))
    assert [r["machine"]["device"] for r in measure.recorded("google/gemma-2b-it")] == ["cuda"]
    assert measure.recorded("google/gemma-7b-it") == []
