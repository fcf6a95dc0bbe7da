"""Notebook 05: what its text says of the 270M's training, and what its asserts hold."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from notebook_cells import ROOT, numbers, run_cells, shown

from gemma_lab.profile import CHECKPOINTS

NAME = "05_lora_finetuning"


def test_the_held_out_loss_falls_by_far_more_than_half():
    before, after = numbers(shown(NAME, "held-out-loss").split("loss:")[1])
    assert 0 < after < 0.2 * before


def test_the_first_third_of_the_steps_buys_most_of_the_fall():
    lines = [numbers(line) for line in shown(NAME, "loss-curve").splitlines() if "step" in line]
    (first, at), (third, then), (last, end) = lines
    assert at < then <= end / 2 and first - third > 0.5 * (first - last)


def test_the_talk_s_question_turns_into_a_card():
    assert "before: False · after: True" in shown(NAME, "labels")


def test_most_cards_on_unseen_topics_are_right_to_the_letter():
    topics, in_format, exact = numbers(shown(NAME, "cards"))
    assert topics == 4 == in_format and exact >= 3


def test_four_meanings_are_recalled_without_a_note():
    said = [line.split("Meaning: ")[1] for line in shown(NAME, "recall").splitlines()]
    wanted = ("spiders", "rooms", "high places", "dark")
    assert len(said) == 4 and all(word in meaning for word, meaning in zip(wanted, said))


def test_half_of_the_rows_are_about_these_four():
    file = CHECKPOINTS.parent / "data" / "health_instructions_train.jsonl"
    names = ("arachnophobia", "claustrophobia", "acrophobia", "nyctophobia")
    rows = file.read_text(encoding="utf-8").splitlines()
    about = sum(any(f"Name: {name}" in row for name in names) for row in rows)
    assert 0.45 < about / len(rows) < 0.55


def test_shares_in_the_text_are_those_of_the_pocket_models_card():
    card = (CHECKPOINTS / "pocket-small-it" / "README.md").read_text(encoding="utf-8")
    text = (ROOT / "notebooks" / f"{NAME}.ipynb").read_text(encoding="utf-8")
    said = set(re.findall(r"\d+ %", text))
    for row in ("topics in the new format", "topics right to the letter", "new facts recalled"):
        (share,) = re.findall(rf"{row} \| ([\d.]+)", card)
        said.remove(f"{float(share):.0%}".replace("%", " %"))
    (times,) = re.findall(r"old answers, perplexity times \| ([\d.]+)", card)
    assert f"a factor of {float(times):.2f}" in text
    assert said == {"55 %"}, "of Unsloth's own figures; every other share is one of the card"


def test_english_and_vietnamese_are_forgotten_a_little():
    for line in shown(NAME, "old-answers").splitlines():
        was, now = numbers(line)
        assert 1 < was < now < 2 * was


def test_the_loaded_adapter_answers_as_the_saved_one():
    assert "the same answer as before saving: True" in shown(NAME, "loaded-adapter")


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


@pytest.mark.parametrize("rank", [1, 8, 64])
def test_the_count_and_the_file_hold_for_every_rank(rank, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_cells(NAME, "lora-count", "adapter-file", model=with_lora(rank))
    assert Path("outputs/adapter/adapter_model.safetensors").exists()


def test_another_weight_that_trains_is_not_in_the_count():
    model = with_lora(4)
    model.get_input_embeddings().weight.requires_grad = True
    with pytest.raises(AssertionError, match="and nothing else"):
        run_cells(NAME, "lora-count", model=model)


def test_a_file_that_holds_more_than_the_adapters_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = with_lora(4)
    counted = run_cells(NAME, "lora-count", model=model)
    everything = SimpleNamespace(
        named_parameters=model.named_parameters,
        save_pretrained=lambda folder: model.save_pretrained(folder, save_embedding_layers=True),
    )
    with pytest.raises(AssertionError, match="and nothing else"):
        run_cells(NAME, "adapter-file", **counted | {"model": everything})


@pytest.mark.parametrize("num_rows", [1, 3, 13, 14, 42, 84])
@pytest.mark.parametrize("profile, most", [("pocket", 14), ("laptop", 4), ("hub", 14)])
def test_any_number_of_exam_rows_gives_at_most_one_card_a_topic(num_rows, profile, most):
    """With fewer rows than the course's own, too: the text invites a learner's own rows."""
    import torch

    asked = []

    class Prompts(dict):
        def to(self, device):
            return self

    def tokenizer(prompts, **_):
        asked.extend(prompts)
        return Prompts(input_ids=torch.zeros(len(prompts), 3, dtype=torch.long))

    tokenizer.batch_decode = lambda answers, **_: [row["output"] for row in exam[: len(answers)]]
    exam = [{"output": f"Name: {at}"} for at in range(num_rows)]
    names = {
        "exam": exam,
        "profile": profile,
        "finetune": SimpleNamespace(format_prompt=lambda row: row["output"]),
        "tokenizer": tokenizer,
        "labels": lambda text: [text],
        "LABELS": ["Name"],
        "model": SimpleNamespace(device="cpu", generate=lambda **given: given["input_ids"]),
    }
    run_cells(NAME, "cards", **names)
    assert len(asked) == len(set(asked)) == min(most, num_rows)


@pytest.mark.parametrize("num_steps", [1, 5, 20, 29, 30, 60, 300])
def test_a_few_steps_leave_a_loss_to_draw(num_steps):
    """`logging_steps` follows the number of steps, so that one step is a point, too."""
    config = written_arguments(STEPS=num_steps)
    assert 1 <= config.logging_steps <= num_steps
    assert config.max_steps == num_steps and config.warmup_steps < num_steps


def written_arguments(dtype: str = "bfloat16", **values):
    """The notebook's `SFTConfig` on a CPU, with these values where they differ from laptop's."""
    import torch

    names = {"STEPS": 20, "LEARNING_RATE": 1e-3, "ROWS": 4, "ACCUMULATION": 1, "on_gpu": False}
    names |= {"torch": torch, "dtype": getattr(torch, dtype), "IN_4_BITS": False}
    return run_cells(NAME, "arguments", **names | values)["config"]


@pytest.mark.parametrize("card, model, mixed", [
    ("T4", "google/gemma-2b-it", "fp16"),
    ("T4", "google/gemma-3-270m", None),
    ("A100", "google/gemma-2b-it", "bf16"),
    ("A100", "google/gemma-3-270m", "bf16"),
])  # fmt: skip
def test_mixed_precision_follows_the_plan_for_card_and_model(card, model, mixed, monkeypatch):
    """fp16 on a float32 Gemma 3 would overflow; the loading cell plans, the other obeys."""
    import torch
    import trl

    import gemma_lab
    from gemma_lab import hardware

    loaded = []
    names = {
        "MODEL": model,
        "path": model,
        "gemma_lab": SimpleNamespace(
            describe_machine=lambda: getattr(hardware, card),
            plan_loading=gemma_lab.plan_loading,
            portable_4bit=lambda model: model,
        ),
        "FastLanguageModel": SimpleNamespace(
            from_pretrained=lambda **given: loaded.append(given) or (None, None)
        ),
    }
    dtype = run_cells(NAME, "load", **names)["dtype"]
    assert loaded[0]["load_in_4bit"] == ("270m" not in model) and loaded[0]["dtype"] is dtype
    assert dtype is {"fp16": torch.float16, "bf16": torch.bfloat16, None: torch.float32}[mixed]
    monkeypatch.setattr(trl, "SFTConfig", lambda **given: SimpleNamespace(**given))  # no card here
    config = written_arguments(str(dtype).removeprefix("torch."), on_gpu=True)
    assert (config.fp16, config.bf16) == (mixed == "fp16", mixed == "bf16")


def test_paragraph_perplexities_are_those_of_transformers_own_loss():
    """Its loss over one row is the mean surprise of all tokens but <bos>."""
    import json
    import math

    import torch
    from models import SMALL_IT
    from notebook_cells import ROOT
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from gemma_lab.lessons import nb05

    model = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(SMALL_IT)
    found = nb05.paragraph_perplexities(model, tokenizer)
    data = json.loads((ROOT / "gemma_lab" / "data" / "paragraphs.json").read_text(encoding="utf-8"))
    assert list(data) == ["English", "Vietnamese"] and [*map(len, data.values())] == [3, 3]
    for language, texts in data.items():
        total = count = 0
        for text in texts:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            assert ids[0, 0] == tokenizer.bos_token_id
            total += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
            count += ids.shape[1] - 1
        wanted = pytest.approx(math.exp(total / count), rel=1e-4)
        assert found[f"{language} paragraphs"] == wanted


def test_on_a_mac_plain_peft_loads_where_the_notebook_trains(monkeypatch):
    from machines import MAC
    from models import SMALL_IT

    from gemma_lab import hardware
    from gemma_lab.lessons import nb05

    monkeypatch.setattr(hardware, "describe_machine", lambda: MAC)
    model, _ = nb05.PlainPeft.from_pretrained(SMALL_IT, load_in_4bit=False)
    assert model.device.type == "cpu"
