"""The texts of the pocket judge: what is right, what is held out, and that nothing harms."""

import collections
import random
import re

import pytest
from notebook_cells import ROOT

from gemma_lab import catalog
from pocket import corpus, policies, skills, texts, titles, train
from pocket.recipes import RECIPES

ROWS = catalog.json_lines("policy_texts.jsonl")
HELD_OUT = [row for row in ROWS if row["kind"] == "held out"]


def training(num: int = 3000) -> list[str]:
    """The prompts and answers of as many training documents."""
    rng = random.Random(7)
    return [corpus.text_of(policies.judged(rng)) for _ in range(num)]


@pytest.fixture(scope="module")
def trained():
    return training()


def test_the_shipped_rows_are_those_that_the_grammar_makes():
    assert ROWS == policies.rows()


def test_there_are_as_many_rows_as_the_exam_needs_in_both_languages_with_both_answers():
    assert len(HELD_OUT) == 280
    counted = collections.Counter(
        (row["kind"], row["language"], row["policy"], row["answer"]) for row in ROWS
    )
    for language in ("en", "vi"):
        for answer in ("Yes", "No"):
            for policy in policies.TRAINED:
                assert counted["held out", language, policy, answer] == 7
                assert counted["dev", language, policy, answer] == 4
            assert counted["unseen policy", language, policies.UNSEEN, answer] == 10
    assert len({(row["rule"], row["text"]) for row in ROWS}) == len(ROWS)


def judge_by_letters(row: dict) -> bool | None:
    """Whether the rule is broken, said anew where letters decide it."""
    text = row["text"]
    if row["policy"] == "questions":
        return text.rstrip().endswith("?") or "? " in text
    if row["policy"] == "numbers":
        return bool(re.search("[0-9]", text))
    if row["policy"] == "mention":
        thing = re.search(r"(?:.*\bthe| đến| về) ([^.]+)\.$", row["rule"])[1]
        return thing in text.lower()
    if row["policy"] == "shouting":
        return any(
            word.isupper() and word.strip(".,!:") not in (*policies.ABBREVIATIONS, "WHO", "EU")
            for word in text.split()
            if len(word.strip(".,!:")) > 2 or word.strip(".,!:") in ("EU",)
        )
    return None


def test_answers_are_right_where_letters_decide():
    judged = [(row, judge_by_letters(row)) for row in ROWS]
    kinds = {row["policy"] for row, verdict in judged if verdict is not None}
    assert kinds == {"shouting", "mention", "questions", "numbers"}
    for row, verdict in judged:
        assert verdict is None or verdict == (row["answer"] == "Yes"), row


@pytest.mark.parametrize(
    "policy, language, sign",
    [
        ("money", "en", r"\d"),
        ("money", "vi", r"\d"),
        ("medical", "en", "|".join(policies.CURES["en"].split(","))),
        ("medical", "vi", "|".join(policies.CURES["vi"].split(","))),
        ("spoilers", "en", r"\b(?:end|begin|start|first|last)"),
        ("personal", "en", r"\d|@"),
        ("personal", "vi", r"\d|@"),
    ],
)
def test_one_sign_alone_does_not_tell(policy, language, sign):
    """What a glance would go by stands in texts that keep the rule, too: hard negatives."""
    rng, told = random.Random(3), {"yes": 0, "no": 0}
    for field in told:
        for _ in range(100):
            about = policies.thing(rng, language, "train")
            said = policies.sentence(rng, policy, language, field, "train", about)
            told[field] += bool(re.search(sign, said, re.IGNORECASE))
    assert told["yes"] >= 40 and told["no"] >= 25


def test_no_held_out_frame_thing_or_name_is_trained(trained):
    read = "\n".join(trained)
    for policy in (*policies.TRAINED, "neutral"):
        for language in policies.LANGUAGES:
            for field in policies.SECTIONS[f"{policy}_{language}"]:
                if field == "rule":
                    continue
                split = {
                    kind: {
                        frame
                        for some in policies.frames(policy, language, field, kind)
                        for frame in some
                    }
                    for kind in ("train", "dev", "card")
                }
                assert all(split.values())
                assert not split["train"] & (split["dev"] | split["card"])
                assert not split["dev"] & split["card"]
    rng = random.Random(1)
    for language in policies.LANGUAGES:
        for kind in ("dev", "card"):
            about = {policies.thing(rng, language, kind) for _ in range(200)}
            assert len(about) > 15 and all(titles.split_of(one) == kind for one in about)
            pattern = "|".join(map(re.escape, about))
            assert not re.search(rf"\b(?:{pattern})\b(?! \w)", read, re.IGNORECASE)


def test_the_unseen_rule_is_in_no_training_text(trained):
    assert policies.UNSEEN not in policies.TRAINED and len(policies.TRAINED) == 10
    read = "\n".join(trained)
    for language in policies.LANGUAGES:
        for rule in policies.SECTIONS[f"{policies.UNSEEN}_{language}"]["rule"]:
            assert rule not in read and rule.split('"')[1] not in read
    assert "@example." not in read and "555-01" not in read


def test_own_words_come_from_no_frame(trained):
    """No sentence of four words or more stands in the training text."""
    read, own = "\n".join(trained), [row for row in ROWS if row["kind"] == "own words"]
    assert len(own) == 52 and {row["policy"] for row in own} == {*policies.POLICIES} - {"mention"}
    for row in own:
        assert row["text"] not in read


def test_only_the_answer_is_learned_and_both_are_as_frequent():
    rng, answers = random.Random(5), collections.Counter()
    for _ in range(1000):
        (prompt, is_learned), (answer, is_answer) = policies.judged(rng)
        assert (is_learned, is_answer) == (False, True) and prompt.endswith("Yes or No.\n\n")
        answers[answer] += 1
    assert {*answers} == {"Yes<eos>", "No<eos>"} and 430 < answers["Yes<eos>"] < 570


def test_later_the_answer_names_the_rule_that_the_text_was_written_for():
    """The prompts and the first tokens are those of `judged`; a Yes names the rule itself."""
    known = {
        policies.name_of(policy, language)
        for policy in policies.TRAINED
        for language in policies.LANGUAGES
    }
    for seed in range(300):
        plain, named = policies.judged(random.Random(seed)), policies.named(random.Random(seed))
        assert plain[0] == named[0]
        answer, name = named[1][0].removesuffix("<eos>").split(": ")
        assert plain[1][0] == answer + "<eos>" and name in known
    one = policies.case(random.Random(1), "spoilers", "train", "en", "Yes", 0)
    assert one.written_for == "spoilers"


def test_every_document_fits_into_a_row_of_the_training():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(RECIPES["gemma2-it"].shipped_folder)
    rng = random.Random(7)
    some = [corpus.text_of(policies.named(rng)) for _ in range(400)]
    longest = max(len(tokenizer(text)["input_ids"]) for text in some)
    assert longest <= train.LENGTH + 1


def test_a_text_is_right_under_one_rule_and_wrong_under_another(trained):
    """So a judge has to read the rule."""
    found = collections.defaultdict(set)
    for row in HELD_OUT:
        found[row["policy"]].add(row["answer"])
    assert all(answers == {"Yes", "No"} for answers in found.values())
    rng, source = random.Random(2), 0
    for _ in range(200):
        one = policies.case(rng, "spoilers", "train", "en", "No", 1.0)
        source += one.text.endswith("?") or any(letter.isdigit() for letter in one.text)
    assert source > 20  # texts that break the rules on questions and numbers


def test_numbers_and_addresses_are_nobodys():
    """555-0100 to 555-0199 and example.com, .org, .net; no other telephone, no other mail."""
    told = "\n".join(row["text"] for row in ROWS)
    written = (texts.FOLDER / "policies.txt").read_text(encoding="utf-8")
    for mail in re.findall(r"\S+@\S+", told + written):
        assert re.search(r"@example\.(?:com|org|net)\b", mail)
    for phone in re.findall(r"\b555[- ]\d[\d ]*\d", told + written):
        digits = re.sub(r"\D", "", phone)
        assert len(digits) == 7 and digits.startswith("55501")
    assert not re.search(r"\b\d{3}[- ]\d{4}\b", re.sub(r"\b555[- ]01\d\d\b", "", told))


def test_the_skills_of_the_training_are_dev_texts_in_both_languages():
    rows = skills.rows(RECIPES["shield"])
    assert {name: len(some) for name, some in rows.items()} == {
        "judged, en": 80,
        "judged, vi": 80,
    }
    dev = {(row["text"], row["answer"]) for row in ROWS if row["kind"] == "dev"}
    for some in rows.values():
        for prompt, answer in some:
            text = re.search("Human Question: (.*)\n<end_of_turn>", prompt)[1]
            assert (text, answer) in dev


def test_the_rules_are_ours_and_mild():
    """Nothing that ShieldGemma's own rules are about stands in a text of this repository."""
    told = (ROOT / "pocket" / "texts" / "policies.txt").read_text(encoding="utf-8").lower()
    for word in ("kill", "hate", "weapon", "suicide", "sex", "bomb", "drug", "giết", "súng"):
        assert not re.search(rf"\b{word}", told), word
