"""Notebook 05's two exams: what was learned, what is left; against transformers' own calls."""

import hashlib
import json
import math

import pytest
import torch
from models import SMALL_IT
from notebook_cells import ROOT
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import catalog, finetune, profile
from gemma_lab.lessons import nb05_old as before
from gemma_lab.lessons import nb05_verdict as verdict

EXAM = catalog.json_lines("health_instructions_held_out.jsonl")
TRAIN = catalog.json_lines("health_instructions_train.jsonl")


@pytest.fixture(scope="module")
def small():
    model = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(SMALL_IT)


@pytest.fixture(scope="module")
def base():
    folder = profile.CHECKPOINTS / "pocket-small"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("examples", [[], TRAIN[:1]])
def test_the_loss_is_transformers_own_with_masked_labels(small, examples):
    model, tokenizer = small
    total = count = 0
    shown = "".join(finetune.format_prompt(row) + row["output"] + "\n\n" for row in examples)
    for row in EXAM[:4]:
        prompt = tokenizer(shown + finetune.format_prompt(row), return_tensors="pt")["input_ids"]
        whole = shown + finetune.format_prompt(row) + row["output"] + "<eos>"
        ids = tokenizer(whole, return_tensors="pt")["input_ids"]
        labels = ids.clone()
        labels[:, : prompt.shape[1]] = -100
        num = (labels != -100).sum().item()
        with torch.no_grad():
            total += model(ids, labels=labels).loss.item() * num
        count += num
    model.train()
    found = verdict.target(model, tokenizer, EXAM[:4], examples)
    assert found["loss"] == pytest.approx(total / count, rel=1e-5)
    assert model.training, "it trains on as before"
    model.eval()


def greedy(model, tokenizer, prompt: str, num_tokens: int) -> str:
    """What `generate` writes, cut back to where it reads as the tokens that were written."""
    inputs = tokenizer(prompt, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=num_tokens, do_sample=False)
    new = output[0, inputs["input_ids"].shape[1] :].tolist()
    texts = [
        tokenizer.decode(new[:num], skip_special_tokens=True) for num in range(len(new), 0, -1)
    ]
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    return next(text for text, found in zip(texts, ids) if found == new[: len(found)])


def test_exact_is_what_greedy_decoding_writes_and_nothing_else(small):
    """Responses taken from `generate` are exact; with one other word they are not."""
    model, tokenizer = small
    rows = [dict(row) for row in EXAM[:12:3]]
    for row in rows:
        row["output"] = greedy(model, tokenizer, finetune.format_prompt(row), 12)
    assert all(len(row["output"]) > 5 for row in rows)
    assert verdict.target(model, tokenizer, rows)["exact"] == 1
    wrong = [row | {"output": "Never " + row["output"]} for row in rows[:1]] + rows[1:]
    assert verdict.target(model, tokenizer, wrong)["exact"] == 0.75


def test_stops_asks_for_the_end_behind_the_whole_response(small):
    """The pocket model ends a short answer of its own in this layout, and no cut one."""
    model, tokenizer = small
    row = {"instruction": "What is 2 + 2?", "input": ""}
    row["output"] = greedy(model, tokenizer, finetune.format_prompt(row), 60)
    ended = verdict.target(model, tokenizer, [row])
    cut = verdict.target(model, tokenizer, [row | {"output": row["output"][:-3]}])
    assert ended["stops"] == 1 and cut["stops"] == 0


def test_examples_stand_in_front_with_their_responses(small):
    _, tokenizer = small
    row, example = EXAM[0], TRAIN[0]
    ids, start = finetune.encode(row, tokenizer, [example])
    text = tokenizer.decode(ids[0, :start], skip_special_tokens=True)
    shown = finetune.format_prompt(example) + example["output"] + "\n\n"
    assert text == shown + finetune.format_prompt(row)
    assert tokenizer.decode(ids[0, start:]) == row["output"] + "<eos>"


def test_a_good_prompt_has_notes_other_topics_and_room_for_the_row():
    tokenizer = AutoTokenizer.from_pretrained(SMALL_IT)
    found = verdict.examples(TRAIN, tokenizer, EXAM, max_length=5000)
    assert len(found) == 3 and all(row["input"] for row in found)
    assert len({row["output"].splitlines()[0] for row in found}) == 3
    few = verdict.examples(TRAIN, tokenizer, EXAM)
    assert len(few) < 3, "the pocket model's context is too short for three"
    for row in EXAM:
        ids, _ = finetune.encode(row, tokenizer, few)
        assert ids.shape[1] <= 512
    assert 0 < len(few)
    assert verdict.examples(TRAIN, tokenizer, EXAM, max_length=20) == []
    no_notes = [row | {"input": ""} for row in TRAIN[:2]]
    assert verdict.examples(no_notes, tokenizer, EXAM, max_length=5000) == no_notes


@pytest.mark.parametrize("num_rows", [1, 2, 3, 13, 14, 42, 84])
@pytest.mark.parametrize("most", [4, 12, 14, 42])
def test_any_number_of_rows_gives_at_most_so_many(num_rows, most):
    exam = [{"output": f"Name: {at // 6}\nRow: {at}"} for at in range(num_rows)]
    taken = verdict.spread(exam, most)
    assert len(taken) == min(most, num_rows) == len({row["output"] for row in taken})
    topics = [row["output"].splitlines()[0] for row in verdict.topics(exam, most)]
    assert len(topics) == min(most, -(-num_rows // 6)) == len(set(topics))


def test_a_digest_is_of_the_text_and_of_all_of_it():
    file = (catalog.DATA / "health_instructions_held_out.jsonl").read_bytes()
    assert verdict.digest(EXAM) == hashlib.sha256(file).hexdigest()
    other = [EXAM[0] | {"input": EXAM[0]["input"] + " "}, *EXAM[1:]]
    assert verdict.digest(other) != verdict.digest(EXAM) != verdict.digest(EXAM[:-1])


def rows_with(*outputs: str) -> list[dict]:
    return [{"output": output} for output in outputs]


def test_a_form_is_what_nine_in_ten_responses_share():
    card = "Name: a\nMeaning: b"
    assert verdict.common_form(rows_with(*[card] * 9, "another")) == ["Name", "Meaning"]
    assert verdict.common_form(rows_with(*[card] * 8, "another", "one more")) == []
    assert verdict.common_form(rows_with("Yes.", "Yes.")) == [], "no label, no form"
    assert verdict.labels("Name: a: b\n\nText") == ["Name", "", "Text"]


def test_the_report_has_a_column_for_each_prompt_and_percent_for_shares():
    scored = {"loss": 1.5, "exact": 0.25, "stops": 1.0}
    kept = {"bare prompt": {"own old answers, English": 0.5, "perplexity, English paragraphs": 30}}
    table = verdict.report({"bare prompt": scored, "with examples": scored}, kept)
    assert list(table["bare prompt"]) == [1.5, 25, 100, 50, 30]
    assert list(table["with examples"].dropna()) == [1.5, 25, 100]


def test_cards_are_what_generate_writes_one_by_one(small):
    """In float32 and without long responses padding changes no letter."""
    model, tokenizer = small
    written = verdict.cards(model, tokenizer, EXAM[:3], num_tokens=12)
    for text, row in zip(written, EXAM):
        alone = greedy(model, tokenizer, finetune.format_prompt(row), 12)
        assert alone and text.startswith(alone)


# ------------------------------------------------------------------ what is left


@pytest.mark.parametrize("who", ["small", "base"])
def test_an_untouched_model_keeps_all_and_a_damaged_one_does_not(who, request):
    model, tokenizer = request.getfixturevalue(who)
    old = before.old_answers(model, tokenizer, num_tokens=8)
    found = before.regression(model, tokenizer, old)
    kinds = before.REQUESTS if who == "small" else before.OPENINGS
    assert found == {f"own old answers, {kind}": 1.0 for kind in kinds}
    weight = model.model.layers[-1].mlp.down_proj.weight
    kept = weight.data.clone()
    try:
        weight.data.mul_(-3)
        damaged = before.regression(model, tokenizer, old)
        examples = before.side_by_side(model, tokenizer, old)
    finally:
        weight.data.copy_(kept)
    assert all(damaged[kind] < 0.9 for kind in found)
    assert len(examples) == 3 and any(one["before"] != one["after"] for one in examples)
    assert all(one["before"] == one["after"] for one in before.side_by_side(model, tokenizer, old))


def test_old_answers_are_written_the_same_while_a_model_trains(small):
    """With gradient checkpointing a training model has no cache: it would write nonsense."""
    model, tokenizer = small
    calm = before.old_answers(model, tokenizer, num_tokens=8)
    model.train()
    model.gradient_checkpointing_enable()
    try:
        training = before.old_answers(model, tokenizer, num_tokens=8)
        assert model.training
    finally:
        model.gradient_checkpointing_disable()
        model.eval()
    assert all(one["ids"].equal(other["ids"]) for one, other in zip(calm, training))


def test_requests_are_asked_in_the_chat_template_with_one_bos(small):
    model, tokenizer = small
    old = before.old_answers(model, tokenizer, num_tokens=4)
    for row in old:
        turn = [{"role": "user", "content": row["prompt"]}]
        wanted = tokenizer.apply_chat_template(turn, add_generation_prompt=True)["input_ids"]
        assert row["ids"][0, : row["start"]].tolist() == wanted


def test_paragraphs_are_read_as_transformers_reads_them(small, monkeypatch):
    """Its loss over one row is the mean surprise of all tokens but <bos>."""
    model, tokenizer = small
    assert not any("paragraphs" in skill for skill in before.regression(model, tokenizer, []))
    monkeypatch.setattr(before, "WHOLE", 0)
    found = before.regression(model, tokenizer, [])
    data = json.loads((ROOT / "gemma_lab" / "data" / "paragraphs.json").read_text(encoding="utf-8"))
    assert list(data) == ["English", "Vietnamese"] and [*map(len, data.values())] == [3, 3]
    for language, texts in data.items():
        total = count = 0
        for text in texts:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            with torch.no_grad():
                total += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
        wanted = pytest.approx(math.exp(total / count), rel=1e-4)
        assert found[f"perplexity, {language} paragraphs"] == wanted


def test_a_base_model_rehearses_its_own_texts_to_the_end_of_a_sentence(base):
    model, tokenizer = base
    found = before.own_texts(model, tokenizer, num=16, num_tokens=24)
    assert found == before.own_texts(model, tokenizer, num=16, num_tokens=24), "seeded"
    assert len(found) == 16 and len({row["completion"] for row in found}) > 8
    assert len({row["prompt"] for row in found}) == 8
    for row in found:
        assert row["completion"] and not row["completion"].startswith(row["prompt"])


def test_a_pocket_model_rehearses_its_rows_and_a_larger_one_its_own_answers(small, monkeypatch):
    model, tokenizer = small
    rows = catalog.json_lines("everyday_rows.jsonl")[:3]
    given = before.rehearsal_rows(model, tokenizer, num=3)
    assert [row["completion"] for row in given] == [r["answer"] + "<end_of_turn>\n" for r in rows]
    assert not any("<bos>" in row["prompt"] for row in given)
    monkeypatch.setattr(before, "WHOLE", 0)
    own = before.rehearsal_rows(model, tokenizer, num=3)
    for row, mine in zip(rows, own):
        turn = [{"role": "user", "content": row["prompt"]}]
        layout = dict(add_generation_prompt=True, return_tensors="pt", return_dict=True)
        inputs = tokenizer.apply_chat_template(turn, **layout)
        output = model.generate(**inputs, max_new_tokens=40, do_sample=False)
        answer = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :])
        assert mine["completion"] == answer + "\n"


def test_either_token_ends_an_answer_whatever_the_checkpoint_names(small, monkeypatch):
    """Gemma 1's names <eos> alone. Unsloth fills a batch up with it on a GPU."""
    model, tokenizer = small
    monkeypatch.setattr(before, "WHOLE", 0)
    wanted = before.rehearsal_rows(model, tokenizer, num=3)
    for name in ("eos_token_id", "pad_token_id"):
        monkeypatch.setattr(model.generation_config, name, tokenizer.eos_token_id)
    assert before.rehearsal_rows(model, tokenizer, num=3) == wanted and len(wanted) == 3


def test_an_answer_is_rehearsed_with_the_end_of_a_turn_or_not_at_all(small, monkeypatch, capsys):
    _, tokenizer = small
    texts = ["Yes<eos>", "Yes<end_of_turn>", "Yes"]
    asked = dict(return_tensors="pt", add_special_tokens=False)
    written = [(tokenizer(text, **asked)["input_ids"], 0) for text in texts]
    monkeypatch.setattr(before, "WHOLE", 0)
    monkeypatch.setattr(before, "write", lambda *_, **__: written)
    found = before.rehearsal_rows(None, tokenizer, num=3)
    assert [row["completion"] for row in found] == ["Yes<end_of_turn>\n"] * 2
    assert "2 of 3 answers ended within 80 tokens" in capsys.readouterr().out
    del written[:2]
    assert before.rehearsal_rows(None, tokenizer, num=1, num_tokens=5) == []
    assert "0 of 1 answers ended within 5 tokens" in capsys.readouterr().out
    assert before.rehearsed([{"prompt": "a"}] * 8, [], 0.2) == [{"prompt": "a"}] * 8


@pytest.mark.parametrize("share", [1, 20, -0.1])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="from 0 to below 1, such as 0.2, not"):
        before.rehearsed([{}], [{}], share)


@pytest.mark.parametrize("share, num", [(0, 0), (0.2, 25), (0.5, 100)])
def test_old_rows_are_so_large_a_share_of_all(share, num):
    new, old = [{"prompt": str(at)} for at in range(100)], [{"prompt": "a"}, {"prompt": "b"}]
    both = before.rehearsed(new, old, share)
    assert both[:100] == new and len(both) == 100 + num
    assert abs(both.count(old[0]) - both.count(old[1])) <= 1
