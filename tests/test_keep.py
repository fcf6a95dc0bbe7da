"""An adapter that is kept: its base's name, its card, its merge, and its way to the Hub."""

import hashlib
import json
import math
import re
from pathlib import Path

import pytest
import torch
from hub_stand_in import GOOD, NEW, WRONG, status
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id
from notebook_cells import ROOT, printed
from peft import (
    LoraConfig,
    PeftModel,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from gemma_lab import access, finetune, hardware, loading, profile, scores
from gemma_lab.lessons import nb05_card, nb05_keep, nb05_verdict

DATA = ROOT / "gemma_lab" / "data"
SMALL, LARGE = (profile.CHECKPOINTS / f"pocket-{size}-it" for size in ("small", "large"))
SEVEN = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = dict(r=16, lora_alpha=16, target_modules=SEVEN, task_type="CAUSAL_LM")
LEARNED, FORGOT = {"held-out loss": (3.787, 0.081)}, {"perplexity on old answers": (1.052, 1.098)}


def rows(split):
    path = DATA / f"health_instructions_{split}.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


ROWS = {"train": rows("train"), "exam": rows("held_out")}
FEW = ROWS["exam"][::21]  # four


def fresh(path, precision="bf16"):
    """A base as the notebook loads it."""
    plan = loading.plan_loading(str(path), precision, hardware.describe_machine())
    return loading.portable_4bit(AutoModelForCausalLM.from_pretrained(path, **plan.kwargs()))


def train(path, num_steps, rate, num_rows):
    """A LoRA model on a base in 16 bits that has learned something of the cards, in float32."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = get_peft_model(fresh(path, "fp32"), LoraConfig(**LORA)).train()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=rate)
    for step in range(num_steps):
        optimizer.param_groups[0]["lr"] = rate * (1 - step / num_steps)
        picked = torch.randint(len(ROWS["train"]), (num_rows,)).tolist()
        pairs = [
            finetune.to_prompt_completion(ROWS["train"][at], tokenizer.eos_token) for at in picked
        ]
        texts = [pair["prompt"] + pair["completion"] for pair in pairs]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        for at, pair in enumerate(pairs):
            labels[at, : len(tokenizer(pair["prompt"])["input_ids"])] = -100
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    in_16_bits = get_peft_model(fresh(path), LoraConfig(**LORA))
    set_peft_model_state_dict(in_16_bits, get_peft_model_state_dict(model))
    return in_16_bits.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(SMALL)


@pytest.fixture(scope="module")
def trained():
    return train(SMALL, num_steps=30, rate=4e-3, num_rows=8)


@pytest.fixture
def adapter(trained, tmp_path):
    """The folder of the saved adapter."""
    return nb05_keep.save(trained, tmp_path / "adapter", "pocket-small-it")


def paths_in(folder: Path) -> list[str]:
    """Files that say where on this machine something is."""
    signs = str(ROOT), str(folder), str(Path.home()), "checkpoints/pocket-small-it/"
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(s.encode() in path.read_bytes() for s in signs)]


# ------------------------------------------------------------------------------------ what is saved


@pytest.mark.parametrize(
    ("path", "model", "name"),
    [
        (str(SMALL), "google/gemma-2b-it", "pocket-small-it"),
        ("/home/me/.cache/gemma_lab_models/gemma-3-270m", "google/gemma-3-270m", None),
        ("unsloth/gemma-2b-it", "google/gemma-2b-it", None),
        ("google/gemma-2b-it", "google/gemma-2b-it", None),
        ("me/my-gemma", "me/my-gemma", None),
        (str(DATA), str(DATA), "data"),
    ],
)
def test_the_base_has_the_name_that_others_load(path, model, name):
    assert nb05_keep.base_name(path, model) == (name or model)
    validate_repo_id(nb05_keep.base_name(path, model))  # the Hub's own rule


def test_what_is_saved_names_the_base_and_no_path_of_this_machine(trained, adapter, tmp_path):
    assert nb05_keep.config_of(adapter)["base_model_name_or_path"] == "pocket-small-it"
    assert {path.name for path in adapter.iterdir()} == {nb05_keep.CONFIG, nb05_keep.WEIGHTS}
    nb05_card.write_card(adapter, ROWS, LEARNED, FORGOT)
    assert paths_in(adapter) == []
    trained.save_pretrained(tmp_path / "plain")  # what PEFT alone would hand on
    assert sorted(paths_in(tmp_path / "plain")) == [nb05_keep.CARD, nb05_keep.CONFIG]


def test_the_rest_of_the_config_is_as_peft_wrote_it(trained, adapter, tmp_path):
    trained.save_pretrained(tmp_path / "plain")
    ours, plain = nb05_keep.config_of(adapter), nb05_keep.config_of(tmp_path / "plain")
    assert ours == plain | {"base_model_name_or_path": "pocket-small-it"}


def test_the_file_holds_the_adapters_numbers_and_little_else(trained, adapter):
    num_trained = trained.get_nb_trainable_parameters()[0]
    num_bytes = (adapter / nb05_keep.WEIGHTS).stat().st_size
    assert 0 < num_bytes - 4 * num_trained < 300 * 2 * len(SEVEN) * 4  # r x (in + out) float32


def test_a_folder_that_holds_an_adapter_is_not_written_over(trained, adapter):
    before = (adapter / nb05_keep.WEIGHTS).stat().st_mtime_ns
    with pytest.raises(ValueError, match="holds an adapter already: write another name"):
        nb05_keep.save(trained, adapter, "pocket-small-it")
    assert (adapter / nb05_keep.WEIGHTS).stat().st_mtime_ns == before


def test_a_new_process_gives_the_same_logits_from_the_folder_and_from_the_hub(
    trained, tokenizer, adapter, tmp_path, hub
):
    (hub.root / "learner").mkdir()
    (hub.root / "learner" / "health-cards").symlink_to(adapter)
    inputs = tokenizer(finetune.format_prompt(FEW[0]), return_tensors="pt")
    with torch.no_grad():
        here = trained(**inputs).logits[0, -1].tolist()
        with trained.disable_adapter():
            assert trained(**inputs).logits[0, -1].tolist() != here
    source = f"""
import json, torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
for adapter in ({str(adapter)!r}, "learner/health-cards"):
    base = AutoModelForCausalLM.from_pretrained({str(SMALL)!r})
    model = PeftModel.from_pretrained(base, adapter).eval()
    with torch.no_grad():
        logits = model(torch.tensor({inputs["input_ids"].tolist()})).logits[0, -1]
    print(json.dumps(logits.tolist()))
"""
    there = printed(source, tmp_path / "home", HF_ENDPOINT=hub.url)
    assert [json.loads(line) for line in there.splitlines()] == [here, here]


# --------------------------------------------------------------------------------------- its card


def test_the_card_is_one_that_the_hub_reads(adapter):
    written = nb05_card.write_card(adapter, ROWS, LEARNED, FORGOT)
    card = ModelCard.load(adapter / nb05_keep.CARD)
    assert card.data.to_dict() == {
        "base_model": "pocket-small-it",
        "library_name": "peft",
        "pipeline_tag": "text-generation",
        "license": "apache-2.0",
        "language": "en",
        "tags": ["lora"],
    }
    assert str(card).strip() == written.strip() and "{" not in re.sub(r"(?s)```.*?```", "", written)
    exam = DATA / "health_instructions_held_out.jsonl"
    for part in (
        "1,075 rows to train on. What follows was measured on 84 rows",
        hashlib.sha256(exam.read_bytes()).hexdigest(),
        "| held-out loss | 3.787 | 0.081 |",
        "## What it forgot\n\n| | before | after |\n|---|---|---|\n| perplexity on old",
        "**not medical advice**",
        'from_pretrained("gemma_lab/checkpoints/pocket-small-it")',
        "Rank 16, alpha 16, on down_proj, gate_proj,",
        finetune.PROMPT.strip(),
    ):
        assert part in card.text, part
    assert (ROOT / "gemma_lab/checkpoints/pocket-small-it/config.json").is_file()


def test_the_card_of_an_adapter_on_one_of_the_family_loads_it_from_a_clone(
    trained, tmp_path, monkeypatch
):
    """Wherever it was loaded from: a copy that was fetched is in no other machine's cache."""
    monkeypatch.setenv("GEMMA_LAB_CACHE", str(tmp_path))
    base = profile.pocket_homes()[2] / "pocket-code"
    base.mkdir(parents=True)
    (base / "config.json").touch()
    name = nb05_keep.base_name(base, "google/codegemma-2b")
    folder = nb05_keep.save(trained, tmp_path / "adapter", name)
    card = nb05_card.write_card(folder, ROWS, LEARNED, FORGOT)
    assert 'from_pretrained("pocket/family/pocket-code")' in card
    assert "license: apache-2.0" in card


@pytest.mark.parametrize(
    ("base", "licence", "said"),
    [
        ("google/gemma-3-270m", "gemma", "https://ai.google.dev/gemma/terms"),
        ("unsloth/gemma-2b-it", "gemma", "the same terms apply to it"),
        ("google/gemma-4-E4B-it", "apache-2.0", "Apache-2.0"),
        ("Qwen/Qwen3-0.6B", None, "That of Qwen/Qwen3-0.6B applies."),
    ],
)
def test_the_licence_is_that_of_the_base(trained, tmp_path, base, licence, said):
    nb05_keep.save(trained, tmp_path / "adapter", base)
    nb05_card.write_card(tmp_path / "adapter", ROWS, LEARNED, FORGOT)
    card = ModelCard.load(tmp_path / "adapter" / nb05_keep.CARD)
    assert card.data.license == licence and said in card.text and card.data.base_model == base
    assert f'AutoModelForCausalLM.from_pretrained("{base}")' in card.text


def test_rows_of_your_own_are_named_without_their_folder(adapter, tmp_path):
    file = tmp_path / "secret" / "phở: món.csv"
    mine = {"train": [{"output": "Phở"}] * 3, "exam": [{"output": "Bún"}]}
    text = nb05_card.write_card(adapter, mine, {}, {}, data=str(file))
    assert (
        "`phở: món.csv`: 3 rows to train on. What follows was measured on 1 rows" in text
        and "secret" not in text
    )
    assert "medical" not in text and text.count("Not measured.") == 2
    assert hashlib.sha256('{"output": "Bún"}\n'.encode()).hexdigest() in text
    card = ModelCard.load(adapter / nb05_keep.CARD)
    assert card.data.language is None and card.data.get("datasets") is None
    nb05_card.write_card(adapter, mine, {}, {}, data="databricks/databricks-dolly-15k")
    card = ModelCard.load(adapter / nb05_keep.CARD)
    assert card.data.datasets == ["databricks/databricks-dolly-15k"]


def test_a_folder_without_an_adapter_is_said_to_be_one(tmp_path):
    for wrong in (
        lambda: nb05_card.write_card(tmp_path, ROWS, LEARNED, FORGOT),
        lambda: nb05_keep.check_base(tmp_path / "not there", "pocket-small-it", SMALL),
    ):
        with pytest.raises(ValueError, match="holds no adapter: it needs adapter_config.json"):
            wrong()


# ------------------------------------------------------------------------------------ on which base


def change_base(folder, name):
    config = nb05_keep.config_of(folder) | {"base_model_name_or_path": name}
    (folder / nb05_keep.CONFIG).write_text(json.dumps(config), encoding="utf-8")


def test_the_right_base_is_taken_under_any_of_its_names(adapter, tmp_path):
    nb05_keep.check_base(adapter, "pocket-small-it", SMALL)
    for unknown in ("", None, "/home/me/gemma_lab/checkpoints/pocket-small-it", "me/copy"):
        change_base(adapter, unknown)
        nb05_keep.check_base(adapter, "pocket-small-it", SMALL)
    change_base(adapter, "unsloth/gemma-2b-it")  # a mirror is the same model
    nb05_keep.check_base(adapter, "google/gemma-2b-it", SMALL)


@pytest.mark.parametrize(
    ("made_for", "base", "path"),
    [
        ("pocket-small-it", "pocket-large-it", LARGE),  # other sizes as well
        ("pocket-small-it", "google/gemma-2b-it", SMALL),
        ("google/gemma-2b", "google/gemma-2b-it", SMALL),  # the same sizes
        ("unsloth/gemma-2b-it", "google/gemma-7b-it", LARGE),
    ],
)
def test_another_base_is_refused_by_its_name_before_weights_are_read(adapter, made_for, base, path):
    change_base(adapter, made_for)
    (adapter / nb05_keep.WEIGHTS).write_bytes(b"nobody reads this")
    with pytest.raises(ValueError) as refused:
        nb05_keep.check_base(adapter, base, path)
    assert (
        str(refused.value)
        == f"This adapter was made for {made_for}, not for {base}: load {made_for} instead."
    )


@pytest.mark.parametrize("made_for", ["", "me/another", "/home/me/models/gemma"])
def test_where_a_name_is_unknown_the_sizes_decide(adapter, made_for, tmp_path):
    change_base(adapter, made_for)
    with pytest.raises(ValueError, match="the layers of pocket-large-it have other"):
        nb05_keep.check_base(adapter, "pocket-large-it", LARGE)
    deeper = AutoConfig.from_pretrained(SMALL)
    for change in ({"num_hidden_layers": 3}, {"intermediate_size": 511}, {"head_dim": 32}):
        deeper = AutoConfig.from_pretrained(SMALL, **change)
        deeper.save_pretrained(tmp_path / "base")
        with pytest.raises(ValueError, match="layers of mine have other sizes"):
            nb05_keep.check_base(adapter, "mine", tmp_path / "base")


def test_a_base_with_more_layers_is_not_mistaken_for_the_right_one(adapter, tmp_path):
    """All sizes that the adapter has are there; only half of the layers would be adapted."""
    change_base(adapter, "me/another")
    AutoConfig.from_pretrained(SMALL, num_hidden_layers=8).save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="layers of mine have other sizes"):
        nb05_keep.check_base(adapter, "mine", tmp_path / "base")


# -------------------------------------------------------------------------------------------- merge


def test_response_scores_are_the_held_out_loss_and_more(trained, tokenizer):
    found = nb05_keep.response_scores(trained, tokenizer, FEW)
    loss = nb05_verdict.target(trained, tokenizer, FEW)["loss"]
    assert math.log(scores.perplexity(found)) == pytest.approx(loss, rel=1e-5)
    ends = [target[-1].item() for target in found.targets]
    assert ends == [tokenizer.eos_token_id] * 4


def merges(path, folder, tokenizer) -> dict[str, float]:
    """Held-out loss of the adapter on 16 bits, merged there and into 4, and KL to the first."""
    model = PeftModel.from_pretrained(fresh(path), folder).eval()
    adapter = nb05_keep.response_scores(model, tokenizer, FEW)
    right = nb05_keep.response_scores(model.merge_and_unload(), tokenizer, FEW)
    model = PeftModel.from_pretrained(fresh(path, "nf4"), folder).eval()
    in_4 = nb05_keep.response_scores(model, tokenizer, FEW)
    with pytest.warns(UserWarning, match="Merge lora module to 4-bit linear may get different"):
        model = model.merge_and_unload()
    wrong = nb05_keep.response_scores(model, tokenizer, FEW)
    all_scores = {"adapter": adapter, "right": right, "in 4": in_4, "wrong": wrong}
    measured = {name: math.log(scores.perplexity(each)) for name, each in all_scores.items()}
    measured |= {f"KL {name}": scores.kl(adapter, each) for name, each in all_scores.items()}
    print(measured)
    return measured


def test_merged_in_16_bits_it_is_the_same_and_in_4_it_is_not(adapter, tokenizer):
    measured = merges(SMALL, adapter, tokenizer)
    assert measured["adapter"] < 2  # 3.8 before training
    assert measured["KL right"] < 2e-3 and abs(measured["right"] - measured["adapter"]) < 0.01
    assert measured["KL wrong"] > 20 * measured["KL right"]
    assert measured["KL wrong"] > 1.5 * measured["KL in 4"]  # the second rounding comes on top
    assert measured["wrong"] > measured["adapter"] + 0.02


def test_a_merged_model_is_an_ordinary_one(adapter, tmp_path):
    model = PeftModel.from_pretrained(fresh(SMALL), adapter).merge_and_unload()
    model.save_pretrained(tmp_path / "merged")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert type(loaded) is type(fresh(SMALL)) and loaded.dtype is torch.bfloat16
    original = fresh(SMALL).state_dict()
    assert loaded.state_dict().keys() == original.keys()
    changed = {
        name for name, x in loaded.state_dict().items() if not torch.equal(x, original[name])
    }
    assert {name.split(".")[-2] for name in changed} == set(SEVEN)


@pytest.mark.slow
def test_the_270m_pays_for_the_wrong_merge_too(real_gemma, tmp_path):
    model = train(real_gemma, num_steps=12, rate=1e-3, num_rows=4)
    folder = nb05_keep.save(model, tmp_path / "adapter", "google/gemma-3-270m")
    del model
    nb05_keep.check_base(folder, "google/gemma-3-270m", real_gemma)
    measured = merges(real_gemma, folder, AutoTokenizer.from_pretrained(real_gemma))
    assert measured["adapter"] < 0.5
    assert measured["KL wrong"] > 5 * measured["KL right"]


# ------------------------------------------------------------------------------------------ the Hub


@pytest.fixture
def signed(adapter):
    """The saved adapter, with its card."""
    nb05_card.write_card(adapter, ROWS, LEARNED, FORGOT)
    return adapter


def test_a_push_makes_a_private_repository_with_the_three_files(
    hub, no_tokens, signed, monkeypatch, capsys
):
    monkeypatch.setenv("HF_TOKEN", GOOD)
    hub.writers = {GOOD}
    (signed / "optimizer.pt").write_bytes(b"not for others")
    url = nb05_keep.push(signed, "learner/health-cards")
    there = hub.root / "learner" / "health-cards"
    assert url == f"{hub.url}/learner/health-cards" and hub.private == {"learner/health-cards"}
    names = {nb05_keep.CONFIG, nb05_keep.WEIGHTS, nb05_keep.CARD}
    assert {path.name for path in there.iterdir()} == names
    assert all((there / name).read_bytes() == (signed / name).read_bytes() for name in names)
    assert paths_in(there) == []
    said = capsys.readouterr()
    assert GOOD not in said.out + said.err
    assert nb05_keep.push(signed, "health-cards") == url  # once more: a new commit, your own name


def test_pefts_own_push_hands_on_the_path_and_an_empty_card(
    hub, no_tokens, signed, trained, monkeypatch
):
    """Why the notebook uploads the folder instead of calling `push_to_hub`."""
    monkeypatch.setenv("HF_TOKEN", GOOD)
    hub.writers = {GOOD}
    trained.push_to_hub("learner/health-cards")
    there = hub.root / "learner" / "health-cards"
    assert paths_in(there) == [nb05_keep.CONFIG]
    assert "held-out loss" not in (there / nb05_keep.CARD).read_text(encoding="utf-8")


def test_a_card_that_names_a_path_would_be_refused(hub, no_tokens, adapter, trained, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", GOOD)
    hub.writers = {GOOD}
    trained.save_pretrained(adapter)
    with pytest.raises(ValueError, match="Invalid metadata in README.md"):
        nb05_keep.push(adapter, "learner/health-cards")


def refusal(folder, repo="learner/health-cards") -> str:
    with pytest.raises(access.AccessError) as refused:
        nb05_keep.push(folder, repo)
    lines = refused.value._render_traceback_()
    assert len(lines) == 1 and not re.search(r"hf_\w{8}", lines[0])
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return str(refused.value)


def test_without_a_token_one_sentence_says_what_to_do(hub, no_tokens, signed):
    page = "https://huggingface.co/settings/tokens"
    assert (
        refusal(signed)
        == f"No token was found: make a Write token at {page} and set it as HF_TOKEN."
    )
    assert hub.asked == []


@pytest.mark.parametrize(
    ("token", "repo", "said"),
    [
        (
            NEW,
            "learner/health-cards",
            "The Hub does not let a token from .* write to learner/health",
        ),
        (GOOD, "google/health-cards", "does not let .* write to google/.*, for a name of your own"),
        (WRONG, "learner/health-cards", "The Hub refused a token from .*: make a Write token at"),
    ],
)
def test_a_token_that_may_not_write_gives_one_sentence(
    hub, no_tokens, signed, monkeypatch, token, repo, said
):
    monkeypatch.setenv("HF_TOKEN", token)
    hub.writers = {GOOD}
    assert re.search(said, refusal(signed, repo))
    assert not (hub.root / repo).exists()


def test_a_read_token_cannot_write_to_a_repository_that_is_there(
    hub, no_tokens, signed, monkeypatch
):
    monkeypatch.setenv("HF_TOKEN", NEW)
    (hub.root / "learner" / "health-cards").mkdir(parents=True)
    assert "does not let a token from" in refusal(signed)
    assert list((hub.root / "learner" / "health-cards").iterdir()) == []


def test_no_hub_gives_one_sentence(hub, no_tokens, signed, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", GOOD)
    hub.faults = [status(500)]
    assert refusal(signed).startswith("The Hub answered with an error (500)")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refusal(signed) == "The Hub does not answer: check the network."
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert refusal(signed) == "The Hub does not answer: check the network."
