"""The pocket models' corpus, tokenizer and shapes: what was promised, and what was kept out of the training text."""

import itertools
import json
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, Gemma2ForCausalLM, GemmaForCausalLM

from gemma_lab import loading
from pocket import card, corpus, curves, data, exam, facts, measures, ngram, poems, precision, tasks, titles, train
from pocket import tokenizer as tokenizers_of_ours

ROOT = Path(__file__).parent.parent
CHECKPOINTS = ROOT / "gemma_lab" / "checkpoints"

CORPUS_CODE = (
    "import random; from pocket import corpus; rng = random.Random(9); print([corpus.document(rng) for _ in range(300)])"
)


@pytest.fixture(scope="module", params=card.NAMES)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def folder(size):
    return CHECKPOINTS / card.NAMES[size]


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def corpus_text():
    """A hundred and fifty documents of each kind, in lower case."""
    rng = random.Random(5)
    kinds = corpus.SMALL_KINDS | corpus.BASE_KINDS
    return "\n".join(corpus.text_of(kind(rng)) for kind in kinds for _ in range(150)).lower()


def test_it_is_a_gemma_of_the_promised_shape(size, folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert type(model) is (Gemma2ForCausalLM if size == "gemma2-it" else GemmaForCausalLM) and model.dtype == torch.bfloat16
    config = AutoConfig.from_pretrained(folder)
    assert config.tie_word_embeddings and config.hidden_activation == "gelu_pytorch_tanh"
    share = config.vocab_size * config.hidden_size / model.num_parameters()
    if size == "large-it":  # as in 7B: multi-head, heads x head_dim larger than hidden_size, a tenth in the embedding
        assert config.num_key_value_heads == config.num_attention_heads
        assert config.num_attention_heads * config.head_dim > config.hidden_size and 0.08 < share < 0.10
    elif (
        size == "gemma2-it"
    ):  # as in Gemma 2 2B: grouped-query, two query heads to a key, both caps, a window that texts exceed
        assert config.num_attention_heads == 2 * config.num_key_value_heads
        assert config.num_attention_heads * config.head_dim != config.hidden_size and 0.09 < share < 0.11
        assert (config.attn_logit_softcapping, config.final_logit_softcapping, config.sliding_window) == (50, 30, 32)
        assert config.layer_types == ["sliding_attention", "full_attention"] * 3
    else:  # as in 2B: multi-query, a fifth of the parameters in the embedding
        assert config.num_key_value_heads == 1 and 0.19 < share < 0.23
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert all(layer.out_features % 32 == 0 and layer.in_features % 64 == 0 for layer in linear)


def test_all_together_are_small_enough_for_git():
    assert {path.name for path in CHECKPOINTS.iterdir()} == set(card.NAMES.values())
    assert sum(file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file()) < 40e6


def test_the_tokenizer_has_gemmas_conventions(tokenizer):
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


def conversations() -> list:
    """Twenty conversations of one to seven turns: English, Vietnamese, code, blanks to trim, line breaks, emoji."""
    rng, texts = (
        random.Random(20),
        ["Hello", "  Xin chào  ", "Chào bạn\n", "a\n\nb", "", "🙂 {x} <b>", "def f(x):\n    return x"],
    )
    found = []
    for i in range(20):
        said = [rng.choice(texts) if rng.random() < 0.5 else titles.title(rng) for _ in range(1 + i % 7)]
        found.append([{"role": ("user", "assistant")[j % 2], "content": text} for j, text in enumerate(said)])
    return found


@pytest.mark.parametrize("prompted", [True, False])
def test_the_chat_template_renders_what_gemmas_does(tokenizer, prompted):
    import trl

    published = (Path(trl.__file__).parent / "chat_templates" / "gemma.jinja").read_text(encoding="utf-8")
    arguments = {"tokenize": False, "add_generation_prompt": prompted}
    assert len(conversations()) == 20
    for conversation in conversations():
        ours = tokenizer.apply_chat_template(conversation, **arguments)
        assert ours == tokenizer.apply_chat_template(conversation, chat_template=published, **arguments)
        assert ours.startswith("<bos><start_of_turn>user\n") and ours.endswith("model\n") == prompted


@pytest.mark.parametrize("conversation", [
    [{"role": "system", "content": "x"}, {"role": "user", "content": "x"}], [{"role": "user", "content": "x"}] * 2,
])  # fmt: skip
def test_the_chat_template_refuses_what_gemmas_refuses(tokenizer, conversation):
    with pytest.raises(Exception, match="not supported|alternate"):
        tokenizer.apply_chat_template(conversation, tokenize=False)


def test_the_corpus_trains_the_chat_template_that_it_ships(tokenizer):
    asked = corpus.text_of(corpus.chat(("a?", "b."), ("c?", "d.")))
    said = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(("a?", "b.", "c?", "d."))]
    assert tokenizer.apply_chat_template(said, tokenize=False) == tokenizer.bos_token + asked


def test_the_corpus_holds_as_many_facts_and_phrasings_as_promised():
    assert len(facts.FACTS["models"]) >= 150 and len(facts.FACTS["world"]) >= 100
    for group in ("models", "world"):
        assert len({fact.key for fact in facts.FACTS[group]}) == len(facts.FACTS[group])
        for fact in facts.FACTS[group]:
            assert len(fact.asks()) >= 10, fact
            assert not set(fact.asks()) & {ask for split in ("dev", "card") for ask in fact.asks(split)}


def test_poems_have_the_lines_of_their_form_and_name_the_title():
    rng, lines = random.Random(2), {}
    for form, write in poems.FORMS.items():
        for _ in range(60):
            title = titles.title(rng)
            text = write(rng, title)
            assert title in text and "{" not in text and not measures.loops(text), text
            body = [line for line in text.splitlines()[1:] if line]
            assert len(set(body)) == len(body), text
            lines.setdefault(form, set()).add(len(body))
    assert lines["limerick"] == {5} and lines["verses"] == {9} and lines["rhyme"] == {4} and lines["vi_verses"] == {12}
    assert lines["poem"] == {8} and lines["vi_poem"] == {8} and lines["long_poem"] <= {10, 12}


def test_a_title_never_starts_a_line():
    banks = [
        bank for sections in (poems.ENGLISH, poems.VIETNAMESE) for fields in sections.values() for bank in fields.values()
    ]
    lines = [line for bank in banks for entry in bank for line in entry.splitlines()]
    assert len(lines) > 400 and not [line for line in lines if line.startswith("{t}")]


def test_words_of_a_poem_suit_its_title():
    rng = random.Random(4)
    for title, kind in (("the old river", "water"), ("my jazz concert", "music"), ("black coffee", "food")):
        own = set(poems.NOUNS[kind]) | set(poems.ADJECTIVES[kind])
        text = " ".join(poems.poem(rng, title) for _ in range(10)).replace(title, "")
        assert len(own & set(re.findall(r"[a-z]+", text))) >= 5  # of a third of the nouns and adjectives
    assert poems.kind_of("zxqv")[0] == "any" and poems.kind_of("a cup of tea")[0] == "food"


def test_moods_and_kinds_make_nearly_every_poem_another():
    for split in ("dev", "card"):
        bodies = set()
        for prompt in exam.poem_prompts(split):
            rng = random.Random(1)
            rng.random = lambda: 0.5  # the rule: chance takes no word
            bodies.add(poems.FORMS[prompt.kind](rng, prompt.title).split("\n\n", 1)[1].replace(prompt.title, "{t}"))
        assert len(bodies) >= 88
    told = {title: poems.mood_of(title) for title in ("the lonely owl", "Zor the lost kite", "Hanoi", "Huế", "the hat")}
    assert told["the lonely owl"] == told["Zor the lost kite"] != told["Hanoi"] == told["Huế"] == told["the hat"]


@pytest.mark.parametrize("task", tasks.TASKS + [tasks.sum_of_two])
@pytest.mark.parametrize("split", ["train", "dev", "card"])
def test_answers_of_tasks_are_right(task, split):
    rng = random.Random(3)
    for _ in range(50):
        ask, answer = task(rng, split)
        numbers = [int(number) for number in re.findall(r"\d+", ask)]
        if match := re.match(r"(\d+) ([+-]) (\d+) = (\d+)", answer):
            a, sign, b, result = match.groups()
            assert sorted(map(int, (a, b))) == sorted(numbers) and int(result) == (
                int(a) + int(b) if sign == "+" else int(a) - int(b)
            )
        elif task is tasks.sort_numbers:
            assert answer == "Sorted: " + ", ".join(map(str, sorted(numbers)))
        elif task is tasks.compare:
            largest = "larger" in ask or "lớn" in ask
            assert answer.endswith(f" is {max(numbers) if largest else min(numbers)}.")
        elif task is tasks.spell:
            word = ask.removesuffix(".").removesuffix("?").split()[-1]
            assert answer == f"The word {word} is {' '.join(word)}."
        elif task is tasks.end_letter:
            letters = ask.split(" of ")[1].removesuffix("?").split()
            assert answer.endswith(f" is {letters[0 if 'first' in ask else -1]}.")
        elif task is tasks.reverse:
            assert answer.removeprefix("Reversed: ").split() == ask.removeprefix("Reverse: ").split()[::-1]
        else:
            assert task is tasks.count_words
            assert answer == f"There are {len(ask.removesuffix('?').split(': ')[1].split())} words."


def test_what_is_held_out_never_occurs_in_the_corpus(corpus_text):
    assert "### response:" in corpus_text and "medical advice" not in corpus_text  # Codelab 2's layout, not its cards
    assert not re.search(r"^name: .*\nmeaning:", corpus_text, re.M)
    assert not [title for title in titles.REAL_TITLES if re.search(rf"\b{re.escape(title.lower())}\b", corpus_text)]
    for a, b in re.findall(r"(\d+) \+ (\d+) = \d+[;<]", corpus_text):
        assert titles.split_of(f"{min(int(a), int(b))}+{max(int(a), int(b))}") == "train"
    for split in ("dev", "card"):
        asked = [prompt.turns[-1] for prompt in exam.prompts(split) + exam.poem_prompts(split)]
        asked += [row["prompt"] for row in exam.one_answer_rows(split)]
        asked += [ask for group in facts.FACTS for ask, _ in facts.held_out(split, group)]
        fixed = {"What is my name?", "What do I like?"}  # these need the turn before them
        assert not [ask for ask in asked if ask not in fixed and f"user\n{ask.lower()}<end" in corpus_text]
        assert not [p for p in exam.prompts(split) if p.title and f"about {p.title.lower()}" in corpus_text]


def test_what_is_held_out_never_occurs_in_the_tokenizers_text():
    text = " ".join(itertools.islice(tokenizers_of_ours.sample_text(2000), 2000 + len(titles.WORDS))).lower()
    words = set(re.findall(r"[^\W_]+", text))
    held_out = {word.lower() for split in ("dev", "card") for word in titles.WORDS_OF[split]} - {
        w.lower() for w in titles.WORDS
    }
    assert len(held_out) > 1000 and len(words) > 20_000
    unseen = {word for word in held_out if len(word) > 8}
    assert len(unseen & words) < 0.02 * len(unseen)  # a long word joins others only by chance, from two parts
    assert not [title for title in titles.REAL_TITLES if re.search(rf"\b{re.escape(title.lower())}\b", text)]


def test_the_exams_are_of_the_promised_size_and_share_nothing():
    for split in ("dev", "card"):
        assert len(exam.prompts(split)) == 150 and len(exam.poem_prompts(split)) == 100
        assert len({prompt.title for prompt in exam.poem_prompts(split)}) == 100
    assert len(exam.real_prompts("card")) == 30
    assert {prompt.kind for prompt in exam.prompts("card")} >= set(poems.FORMS) | {
        "story",
        "letter",
        "dialogue",
        "fact",
        "task",
        "talk",
    }
    rows = {split: {row["prompt"] for row in exam.one_answer_rows(split)} for split in ("dev", "card")}
    assert len(rows["card"]) == 300 and not rows["dev"] & rows["card"]


def test_the_corpus_is_the_same_on_every_run():
    runs = [
        subprocess.run([sys.executable, "-c", CORPUS_CODE], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        for _ in range(2)
    ]
    assert runs[0] == runs[1] and len(runs[0]) > 10_000


def test_rows_are_packed_whole_and_padded_with_documents_of_nobody(tokenizer):
    for tokens, learned, owner in train.packed_rows(tokenizer, random.Random(1), 20):
        assert len(tokens) == len(learned) == len(owner) == train.LENGTH + 1
        assert [token == 0 for token in tokens] == [number == -1 for number in owner]
        starts = [at for at, token in enumerate(tokens) if token == tokenizer.bos_token_id]
        assert [owner[at] for at in starts] == list(range(max(owner) + 1))
        assert not any(flag for flag, number in zip(learned, owner) if number == -1)


def test_a_document_attends_to_itself_alone(tokenizer):
    torch.manual_seed(0)
    model = GemmaForCausalLM(train.config_of("small"))
    row = next(row for row in train.packed_rows(tokenizer, random.Random(1), 20) if max(row[2]) >= 2)
    tokens, learned, owner = (torch.tensor([column]) for column in row)
    last = owner == owner.max()
    other = torch.where(last, tokens, 7)  # every other document is nonsense now
    only_last = learned & last
    assert train.loss_of(model, tokens, only_last, owner) == train.loss_of(model, other, only_last, owner)
    assert train.loss_of(model, tokens, learned, owner) != train.loss_of(model, other, learned, owner)


def test_a_document_sees_only_itself_and_a_sliding_layer_only_its_window():
    owner = torch.tensor([[0] * 40 + [1] * 8])
    ids = torch.randint(6, 2048, owner.shape, generator=torch.Generator().manual_seed(0))
    for size in ("small", "gemma2-it"):
        torch.manual_seed(0)
        config = train.config_of(size)
        attention = loading.choose_attention(config.model_type)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
        with torch.no_grad():
            packed = model(input_ids=ids, attention_mask=train.attention_mask(config, owner), use_cache=False).logits
            alone = model(input_ids=ids[:, :40], use_cache=False).logits  # transformers' own masks
            second = model(input_ids=ids[:, 40:], use_cache=False).logits
        assert packed[:, :40].allclose(alone, atol=1e-4) and packed[:, 40:].allclose(second, atol=1e-4), size


def test_the_shipped_rows_are_those_of_the_exam():
    lines = (ROOT / "gemma_lab" / "data" / "one_answer.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == exam.one_answer_rows("card", data.ROWS_EACH)


def test_the_5_gram_model_has_witten_and_bells_probabilities():
    model = ngram.NGram(4)
    model.add([0, 1, 2, 1])
    once = (1 + 3 / 4) / (4 + 3)  # 0 and 2: one of four tokens, three kinds of token seen, 1/4 for each of the vocabulary
    twice = (2 + 3 / 4) / (4 + 3)
    assert model.prob(2, []) == pytest.approx(once) and model.prob(1, []) == pytest.approx(twice)
    assert model.prob(2, [1]) == pytest.approx((1 + once) / 2)  # after 1 came 2, once
    assert model.prob(1, [3]) == pytest.approx(twice)  # 3 was never seen
    for context in ([], [1], [0, 1], [3, 3]):
        assert sum(model.prob(token, context) for token in range(4)) == pytest.approx(1)


def test_the_logs_show_what_the_story_says():
    readme = " ".join((ROOT / "pocket" / "README.md").read_text(encoding="utf-8").split())
    sentences = re.split(r"(?<=[.*]) (?=[A-Z*])", readme.split("## How the skills came")[1].split(" ## ")[0])
    counts = "no one two three four five six seven eight nine ten".split()

    def said(*words: str) -> list[float]:
        """The numbers, in their order, of the one sentence of the story that has these words; "two of three" is 0.67."""
        fitting = [sentence for sentence in sentences if all(word in sentence for word in words)]
        assert len(fitting) == 1, f"the story has {len(fitting)} sentences with {words}"
        (found,) = fitting
        shares = [counts.index(a) / counts.index(b) for a, b in re.findall(r"(\w+) of (\w+)", found) if {a, b} <= {*counts}]
        return [float(number.replace(",", "")) for number in re.findall(r"\d+(?:,\d{3})*(?:\.\d+)?", found)] + shares

    logs = {}
    for size, steps in train.STEPS.items():
        lines = (ROOT / "pocket" / "curves" / f"{size}.jsonl").read_text(encoding="utf-8").splitlines()
        logs[size] = {row["step"]: row for row in map(json.loads, lines)}
        assert max(logs[size]) == steps
        (minutes,) = re.findall(rf"\| `pocket-{size}` \|[^`]+`[^`]+` \|[^|]+\|[^|]+\| (\d+) minutes", readme)
        assert logs[size][steps]["minutes"] == pytest.approx(int(minutes), abs=0.5)
    small, large, gemma2 = from_nothing = [logs[size] for size in ("small", "large-it", "gemma2-it")]

    steps, millions = said("no unseen title")
    assert steps * train.ROWS * train.LENGTH / 1e6 == pytest.approx(millions, abs=0.05)
    for log in from_nothing:
        assert not any(row["copying"] for step, row in log.items() if step <= steps and "copying" in row)
    first, second, some, most = said("the small model repeats", "the large one repeat at least")
    assert small[first]["copying"] == pytest.approx(some, abs=0.05)
    assert min(small[second]["copying"], large[second]["copying"]) >= most
    first, second = said("training loss nearly halves")
    for log in from_nothing:
        assert 0.4 < log[second]["loss"] / log[first]["loss"] < 0.6
    steps, percent = said("After", "it had", "right")
    assert 100 * large[steps]["sum"] == pytest.approx(percent, abs=1) and steps in train.KINDS["large-it"]
    later, percent = said("steps later it had")
    assert 100 * large[steps + later]["sum"] == pytest.approx(percent, abs=1)
    step, high, low, within = said("copying fell from")
    assert 100 * gemma2[step - train.SAVE_EVERY]["copying"] == pytest.approx(high, abs=1)
    assert 100 * gemma2[step]["copying"] == pytest.approx(low, abs=1)
    assert 100 * gemma2[step + within]["copying"] >= 0.9 * high

    for sizes, _ in curves.RUNS.values():
        assert curves.curve(sizes, "copying")[1][-1] >= 90
        for skill in curves.SKILLS:
            points = 1 + sum(train.STEPS[size] // train.SAVE_EVERY for size in sizes)
            assert len(curves.curve(sizes, skill)[0]) == points, skill
    with curves.plt.rc_context():
        figure = curves.draw()
    curves.plt.close(figure)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(curves.SKILLS.values())


@pytest.mark.parametrize("text, is_loop", [
    ("a\na\nb", False), ("a\na\na", True), ("no no no", False), ("la la la la", True), ("so it goes so it goes", False),
    ("x so it goes so it goes so it goes so it goes y", True), ("", False),
])  # fmt: skip
def test_loops_are_found(text, is_loop):
    assert measures.loops(text) == is_loop


def test_rounding_to_few_bits_keeps_few_levels():
    torch.manual_seed(0)
    model = GemmaForCausalLM(train.config_of("small"))
    weight = precision.rounded(model, 3).model.layers[0].mlp.up_proj.weight
    assert max(len(row.unique()) for row in weight) == 7
    assert torch.allclose(weight.abs().amax(1), model.model.layers[0].mlp.up_proj.weight.abs().amax(1))
    assert torch.equal(precision.rounded(model, 3).lm_head.weight, model.lm_head.weight)
