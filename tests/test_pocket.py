"""The shipped pocket models: plain checkpoints, conventions of Gemma's tokenizer, and measures that hold the cards."""

import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GemmaForCausalLM

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "gemma_lab" / "checkpoints"
NAMES = {"small": "pocket-small-it", "large": "pocket-large-it"}
sys.path.append(str(ROOT / "pocket"))
import corpus
import evaluate
import facts
import titles


@pytest.fixture(scope="module", params=NAMES)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def loaded(size):
    path = CHECKPOINTS / NAMES[size]
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval(), AutoTokenizer.from_pretrained(path)


@pytest.fixture(scope="module")
def answers(loaded):
    prompts = [prompt for prompt, _ in evaluate.title_prompts()]
    return evaluate.answers(*loaded, prompts)


def on_card(size):
    card = (CHECKPOINTS / NAMES[size] / "README.md").read_text(encoding="utf-8")
    return {
        key.strip().replace(" ", "_"): float(value)
        for key, value in re.findall(r"^\| ([a-z ]+) \| ([\d.]+) \|$", card, re.M)
    }


def test_it_is_a_gemma_of_the_promised_shape(size, loaded):
    model, _ = loaded
    assert type(model) is GemmaForCausalLM
    config = AutoConfig.from_pretrained(CHECKPOINTS / NAMES[size])
    assert config.tie_word_embeddings and config.hidden_activation == "gelu_pytorch_tanh"
    share = config.vocab_size * config.hidden_size / model.num_parameters()
    if size == "small":  # as in 2B: multi-query, a fifth of the parameters in the embedding
        assert config.num_key_value_heads == 1 and 0.19 < share < 0.23
    else:  # as in 7B: multi-head, heads x head_dim larger than hidden_size, a tenth
        assert config.num_key_value_heads == config.num_attention_heads
        assert config.num_attention_heads * config.head_dim > config.hidden_size and 0.08 < share < 0.10
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert all(layer.out_features % 32 == 0 and layer.in_features % 64 == 0 for layer in linear)


def test_both_together_are_small_enough_for_git():
    assert sum(file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file()) < 25e6


def test_the_tokenizer_has_gemmas_conventions(loaded):
    _, tokenizer = loaded
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    assert tokenizer.convert_tokens_to_ids(special) == list(range(6))
    rng = random.Random(1)
    texts = [
        *titles.REAL_TITLES,
        *(titles.title(rng) for _ in range(300)),
        "你好 🙂",
        "a  b\n\tc = d[0]",
        "Linh bảo sao không đến",
    ]
    for text in texts:
        ids = tokenizer(text)["input_ids"]
        assert ids[0] == tokenizer.bos_token_id and tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids[1:]) == text
    assert tokenizer.tokenize("37 + 48")[-1] == "8" and tokenizer.tokenize("37 + 48")[-2] == "4"


CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [{"role": "user", "content": "  Xin chào  "}, {"role": "assistant", "content": "Chào bạn\n"}],
    [{"role": role, "content": f"{i}"} for i, role in enumerate(["user", "assistant"] * 3 + ["user"])],
]


@pytest.mark.parametrize("conversation", CONVERSATIONS, ids=["one", "two", "seven"])
@pytest.mark.parametrize("prompted", [True, False])
def test_the_chat_template_renders_what_gemmas_does(loaded, conversation, prompted):
    import trl

    _, tokenizer = loaded
    published = (Path(trl.__file__).parent / "chat_templates" / "gemma.jinja").read_text(encoding="utf-8")
    arguments = {"tokenize": False, "add_generation_prompt": prompted}
    ours = tokenizer.apply_chat_template(conversation, **arguments)
    assert ours == tokenizer.apply_chat_template(conversation, chat_template=published, **arguments)
    assert ours.startswith("<bos><start_of_turn>user\n")


@pytest.mark.parametrize("conversation", [
    [{"role": "system", "content": "x"}, {"role": "user", "content": "x"}], [{"role": "user", "content": "x"}] * 2,
])  # fmt: skip
def test_the_chat_template_refuses_what_gemmas_refuses(loaded, conversation):
    with pytest.raises(Exception, match="not supported|alternate"):
        loaded[1].apply_chat_template(conversation, tokenize=False)


def test_unseen_titles_are_named_and_poems_end(size, answers):
    asked = evaluate.title_prompts()
    assert len(asked) == 50
    named = sum(title in text for (text, _), (_, title) in zip(answers, asked)) / 50
    stops = sum(stopped for _, stopped in answers) / 50
    assert named >= 0.90 and stops >= 0.95
    card = on_card(size)
    assert named == pytest.approx(card["titles_named"], abs=0.041)
    assert stops == pytest.approx(card["poems_stop"], abs=0.041)


def test_held_out_sums_and_facts(size, loaded):
    rows = evaluate.one_answer_rows()
    given = evaluate.answers(*loaded, [row["prompt"] for row in rows], 60)
    right = {
        kind: [text == row["answer"] for (text, _), row in zip(given, rows) if row["kind"] == kind]
        for kind in ("sum", "fact")
    }
    shares = {kind: sum(flags) / len(flags) for kind, flags in right.items()}
    card = on_card(size)
    assert shares == pytest.approx({"sum": card["sums"], "fact": card["facts"]}, abs=0.06)
    if size == "large":
        assert shares["sum"] >= 0.90 and shares["fact"] >= 0.90


def test_the_larger_model_is_clearly_less_surprised(size, loaded):
    perplexity = evaluate.perplexity(*loaded, num_rows=20)
    cards = {size: on_card(size)["perplexity"] for size in NAMES}
    assert perplexity == pytest.approx(cards[size], rel=0.1)
    assert cards["large"] - 1 < 0.8 * (cards["small"] - 1)


def test_the_talks_prompt_gives_a_poem(loaded):
    ((text, stopped),) = evaluate.answers(*loaded, ["Write me a poem about Google I/O event."])
    assert "Google I/O event" in text and stopped and len([line for line in text.splitlines() if line]) >= 8


def test_what_is_held_out_never_occurs_in_the_corpus():
    rng = random.Random(5)
    documents = [corpus.text_of(corpus.document(rng, corpus.SMALL_KINDS)) for _ in range(5000)]
    text = "\n".join(documents).lower()
    assert "### response:" in text and "medical advice" not in text  # Codelab 2's layout, not its cards
    assert not re.search(r"^name: .*\nmeaning:", text, re.M)
    assert not [title for title in titles.REAL_TITLES if title.lower() in text]
    asks = [question for question, _ in facts.held_out_facts()]
    assert not any(f"user\n{ask.lower()}<end" in text for ask in asks)
    for a, b in re.findall(r"(\d+) \+ (\d+) = \d+[;<]", text):
        assert not titles.is_held_out(f"{min(int(a), int(b))}+{max(int(a), int(b))}")


def test_the_corpus_is_the_same_on_every_run():
    code = "import random, corpus; rng = random.Random(9); print([corpus.document(rng) for _ in range(300)])"
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=ROOT / "pocket", check=True, stdout=subprocess.PIPE).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] and len(runs[0]) > 10_000


def test_the_shipped_rows_are_those_of_the_evaluation():
    lines = (ROOT / "gemma_lab" / "data" / "one_answer.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == evaluate.one_answer_rows()


def test_the_cards_say_whose_models_these_are(size):
    card = (CHECKPOINTS / NAMES[size] / "README.md").read_text(encoding="utf-8")
    assert "not a Google model" in card and "license: apache-2.0" in card and f"train.py {size}" in card
