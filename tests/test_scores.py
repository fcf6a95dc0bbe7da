"""The scores against transformers' own loss, generation, and formulas in float64."""

import math

import numpy as np
import pytest
import torch
from models import SMALL_IT, in_nf4
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import scores

ROWS = scores.one_answer_rows()[::8]


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(SMALL_IT)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def log_probs(model, tokenizer):
    return scores.answer_log_probs(model, tokenizer, ROWS)


@pytest.fixture(scope="module")
def nf4():
    return in_nf4(SMALL_IT)


def test_perplexity_equals_transformers_loss_on_the_answer(model, tokenizer, log_probs):
    total = count = 0
    for row in ROWS:
        ids, start = scores.encode(tokenizer, row)
        labels = ids.clone()
        labels[:, :start] = -100
        num_tokens = ids.shape[1] - start
        total, count = (
            total + model(ids, labels=labels).loss.item() * num_tokens,
            count + num_tokens,
        )
    assert scores.perplexity(log_probs) == pytest.approx(math.exp(total / count), rel=1e-5)


def test_encoding_has_one_bos_and_ends_the_turn(tokenizer):
    ids, start = scores.encode(tokenizer, ROWS[0])
    assert (ids == tokenizer.bos_token_id).sum() == 1
    assert ids[0, -1] == tokenizer.convert_tokens_to_ids("<end_of_turn>")
    assert tokenizer.decode(ids[0, start:-1]) == ROWS[0]["answer"]


def test_kl_equals_the_float64_formula_and_has_a_direction(model, nf4, tokenizer, log_probs):
    other = scores.answer_log_probs(nf4, tokenizer, ROWS)
    p, q = (
        torch.cat(found.log_probs).double().log_softmax(-1).numpy() for found in (log_probs, other)
    )
    expected = (np.exp(p) * (p - q)).sum(1).mean()
    assert scores.kl(log_probs, other) == pytest.approx(expected)
    assert scores.kl(other, log_probs) != pytest.approx(expected, rel=1e-3)
    assert scores.kl(log_probs, log_probs) == 0


def test_top1_agreement_by_hand():
    one = scores.Scores([torch.tensor([[0.0, -9.0], [-9.0, 0.0]])], [torch.tensor([0, 1])])
    two = scores.Scores([torch.tensor([[0.0, -9.0], [0.0, -9.0]])], [torch.tensor([0, 1])])
    assert scores.top1_agreement(one, two) == 0.5
    assert scores.right_answers(one) == 1.0
    assert scores.right_answers(two) == 0.0


def test_right_answers_are_those_that_greedy_generation_writes(model, tokenizer, log_probs):
    right = 0
    for row in ROWS:
        chat = [{"role": "user", "content": row["prompt"]}]
        inputs = tokenizer.apply_chat_template(
            chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=60, do_sample=False)[
            0, inputs["input_ids"].shape[1] :
        ]
        right += tokenizer.decode(output, skip_special_tokens=True).strip() == row["answer"]
    assert scores.right_answers(log_probs) == pytest.approx(right / len(ROWS))
