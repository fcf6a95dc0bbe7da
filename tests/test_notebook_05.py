"""Notebook 05: what its text says of the 270M's training, and what its cells do in other worlds."""

import re
import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest
from notebook_cells import all_text, numbers, run_cells, shown, shown_table

from gemma_lab import catalog

NAME = "05_lora_finetuning"


def verdict() -> dict[str, dict[str, float]]:
    """The stored verdict: row -> column -> number; empty where a prompt was not asked."""
    table = shown_table(NAME, "held-out-loss")
    return {
        row: {column: float(value) for column, value in cells.items() if value not in ("NaN", "")}
        for row, cells in table.items()
    }


def test_training_beats_a_good_prompt_which_beats_a_bare_one():
    loss = verdict()["loss, nats a token"]
    assert 0 <= loss["after training"] < 0.2 * loss["with examples"]
    assert loss["with examples"] < 0.5 * loss["bare prompt"], "by more than half"
    exact = verdict()["right to the letter, %"]
    assert exact["bare prompt"] <= exact["with examples"] < 50 < exact["after training"]
    assert verdict()["stops, %"]["after training"] == 100


def test_english_and_vietnamese_are_forgotten():
    for row, cells in verdict().items():
        if row.startswith("own old answers"):
            assert cells["after training"] < 0.9 * cells["bare prompt"]
        elif row.startswith("perplexity"):
            assert 1 < cells["bare prompt"] < cells["after training"] < 2 * cells["bare prompt"]


def test_the_first_third_of_the_steps_buys_most_of_the_fall():
    lines = [numbers(line) for line in shown(NAME, "loss-curve").splitlines() if "step" in line]
    (first, at), (third, then), (last, end) = [line for line in lines if len(line) == 2]
    assert at < then <= end / 2 and first - third > 0.5 * (first - last)


def test_the_talk_s_question_turns_into_a_card():
    assert "before: False · after: True" in shown(NAME, "labels")


def test_most_cards_on_unseen_topics_are_right_to_the_letter():
    topics, in_form, exact = numbers(shown(NAME, "cards").splitlines()[-1])
    assert topics == 4 == in_form and exact >= 3


def test_the_loaded_adapter_is_the_trained_one():
    assert shown(NAME, "loaded-adapter").strip().endswith(" 0")


def test_the_merge_into_16_bits_is_the_better_one():
    found = dict(re.findall(r"^(\w+ [io]n \d+ bits) .*KL (\S+)$", shown(NAME, "wrong-merge"), re.M))
    found = {name: float(value) for name, value in found.items()}
    assert found["merged in 16 bits"] < 0.1 * found["adapter on 4 bits"] < found["merged in 4 bits"]


def test_a_merge_into_4_bits_moves_nearly_no_byte_and_loses_what_was_learned():
    said = shown(NAME, "wrong-merge")
    assert float(re.search(r"changed: (\S+)%", said)[1]) < 1
    (loss,) = re.findall(r"^merged in 4 bits +loss (\S+),", said, re.M)
    assert float(loss) > 0.7 * verdict()["loss, nats a token"]["bare prompt"]


def test_trls_labels_are_those_of_exercise_3():
    assert "in Exercise 3: True" in shown(NAME, "loss-tokens")


def test_the_commands_for_one_and_two_gpus_have_the_settings_of_hub():
    from gemma_lab.lessons import nb05_options, nb05_record

    blocks = re.findall(r"```\n((?:python|accelerate) [^`]+)```", all_text()["05"])
    words = [shlex.split(block.replace("\\\n", " ")) for block in blocks]
    one, two, _ = (nb05_options.arguments(line[line.index("--model") :]) for line in words)
    for option, value in nb05_record.SETTINGS["hub"].items():
        assert getattr(one, option) == value
        assert getattr(two, option) == (value / 2 if option == "batch_size" else value)
    assert one.rehearse == two.rehearse == 0.2


def test_about_half_of_the_rows_bring_a_note():
    rows = catalog.json_lines("health_instructions_train.jsonl")
    notes = sum(row["output"].splitlines()[1].split(": ")[1] in row["input"] for row in rows)
    assert 0.4 < notes / len(rows) < 0.6


# ---------------------------------------------------- the cells themselves, in other worlds


def with_lora(rank: int):
    """A Gemma with two blocks of random weights, and adapters as in the notebook."""
    from peft import LoraConfig, get_peft_model
    from transformers import GemmaConfig, GemmaForCausalLM

    config = GemmaConfig(
        vocab_size=4096,
        hidden_size=16,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
    )
    lora = LoraConfig(r=rank, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(GemmaForCausalLM(config), lora)


def kept(tmp_path, model) -> dict:
    """The names after the cell that saves the adapter, in a folder of its own."""
    from gemma_lab.lessons import nb05_keep

    names = {"RUN": tmp_path / "run", "base": "google/gemma-2b-it", "nb05_keep": nb05_keep}
    return run_cells(NAME, "lora-count", "adapter-file", model=model, **names)


@pytest.mark.parametrize("rank", [1, 8, 64])
def test_the_count_and_the_file_hold_for_every_rank(rank, tmp_path):
    found = kept(tmp_path, with_lora(rank))
    assert (found["adapter"] / "adapter_model.safetensors").exists()


def test_another_weight_that_trains_is_not_in_the_count():
    model = with_lora(4)
    model.get_input_embeddings().weight.requires_grad = True
    with pytest.raises(AssertionError, match="and nothing else"):
        run_cells(NAME, "lora-count", model=model)


def test_a_file_that_holds_more_than_the_adapters_is_refused(tmp_path):
    model = with_lora(4)
    save = model.save_pretrained
    model.save_pretrained = lambda folder: save(folder, save_embedding_layers=True)
    with pytest.raises(AssertionError, match="and nothing else"):
        kept(tmp_path, model)


@pytest.mark.parametrize("num_steps", [1, 5, 20, 29, 30, 60, 300])
def test_a_few_steps_leave_a_loss_to_draw_and_a_checkpoint(num_steps, tmp_path):
    """What depends on the number of steps follows it, so that one step is a point, too."""
    config = written_arguments(tmp_path, num_steps)
    assert 1 <= config.logging_steps <= num_steps
    assert config.max_steps == num_steps and config.warmup_steps < num_steps
    assert 1 <= config.save_steps <= max(1, num_steps / 4)
    assert 1 <= config.eval_steps <= max(1, num_steps / 2)


def written_arguments(folder, steps: int = 20, dtype: str = "bfloat16", device: str = "cpu"):
    """The notebook's `SFTConfig`, with so many steps, on a described device."""
    import torch
    from notebook_cells import tagged, with_values

    live = SimpleNamespace(new_run=lambda model_id: folder)
    names = {"size": "laptop", "machine": SimpleNamespace(device=device), "nb05_live": live}
    names |= {"torch": torch, "dtype": getattr(torch, dtype), "CHECKPOINTING": False, "base": "m"}
    exec(with_values(tagged(NAME, "steps"), STEPS=steps), names)
    return run_cells(NAME, "arguments", **names)["config"]


def loaded_in(machine, model: str):
    """The type that the notebook's loading cell computes in, on a described machine."""
    import gemma_lab

    loaded = []
    names = {
        "profile": "hub",
        "MODEL": model,
        "path": model,
        "gemma_lab": SimpleNamespace(
            describe_machine=lambda: machine,
            plan_loading=gemma_lab.plan_loading,
            portable_4bit=lambda model: model,
        ),
        "FastLanguageModel": SimpleNamespace(
            from_pretrained=lambda **given: loaded.append(given) or (None, None)
        ),
    }
    dtype = run_cells(NAME, "load", **names)["dtype"]
    assert loaded[0]["load_in_4bit"] == ("270m" not in model) and loaded[0]["dtype"] is dtype
    return dtype


@pytest.mark.parametrize("card, model, mixed", [
    ("T4", "google/gemma-2b-it", "fp16"),
    ("T4", "google/gemma-3-270m", None),
    ("A100", "google/gemma-2b-it", "bf16"),
    ("A100", "google/gemma-3-270m", "bf16"),
])  # fmt: skip
def test_mixed_precision_follows_the_plan_for_card_and_model(
    card, model, mixed, monkeypatch, tmp_path
):
    """fp16 on a float32 Gemma 3 would overflow; the loading cell plans, the other obeys."""
    import torch
    import trl

    from gemma_lab import hardware

    dtype = loaded_in(getattr(hardware, card), model)
    assert dtype is {"fp16": torch.float16, "bf16": torch.bfloat16, None: torch.float32}[mixed]
    monkeypatch.setattr(trl, "SFTConfig", lambda **given: SimpleNamespace(**given))  # no card here
    name = str(dtype).removeprefix("torch.")
    config = written_arguments(tmp_path, dtype=name, device="cuda")
    assert (config.fp16, config.bf16) == (mixed == "fp16", mixed == "bf16")


@pytest.mark.parametrize("model", ["google/gemma-2b-it", "google/gemma-3-270m"])
def test_a_cpu_that_only_emulates_bfloat16_trains_in_float32(model):
    """There two steps of the 270M take minutes in bfloat16, and seconds in float32."""
    import torch
    from machines import LAPTOP

    assert loaded_in(LAPTOP, model) is torch.bfloat16
    assert loaded_in(replace(LAPTOP, cpu_has_bf16=False), model) is torch.float32


def test_on_a_mac_plain_peft_loads_where_the_notebook_trains(monkeypatch):
    from machines import MAC
    from models import SMALL_IT

    from gemma_lab import hardware
    from gemma_lab.lessons import nb05

    monkeypatch.setattr(hardware, "describe_machine", lambda: MAC)
    model, _ = nb05.PlainPeft.from_pretrained(SMALL_IT, load_in_4bit=False)
    assert model.device.type == "cpu"


def test_an_adapter_is_loaded_where_the_model_is(monkeypatch):
    """On a Mac the plan for an unquantized model says its GPU; it was trained on the CPU."""
    import peft
    import torch
    from machines import MAC
    from models import SMALL_IT
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import gemma_lab
    from gemma_lab import finetune

    load, asked = AutoModelForCausalLM, {}
    model, tokenizer = load.from_pretrained(SMALL_IT), AutoTokenizer.from_pretrained(SMALL_IT)
    monkeypatch.setattr(load, "from_pretrained", lambda path, **how: asked.update(how) or model)
    monkeypatch.setattr(peft.PeftModel, "from_pretrained", lambda model, adapter: model)
    plan = gemma_lab.plan_loading(SMALL_IT, "bf16", MAC)
    names = {"nb05_keep": SimpleNamespace(check_base=lambda *_: None), "adapter": "", "base": ""}
    names |= {"gemma_lab": gemma_lab, "finetune": finetune, "torch": torch, "dtype": torch.float32}
    names |= {"model": model, "tokenizer": tokenizer, "path": SMALL_IT, "plan": plan}
    rows = {"exam": [{"instruction": "a", "input": "", "output": "b"}]}
    run_cells(NAME, "loaded-adapter", rows=rows, **names)
    assert (plan.device_map, asked["device_map"]) == ({"": "mps"}, {"": "cpu"})


def test_what_is_merged_has_16_bits_where_32_compute(tmp_path):
    """As for the 270M on a T4: its file is in bfloat16, and PyTorch has to ask the same numbers."""
    import torch
    from machines import LAPTOP
    from models import SMALL_IT
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import gemma_lab
    from gemma_lab import memory
    from gemma_lab.lessons import nb05_keep

    plan = gemma_lab.plan_loading(SMALL_IT, "fp32", LAPTOP)
    base = AutoModelForCausalLM.from_pretrained(SMALL_IT, **plan.kwargs())
    places = dict(target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(base, LoraConfig(init_lora_weights=False, **places)).save_pretrained(tmp_path)
    names = {"gemma_lab": SimpleNamespace(plan_loading=lambda *_: plan), "machine": LAPTOP}
    names |= {"AutoModelForCausalLM": AutoModelForCausalLM, "PeftModel": PeftModel}
    names |= {"memory": memory, "nb05_keep": nb05_keep, "path": SMALL_IT, "adapter": tmp_path}
    rows = {"exam": [{"instruction": "a", "input": "", "output": "b"}]}
    tokenizer = AutoTokenizer.from_pretrained(SMALL_IT)
    merged = run_cells(NAME, "merge", rows=rows, tokenizer=tokenizer, **names)["merged"]
    for weight in merged.parameters():
        assert weight.dtype is torch.float32 and weight.equal(weight.bfloat16().float())


@pytest.mark.parametrize("answer, whose", [
    (lambda prompt, completion: [-100] * len(prompt) + completion, "your function"),
    (lambda prompt, completion: prompt + completion, "the solution"),
    (..., "the solution"),
])  # fmt: skip
def test_an_answer_to_exercise_3_is_compared_with_trls_labels(answer, whose, capsys):
    """A wrong one, or none, does not stop the cell."""
    import torch
    from models import SMALL_IT
    from transformers import AutoTokenizer

    from gemma_lab.lessons import nb05

    tokenizer = AutoTokenizer.from_pretrained(SMALL_IT)
    pair = {"prompt": "What is 2 + 2?\n", "completion": "4<eos>"}
    ids = tokenizer(pair["prompt"] + pair["completion"])["input_ids"]
    start, batch = len(tokenizer(pair["prompt"])["input_ids"]), {"input_ids": torch.tensor([ids])}
    trainer = SimpleNamespace(train_dataset=[None], data_collator=lambda _: batch)
    names = {"nb05": nb05, "my_labels": answer, "pairs": [pair], "tokenizer": tokenizer}
    for labels, same in (([-100] * start + ids[start:], True), ([-100] + ids[1:], False)):
        batch["labels"] = torch.tensor([labels])
        run_cells(NAME, "loss-tokens", trainer=trainer, **names)
        said = f"TRL's labels are those of {whose} in Exercise 3: {same}"
        assert capsys.readouterr().out.strip() == said


def test_many_gpus_leave_the_size_that_other_cells_ask():
    assert run_cells(NAME, "many-gpus", catalog=catalog, size="pocket")["size"] == "pocket"
