"""Layout, held-out loss, data and the two backends of Codelab 2."""

import builtins
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from gemma_lab import finetune, loading, profile
from gemma_lab.lessons import nb05
from pocket import health_instructions

ROOT = Path(__file__).parent.parent
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
SMALL = str(profile.CHECKPOINTS / "pocket-small-it")


def rows(split):
    path = ROOT / "gemma_lab" / "data" / f"health_instructions_{split}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_layout_is_the_talks_without_its_stray_space():
    text = finetune.format_prompt({"instruction": "Ask", "input": "Given"})
    assert text == (
        "Based on given instruction and input, generate an appropriate response\n\n"
        "### Instruction:\nAsk\n\n"
        "### Input:\nGiven\n\n"
        "### Response:\n"
    )


def test_the_completion_ends_with_eos_once():
    pair = finetune.to_prompt_completion({"instruction": "a", "input": "b", "output": "c"}, "<eos>")
    assert pair["completion"] == "c<eos>" and pair["prompt"].endswith("### Response:\n")


def test_the_rows_are_enough_and_the_exam_shares_no_topic_and_no_phrasing():
    train, held_out = rows("train"), rows("held_out")
    assert len(train) >= 600 and len(held_out) >= 60
    assert {tuple(row) for row in train + held_out} == {("instruction", "input", "output")}
    topic = lambda row: row["output"].splitlines()[0].removeprefix("Name: ")  # noqa: E731
    held_out_topics = {topic(row) for row in held_out}
    assert not held_out_topics & {topic(row) for row in train}
    assert not any(
        name in row["instruction"] + row["input"] for name in held_out_topics for row in train
    )
    asks = lambda split: {row["instruction"].replace(topic(row), "").strip(" .?") for row in split}  # noqa: E731
    assert not asks(train) & asks(held_out)
    assert sum("phobia" in topic(row) for row in train) >= 100


def test_every_card_has_the_five_labels_and_the_note():
    for row in rows("train") + rows("held_out"):
        labels = [line.split(":")[0] for line in row["output"].splitlines()]
        assert labels == ["Name", "Meaning", "Signs", "Help", "Note"]
        assert row["output"].endswith("Note: not medical advice.")


def test_the_talks_own_question_is_not_a_training_row():
    for row in rows("train"):
        assert "detailed explanation of phobias" not in row["instruction"]


def test_the_files_are_what_the_generator_writes():
    assert [rows("train"), rows("held_out")] == list(health_instructions.build())


def test_plain_peft_trains_what_peft_trains_and_in_float32():
    model, tokenizer = nb05.PlainPeft.from_pretrained(SMALL, max_seq_length=512, load_in_4bit=True)
    assert model.is_loaded_in_4bit and tokenizer.model_max_length == 512
    model = nb05.PlainPeft.get_peft_model(
        model, r=16, target_modules=SEVEN, use_gradient_checkpointing=True
    )
    trainable = [p for p in model.parameters() if p.requires_grad]
    assert {p.dtype for p in trainable} == {torch.float32}
    reference = get_peft_model(
        AutoModelForCausalLM.from_pretrained(SMALL),
        LoraConfig(r=16, target_modules=SEVEN, task_type="CAUSAL_LM"),
    )
    assert sum(p.numel() for p in trainable) == reference.get_nb_trainable_parameters()[0]
    assert (
        nb05.PlainPeft.get_peft_model(model, r=16, target_modules=SEVEN) is model
    )  # a cell that runs twice
    with pytest.raises(ValueError, match="LoftQ"):
        nb05.PlainPeft.get_peft_model(model, loftq_config={"loftq_bits": 4})


def test_gradient_checkpointing_of_unquantized_weights_changes_no_gradient():
    gradients = {}
    for is_on in (False, True):
        model, tokenizer = nb05.PlainPeft.from_pretrained(
            SMALL, dtype=torch.float32, load_in_4bit=False
        )
        model = nb05.PlainPeft.get_peft_model(
            model, r=4, target_modules=["q_proj"], use_gradient_checkpointing=is_on
        ).train()
        assert model.is_gradient_checkpointing == is_on
        ids = tokenizer("The doctor says hello.", return_tensors="pt")["input_ids"]
        layer, calls = model.get_base_model().model.layers[0].mlp, []
        layer.register_forward_pre_hook(lambda *given, calls=calls: calls.append(1))
        model(input_ids=ids, labels=ids).loss.backward()
        assert len(calls) == 1 + is_on  # forward again on the way back
        gradients[is_on] = [p.grad for p in model.parameters() if p.requires_grad]
    assert any(grad.any() for grad in gradients[True])
    torch.testing.assert_close(gradients[True], gradients[False])


def test_adapters_stay_in_float32_under_trl(tmp_path):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    model, tokenizer = nb05.PlainPeft.from_pretrained(SMALL, max_seq_length=64, load_in_4bit=True)
    loading.portable_4bit(model)
    model = nb05.PlainPeft.get_peft_model(model, r=4, target_modules=["q_proj"])
    config = SFTConfig(
        str(tmp_path), max_steps=2, bf16=False, use_cpu=True, report_to="none", save_strategy="no"
    )
    pairs = Dataset.from_list([{"prompt": "a", "completion": " b<eos>"}] * 4)
    trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=pairs, args=config)
    trainable = [p for p in nb05.float32_adapters(model).parameters() if p.requires_grad]
    before = [p.detach().clone() for p in trainable]
    trainer.train()
    assert all(p.dtype == torch.float32 for p in trainable)
    assert any(not torch.equal(old, new) for old, new in zip(before, trainable))


@pytest.mark.parametrize(
    "error",
    [ImportError("no GPU"), ImportError(), NotImplementedError("too old"), RuntimeError("broken")],
)
def test_plain_peft_takes_unsloths_place_and_says_why(monkeypatch, capsys, error):
    real = builtins.__import__

    def fail(name, *arguments, **keywords):
        if name == "unsloth":
            raise error
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", fail)
    assert nb05.lora_backend() is nb05.PlainPeft
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and str(error) in printed


TRAIN = """
import sys, gemma_lab
from gemma_lab import finetune
from gemma_lab.lessons import nb05
backend = nb05.lora_backend() if sys.argv[1] == "unsloth" else nb05.PlainPeft
import torch
from gemma_lab.lessons import nb05_verdict
load = dict(max_seq_length=256, dtype=None, load_in_4bit=True)
model, tokenizer = backend.from_pretrained(sys.argv[2], **load)
gemma_lab.portable_4bit(model)
model = backend.get_peft_model(model, r=4, target_modules=["q_proj", "down_proj"], random_state=1)
rows = [{"instruction": "Say hello", "input": "", "output": "Hello there"}]
before = nb05_verdict.target(model, tokenizer, rows)["loss"]
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
pair = finetune.to_prompt_completion(rows[0], tokenizer.eos_token)
ids = tokenizer(pair["prompt"] + pair["completion"], return_tensors="pt")["input_ids"]
for _ in range(15):
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
after = nb05_verdict.target(backend.for_inference(model), tokenizer, rows)["loss"]
print(backend.__name__, before, after)
"""


@pytest.mark.slow
def test_real_unsloth_and_plain_peft_start_equal_and_both_learn():
    results = {}
    for backend in ("unsloth", "plain"):
        command = [sys.executable, "-c", TRAIN, backend, SMALL]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
        name, before, after = done.stdout.splitlines()[-1].split()
        results[name] = float(before), float(after)
    assert set(results) == {"FastLanguageModel", "PlainPeft"}
    assert results["FastLanguageModel"][0] == pytest.approx(results["PlainPeft"][0], rel=0.02)
    assert all(after < 0.7 * before for before, after in results.values())
