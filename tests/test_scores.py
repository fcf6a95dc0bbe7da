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


def some_scores(num_rows=2, num_tokens=40, vocab_size=5000, seed=0):
    """Scores of steep random distributions, as a model's are, in float64."""
    draw = torch.Generator().manual_seed(seed)
    shape = (num_rows, num_tokens, vocab_size)
    found = (4 * torch.randn(shape, generator=draw, dtype=torch.float64)).log_softmax(-1)
    return scores.Scores([*found], [row[:, 0].long() * 0 for row in found])


def test_sixteen_bits_keep_a_small_kl_to_one_percent():
    """Both sides kept in 16 bits, against float64's formula. float16's steps are too coarse."""
    exact, draw = some_scores(vocab_size=30_000), torch.Generator().manual_seed(1)
    moved = [
        (row + 0.016 * torch.randn(row.shape, generator=draw).double()).log_softmax(-1)
        for row in exact.log_probs
    ]
    p, q = torch.stack(exact.log_probs).numpy(), torch.stack(moved).numpy()
    expected = (np.exp(p) * (p - q)).sum(-1).mean()
    assert 1e-4 < expected < 1.3e-4

    def error(keep) -> float:
        both = [scores.Scores([*map(keep, one)], exact.targets) for one in (exact.log_probs, moved)]
        return abs(scores.kl(*both) / expected - 1)

    assert scores.in_16_bits(exact.log_probs[0]).element_size() == 2
    assert error(scores.in_16_bits) < 0.01 < error(torch.Tensor.half)


def test_sixteen_bits_end_at_32_nats():
    kept = scores.in_16_bits(torch.tensor([[-0.0001, -1.0, -31.9, -80.0]]))
    assert scores.in_nats(kept)[0].tolist() == pytest.approx([0, -1, -31.9, -32], abs=1 / 2048)


def test_kl_of_each_token_is_the_float64_formula():
    one, two = some_scores(seed=0), some_scores(seed=1)
    for p, q, kl in zip(one.log_probs, two.log_probs, scores.token_kl(one, two), strict=True):
        expected = (np.exp(p.numpy()) * (p - q).numpy()).sum(-1)
        assert kl.numpy() == pytest.approx(expected)


@pytest.mark.parametrize("measure", [scores.kl, scores.top1_agreement, scores.token_kl])
def test_scores_of_other_rows_are_not_compared(measure):
    one = some_scores()
    part = scores.Scores(one.log_probs[:1], one.targets[:1])
    other = scores.Scores(one.log_probs, [one.targets[0], one.targets[1] + 1])
    shorter = scores.Scores([row[:9] for row in one.log_probs], [row[:9] for row in one.targets])
    small = scores.Scores([row[:, :9] for row in one.log_probs], one.targets)
    empty = scores.Scores([row[:0] for row in one.log_probs], [row[:0] for row in one.targets])
    with pytest.raises(ValueError, match=r"at least one, with both models, not \(2, 1\)"):
        measure(one, part)
    with pytest.raises(ValueError, match="Row 1 is empty or has other tokens"):
        measure(one, other)
    with pytest.raises(ValueError, match="Row 0 is empty or has other tokens"):
        measure(one, shorter)
    with pytest.raises(ValueError, match=r"vocabularies are \[9, 5000\]"):
        measure(one, small)
    with pytest.raises(ValueError, match="Row 0 is empty"):
        measure(empty, empty)
    with pytest.raises(ValueError, match="at least one"):
        measure(scores.Scores([], []), scores.Scores([], []))
    with pytest.raises(ValueError, match="at least one"):
        scores.perplexity(scores.Scores([], []))


@pytest.mark.parametrize("end", scores.ENDS)
def test_either_end_token_ends_an_answer(tokenizer, end, monkeypatch):
    """A model that ends its turns with <eos> alone, as Gemma 1 does, is as right as another."""

    def sure(model, ids, start):
        wanted = ids[0, start:].clone()
        wanted[-1] = tokenizer.convert_tokens_to_ids(end)
        logits = torch.zeros(len(wanted), len(tokenizer))
        return logits.scatter(1, wanted[:, None], 20.0).log_softmax(-1)

    monkeypatch.setattr(scores, "log_probs", sure)
    found = scores.answer_log_probs(None, tokenizer, ROWS[:2])
    assert scores.right_answers(found) == 1
    assert scores.perplexity(found) == pytest.approx(1, abs=1e-4)
    assert found.log_probs[0].exp().sum(-1).numpy() == pytest.approx(1, abs=1e-4)


def test_a_base_model_is_refused_in_one_sentence(tokenizer):
    bare = AutoTokenizer.from_pretrained(SMALL_IT)
    bare.chat_template = None
    with pytest.raises(ValueError, match="base model has no chat template: take an -it model"):
        scores.encode(bare, ROWS[0])


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
