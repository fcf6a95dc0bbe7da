"""Notebook 05's training as a script: one process, or many under `accelerate launch -m`.

    python -m gemma_lab.lessons.nb05_train --model MODEL --out outputs/my-run
    accelerate launch --num_processes 8 -m gemma_lab.lessons.nb05_train --model … --out …

Rows are the course's own, or a JSON-lines file with instruction, input and output. The adapter and
the losses of each step go to OUT; where OUT holds a checkpoint, training goes on from it.
One step takes batch-size x accumulation x processes rows. Several machines share the disk of OUT.
"""

from __future__ import annotations

import json
import os
import random
import time
from argparse import Namespace
from pathlib import Path

from gemma_lab.lessons.nb05_options import arguments, is_first, is_sharded

SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def load(chosen: Namespace):
    """(backend, model, tokenizer): on this process's card; in RAM where FSDP is to shard it."""
    from gemma_lab.lessons import nb05

    backend = nb05.lora_backend() if chosen.unsloth else nb05.PlainPeft
    if chosen.unsloth and backend is nb05.PlainPeft:
        raise SystemExit("--unsloth: it cannot be imported here. Leave that option out.")
    import torch

    import gemma_lab

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    if is_sharded():  # one process of a machine reads the weights, once they know of each other
        from accelerate import PartialState

        PartialState(cpu=not torch.cuda.is_available())
    precision = {4: "nf4", 16: "bf16", 32: "fp32"}[chosen.bits]
    try:
        plan = gemma_lab.plan_loading(chosen.model, precision, gemma_lab.describe_machine())
    except ValueError as error:
        raise SystemExit(f"--model: {error}") from None
    dtype = (plan.quantization or {}).get("bnb_4bit_compute_dtype", plan.dtype)
    model, tokenizer = backend.from_pretrained(
        model_name=chosen.model,
        max_seq_length=512,
        dtype=getattr(torch, dtype),  # in 4 bits float32, where a CPU only emulates bfloat16
        load_in_4bit=chosen.bits == 4,
    )
    model = gemma_lab.portable_4bit(model)
    return backend, model, tokenizer


def pairs(chosen: Namespace, model, tokenizer) -> list[dict]:
    """Rows of prompt and completion: the new ones, and old ones if some are rehearsed."""
    from gemma_lab import catalog, finetune
    from gemma_lab.lessons import nb05_old

    own = "health_instructions_train.jsonl"
    rows = catalog.json_lines(chosen.rows.resolve() if chosen.rows else own)
    found = [finetune.to_prompt_completion(row, tokenizer.eos_token) for row in rows]
    if chosen.rehearse:
        old = nb05_old.rehearsal_rows(model, tokenizer)
        found = nb05_old.rehearsed(found, old, chosen.rehearse)
    random.Random(chosen.seed).shuffle(found)
    return found


def judge(model, tokenizer, old: list[dict]) -> dict:
    """The whole exam: all held-out rows, a card for each topic, old skills, speed, and examples."""
    from gemma_lab import catalog
    from gemma_lab.lessons import nb05_old
    from gemma_lab.lessons import nb05_verdict as verdict

    exam = catalog.json_lines("health_instructions_held_out.jsonl")
    topics = verdict.topics(exam)
    form = verdict.labels(exam[0]["output"])
    written = verdict.cards(model, tokenizer, topics)
    return {
        "exam": verdict.digest(exam),
        "target": verdict.target(model, tokenizer, exam),
        "topics_exact": verdict.target(model, tokenizer, topics)["exact"],
        "topics_in_format": sum(verdict.labels(one) == form for one in written) / len(written),
        "regression": nb05_old.regression(model, tokenizer, old),
        "tokens_per_s": round(verdict.tokens_per_s(model, tokenizer, exam[0]), 2),
        "examples": nb05_old.side_by_side(model, tokenizer, old),
    }


def before(chosen: Namespace) -> dict:
    """What fine-tuning must beat: the exam with the bare prompt, and with three examples in it."""
    _, model, tokenizer = load(chosen)
    from gemma_lab import catalog
    from gemma_lab.lessons import nb05_old
    from gemma_lab.lessons import nb05_verdict as verdict

    found = judge(model, tokenizer, nb05_old.old_answers(model, tokenizer))
    exam = catalog.json_lines("health_instructions_held_out.jsonl")
    train = catalog.json_lines("health_instructions_train.jsonl")
    topics, examples = verdict.topics(exam), verdict.examples(train, tokenizer, exam)
    found["three_examples"] = verdict.target(model, tokenizer, topics, examples)
    return found


def last_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint: trainer_state.json is what transformers writes last."""
    states = folder.glob("checkpoint-*/trainer_state.json")
    found = [(int(path.parent.name.split("-")[1]), str(path.parent)) for path in states]
    return max(found)[1] if found else None


def train(chosen: Namespace) -> dict:
    """Trains and saves.

    Returns: losses by step, those before a break included; the seconds since it; and the exams if
        they were asked for, on the first process alone.
    """
    backend, model, tokenizer = load(chosen)
    import torch
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from gemma_lab.lessons import nb05, nb05_old

    judges = chosen.judge and is_first()
    old = nb05_old.old_answers(model, tokenizer) if judges else []
    rows = Dataset.from_list(pairs(chosen, model, tokenizer))
    on_gpu = torch.cuda.is_available()
    recompute = is_sharded() or (chosen.bits == 4 and on_gpu)  # activations, in the backward pass
    model = backend.get_peft_model(
        model,
        r=chosen.rank,
        target_modules=SEVEN,
        lora_alpha=16,
        use_gradient_checkpointing=recompute,
        random_state=chosen.seed,
    )
    dtype = model.get_input_embeddings().weight.dtype
    config = SFTConfig(
        output_dir=str(chosen.out),
        max_steps=chosen.steps,
        learning_rate=chosen.learning_rate,
        per_device_train_batch_size=chosen.batch_size,
        gradient_accumulation_steps=chosen.accumulation,
        gradient_checkpointing=recompute,
        warmup_steps=min(10, chosen.steps // 6),
        lr_scheduler_type="linear",
        optim="adamw_8bit" if on_gpu and not is_sharded() else "adamw_torch",
        weight_decay=0.01,
        completion_only_loss=True,
        max_length=512,
        bf16=on_gpu and dtype is torch.bfloat16,
        fp16=on_gpu and dtype is torch.float16,
        use_cpu=not on_gpu,
        ddp_find_unused_parameters=False,
        seed=chosen.seed,
        logging_steps=1,
        report_to="none",
        save_strategy="steps" if chosen.save_steps else "no",
        save_steps=chosen.save_steps or chosen.steps,
        disable_tqdm=True,
    )
    trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=rows, args=config)
    model = nb05.float32_adapters(model)
    began = time.perf_counter()
    trainer.train(resume_from_checkpoint=last_checkpoint(chosen.out))
    seconds = time.perf_counter() - began
    losses = {at["step"]: float(at["loss"]) for at in trainer.state.log_history if "loss" in at}
    tokens = [at["num_tokens"] for at in trainer.state.log_history if "num_tokens" in at]
    found = {"losses": losses, "seconds": round(seconds, 1)}
    found["train_tokens_per_s"] = round(float(tokens[-1]) / seconds, 1)
    found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else None
    trainer.save_model(str(chosen.out / "adapter"))
    if judges:
        found |= judge(backend.for_inference(model), tokenizer, old)
    return found


def main(words: list[str] | None = None) -> None:
    """Runs the command; its numbers go to run.json in the run's folder."""
    chosen = arguments(words)
    if not chosen.steps and not is_first():
        return
    found = train(chosen) if chosen.steps else before(chosen)
    if is_first():
        chosen.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found, ensure_ascii=False, indent=1)
        (chosen.out / "run.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
