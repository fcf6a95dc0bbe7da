"""What Codelab 2's fine-tuning does to a pocket model."""

import tempfile
import time
from pathlib import Path

from gemma_lab import finetune, loading, scores
from gemma_lab.lessons import nb05, nb05_verdict
from pocket import corpus, health_instructions
from pocket.measures import share


def lora_measures(folder: Path, steps: int = 300, every: int = 1) -> dict:
    """What Codelab 2's fine-tuning does to the model in `folder`.

    By PEFT alone: 4 bits, r = 16, seven modules, `steps` steps of 8 rows. "New facts recalled" is
    the meaning of a new word, asked for without a note and in words that training does not use.

    Args: every: measures are taken on one row of this many; training sees all of its rows.
    """
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model, tokenizer = nb05.PlainPeft.from_pretrained(str(folder), max_seq_length=512)
    old = scores.one_answer_rows()[::every]
    before = scores.perplexity(
        scores.answer_log_probs(loading.portable_4bit(model).eval(), tokenizer, old)
    )
    model = nb05.PlainPeft.get_peft_model(model, r=16, target_modules=modules, random_state=1357)
    rows, held_out = health_instructions.build()
    held_out, by_heart = held_out[::every], health_instructions.by_heart()[::every]
    loss_before = nb05_verdict.target(model, tokenizer, held_out)["loss"]
    pairs = [finetune.to_prompt_completion(row, tokenizer.eos_token) for row in rows]
    pairs += [
        {"prompt": corpus.turn(row["prompt"]), "completion": row["answer"] + "<end_of_turn>\n"}
        for row in health_instructions.everyday()
    ]
    with tempfile.TemporaryDirectory() as output:
        config = SFTConfig(
            output,
            max_steps=steps,
            learning_rate=4e-3,
            per_device_train_batch_size=8,
            warmup_steps=10,
            weight_decay=0.01,
            lr_scheduler_type="linear",
            completion_only_loss=True,
            max_length=512,
            bf16=False,
            use_cpu=True,
            seed=1357,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(pairs),
            args=config,
        )
        nb05.float32_adapters(model)
        began = time.monotonic()
        trainer.train()
        seconds = time.monotonic() - began
    model.eval()

    def cards(asked: list[dict]) -> list[str]:
        inputs = tokenizer(
            [finetune.format_prompt(row) for row in asked], return_tensors="pt", padding=True
        )
        output = model.generate(**inputs, max_new_tokens=100, do_sample=False)
        return tokenizer.batch_decode(
            output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True
        )

    written = cards(held_out)
    loss_after = nb05_verdict.target(model, tokenizer, held_out)["loss"]
    after = scores.perplexity(scores.answer_log_probs(model, tokenizer, old))

    def labels(text: str) -> list[str]:
        return [line.split(":")[0] for line in text.splitlines()]

    return {
        f"seconds for {steps} steps": round(seconds),
        "held-out loss before": round(loss_before, 2),
        "held-out loss after": round(loss_after, 2),
        "unseen topics in the new format": share(
            labels(text) == labels(row["output"]) for text, row in zip(written, held_out)
        ),
        "unseen topics right to the letter": share(
            text == row["output"] for text, row in zip(written, held_out)
        ),
        "new facts recalled": share(
            row["output"].splitlines()[1] in text for text, row in zip(cards(by_heart), by_heart)
        ),
        "old answers, perplexity before": round(before, 3),
        "old answers, perplexity after": round(after, 3),
        "old answers, perplexity times": round(after / before, 2),
    }
