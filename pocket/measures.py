"""The measures of a trained pocket model on what it has never seen."""

import collections
import functools
import itertools
import json
import math
import random
import re
import unicodedata

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoProcessor,
    AutoTokenizer,
    PaliGemmaForConditionalGeneration,
)

from gemma_lab import catalog, coding, loading, sandbox, scores, shapes
from gemma_lab.lessons import nb07_judge
from pocket import (
    code,
    corpus,
    data,
    exam,
    facts,
    functions,
    ngram,
    pictures,
    poems,
    policies,
    texts,
    train,
)
from pocket import tokenizer as tokenizers_of_ours
from pocket.recipe import Recipe

HANG = "Google I/O 2024 là một sự kiện công nghệ quy tụ những chuyên gia hàng"
HANG_NEXT = ("đầu", "giả", "ngày", "hóa", "rẻ", "sỉ")
WORD = re.compile(r"[^\W\d_]+")


def load(folder):
    """The model of a checkpoint folder in float32, and its tokenizer."""
    attention = loading.choose_attention(catalog.find(folder).config)
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation=attention
    )
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def share(flags) -> float:
    """The share of true ones, to three decimals."""
    flags = list(flags)
    return round(sum(flags) / len(flags), 3)


@torch.no_grad()
def answers(model, tokenizer, chats: list, max_new_tokens: int = 220) -> list[tuple[str, bool]]:
    """The greedy answer to each chat, and whether the model stopped by itself.

    A chat is a list of messages, or one question.
    """
    found = []
    for at in range(0, len(chats), 25):
        some = chats[at : at + 25]
        turns = [
            [{"role": "user", "content": chat}] if isinstance(chat, str) else chat for chat in some
        ]
        inputs = tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", padding=True, return_dict=True
        )
        output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        for row in output[:, inputs["input_ids"].shape[1] :].tolist():
            end = next(
                (i for i, token in enumerate(row) if token in tokenizers_of_ours.STOPS), None
            )
            found.append(
                (tokenizer.decode(row[:end], skip_special_tokens=True).strip(), end is not None)
            )
    return found


@torch.no_grad()
def continuation(model, tokenizer, text: str, max_new_tokens: int = 40) -> str:
    """What the model writes after plain text."""
    inputs = tokenizer(text, return_tensors="pt")
    output = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
    return tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def loops(text: str) -> bool:
    """True if a line comes more than twice, or repeats one to five words four times running."""
    lines = collections.Counter(line for line in text.split("\n") if line)
    return max(lines.values(), default=0) > 2 or bool(
        re.search(r"(?<!\S)(\S+(?: \S+){0,4})(?: \1){3}(?!\S)", text)
    )


def fresh_rows(tokenizer, kinds: dict, num_rows: int = 60) -> list:
    """New documents of the training kinds, from another seed, packed.

    Their titles and numbers are new; facts and lines are not.
    """
    return train.packed_rows(tokenizer, random.Random("perplexity"), num_rows, kinds)


@torch.no_grad()
def perplexity(model, rows: list) -> float:
    """exp of the mean cross-entropy in nats over the learned tokens of packed rows."""
    total, count = 0.0, 0
    for row in rows:
        tokens, learned, owner = (torch.tensor([column]) for column in row)
        num_learned = int(learned[:, 1:].sum())
        if num_learned:
            total += train.loss_of(model, tokens, learned, owner).item() * num_learned
            count += num_learned
    return math.exp(total / count)


def counted(tokenizer, kinds: dict, num_documents: int = 60_000) -> ngram.NGram:
    """A 5-gram model that has counted `num_documents` documents of the training kinds."""
    rng, model = random.Random("5-gram"), ngram.NGram(tokenizer.vocab_size)
    for _ in range(num_documents):
        text = corpus.text_of(corpus.document(rng, kinds))
        model.add([tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]])
    return model


def ngram_perplexity(model: ngram.NGram, rows: list) -> float:
    """The perplexity of a 5-gram model over the learned tokens of packed rows."""
    logs = [
        math.log(model.prob(tokens[at], tokens[owner.index(owner[at]) : at]))
        for tokens, learned, owner in rows
        for at in range(1, len(tokens))
        if learned[at]
    ]
    return math.exp(-sum(logs) / len(logs))


def as_packed(tokenizer, rows: list[dict]) -> list:
    """One-answer rows in the form of `train.packed_rows`, without padding; answers are learned."""
    found = []
    for row in rows:
        ids, start = scores.encode(tokenizer, row)
        tokens = ids[0].tolist()
        found.append((tokens, [at >= start for at in range(len(tokens))], [0] * len(tokens)))
    return found


@torch.no_grad()
def next_words(model, tokenizer, text: str, words: tuple[str, ...]) -> dict[str, tuple[int, float]]:
    """For each word: the rank (1 is first) and the probability of its first token after `text`."""
    probs = model(**tokenizer(text, return_tensors="pt")).logits[0, -1].softmax(-1)
    order = probs.argsort(descending=True).tolist()
    first = {
        word: tokenizer(" " + word, add_special_tokens=False)["input_ids"][0] for word in words
    }
    return {word: (order.index(token) + 1, probs[token].item()) for word, token in first.items()}


def log_prob(model, tokenizer, text: str) -> float:
    """Log-probability of a whole text in nats, its end included."""
    ids = tokenizer(text + "<eos>", return_tensors="pt")["input_ids"]
    return scores.token_log_probs(model, ids, 1).double().sum().item()


def sense_gap(model, tokenizer) -> float:
    """How much likelier the talk's orders of "Linh bảo sao không đến" are than all others.

    The mean log-probability in nats of the former, less that of the latter.
    """
    talk = json.loads((catalog.DATA / "vietnamese.json").read_text(encoding="utf-8"))
    words = [word.lower() for word in talk["words"]]
    orders = {" ".join(order) for order in itertools.permutations(words)}
    sense = {row["order"].lower() for row in talk["orders"]}

    def mean(texts) -> float:
        proper = [(text[0].upper() + text[1:]).replace("linh", "Linh") for text in texts]
        return sum(log_prob(model, tokenizer, text) for text in proper) / len(proper)

    return mean(sense) - mean(orders - sense)


def plain_measures(model, tokenizer, recipe: Recipe, with_ngram: bool = True) -> dict:
    """What base and chat models are both measured on."""
    texts = {"perplexity": fresh_rows(tokenizer, recipe.fresh_kinds)}
    found = {"perplexity": perplexity(model, texts["perplexity"])}
    if recipe.is_chat:
        answers_of = exam.one_answer_prompts("card")
        texts["perplexity of right answers"] = as_packed(tokenizer, answers_of)
        found["perplexity of right answers"] = scores.perplexity(
            scores.answer_log_probs(model, tokenizer, answers_of)
        )
    if with_ngram:
        yardstick = counted(tokenizer, recipe.fresh_kinds)
        found |= {
            f"5-gram {name}": ngram_perplexity(yardstick, rows) for name, rows in texts.items()
        }
    after = next_words(model, tokenizer, HANG, HANG_NEXT)
    return {name: round(value, 3) for name, value in found.items()} | {
        "rank of the first choice after hàng": after["đầu"][0],
        "last rank of the other five": max(rank for rank, _ in after.values()),
        "least probability of the six": round(min(p for _, p in after.values()), 4),
        "Linh sense gap in nats": round(sense_gap(model, tokenizer), 2),
    }


def base_measures(model, tokenizer, split: str) -> dict:
    """Questions as plain text: a base model goes on, so their answers do not follow."""
    rows = [row for row in exam.one_answer_prompts(split) if row["kind"] == "fact"][:30]
    written = [continuation(model, tokenizer, row["prompt"]) for row in rows]
    return {"questions answered": share(row["answer"] in text for row, text in zip(rows, written))}


def chat_measures(model, tokenizer, split: str, show: bool = False) -> dict:
    """What chat models are measured on, as shares."""
    asked = exam.prompts(split)
    given = answers(model, tokenizer, [prompt.chat for prompt in asked])
    many = exam.poem_prompts(split)
    made = answers(model, tokenizer, [prompt.chat for prompt in many])
    rows = exam.one_answer_prompts(split) + exam.new_wording_rows()
    rows += exam.calculation_rows(split)
    said = answers(model, tokenizer, [row["prompt"] for row in rows], 90)
    if show:
        for prompt, (text, stopped) in zip(asked, given):
            print(f"\n[{prompt.kind}] {prompt.turns[-1]}\n{text}" + ("" if stopped else " …"))
        for row, (text, _) in zip(rows, said):
            if text != row["answer"]:
                print(
                    f"\n{row['kind']}: {row['prompt']}\n  right: {row['answer']}\n  said:  {text}"
                )
    right = collections.defaultdict(list)
    for row, (text, _) in zip(rows, said):
        right[row["kind"]].append(text == row["answer"])
    real = {prompt.title for prompt in exam.real_prompts(split)}
    names = [
        (prompt.title in text, prompt.title in real)
        for prompt, (text, _) in zip(asked, given)
        if prompt.title
    ]
    names += [(prompt.title in text, False) for prompt, (text, _) in zip(many, made)]
    bodies = {
        text.replace(prompt.title, "").split("\n", 1)[-1] for prompt, (text, _) in zip(many, made)
    }
    return {
        "stops by itself": share(stopped for _, stopped in given),
        "names a composed title": share(named for named, is_real in names if not is_real),
        "names a real title": share(named for named, is_real in names if is_real),
        "free of loops": share(not loops(text) for text, _ in given),
        "different bodies of 100 poems": len(bodies),
        "sums": share(right["sum"]),
        "facts": share(right["fact"]),
        "small tasks": share(right["task"]),
        "one-answer tasks": share(right["sum"] + right["fact"] + right["task"]),
        "facts in new wording": share(right["new"]),
        "sums of one-digit numbers": share(right["digits"]),
        "sums of three-digit numbers": share(right["hundreds"]),
        "times tables to ten": share(right["times"]),
    } | first_questions(model, tokenizer, split, show)


@functools.cache
def lexicon() -> set[str]:
    """Every word, in lower case, of the texts and lists that write the corpus, and of its answers.

    Not those of titles: training makes up words and syllables for them.
    """
    files = [*texts.FOLDER.glob("*.txt"), texts.FOLDER.parent / "words.txt"]
    rng = random.Random("lexicon")
    known = [file.read_text(encoding="utf-8") for file in files]
    known += [fact.answer for group in facts.FACTS.values() for fact in group]
    known += [poem(rng, "Hanoi") for poem in poems.FORMS.values() for _ in range(20)]
    for kind in (corpus.smalltalk, corpus.unknown, corpus.small_task, corpus.calculation):
        known += [text for _ in range(200) for text, is_answer in kind(rng) if is_answer]
    return set(WORD.findall(unicodedata.normalize("NFC", " ".join(known).lower())))


def judged(question: exam.Question, answer: str, stopped: bool, known: set[str]) -> str:
    """The verdict: "answered", "declined", "wrong" or "babble".

    Babble does not stop, runs in circles, or holds a word that is neither in the question nor in
    `known`, a lexicon.
    """
    words = set(WORD.findall(answer.lower())) - set(WORD.findall(question.ask.lower()))
    if not stopped or loops(answer) or not answer or words - known:
        return "babble"
    if any(re.search(rf"(?<!\w){re.escape(text)}(?!\w)", answer) for text in question.answers):
        return "answered"
    polite = any(text in answer for text in ("not know", "không biết"))
    return "declined" if polite else "wrong"


def first_questions(model, tokenizer, split: str, show: bool = False) -> dict[str, float]:
    """Shares of the questions that people type first; on "card" also of the last twenty."""
    kept, known = exam.first_questions(split), lexicon()
    asked = kept if split == "dev" else exam.first_questions("dev") + kept
    given = answers(model, tokenizer, [question.ask for question in asked])
    verdicts = [judged(question, *pair, known) for question, pair in zip(asked, given)]
    if show:
        for question, (text, _), verdict in zip(asked, given, verdicts):
            print(f"{verdict:10}{question.ask}\n          {text}")
    good = [verdict in ("answered", "declined") for verdict in verdicts]
    found = {f"first questions answered or declined, of {len(asked)}": share(good)}
    if split == "card":
        found[f"the last {len(kept)} of them"] = share(good[-len(kept) :])
    babble = share(verdict == "babble" for verdict in verdicts)
    return found | {"first questions answered with babble": babble}


def requested(model, tokenizer, split: str) -> list[bool]:
    """For each held-out function: whether what a chat model writes, asked in words, is right."""
    some = functions.held_out(split)
    asked = [code.ASKS[0].format(says=one.says) for one in some]
    found = []
    for one, (answer, _) in zip(some, answers(model, tokenizer, asked)):
        fenced = re.search(r"```python\n(.*?)```", answer, re.DOTALL)
        name = fenced and re.search(r"def (\w+)", fenced[1])
        called = f"{fenced[1]}{one.name} = {name[1]}\n" if name else ""
        found.append(sandbox.run(called, one.tests()).passed)
    return found


def code_measures(model, tokenizer, recipe: Recipe, split: str) -> dict:
    """What models for code are measured on: functions and holes that training never draws."""
    rows = data.code_rows(split)
    bodies = [coding.write_body(model, tokenizer, row) for row in rows]
    holes = [coding.fill_hole(model, tokenizer, row) for row in rows]
    fresh = perplexity(model, fresh_rows(tokenizer, recipe.fresh_kinds))
    found = {
        "perplexity": round(fresh, 3),
        "bodies that pass their test (pass@1)": round(coding.passed(bodies), 3),
        "holes filled so that it passes": round(coding.passed(holes), 3),
        "holes filled with the same text": share(
            one.wrote == row["hole"] for one, row in zip(holes, rows)
        ),
    }
    if recipe.is_chat:
        found["asked for in words: pass"] = share(requested(model, tokenizer, split))
    return found


def judge_measures(model, tokenizer) -> dict:
    """What a judge is measured on: texts that training never draws, at a threshold from "dev".

    There are no prompts for "card" alone: the threshold is chosen on "dev", the rest is asked once.
    """
    rows = policies.rows()
    given = nb07_judge.probabilities(model, tokenizer, rows)
    scores_of = {kind: [] for kind in dict.fromkeys(row["kind"] for row in rows)}
    for row, score in zip(rows, given):
        scores_of[row["kind"]].append((row, score))
    dev, dev_scores = zip(*scores_of["dev"])
    threshold = nb07_judge.best_threshold(dev_scores, [row["answer"] for row in dev])
    found = {"threshold": round(threshold, 4)}
    for kind, pairs in scores_of.items():
        if kind != "dev":
            for language, one in nb07_judge.exam(*zip(*pairs), threshold).items():
                for measure in ("area", "accuracy"):
                    name = "area under the ROC curve" if measure == "area" else measure
                    found[f"{name}, {kind}, {language}"] = round(one[measure], 3)
    return found


def sight_measures(folder, split: str) -> dict[str, float]:
    """What a model that sees is measured on: shares of right answers about pictures, by task."""
    model = PaliGemmaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(folder)
    found = collections.defaultdict(lambda: [0, 0])
    for (task, language), pair in shapes.graded(model, processor, pictures.exam(split)).items():
        names = [f"{task}, {language}"] + ["colour and shape"] * (task in ("colour", "shape"))
        for name in names:
            found[name] = [a + b for a, b in zip(found[name], pair)]
    return {name: round(right / asked, 3) for name, (right, asked) in found.items()}
