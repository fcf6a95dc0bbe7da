"""Notebook 05 while it trains: folders of runs, interrupt and resume, the curve, the box."""

import threading
from types import SimpleNamespace

import pytest
import torch
from models import SMALL_IT
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import finetune, hardware
from gemma_lab.lessons import nb05_live


@pytest.fixture(scope="module")
def small():
    model = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32)
    return model.eval(), AutoTokenizer.from_pretrained(SMALL_IT)


@pytest.fixture
def no_drive(monkeypatch, tmp_path):
    monkeypatch.setattr(nb05_live, "DRIVE", tmp_path / "no drive")


def test_no_two_runs_share_a_folder_even_at_the_same_moment(tmp_path, no_drive):
    found = []
    threads = [
        threading.Thread(
            target=lambda: found.append(nb05_live.new_run("google/gemma-2b-it", tmp_path))
        )
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.name for path in found} == {f"gemma-2b-it-{number}" for number in range(1, 9)}
    assert all(path.is_dir() for path in found)


def test_an_interrupted_run_is_named_and_a_finished_one_is_not(tmp_path, no_drive, capsys):
    first, second, third = (nb05_live.new_run("gemma", tmp_path) for _ in range(3))
    (first / "checkpoint-5").mkdir()
    (second / "checkpoint-5").mkdir()
    (second / "adapter").mkdir()
    capsys.readouterr()
    nb05_live.new_run("gemma", tmp_path)
    said = capsys.readouterr().out
    assert (
        said.count("has checkpoints and no saved adapter") == 1
        and f'RUN = nb05_live.Path("{first.as_posix()}")' in said
    )
    for other in ("another", "gem", "gemma-1"):
        nb05_live.new_run(other, tmp_path)
    assert capsys.readouterr().out == "", "runs of another model are none of its business"


def test_on_colab_runs_go_to_drive_or_a_line_says_how(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nb05_live, "DRIVE", tmp_path / "MyDrive")
    monkeypatch.setattr(hardware, "is_colab", lambda: True)
    assert nb05_live.new_run("gemma").as_posix() == "outputs/gemma-1"
    said = capsys.readouterr().out
    assert "drive.mount('/content/drive')" in said and "run this cell again" in said
    (tmp_path / "MyDrive").mkdir()
    assert nb05_live.new_run("gemma") == tmp_path / "MyDrive" / "gemma-course" / "gemma-1"
    assert capsys.readouterr().out == ""


class Stop:
    """A learner who presses the stop button after a step."""

    def __new__(cls, at: int):
        from transformers import TrainerCallback

        class Pressed(TrainerCallback):
            presses = 1

            def on_step_end(self, args, state, control, **_):
                if state.global_step == at and self.presses:
                    self.presses -= 1
                    raise KeyboardInterrupt

        return Pressed()


def trainer_in(folder, *callbacks, steps: int = 6):
    """The notebook's trainer on the pocket model in float32, with a checkpoint every two steps."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from gemma_lab import catalog
    from gemma_lab.lessons import nb05

    model, tokenizer = nb05.PlainPeft.from_pretrained(
        SMALL_IT, dtype=torch.float32, load_in_4bit=False
    )
    model = nb05.PlainPeft.get_peft_model(model, r=4, target_modules=["q_proj", "down_proj"])
    rows = catalog.json_lines("health_instructions_held_out.jsonl")[:12]
    pairs = [finetune.to_prompt_completion(row, tokenizer.eos_token) for row in rows]
    config = SFTConfig(
        str(folder),
        max_steps=steps,
        per_device_train_batch_size=2,
        learning_rate=4e-3,
        completion_only_loss=True,
        max_length=512,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=1,
        logging_steps=1,
        bf16=False,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
        seed=1,
    )
    data = Dataset.from_list(pairs)
    return SFTTrainer(
        model=model,
        processing_class=tokenizer,
        train_dataset=data,
        args=config,
        callbacks=[*callbacks],
    )


def losses(trainer) -> dict[int, float]:
    return {at["step"]: float(at["loss"]) for at in trainer.state.log_history if "loss" in at}


def adapters(trainer) -> list[torch.Tensor]:
    return [weight for name, weight in trainer.model.named_parameters() if "lora_" in name]


def test_stopped_and_resumed_gives_the_losses_and_weights_of_one_run(tmp_path, capsys):
    """In the same kernel, by running the cell again: as section 6 says."""
    whole = trainer_in(tmp_path / "whole")
    assert nb05_live.resume_point(whole) is None
    whole.train()
    assert "are done" not in capsys.readouterr().out
    assert nb05_live.resume_point(whole).endswith("checkpoint-6")
    assert "All 6 steps are done" in capsys.readouterr().out
    stopped = trainer_in(tmp_path / "stopped", Stop(3))
    with pytest.raises(KeyboardInterrupt):
        stopped.train(resume_from_checkpoint=nb05_live.resume_point(stopped))
    point = nb05_live.resume_point(stopped)
    assert point.endswith("checkpoint-2"), "at most one save interval is lost"
    stopped.train(resume_from_checkpoint=point)
    assert losses(stopped) == losses(whole) and set(losses(whole)) == set(range(1, 7))
    assert all(one.equal(other) for one, other in zip(adapters(stopped), adapters(whole)))


def test_a_new_kernel_goes_on_from_the_folder_of_the_old_one(tmp_path):
    whole, stopped = trainer_in(tmp_path / "whole"), trainer_in(tmp_path / "stopped", Stop(5))
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    anew = trainer_in(tmp_path / "stopped")
    anew.train(resume_from_checkpoint=nb05_live.resume_point(anew))
    assert losses(anew) == losses(whole)
    assert all(one.equal(other) for one, other in zip(adapters(anew), adapters(whole)))


def test_half_trained_without_a_checkpoint_is_refused_in_a_sentence(tmp_path):
    stopped = trainer_in(tmp_path, Stop(1))
    with pytest.raises(KeyboardInterrupt):
        stopped.train(resume_from_checkpoint=nb05_live.resume_point(stopped))
    with pytest.raises(RuntimeError, match="run the cells from section 1 on once more"):
        nb05_live.resume_point(stopped)
    with pytest.raises(RuntimeError, match="cannot say what was there before"):
        nb05_live.refuse_trained(stopped.model)


@pytest.mark.slow
def test_a_half_written_checkpoint_is_passed_over(tmp_path):
    """A machine that disconnects may leave one: its trainer_state.json is what comes last."""
    whole, stopped = trainer_in(tmp_path / "whole"), trainer_in(tmp_path / "stopped", Stop(5))
    nb05_live.refuse_trained(stopped.model)
    whole.train()
    stopped.args.save_total_limit = None
    with pytest.raises(KeyboardInterrupt):
        stopped.train()
    (tmp_path / "stopped" / "checkpoint-4" / "trainer_state.json").unlink()
    point = nb05_live.resume_point(stopped)
    assert point.endswith("checkpoint-2")
    anew = trainer_in(tmp_path / "stopped")
    anew.train(resume_from_checkpoint=point)
    assert losses(anew) == losses(whole)


def test_a_model_that_has_adapters_already_is_named():
    fresh = SimpleNamespace()
    nb05_live.refuse_second_adapters(fresh)
    adapted = SimpleNamespace(peft_config={"default": SimpleNamespace(r=8)})
    with pytest.raises(RuntimeError, match="of rank 8 already.*section 1"):
        nb05_live.refuse_second_adapters(adapted)


HISTORY = [
    {"step": 1, "loss": "3.2"},
    {"step": 2, "loss": "2.5"},
    {"step": 2, "eval_loss": 1.9},
    {"step": 3, "loss": "1.0"},
    {"step": 3, "train_runtime": 4},
]


def test_the_curve_shows_every_logged_loss_in_its_place():
    figure = nb05_live.loss_curve(HISTORY, {0: 4.0}, "a title")
    line, diamonds = figure.axes[0].lines
    assert list(zip(*line.get_data())) == [(1, 3.2), (2, 2.5), (3, 1.0)]
    assert list(zip(*diamonds.get_data())) == [(0, 4.0), (2, 1.9)]
    assert (
        nb05_live.loss_curve([], {}, "nothing yet").axes[0].get_title(loc="left") == "nothing yet"
    )


def test_the_live_curve_leaves_its_last_picture(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=lambda bundle, raw: shown.append(bundle))
    monkeypatch.setattr(
        "IPython.display.display", lambda bundle, raw, display_id: shown.append(bundle) or handle
    )
    curve, history = nb05_live.live_curve({0: 4.0}, "a title"), []
    state = SimpleNamespace(log_history=history)
    curve.on_train_begin(None, state, None)
    history += HISTORY
    curve.on_train_end(None, state, None)
    (model,) = {bundle["application/vnd.jupyter.widget-view+json"]["model_id"] for bundle in shown}
    pictures = [bundle["image/png"] for bundle in shown]
    assert len(pictures) == 2 and pictures[0] != pictures[1]
    assert all(picture.startswith(b"\x89PNG") for picture in pictures) and model


def test_the_box_asks_the_model_and_shows_its_answer_as_text(small):
    model, tokenizer = small
    box = nb05_live.assistant(model, tokenizer, "What is 2 + 2?")
    asked, note, button, said = box.children
    button.click()
    row = {"instruction": "What is 2 + 2?", "input": ""}
    inputs = tokenizer(finetune.format_prompt(row), return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=120, do_sample=False)
    text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert said.value == text.replace("\n", "<br>") and text
    asked.value, note.value = "Repeat: <b>", "a note"
    button.click()
    assert "<b>" not in said.value
