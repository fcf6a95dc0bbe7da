"""The pocket models' recipes, corpus, tokenizer and training; what is kept out of the corpus."""

import dataclasses
import functools
import itertools
import json
import os
import pkgutil
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoTokenizer,
    GemmaConfig,
    GemmaForCausalLM,
)

from gemma_lab import catalog, loading
from gemma_lab.profile import CHECKPOINTS, FAMILY
from pocket import (
    card,
    corpus,
    curves,
    data,
    exam,
    facts,
    measures,
    muon,
    ngram,
    pictures,
    poems,
    precision,
    ship,
    skills,
    tasks,
    titles,
    train,
    watch,
)
from pocket import tokenizer as tokenizers_of_ours
from pocket.__main__ import main
from pocket.recipes import RECIPES
from pocket.results import Results

ROOT = Path(__file__).parent.parent

CORPUS_CODE = """import random; from pocket import corpus; rng = random.Random(9)
print([corpus.document(rng) for _ in range(300)])"""


@pytest.fixture(
    scope="module",
    params=[name for name, one in RECIPES.items() if one.shipped_folder.is_dir()],
)
def recipe(request):
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def folder(recipe):
    return recipe.shipped_folder


@pytest.fixture(scope="module")
def tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def corpus_text():
    """A hundred and fifty documents of each kind, in lower case.

    Rules and pictures: test_policies.py, test_pictures.py.
    """
    rng = random.Random(5)
    read = [one for one in RECIPES.values() if not (one.is_judge or one.is_sight)]
    kinds = {kind: None for recipe in read for mix in recipe.mixes.values() for kind in mix}
    return "\n".join(corpus.text_of(kind(rng)) for kind in kinds for _ in range(150)).lower()


def test_a_recipe_makes_the_shipped_model(recipe, folder):
    """Its sizes are those of the shipped config, and transformers counts the shipped weights."""
    ours, shipped = recipe.config().to_dict(), AutoConfig.from_pretrained(folder).to_dict()
    chosen_later = {"architectures", "dtype", "transformers_version", "_name_or_path", "hidden_act"}
    assert {
        key for key in {*ours, *shipped} - chosen_later if ours.get(key) != shipped.get(key)
    } == set()
    with torch.device("meta"):
        kind = AutoModelForImageTextToText if recipe.is_sight else AutoModelForCausalLM
        counted = kind.from_config(recipe.config())
    shapes = {name: list(weight.shape) for name, weight in counted.named_parameters()}
    with safe_open(folder / "model.safetensors", "pt") as file:
        stored = {name: file.get_slice(name) for name in file.keys()}
        found = {name: weight.get_shape() for name, weight in stored.items()}
        if recipe.is_sight:  # a file of PaliGemma has the names of its first release
            shapes, found = sorted(shapes.values()), sorted(found.values())
        assert shapes == found
        assert {weight.get_dtype() for weight in stored.values()} == {"BF16"}
    head = counted.get_output_embeddings()  # stays as it is in 4 bits
    parts = [module for module in counted.modules() if module is not head]
    linear = [module for module in parts if isinstance(module, torch.nn.Linear)]
    assert all(layer.out_features % 32 == 0 and layer.in_features % 64 == 0 for layer in linear)


@pytest.mark.parametrize("change", [{"hidden_size": 96}, {"head_dim": 64}])
def test_a_recipe_that_4_bits_cannot_take_is_refused_before_it_is_trained(change):
    sizes = RECIPES["small"].sizes | change
    with pytest.raises(ValueError, match=f"multiples of 64.*{[*change.values()][0]}"):
        dataclasses.replace(RECIPES["small"], sizes=sizes)


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].stands_for])
def test_a_recipe_has_the_architecture_of_what_it_stands_for(name):
    """The same family and sharing among heads, and heads as wide as the hidden size or not."""

    def kind(sizes) -> tuple:
        heads, kv_heads = sizes.num_attention_heads, sizes.num_key_value_heads
        head_dim = getattr(sizes, "head_dim", sizes.hidden_size // heads)  # RecurrentGemma's rule
        wide = heads * head_dim == sizes.hidden_size
        return kv_heads == 1, kv_heads == heads, wide

    recipe = RECIPES[name]
    real, config = catalog.find(recipe.stands_for), recipe.config()
    assert config.model_type == (real.whole or real.config)["model_type"]
    config = config.get_text_config()
    if name == "code-it":  # there is no CodeGemma 2B that chats: it goes on from `code`
        real = catalog.find(recipe.begins_from.stands_for)
    assert kind(config) == kind(real)
    assert kind(real) != kind(
        GemmaConfig(num_attention_heads=8, num_key_value_heads=4, head_dim=32, hidden_size=256)
    )


@pytest.mark.parametrize("name", ["small", "large-it"])
def test_the_embedding_takes_the_share_that_it_takes_in_gemma(name):
    recipe = RECIPES[name]
    config, real = recipe.config(), catalog.find(recipe.stands_for)
    with torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    share = real.num_embedding_parameters / real.num_parameters
    assert config.vocab_size * config.hidden_size / parameters == pytest.approx(share, abs=0.02)


def test_the_gemma_2_recipe_has_its_caps_and_a_window_that_texts_exceed():
    config = RECIPES["gemma2-it"].config()
    assert (config.attn_logit_softcapping, config.final_logit_softcapping) == (50, 30)
    assert config.sliding_window < train.LENGTH / 4
    assert config.layer_types == ["sliding_attention", "full_attention"] * 3


def test_the_shipped_folders_and_their_table_are_those_of_the_recipes(tmp_path):
    known = json.loads(ship.TABLE.read_text(encoding="utf-8"))
    stand_ins = [recipe for recipe in RECIPES.values() if recipe.stands_for]
    assert {name: row["stands_for"] for name, row in known.items()} == {
        recipe.shipped_name: recipe.stands_for for recipe in stand_ins
    }, "a recipe is shipped by `python -m pocket ship NAME`"
    shipped = {*CHECKPOINTS.iterdir(), *FAMILY.glob("*")}
    ours = {recipe.shipped_folder for recipe in RECIPES.values()}
    assert shipped == ours, "a recipe is shipped by `python -m pocket ship NAME`"
    table = tmp_path / "models.json"
    shutil.copy(ship.TABLE, table)
    for recipe in stand_ins:
        ship.note(recipe, table)
    assert table.read_bytes() == ship.TABLE.read_bytes()
    ship.note(dataclasses.replace(RECIPES["small"], name="new", stands_for="google/new"), table)
    new = {"pocket-new": {"stands_for": "google/new"}}
    assert json.loads(table.read_text(encoding="utf-8")) == known | new


def test_a_model_of_the_family_is_shipped_outside_the_package_with_its_hashes(
    tmp_path, monkeypatch
):
    """Only what is read is announced; the catalog's own fields stay as they are for the others."""
    monkeypatch.setattr("pocket.recipe.FAMILY", tmp_path / "family")
    code = dataclasses.replace(
        RECIPES["small"], name="code", stands_for="google/codegemma-2b", is_family=True
    )
    folder = tmp_path / "family" / "pocket-code"
    assert code.shipped_folder == folder
    assert RECIPES["small"].shipped_folder == CHECKPOINTS / "pocket-small"
    folder.mkdir(parents=True)
    for name in ("model.safetensors", "config.json", "README.md", "training_log.jsonl"):
        (folder / name).write_bytes(b"abc")
    ship.note(code, tmp_path / "models.json")
    ship.note(RECIPES["small"], tmp_path / "models.json")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    files = {"config.json": [3, abc], "model.safetensors": [3, abc]}
    assert json.loads((tmp_path / "models.json").read_text(encoding="utf-8")) == {
        "pocket-code": {"stands_for": "google/codegemma-2b", "files": files},
        "pocket-small": {"stands_for": "google/gemma-2b"},
    }


def test_a_new_file_in_recipes_is_a_new_model(tmp_path):
    """In a copy of pocket: the command knows it, and nothing else was touched."""
    shutil.copytree(
        ROOT / "pocket", tmp_path / "pocket", ignore=shutil.ignore_patterns("work", "__pycache__")
    )
    text = (ROOT / "pocket" / "recipes" / "large_it.py").read_text(encoding="utf-8")
    text = text.replace('"large-it"', '"huge-it"').replace(
        "num_hidden_layers=5", "num_hidden_layers=7"
    )
    (tmp_path / "pocket" / "recipes" / "huge_it.py").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pocket", "train", "--help"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
        check=True,
        capture_output=True,
        text=True,
    )
    assert "huge-it" in done.stdout and "small-it" in done.stdout


def test_all_together_are_small_enough_for_git():
    assert sum(file.stat().st_size for file in CHECKPOINTS.rglob("*") if file.is_file()) < 40e6
    watched = [recipe.shipped_name for recipe in RECIPES.values() if recipe.snapshots]
    for name in watched:
        sizes = [file.stat().st_size for file in (CHECKPOINTS / name).rglob("*.safetensors")]
        assert max(sizes) <= 0.7e6 and sum(sizes) <= 4e6


def test_the_shipped_cards_are_what_the_generator_writes(recipe, folder):
    """From a card's own numbers, the shipped config and the log: the same bytes."""
    kind = AutoModelForImageTextToText if recipe.is_sight else AutoModelForCausalLM
    log = train.log_of(folder / train.LOG_NAME)
    assert log[-1]["step"] == recipe.steps
    shipped = (folder / "README.md").read_text(encoding="utf-8")
    tables = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]
        for table in re.findall(r"(?:^\|.*\n)+", shipped, re.M)
    ]
    facts_of, found, *others = tables
    is_of_text = recipe.is_chat and not recipe.is_code
    assert len(others) == is_of_text + recipe.is_fine_tuned + bool(recipe.snapshots)
    bits, watched = {}, []
    if is_of_text:
        bits = {key: (float(kl), float(right) if right else None) for key, kl, right in others[0]}
    if recipe.snapshots:
        watched = [
            watch.Step(int(step.replace(",", "")), float(perplexity), float(words), tuple(written))
            for step, perplexity, words, *written in others[-1]
        ]
    tuned = dict(others[1]) if recipe.is_fine_tuned else {}
    (hardware,) = [value.split(" minutes on ")[1] for key, value in facts_of if key == "wall time"]
    model = kind.from_pretrained(folder)
    found = Results(dict(found), bits, tuned, watched)
    is_float32 = "--float32" in dict(facts_of)["training"]
    assert card.card(recipe, model, found, log, hardware, is_float32) == shipped


def test_the_tokenizer_has_gemmas_conventions(recipe, tokenizer):
    begin = [] if recipe.is_sight else [tokenizer.bos_token_id]  # PaliGemma's processor writes it
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
        assert ids[: len(begin)] == begin and tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids[len(begin) :]) == text
    assert tokenizer.tokenize("37 + 48")[-1] == "8" and tokenizer.tokenize("37 + 48")[-2] == "4"


@functools.cache
def trained_tokenizer(is_code: bool):
    return tokenizers_of_ours.train(is_code)


@pytest.mark.slow
def test_the_corpus_makes_the_shipped_tokenizer_of_every_model(tokenizer, recipe):
    trained = trained_tokenizer(recipe.is_code)
    added = pictures.ADDED if recipe.is_sight else ()
    vocab = trained.get_vocab()
    assert tokenizer.get_vocab() == vocab | {one: len(vocab) + at for at, one in enumerate(added)}
    states = [json.loads(one.backend_tokenizer.to_str()) for one in (tokenizer, trained)]
    assert states[0]["model"] == states[1]["model"]


def conversations() -> list:
    """Twenty conversations: English, Vietnamese, code, blanks to trim, line breaks, emoji."""
    rng, texts = (
        random.Random(20),
        [
            "Hello",
            "  Xin chào  ",
            "Chào bạn\n",
            "a\n\nb",
            "",
            "🙂 {x} <b>",
            "def f(x):\n    return x",
        ],
    )
    found = []
    for i in range(20):
        said = [
            rng.choice(texts) if rng.random() < 0.5 else titles.title(rng) for _ in range(1 + i % 7)
        ]
        found.append(
            [{"role": ("user", "assistant")[j % 2], "content": text} for j, text in enumerate(said)]
        )
    return found


@pytest.fixture(scope="module")
def chat_tokenizer():
    return AutoTokenizer.from_pretrained(CHECKPOINTS / "pocket-small-it")


def test_a_model_has_a_chat_template_if_what_it_stands_for_has_one(recipe, folder, tokenizer):
    template = tokenizers_of_ours.CHAT_TEMPLATE if recipe.is_chat else None
    template = tokenizers_of_ours.JUDGE_TEMPLATE if recipe.is_judge else template
    assert tokenizer.chat_template == template
    assert (folder / "chat_template.jinja").exists() == (recipe.is_chat or recipe.is_judge)
    assert recipe.is_chat == (recipe.stands_for or "").endswith("-it")
    settings = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    stops = tokenizers_of_ours.STOPS
    assert settings["eos_token_id"] == (stops if recipe.is_chat else stops[0])


@pytest.mark.parametrize("prompted", [True, False])
def test_the_chat_template_renders_what_gemmas_does(chat_tokenizer, prompted):
    import trl

    tokenizer = chat_tokenizer

    published = (Path(trl.__file__).parent / "chat_templates" / "gemma.jinja").read_text(
        encoding="utf-8"
    )
    arguments = {"tokenize": False, "add_generation_prompt": prompted}
    assert len(conversations()) == 20
    for conversation in conversations():
        ours = tokenizer.apply_chat_template(conversation, **arguments)
        assert ours == tokenizer.apply_chat_template(
            conversation, chat_template=published, **arguments
        )
        assert (
            ours.startswith("<bos><start_of_turn>user\n") and ours.endswith("model\n") == prompted
        )


@pytest.mark.parametrize(
    "conversation",
    [
        [{"role": "system", "content": "x"}, {"role": "user", "content": "x"}],
        [{"role": "user", "content": "x"}] * 2,
    ],
)
def test_the_chat_template_refuses_what_gemmas_refuses(chat_tokenizer, conversation):
    with pytest.raises(Exception, match="not supported|alternate"):
        chat_tokenizer.apply_chat_template(conversation, tokenize=False)


def test_the_corpus_trains_the_chat_template_that_it_ships(chat_tokenizer):
    tokenizer = chat_tokenizer
    asked = corpus.text_of(corpus.chat(("a?", "b."), ("c?", "d.")))
    said = [
        {"role": ("user", "assistant")[i % 2], "content": text}
        for i, text in enumerate(("a?", "b.", "c?", "d."))
    ]
    assert tokenizer.apply_chat_template(said, tokenize=False) == tokenizer.bos_token + asked


def test_the_corpus_holds_as_many_facts_and_phrasings_as_promised():
    assert len(facts.FACTS["models"]) >= 150 and len(facts.FACTS["world"]) >= 100
    for group in ("models", "world"):
        assert len({fact.key for fact in facts.FACTS[group]}) == len(facts.FACTS[group])
        for fact in facts.FACTS[group]:
            assert len(fact.asks()) >= 10, fact
            assert not set(fact.asks()) & {
                ask for split in ("dev", "card") for ask in fact.asks(split)
            }


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
    assert (
        lines["limerick"] == {5}
        and lines["verses"] == {9}
        and lines["rhyme"] == {4}
        and lines["vi_verses"] == {12}
    )
    assert lines["poem"] == {8} and lines["vi_poem"] == {8} and lines["long_poem"] <= {10, 12}


def test_a_title_never_starts_a_line():
    banks = [
        bank
        for sections in (poems.ENGLISH, poems.VIETNAMESE)
        for fields in sections.values()
        for bank in fields.values()
    ]
    lines = [line for bank in banks for entry in bank for line in entry.splitlines()]
    assert len(lines) > 400 and not [line for line in lines if line.startswith("{t}")]


def test_words_of_a_poem_suit_its_title():
    rng = random.Random(4)
    for title, kind in (
        ("the old river", "water"),
        ("my jazz concert", "music"),
        ("black coffee", "food"),
    ):
        own = set(poems.NOUNS[kind]) | set(poems.ADJECTIVES[kind])
        text = " ".join(poems.poem(rng, title) for _ in range(10)).replace(title, "")
        assert (
            len(own & set(re.findall(r"[a-z]+", text))) >= 5
        )  # of a third of the nouns and adjectives
    assert poems.kind_of("zxqv")[0] == "any" and poems.kind_of("a cup of tea")[0] == "food"


def test_moods_and_kinds_make_nearly_every_poem_another():
    for split in ("dev", "card"):
        bodies = set()
        for prompt in exam.poem_prompts(split):
            rng = random.Random(1)
            rng.random = lambda: 0.5  # the rule: chance takes no word
            bodies.add(
                poems.FORMS[prompt.kind](rng, prompt.title)
                .split("\n\n", 1)[1]
                .replace(prompt.title, "{t}")
            )
        assert len(bodies) >= 88
    told = {
        title: poems.mood_of(title)
        for title in ("the lonely owl", "Zor the lost kite", "Hanoi", "Huế", "the hat")
    }
    assert (
        told["the lonely owl"]
        == told["Zor the lost kite"]
        != told["Hanoi"]
        == told["Huế"]
        == told["the hat"]
    )


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
            assert (
                answer.removeprefix("Reversed: ").split()
                == ask.removeprefix("Reverse: ").split()[::-1]
            )
        else:
            assert task is tasks.count_words
            assert answer == f"There are {len(ask.removesuffix('?').split(': ')[1].split())} words."


def test_what_is_held_out_never_occurs_in_the_corpus(corpus_text):
    assert (
        "### response:" in corpus_text and "medical advice" not in corpus_text
    )  # Codelab 2's layout, not its cards
    assert not re.search(r"^name: .*\nmeaning:", corpus_text, re.M)
    assert not [
        title
        for title in titles.REAL_TITLES
        if re.search(rf"\b{re.escape(title.lower())}\b", corpus_text)
    ]
    for a, b in re.findall(r"(\d+) \+ (\d+) = \d+[;<]", corpus_text):
        assert titles.split_of_pair(int(a), int(b)) == "train"
    for split in ("dev", "card"):
        asked = [
            prompt.turns[-1]
            for prompt in exam.prompts(split) + exam.poem_prompts(split)
            if (split, prompt.kind) != ("dev", "first")  # these may be trained on
        ]
        asked += [row["prompt"] for row in exam.one_answer_prompts(split)]
        asked += [ask for group in facts.FACTS for ask, _ in facts.held_out(split, group)]
        fixed = {"What is my name?", "What do I like?"}  # these need the turn before them
        assert not [
            ask for ask in asked if ask not in fixed and f"user\n{ask.lower()}<end" in corpus_text
        ]
        assert not [
            p for p in exam.prompts(split) if p.title and f"about {p.title.lower()}" in corpus_text
        ]


def test_what_is_held_out_never_occurs_in_the_tokenizers_text():
    text = " ".join(
        itertools.islice(tokenizers_of_ours.sample_text(2000), 2000 + len(titles.WORDS))
    ).lower()
    words = set(re.findall(r"[^\W_]+", text))
    held_out = {word.lower() for split in ("dev", "card") for word in titles.WORDS_OF[split]} - {
        w.lower() for w in titles.WORDS
    }
    assert len(held_out) > 1000 and len(words) > 20_000
    unseen = {word for word in held_out if len(word) > 8}
    assert len(unseen & words) < 0.02 * len(
        unseen
    )  # a long word joins others only by chance, from two parts
    assert not [
        title for title in titles.REAL_TITLES if re.search(rf"\b{re.escape(title.lower())}\b", text)
    ]


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
        "first",
    }
    rows = {
        split: {row["prompt"] for row in exam.one_answer_prompts(split)}
        for split in ("dev", "card")
    }
    assert len(rows["card"]) == 300 and not rows["dev"] & rows["card"]


def test_the_corpus_is_the_same_on_every_run():
    runs = [
        subprocess.run(
            [sys.executable, "-c", CORPUS_CODE], cwd=ROOT, check=True, stdout=subprocess.PIPE
        ).stdout
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
    model = GemmaForCausalLM(RECIPES["small"].config())
    row = next(
        row for row in train.packed_rows(tokenizer, random.Random(1), 20) if max(row[2]) >= 2
    )
    tokens, learned, owner = (torch.tensor([column]) for column in row)
    last = owner == owner.max()
    other = torch.where(last, tokens, 7)  # every other document is nonsense now
    only_last = learned & last
    assert train.loss_of(model, tokens, only_last, owner) == train.loss_of(
        model, other, only_last, owner
    )
    assert train.loss_of(model, tokens, learned, owner) != train.loss_of(
        model, other, learned, owner
    )


def test_a_document_sees_only_itself_and_a_sliding_layer_only_its_window():
    owner = torch.tensor([[0] * 40 + [1] * 8])
    ids = torch.randint(6, 2048, owner.shape, generator=torch.Generator().manual_seed(0))
    for size in ("small", "gemma2-it"):
        torch.manual_seed(0)
        config = RECIPES[size].config()
        attention = loading.choose_attention(config.to_dict())
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
        with torch.no_grad():
            packed = model(
                input_ids=ids, attention_mask=train.attention_mask(config, owner), use_cache=False
            ).logits
            alone = model(input_ids=ids[:, :40], use_cache=False).logits  # transformers' own masks
            second = model(input_ids=ids[:, 40:], use_cache=False).logits
        assert packed[:, :40].allclose(alone, atol=1e-4) and packed[:, 40:].allclose(
            second, atol=1e-4
        ), size


def test_the_shipped_rows_are_those_of_the_exam():
    lines = (
        (ROOT / "gemma_lab" / "data" / "one_answer.jsonl").read_text(encoding="utf-8").splitlines()
    )
    assert [json.loads(line) for line in lines] == exam.one_answer_prompts("card", data.ROWS_EACH)


def test_the_5_gram_model_has_witten_and_bells_probabilities():
    model = ngram.NGram(4)
    model.add([0, 1, 2, 1])
    once = (1 + 3 / 4) / (
        4 + 3
    )  # 0 and 2: one of four tokens, three kinds of token seen, 1/4 for each of the vocabulary
    twice = (2 + 3 / 4) / (4 + 3)
    assert model.prob(2, []) == pytest.approx(once) and model.prob(1, []) == pytest.approx(twice)
    assert model.prob(2, [1]) == pytest.approx((1 + once) / 2)  # after 1 came 2, once
    assert model.prob(1, [3]) == pytest.approx(twice)  # 3 was never seen
    for context in ([], [1], [0, 1], [3, 3]):
        assert sum(model.prob(token, context) for token in range(4)) == pytest.approx(1)


def test_a_curve_goes_through_the_log_and_on_from_the_model_before():
    recipe = RECIPES["small-it"]
    slots, shares = curves.curve(recipe, "sum")
    own, before = (
        train.log_of(one.shipped_folder / train.LOG_NAME) for one in (recipe, recipe.begins_from)
    )
    assert shares == [0.0] + [100 * row["sum"] for row in before + own if "sum" in row]
    steps = [row["step"] for row in before if "sum" in row]
    steps += [before[-1]["step"] + row["step"] for row in own if "sum" in row]
    assert slots[1:] == pytest.approx([step * 12 * 256 / 1e6 for step in steps])
    assert slots == sorted(slots) and shares[-1] > 90


def test_the_picture_has_every_skill_and_a_line_for_every_trained_model():
    with curves.plt.rc_context():
        figure = curves.draw()
    curves.plt.close(figure)
    assert [axis.get_title(loc="left") for axis in figure.axes] == list(skills.TITLES.values())
    chat_models = {one.name for one in RECIPES.values() if one.is_chat and not one.is_code}
    for axis in figure.axes:
        lines = axis.get_lines()
        assert {line.get_label() for line in lines} == chat_models
        assert len({line.get_color() for line in lines}) == len(lines)
    assert set(skills.rows(RECIPES["small-it"])) == set(skills.TITLES)


def test_a_watched_models_loss_is_drawn_from_its_log_with_the_steps_that_are_kept():
    recipe = RECIPES["nano"]
    log = train.log_of(recipe.shipped_folder / train.LOG_NAME)
    with curves.plt.rc_context():
        figure = curves.draw_loss(recipe)
    curves.plt.close(figure)
    (axis,) = figure.axes
    loss, *kept = axis.get_lines()
    assert loss.get_xydata().tolist() == [[row["step"], row["loss"]] for row in log]
    assert [line.get_xdata()[0] for line in kept] == [*recipe.snapshots, recipe.steps]


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder for trainings of a few steps, each of them logged, with the shipped tokenizer."""
    AutoTokenizer.from_pretrained(CHECKPOINTS / "pocket-small-it").save_pretrained(
        tmp_path / "tokenizer"
    )
    for name, value in {"ROWS": 2, "BLOCK": 3, "LOG_EVERY": 1, "SAVE_EVERY": 2}.items():
        monkeypatch.setattr(train, name, value)
    monkeypatch.setattr(skills, "rows", lambda *_: {"copying": [("a |", " a |")]})
    return tmp_path


def log_in(work: Path, recipe) -> list[dict]:
    return train.log_of(work / f"{recipe.name}.jsonl")


def losses(recipe, work: Path) -> dict[int, float]:
    return {row["step"]: row["loss"] for row in log_in(work, recipe)}


def weights_of(folder: Path) -> dict:
    return AutoModelForCausalLM.from_pretrained(folder).state_dict()


def test_a_broken_training_goes_on_to_the_same_losses_and_weights(work, monkeypatch):
    recipe, real, calls = RECIPES["small"], train.loss_of, []

    def breaks(*given):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(*given)

    unbroken = train.train(recipe, 7, work=work, is_float32=True)
    expected, weights = losses(recipe, work), weights_of(unbroken)
    assert list(expected) == list(range(1, 8)) and len(set(expected.values())) == 7
    broken = work / "broken"
    shutil.copytree(work / "tokenizer", broken / "tokenizer")
    monkeypatch.setattr(train, "loss_of", breaks)
    with pytest.raises(KeyboardInterrupt):
        train.train(recipe, 7, work=broken, is_float32=True)
    assert (
        not (broken / "small").exists() and len(losses(recipe, broken)) == 5
    )  # the state is of step 4
    folder = train.train(recipe, 7, work=broken, is_float32=True)
    assert len(calls) == 6 + 3
    assert losses(recipe, broken) == expected and [
        row["step"] for row in log_in(broken, recipe)
    ] == list(expected)
    assert all(torch.equal(weight, weights[name]) for name, weight in weights_of(folder).items())
    shutil.rmtree(broken)
    shutil.copytree(work / "tokenizer", broken / "tokenizer")
    assert (
        losses(recipe, train.train(recipe, 7, 1, broken, is_float32=True).parent) != expected
    )  # another corpus


def test_a_training_first_makes_the_model_that_it_begins_from(work, monkeypatch):
    first = dataclasses.replace(RECIPES["small"], steps=2)
    then = dataclasses.replace(RECIPES["small-it"], begins_from=first)
    real, seen = train.loss_of, []

    def looks(model, *batch):
        seen.append({name: weight.clone() for name, weight in model.state_dict().items()})
        return real(model, *batch)

    monkeypatch.setattr(train, "loss_of", looks)
    train.train(then, 1, work=work, is_float32=True)
    made = torch.load(work / "small.pt")["model"]
    assert len(seen) == 2 + 1 and made.keys() == seen[2].keys()
    assert all(torch.equal(seen[2][name], made[name]) for name in made)
    assert not all(torch.equal(seen[0][name], made[name]) for name in made)


def test_a_judge_begins_from_shipped_weights_and_needs_no_other_training(work, monkeypatch):
    """Equal to the file's, in float32; nothing of its predecessor is made in the folder."""
    real, seen = train.loss_of, []

    def looks(model, *batch):
        seen.append({name: weight.clone() for name, weight in model.state_dict().items()})
        return real(model, *batch)

    monkeypatch.setattr(train, "loss_of", looks)
    folder = train.train(RECIPES["shield"], 1, work=work / "new", is_float32=True)
    shipped = weights_of(CHECKPOINTS / "pocket-gemma2-it")
    assert {one.name for one in (work / "new").iterdir()} == {
        "shield",
        "shield.pt",
        "shield.jsonl",
    }
    assert seen[0].keys() == shipped.keys()
    assert all(torch.equal(seen[0][name], weight.float()) for name, weight in shipped.items())
    trained = weights_of(folder)
    assert not all(torch.equal(trained[name], weight) for name, weight in shipped.items())


def test_muon_in_float32_moves_singular_values_by_the_polynomial_and_keeps_directions():
    """Of torch's own coefficients, by a singular value decomposition in float64."""
    torch.manual_seed(0)
    a, b, c = coefficients = (3.4445, -4.775, 2.0315)
    for shape in ((24, 40), (40, 24)):
        matrix = torch.randn(shape)
        found = muon.orthogonalized(matrix, coefficients, 5, 1e-7)
        left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
        values = values / values.square().sum().sqrt()
        for _ in range(5):
            values = a * values + b * values**3 + c * values**5
        assert found.dtype == torch.float32
        assert torch.allclose(found.double(), left @ values.diag() @ right, atol=1e-4)
        half = torch.optim._muon._zeropower_via_newtonschulz(matrix, coefficients, 5, 1e-7)
        assert not torch.allclose(half.double(), left @ values.diag() @ right, atol=1e-4)


def test_the_optimizer_in_float32_steps_as_torchs_own_but_for_rounding(monkeypatch):
    used, real = [], muon.orthogonalized
    monkeypatch.setattr(muon, "orthogonalized", lambda *given: used.append(1) or real(*given))
    moved = {}
    for kind in (torch.optim.Muon, muon.Float32Muon):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(16, 24))
        (weight.square().sum() / 2).backward()
        before = weight.detach().clone()
        kind([weight], lr=0.02, momentum=0.95, adjust_lr_fn="original").step()
        moved[kind] = weight.detach() - before
    assert len(used) == 1
    half, whole = moved.values()
    assert 0 < (half - whole).abs().max() < 0.02 * whole.abs().max()


@pytest.mark.parametrize(
    "other",
    ["--seed 1 --steps 4 --float32", "--steps 2 --float32", "--steps 6 --float32", "--steps 4"],
)
def test_what_another_training_left_is_not_given_out_as_this_one(work, other, monkeypatch):
    monkeypatch.setattr(train.train, "__defaults__", (None, 0, work, False))
    train.train(RECIPES["small"], 4, is_float32=True)
    made = (work / "small" / "model.safetensors").read_bytes()
    with pytest.raises(SystemExit) as refused:
        main(["train", "small", *other.split()])
    said = str(refused.value)
    assert said.startswith("small was begun with --seed 0 --steps 4 --float32, not ")
    assert f"{other}: give the same again, " in said
    assert said.endswith(f"or delete {work / 'small.pt'}.") and "\n" not in said
    assert (work / "small" / "model.safetensors").read_bytes() == made
    main(["train", "small", "--steps", "4", "--float32"])  # the same: it is given out at once
    assert [row["step"] for row in log_in(work, RECIPES["small"])] == [1, 2, 3, 4]


def test_a_model_of_a_few_steps_is_nothing_to_begin_from(work):
    train.train(RECIPES["small"], 2, work=work, is_float32=True)
    with pytest.raises(train.TrainingError, match="small was begun with --seed 0 --steps 2 "):
        train.train(RECIPES["small-it"], 1, work=work, is_float32=True)
    assert not (work / "small-it").exists()


def test_what_is_not_trained_to_its_end_is_not_measured_but_the_shipped_one(work, monkeypatch):
    monkeypatch.setattr(train, "WORK", work)
    measured = []
    monkeypatch.setattr("pocket.results.measure", lambda *given: measured.append(given[1]))
    monkeypatch.setattr(card, "tables", lambda _: "")
    main(["measure", "small"])
    assert measured == [CHECKPOINTS / "pocket-small"]
    ships = ["ship", "small", "--hardware", "x"]
    with pytest.raises(SystemExit, match="small has 0 of its .*python -m pocket train small"):
        main(ships)
    train.train(RECIPES["small"], 2, work=work, is_float32=True)
    for words in (["measure", "small"], ships):
        with pytest.raises(SystemExit, match="small has 2 of its .* delete .*small.pt, then "):
            main(words)
    assert len(measured) == 1


@pytest.mark.parametrize("other", ["--seed 1 --steps 2", "--seed 0 --steps 3"])
def test_only_what_the_command_on_the_card_makes_is_shipped(work, monkeypatch, other):
    recipe = dataclasses.replace(RECIPES["small"], steps=2)
    monkeypatch.setattr(train, "WORK", work)
    _, seed, _, steps = other.split()
    folder = train.train(recipe, int(steps), int(seed), work, is_float32=True)
    assert train.check_trained(recipe) == folder  # to measure it is right
    monkeypatch.setattr(ship.results, "measure", None)
    with pytest.raises(train.TrainingError, match=f"{other}, and only what .* train small`"):
        ship.ship(recipe, "x")
    (work / "small.pt").unlink()
    train.train(recipe, work=work, is_float32=True)
    assert train.check_trained(recipe, is_to_ship=True) == folder


def test_an_empty_log_is_no_sign_of_an_unfinished_training_but_cannot_be_shipped(work, monkeypatch):
    recipe = dataclasses.replace(RECIPES["small"], steps=2)
    monkeypatch.setattr(train, "WORK", work)
    folder = train.train(recipe, work=work, is_float32=True)
    (work / "small.jsonl").write_text("")
    monkeypatch.setattr(ship.results, "measure", None)
    assert train.check_trained(recipe) == folder
    with pytest.raises(train.TrainingError, match="log of small lacks its end"):
        ship.ship(recipe, "x")


def test_the_last_step_is_logged_with_the_mean_loss_since_the_line_before(work, monkeypatch):
    recipe = dataclasses.replace(RECIPES["small"], steps=5)
    monkeypatch.setattr(train, "WORK", work)
    each = losses(recipe, train.train(recipe, work=work, is_float32=True).parent)
    (work / "small.pt").unlink()
    monkeypatch.setattr(train, "LOG_EVERY", 3)
    found = losses(recipe, train.train(recipe, work=work, is_float32=True).parent)
    means = {3: (each[1] + each[2] + each[3]) / 3, 5: (each[4] + each[5]) / 2}
    assert found == pytest.approx(means, abs=2e-4) and list(found) == [3, 5]
    assert train.check_trained(recipe, is_to_ship=True) == work / "small"


@pytest.mark.parametrize(
    "rises, stretches",
    [
        ({}, [(0, 1, 500, 1000)]),
        ({600: 1.0}, [(0, 1, 300, 600), (600, 1, 700, 1000)]),
        ({600: 0.5}, [(0, 1, 300, 600), (600, 0.5, 700, 1000)]),
        ({2000: 1.0}, [(0, 1, 500, 1000)]),
    ],
)
def test_the_learning_rate_rises_and_falls_and_does_so_again_where_a_recipe_says(rises, stretches):
    """`stretches`: the first step, how high it rises, where it begins to fall, and the end."""
    for begin, top, falls, end in stretches:
        rates = [train.rate_at(step, 1000, rises) / top for step in range(begin, end)]
        assert rates[:100] == pytest.approx([(i + 1) / 100 for i in range(100)])
        assert set(rates[100 : falls - begin + 1]) <= {1}
        fall = rates[falls - begin :]
        assert fall[len(fall) // 2] == pytest.approx(0.5) and fall[-1] == pytest.approx(0.02)
    short = train.rate_at(600, 1000, {500: 1.0, 650: 1.0})  # 50 steps before its end, of 250
    assert short == pytest.approx(0.2)


def test_the_command_names_every_model(capsys):
    with pytest.raises(SystemExit):
        main(["measure", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in RECIPES)


def test_the_recipes_load_neither_torch_nor_matplotlib():
    script = "import sys, pocket.recipes; print({'torch', 'matplotlib'} & sys.modules.keys())"
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_packages_of_the_same_names_as_our_modules_do_not_disturb(tmp_path):
    """Every module of pocket is imported while another `evaluate`, `train` … is on the path."""
    names = [info.name for info in pkgutil.walk_packages([str(ROOT / "pocket")], "pocket.")]
    assert {"pocket.train", "pocket.measures", "pocket.recipes.small_it"} <= set(names)
    for name in {"evaluate"} | {name.rpartition(".")[2] for name in names if "__" not in name}:
        (tmp_path / f"{name}.py").write_text("raise ImportError('not ours')")
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run(
        [sys.executable, "-c", f"import {', '.join(names)}"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        check=True,
    )


@pytest.mark.parametrize(
    "text, is_loop",
    [
        ("a\na\nb", False),
        ("a\na\na", True),
        ("no no no", False),
        ("la la la la", True),
        ("so it goes so it goes", False),
        ("x so it goes so it goes so it goes so it goes y", True),
        ("", False),
    ],
)
def test_loops_are_found(text, is_loop):
    assert measures.loops(text) == is_loop


def test_rounding_to_few_bits_keeps_few_levels():
    torch.manual_seed(0)
    model = GemmaForCausalLM(RECIPES["small"].config())
    weight = precision.rounded(model, 3).model.layers[0].mlp.up_proj.weight
    assert max(len(row.unique()) for row in weight) == 7
    assert torch.allclose(
        weight.abs().amax(1), model.model.layers[0].mlp.up_proj.weight.abs().amax(1)
    )
    assert torch.equal(precision.rounded(model, 3).lm_head.weight, model.lm_head.weight)


def broken_at(call: int):
    """A loss that stops the training once, at this call."""
    real, calls = train.loss_of, []

    def breaks(*given):
        calls.append(1)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*given)

    return breaks


def test_a_model_to_be_watched_keeps_its_weights_also_when_it_was_broken(work, monkeypatch):
    recipe = dataclasses.replace(RECIPES["nano"], steps=5, snapshots=(0, 3), rows=2)

    def kept(folder: Path) -> list:
        return [watch.load(folder, step).state_dict() for step in (0, 3, None)]

    unbroken = kept(train.train(recipe, work=work))
    fresh = train.fresh_model(recipe, 0).to(torch.bfloat16).float().state_dict()
    assert all(torch.equal(weight, fresh[name]) for name, weight in unbroken[0].items())
    shutil.rmtree(work / "nano")
    (work / "nano.pt").unlink()
    monkeypatch.setattr(train, "loss_of", broken_at(4))
    with pytest.raises(KeyboardInterrupt):
        train.train(recipe, work=work)
    broken = kept(train.train(recipe, work=work))
    for one, other in zip(unbroken, broken):
        assert all(torch.equal(weight, other[name]) for name, weight in one.items())
    assert not torch.equal(broken[1]["lm_head.weight"], broken[2]["lm_head.weight"])


def test_the_mean_of_the_weights_of_some_steps_also_when_it_was_broken(work, monkeypatch):
    recipe = dataclasses.replace(RECIPES["nano"], steps=5, snapshots=(), averages=(2, 4, 5), rows=2)
    real, seen = train.averaged, []

    def averaged(mean, weights, num_before):
        seen.append(weights["lm_head.weight"])
        return real(mean, weights, num_before)

    monkeypatch.setattr(train, "averaged", averaged)
    monkeypatch.setattr(train, "loss_of", broken_at(4))
    with pytest.raises(KeyboardInterrupt):
        train.train(recipe, work=work)
    folder = train.train(recipe, work=work)
    wanted = torch.stack(seen).double().mean(0)
    assert len(seen) == 3 and not torch.equal(seen[0], seen[2])
    mean = torch.load(work / "nano.pt")["mean"]["lm_head.weight"]
    assert torch.allclose(mean.double(), wanted, atol=1e-7)
    assert torch.equal(watch.load(folder, None).lm_head.weight, mean.to(torch.bfloat16).float())


def test_the_first_questions_are_in_two_languages_and_the_last_are_not_trained_on(
    corpus_text,
):
    dev, card = (exam.first_questions(split) for split in ("dev", "card"))
    assert (len(dev), len(card)) == (60, 20)
    assert len({question.ask for question in dev + card}) == 80
    for some in (dev, card):
        assert sum(not question.ask.isascii() for question in some) == len(some) // 2
    asked = {ask.rstrip("?.!") for ask in re.findall(r"user\n(.*)<end_of_turn>", corpus_text)}
    assert len(asked) > 2000
    known = [ask for group in facts.FACTS.values() for fact in group for ask in fact.asks()]
    known += [ask for asks, _ in corpus.SMALLTALK + corpus.TALK for ask in asks]
    known += [
        way.format(a=a, b=b)
        for way in tasks.TIMES + tasks.MINUS + tasks.PLUS
        for a, b in itertools.product(range(21), repeat=2)
    ]
    asked |= {ask.lower().rstrip("?.! ") for ask in known}
    assert not asked & {question.ask.lower().rstrip("?.! ") for question in card}


def test_the_answers_to_the_first_sums_are_right():
    signs = {r"\+|add|cộng": "+", r"x|times|nhân": "*", r"-|trừ": "-"}
    sums = [
        question
        for split in ("dev", "card")
        for question in exam.first_questions(split)
        if len(re.findall(r"\d+", question.ask)) == 2
    ]
    assert len(sums) >= 15
    for question in sums:
        a, b = (int(number) for number in re.findall(r"\d+", question.ask))
        (sign,) = [sign for way, sign in signs.items() if re.search(way, question.ask)]
        right = str({"+": a + b, "*": a * b, "-": a - b}[sign])
        assert {answer.split()[-1] for answer in question.answers} == {right}, question


@pytest.mark.parametrize(
    "answer, stopped, verdict",
    [
        ("2 + 2 = 4", True, "answered"),
        ("2 + 2 = 44", True, "wrong"),
        ("I am a pocket model, I do not know that.", True, "declined"),
        ("Tôi không biết điều đó.", True, "declined"),
        ("I am well, thank you.", True, "wrong"),
        ("2 + 2 = 4", False, "babble"),
        ("", True, "babble"),
        ("L7 baoôn 4", True, "babble"),
        ("Uyên ỗng rng uỳnh kwargs iễm gh.", True, "babble"),
        ("la la la la = 4", True, "babble"),
    ],
)
def test_an_answer_to_a_first_question_is_judged(answer, stopped, verdict):
    question = exam.Question("What is 2 + 2?", ("= 4",))
    assert measures.judged(question, answer, stopped, measures.lexicon()) == verdict


def test_sums_are_dense_where_numbers_are_short_and_even_beyond():
    rng = random.Random(8)
    pairs = [titles.numbers_to_add(rng) for _ in range(20_000)]
    assert {pair for pair in pairs if max(pair) < 10} == set(itertools.product(range(10), repeat=2))
    lengths = [sorted(len(str(number)) for number in pair) for pair in pairs]
    share = {kind: lengths.count(list(kind)) / len(pairs) for kind in [(1, 1), (2, 2), (3, 3)]}
    assert min(share.values()) > 0.1 and share[2, 2] > 0.2
    for low, high in ((0, 9), (10, 99), (100, 999)):
        some = [a for a, _ in pairs if low <= a <= high]
        middle = (low + high) / 2
        assert 0.42 < sum(a <= middle for a in some) / len(some) < 0.58


@pytest.mark.parametrize(
    "task, sign, right",
    [
        (tasks.times_table, "x", lambda a, b: a * b),
        (tasks.take_away, "-", lambda a, b: a - b),
        (tasks.sum_of_two, "+", lambda a, b: a + b),
    ],
)
def test_calculations_are_right_in_all_their_wordings(task, sign, right):
    rng, asks = random.Random(5), set()
    for _ in range(600):
        ask, answer = task(rng)
        a, b, result = map(
            int, re.fullmatch(rf"(\d+) {re.escape(sign)} (\d+) = (\d+)", answer).groups()
        )
        assert result == right(a, b)
        asked = [int(number) for number in re.findall(r"\d+", ask)]
        assert asked == ([b, a] if ask.lower().startswith("take") else [a, b])
        asks.add(re.sub(r"\d+", "0", ask))
    assert len(asks) >= 20


def test_what_is_too_large_is_declined_in_its_language():
    rng = random.Random(6)
    for _ in range(300):
        ask, answer = tasks.too_large(rng)
        numbers = [int(number) for number in re.findall(r"\d+", ask)]
        limit = int(re.findall(r"\d+", answer)[0])
        assert max(numbers) > limit or (limit == 1000 and max(numbers) == 1000), (ask, answer)
        is_vietnamese = re.search("bằng|nhân|trừ|cộng", ask)
        assert answer.startswith("Tôi không biết" if is_vietnamese else "I do not know")


def test_one_mango_is_one_mango():
    rng = random.Random(7)
    said = " ".join(" ".join(tasks.word_problem(rng)) for _ in range(3000))
    assert re.search(r"\b1 mango\b", said) and "2 mangoes" in said
    assert not re.search(r"\b(?!1\b)\d+ mango\b", said)
    assert not re.search(r"\b1 (?!more\b)(mangoes|\w+s)\b", said)
