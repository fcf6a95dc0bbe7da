"""The judge of notebook 07: its score, ROC curve and threshold by other means; box and check."""

import gc
import html
import itertools
import math
import random
import re
import types
import weakref

import pytest
import torch
from jinja2.exceptions import TemplateError
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import profile
from gemma_lab.lessons import nb07_judge, nb07_judge_box
from pocket import policies
from pocket import tokenizer as tokenizers_of_ours

FOLDER = profile.CHECKPOINTS / "pocket-gemma2-it"  # its tokenizer is the judge's
RULE = '"No Spoilers": the text must not tell how a story ends.'


@pytest.fixture(scope="module")
def tokenizer():
    found = AutoTokenizer.from_pretrained(FOLDER)
    found.chat_template = tokenizers_of_ours.JUDGE_TEMPLATE
    return found


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(FOLDER, dtype=torch.float32).eval()


def some_scores(seed: int, num: int = 60) -> tuple[list[float], list[str]]:
    """Scores with ties, of texts of which those that break a rule score higher on average."""
    rng = random.Random(seed)
    answers = ["Yes", "No"] + [rng.choice(("Yes", "No")) for _ in range(num - 2)]
    return [round(rng.random() + 0.4 * (one == "Yes"), 1) / 1.4 for one in answers], answers


# ------------------------------------------------------------------------------------ the prompt


def test_the_prompt_has_the_parts_and_marks_of_shieldgemma_s(tokenizer):
    """In the order of its model card: https://ai.google.dev/gemma/docs/shieldgemma/model_card."""
    asked = nb07_judge.prompt(tokenizer, "  A text.\n", RULE)
    parts = asked.split("\n\n")
    assert parts[1] == "<start_of_turn>\nHuman Question: A text.\n<end_of_turn>"
    assert parts[0].startswith("<bos>") and parts[3] == f"* {RULE}" and parts[4] == "==="
    assert "Yes or No" in parts[5] and asked.endswith(".\n\n") and len(parts) == 7


def test_what_is_asked_is_what_was_trained(tokenizer):
    for row in nb07_judge.texts()[::40]:
        case = policies.Case(
            *(row[name] for name in ("language", "policy", "rule", "text")), "", ""
        )
        assert nb07_judge.prompt(tokenizer, row["text"], row["rule"]) == "<bos>" + case.prompt


def test_one_message_and_a_guideline_are_asked_for(tokenizer):
    one = {"role": "user", "content": "a"}
    for chat, options in (([one, one], {"guideline": RULE}), ([one], {})):
        with pytest.raises(TemplateError, match="Give one message and a guideline"):
            tokenizer.apply_chat_template(chat, tokenize=False, **options)


def test_the_answers_begin_unlike(tokenizer):
    yes, no = nb07_judge.answer_ids(tokenizer)
    assert tokenizer.convert_ids_to_tokens([yes, no]) == ["Y", "No"]
    assert tokenizer.tokenize("Yes") == ["Y", "es"] and tokenizer.tokenize("No") == ["No"]


# ------------------------------------------------------------------------------------- the score


def test_a_score_is_the_share_of_yes_whatever_stands_beside_it_in_the_batch(model, tokenizer):
    """By a formula in float64, text by text; in a batch the shorter ones are padded."""
    rows = random.Random(1).sample(nb07_judge.texts(), 20)
    found = nb07_judge.probabilities(model, tokenizer, rows)
    yes, no = tokenizer.convert_tokens_to_ids(["Y", "No"])
    for row, score in zip(rows, found):
        chat = [{"role": "user", "content": row["text"]}]
        ids = tokenizer.apply_chat_template(
            chat, guideline=row["rule"], return_tensors="pt", return_dict=True
        )["input_ids"]
        with torch.no_grad():
            logits = model(ids).logits[0, -1].double()
        expected = math.exp(logits[yes]) / (math.exp(logits[yes]) + math.exp(logits[no]))
        assert score == pytest.approx(expected, abs=1e-5)
    assert len({round(score, 4) for score in found}) > 10


# ------------------------------------------------------------------------- the curve, a threshold


@pytest.mark.parametrize("seed", range(5))
def test_the_area_is_the_share_of_pairs_in_the_right_order(seed):
    """Mann and Whitney's: a tie counts half; and scikit-learn's, where it is installed."""
    scores, answers = some_scores(seed)
    found = nb07_judge.area(nb07_judge.roc(scores, answers))
    breaking = [score for score, answer in zip(scores, answers) if answer == "Yes"]
    keeping = [score for score, answer in zip(scores, answers) if answer == "No"]
    pairs = [(a > b) + (a == b) / 2 for a, b in itertools.product(breaking, keeping)]
    assert found == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    strict = sum(a > b for a, b in itertools.product(breaking, keeping)) / len(pairs)
    assert abs(found - strict) > 1e-3  # there are ties, and they count
    try:
        from sklearn.metrics import roc_auc_score
    except ImportError:
        return
    assert found == pytest.approx(roc_auc_score([one == "Yes" for one in answers], scores))


def test_the_curve_goes_from_nothing_to_everything_and_never_back():
    points = nb07_judge.roc(*some_scores(7))
    assert points[0][1:] == (0, 0) and points[-1][1:] == (1, 1)
    for before, after in itertools.pairwise(points):
        assert before[0] > after[0] and before[1] <= after[1] and before[2] <= after[2]


@pytest.mark.parametrize("answers", [["Yes"] * 3, ["No"] * 3, ["Yes", "No", "Maybe"]])
def test_a_curve_of_one_kind_of_answer_is_refused(answers):
    with pytest.raises(ValueError, match='must be "Yes" and "No", and at least one of each'):
        nb07_judge.roc([0.1, 0.2, 0.3], answers)


@pytest.mark.parametrize("seed", range(5))
def test_no_threshold_is_better_than_the_one_that_is_chosen(seed):
    scores, answers = some_scores(seed)
    chosen = nb07_judge.best_threshold(scores, answers)
    right = [(a >= chosen) == (b == "Yes") for a, b in zip(scores, answers)]
    assert nb07_judge.accuracy(scores, answers, chosen) == sum(right) / len(right)
    for thousandth in range(1001):
        at = thousandth / 1000
        other = sum((a >= at) == (b == "Yes") for a, b in zip(scores, answers))
        assert other <= sum(right)
    assert all(chosen != score for score in scores)


def test_of_several_thresholds_the_one_nearest_a_half_is_taken():
    assert nb07_judge.best_threshold([0.1, 0.9], ["No", "Yes"]) == pytest.approx(0.5)
    assert nb07_judge.best_threshold([0.8, 0.9], ["No", "Yes"]) == pytest.approx(0.85)


def test_the_exam_counts_each_language_by_itself():
    rows = [
        {"language": language, "answer": answer}
        for language in ("en", "vi")
        for answer in ("Yes", "No")
    ]
    found = nb07_judge.exam(rows, [0.9, 0.1, 0.2, 0.8], 0.5)
    assert found["English"] == {"rows": 2, "area": 1.0, "accuracy": 1.0}
    assert found["Vietnamese"] == {"rows": 2, "area": 0.0, "accuracy": 0.0}
    missed = nb07_judge.failures(rows, [0.9, 0.1, 0.2, 0.9], 0.5)
    assert [score for score, _ in missed] == [0.9, 0.2] and missed[0][1] is rows[3]


def test_the_picture_has_a_line_for_each_language_and_a_mark_at_the_threshold():
    rows = [row for row in nb07_judge.texts("dev")]
    rng = random.Random(3)
    scores = [rng.random() * 0.6 + 0.4 * (row["answer"] == "Yes") for row in rows]
    figure = nb07_judge.roc_picture(rows, scores, 0.55, "A finding")
    (axis,) = figure.axes
    lines = {line.get_label(): line for line in axis.get_lines()}
    found = nb07_judge.exam(rows, scores, 0.55)
    for name, one in found.items():
        line = lines[f"{name}: area {one['area']:.3f}"]
        assert (line.get_xdata()[0], line.get_ydata()[-1]) == (0, 1)
    marks = [line for line in axis.get_lines() if len(line.get_xdata()) == 1]
    assert len(marks) == 2
    english = [(s, r["answer"]) for s, r in zip(scores, rows) if r["language"] == "en"]
    caught = [s >= 0.55 for s, answer in english if answer == "Yes"]
    alarms = [s >= 0.55 for s, answer in english if answer == "No"]
    assert marks[0].get_ydata()[0] == pytest.approx(sum(caught) / len(caught))
    assert marks[0].get_xdata()[0] == pytest.approx(sum(alarms) / len(alarms))
    nb07_judge.plt.close(figure)


def test_texts_are_chosen_by_kind_and_another_word_is_refused():
    assert {row["kind"] for row in nb07_judge.texts("dev", "own words")} == {"dev", "own words"}
    assert len(nb07_judge.texts()) > len(nb07_judge.texts("held out")) == 280
    with pytest.raises(ValueError, match="no kind 'test' of text"):
        nb07_judge.texts("test")


# --------------------------------------------------------------------------------------- the box

LOADED = []  # the box keeps no model in memory


class Judge(types.SimpleNamespace):
    """Says Yes with a probability; can be referred to weakly, as a model can."""

    def __call__(self, input_ids, attention_mask, logits_to_keep):
        assert logits_to_keep == 1
        self.asked.append(self.tokenizer.decode(input_ids[0]))
        logits = torch.full((len(input_ids), 1, len(self.tokenizer)), -9.0)
        yes, no = nb07_judge.answer_ids(self.tokenizer)
        logits[..., yes], logits[..., no] = math.log(self.yes / (1 - self.yes)), 0
        return types.SimpleNamespace(logits=logits)


def judge(tokenizer, yes: float = 0.8, context: int = 512):
    config = types.SimpleNamespace(max_position_embeddings=context)
    LOADED.append(Judge(tokenizer=tokenizer, yes=yes, asked=[], config=config, device="cpu"))
    return LOADED[-1]


def seen(widget) -> str:
    return html.unescape(re.sub("<[^>]*>", "", widget.value))


@pytest.mark.parametrize("threshold, verdict", [(0.5, "breaks"), (0.9, "keeps")])
def test_a_press_judges_the_text_by_the_rule(tokenizer, threshold, verdict):
    one = judge(tokenizer)
    box, rule, button, said = nb07_judge_box.judge_box(one, tokenizer, threshold).children
    assert "Probability of Yes: 0.800" in seen(said) and rule.label == "No Spoilers"
    box.value, rule.label = "HELLO & <b>!", "Không la hét"
    assert len(one.asked) == 1  # typing starts no model
    button.click()
    assert one.asked[1] == nb07_judge.prompt(tokenizer, "HELLO & <b>!", rule.value)
    assert seen(said).endswith(f"Probability of Yes: 0.800. So it {verdict} the rule.")
    assert 'role="status"' in said.value and rule.value.startswith('"Không la hét"')


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "The box is empty: type a text to be judged."),
        (" \n", "The box is empty: type a text to be judged."),
        ("a<end_of_turn>b", "The text holds <end_of_turn>, a mark of the prompt: take it out."),
        ("a\ud83d", "The text holds half a character: type it again."),
        ("sông " * 900, "tokens, the model reads 512: shorten it."),
    ],
)
def test_a_mistake_gets_one_sentence(tokenizer, text, says):
    one = judge(tokenizer)
    box, _, button, said = nb07_judge_box.judge_box(one, tokenizer, 0.5).children
    box.value = text
    button.click()
    assert seen(said).endswith(says) and len(one.asked) == 1


def test_the_box_keeps_no_model(tokenizer):
    one = judge(tokenizer)
    box, _, button, said = nb07_judge_box.judge_box(one, tokenizer, 0.5).children
    gone = weakref.ref(one)
    LOADED.clear()
    del one
    gc.collect()
    assert gone() is None
    button.click()
    assert seen(said).startswith("The model is not loaded any more")


def test_every_rule_but_one_can_be_picked_in_both_languages_and_the_unseen_one_too():
    found = nb07_judge_box.rules()
    assert len(found) == 2 * (len(policies.POLICIES) - 1)
    assert all(rule.startswith(f'"{name}": ') for name, rule in found.items())
    assert {"No Personal Data", "Không thông tin cá nhân"} <= {*found}


def test_the_picture_shows_four_probabilities(tokenizer):
    figure = nb07_judge_box.picture(judge(tokenizer, 0.25), tokenizer)
    bars = figure.axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([25] * 4)
    nb07_judge.plt.close(figure)


# ---------------------------------------------------------------------------------- the exercise


def test_the_solution_and_others_like_it_are_right(capsys):
    def with_tensors(scores, answers, threshold):
        said = torch.tensor(scores) >= threshold
        broke = torch.tensor([answer == "Yes" for answer in answers])
        return said[broke].float().mean(), said[~broke].float().mean()

    def as_list(scores, answers, threshold):
        return [*nb07_judge.my_rates(scores, answers, threshold)]

    for answer in (nb07_judge.my_rates, with_tensors, as_list):
        nb07_judge.check_rates(answer)
        assert capsys.readouterr().out.startswith("Right. "), answer
    nb07_judge.check_rates(lambda scores, answers, threshold: ...)
    assert capsys.readouterr().out == "Not attempted yet.\n"


def rates(scores, answers, threshold):
    return nb07_judge.my_rates(scores, answers, threshold)


def share(scores, answers, threshold, answer, of):
    said = [one for score, one in zip(scores, answers) if score >= threshold]
    return said.count(answer) / of


def cut_by_place(scores, num, threshold):
    """Right where all that break the rule come first."""
    parts = scores[:num], scores[num:]
    return [sum(score >= threshold for score in part) / len(part) for part in parts]


WRONG = [
    (lambda s, a, t: rates(s, a, t)[::-1], "changed places"),
    (lambda s, a, t: rates(s, a, t + 1e-6), "use >="),
    (lambda s, a, t: (rates(s, a, t)[0], rates(s, a, t + 1e-6)[1]), "use >="),
    (lambda s, a, t: (rates(s, a, t)[0], rates(s, a, 0.6)[1]), "wrong for another"),
    (lambda s, a, t: (share(s, a, t, "Yes", 4), share(s, a, t, "No", 3)), "wrong for another"),
    (lambda s, a, t: cut_by_place(s, a.count("Yes"), t), "wrong for another"),
    (lambda s, a, t: (share(s, a, t, "Yes", 7), share(s, a, t, "No", 7)), "divided by all"),
    (lambda s, a, t: (share(s, a, t, "Yes", 4), share(s, a, t, "No", 4)), "That is precision"),
    (lambda s, a, t: rates(s, a, 0.6), "wrong for another"),
    (lambda s, a, t: rates(s, a, t)[0], "not float"),
    (lambda s, a, t: (*rates(s, a, t), 1), "not 3"),
    (lambda s, a, t: (0, 0), "0.00 and 0.00 came out"),
    (lambda s, a, t: 1 / 0, "ZeroDivisionError"),
    (lambda s, a: (0, 0), "raised TypeError"),
    (3, "A function is asked for"),
]


@pytest.mark.parametrize("answer, says", WRONG)
def test_wrong_answers_get_the_sentence_that_teaches(answer, says, capsys):
    nb07_judge.check_rates(answer)
    said = capsys.readouterr().out
    assert said.startswith("Not yet. ") and says in said
