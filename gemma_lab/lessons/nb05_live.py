"""Notebook 05 while it trains and after: a run's folder, the live curve, the box to ask in."""

from __future__ import annotations

import html
import itertools
import re
import time
from pathlib import Path

import ipywidgets

from gemma_lab import figures, finetune, hardware
from gemma_lab.figures import BLUE, VERMILION, plt, use_style
from gemma_lab.lessons.nb05_train import last_checkpoint

DRIVE = Path("/content/drive/MyDrive")  # where Colab shows a learner's Google Drive


def new_run(model_id: str, root: Path | str = "outputs") -> Path:
    """A new folder for one run, such as outputs/gemma-2b-it-1: no two runs ever share one.

    On Colab it is on Drive, where Drive is mounted: the machine's own disk goes with the machine.
    Prints how an interrupted run of this model goes on.
    """
    if DRIVE.exists():
        root = DRIVE / "gemma-course"
    elif hardware.is_colab():
        print("A checkpoint outlives this machine only on your Drive. Run these two lines:")
        print("from google.colab import drive\ndrive.mount('/content/drive')")
        print("Then run this cell again.")
    root, name = Path(root), Path(model_id).name
    for old in sorted(root.iterdir() if root.exists() else []):
        is_of_this_model = re.fullmatch(re.escape(name) + r"-\d+", old.name)
        if is_of_this_model and any(old.glob("checkpoint-*")) and not (old / "adapter").exists():
            print(f"{old} has checkpoints and no saved adapter. If it was stopped, with the same")
            print(f'rows and settings, go on with it: RUN = nb05_live.Path("{old.as_posix()}")')
    for number in itertools.count(1):
        try:
            (root / f"{name}-{number}").mkdir(parents=True)
            return root / f"{name}-{number}"
        except FileExistsError:
            continue


def is_trained(model) -> bool:
    """Whether some B of the adapters is no longer zero."""
    return any(weight.any() for name, weight in model.named_parameters() if "lora_B" in name)


def refuse_trained(model) -> None:
    """Raises: RuntimeError for a trained model, which is no baseline any more."""
    if is_trained(model):
        raise RuntimeError(
            "This model has been trained, so it cannot say what was there before: "
            "run the cells from section 1 on once more."
        )


def resume_point(trainer) -> str | None:
    """The newest checkpoint in the trainer's own folder, to go on from; None before the first.

    Raises: RuntimeError where the adapters are half trained and no checkpoint tells how far.
    """
    last = last_checkpoint(Path(trainer.args.output_dir))
    if last is None and is_trained(trainer.model):
        raise RuntimeError(
            "These adapters have been trained already, and no checkpoint says how far: "
            "run the cells from section 1 on once more."
        )
    if last and last.endswith(f"checkpoint-{trainer.args.max_steps}"):
        print(f"All {trainer.args.max_steps} steps are done: nothing is left to train. For more,")
        print("raise STEPS and run the cells from section 1 on once more.")
    return last


def refuse_second_adapters(model) -> None:
    """Raises: RuntimeError for a model with adapters: Unsloth would keep their rank in silence."""
    if found := getattr(model, "peft_config", None):
        raise RuntimeError(
            f"This model has adapters of rank {found['default'].r} already: "
            "load it again with the cells of section 1, then run this one."
        )


def loss_curve(history: list[dict], held_out: dict[int, float], title: str):
    """Losses by step: those of the training rows as a line, of held-out rows as diamonds.

    Args: history: `trainer.state.log_history`; held_out: {step: loss} beside those in it.
        Losses in nats a token.
    Returns: the matplotlib figure.
    """
    use_style()
    figure, axis = plt.subplots()
    points = {at["step"]: float(at["loss"]) for at in history if "loss" in at}
    axis.plot(list(points), list(points.values()), color=BLUE, label="training rows")
    seen = {at["step"]: float(at["eval_loss"]) for at in history if "eval_loss" in at}
    seen = held_out | seen
    style = dict(color=VERMILION, label="held-out rows", clip_on=False)
    axis.plot(list(seen), list(seen.values()), "D", **style)
    axis.set(xlabel="step", ylabel="loss, nats a token", title=title, ylim=(0, None))
    axis.legend()
    return figure


def live_curve(held_out: dict[int, float], title: str):
    """A `TrainerCallback` that draws the losses as they come, at most once a second.

    The last picture stays in the notebook, for readers without a kernel.
    """
    from IPython.display import display
    from transformers import TrainerCallback

    image = ipywidgets.Image(format="png")
    view = {"version_major": 2, "version_minor": 0, "model_id": image.model_id}

    class LiveCurve(TrainerCallback):
        def draw(self, state) -> dict:
            self.drawn = time.monotonic()
            picture = figures.png(loss_curve(state.log_history, held_out, title))
            image.value = picture
            return {
                "application/vnd.jupyter.widget-view+json": view,
                "image/png": picture,
                "text/plain": "losses by step",
            }

        def on_train_begin(self, args, state, control, **_):
            self.handle = display(self.draw(state), raw=True, display_id=True)

        def on_log(self, args, state, control, **_):
            if time.monotonic() > self.drawn + 1:
                self.draw(state)

        def on_train_end(self, args, state, control, **_):
            self.handle.update(self.draw(state), raw=True)

    return LiveCurve()


def assistant(model, tokenizer, instruction: str, note: str = "") -> ipywidgets.VBox:
    """A box for an instruction and a note; "Ask" writes what `model` answers to them."""
    wide = dict(layout={"width": "95%"}, **figures.LET_GO)
    asked = ipywidgets.Text(instruction, placeholder="instruction", **wide)
    given = ipywidgets.Textarea(note, placeholder="a note with the facts, or nothing", **wide)
    button, said = ipywidgets.Button(description="Ask"), ipywidgets.HTML()

    def answer(_) -> None:
        said.value = "<i>writing …</i>"
        prompt = finetune.format_prompt({"instruction": asked.value, "input": given.value})
        inputs = tokenizer(prompt, return_tensors="pt").to(model.device)
        output = model.generate(**inputs, max_new_tokens=120, do_sample=False)
        text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], True)
        said.value = html.escape(text).replace("\n", "<br>") or "<i>nothing</i>"

    button.on_click(answer)
    return ipywidgets.VBox([asked, given, button, said])
