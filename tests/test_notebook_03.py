"""What notebook 03 computes and says: its parts, put together, and the heads of two models."""

import re

import pytest
import torch
from notebook_cells import ROOT, run_cells, shown, tagged, values_after, with_values

from gemma_lab import figures, profile
from gemma_lab.lessons import nb03

NAME = "03_architecture"
PARTS = ("look-back", "speeds", "turn", "norm")
ASKED = {
    "stack": {"token": "tokenizer.decode(token)"},
    "our-text": {"ours": "written", "theirs": "theirs", "prompt": "prompt"},
    "head-maps": {"tokens": "tokens", "before": "back.mean()", "copies": "weights[2, 0]"},
    "cuts": {"found": "found", "share": "share"},
    "neighbours": {"wrong": "wrong", "right": "copying(gemma)"},
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return values_after(NAME, ASKED, tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
def reference():
    """The library's own logits of a text, in float64."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(profile.CHECKPOINTS / "pocket-small")
    how = {"dtype": torch.float64, "attn_implementation": "eager"}
    model = AutoModelForCausalLM.from_pretrained(folder, **how).requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text: model(**tokenizer(text, return_tensors="pt")).logits[0]


@pytest.fixture(scope="module")
def parts():
    """The names that sections 2 to 5 have defined, before a block is put together."""
    import gemma_lab

    return run_cells(NAME, *PARTS, torch=torch, figures=figures, nb03=nb03, gemma_lab=gemma_lab)


def assembled(names: dict, sentence: str) -> dict:
    """The names after the cells that put the block and the stack together, for a sentence."""
    names = dict(names)
    exec(with_values(tagged(NAME, "sentence"), sentence=sentence), names)
    for tag in ("assembled", "stack"):
        exec(tagged(NAME, tag), names)
    return names


@pytest.mark.parametrize(
    "sentence", ["My grandmother kept the", "Hà Nội là", "5 < 6 & 7 🙂", "", "the rain " * 60]
)
def test_the_parts_in_view_give_the_librarys_logits_for_any_sentence(parts, reference, sentence):
    found, right = assembled(parts, sentence)["logits"], reference(sentence)
    assert found.shape == right.shape and (found - right).abs().max() < 1e-4 * right.abs().max()


@pytest.mark.parametrize(
    "tag, right, wrong",
    [
        ("look-back", "triu(1)", "triu(2)"),
        ("look-back", "** 0.5", "** 0.4"),
        ("turn", "b * cos + a * sin", "b * cos - a * sin"),
        ("norm", "1 + weight", "weight"),
        ("norm", '"tanh"', '"none"'),
    ],
)
def test_a_wrong_part_is_seen_in_the_stack(parts, tag, right, wrong):
    names, source = dict(parts), tagged(NAME, tag)
    assert right in source
    exec(source.replace(right, wrong), names)
    with pytest.raises(AssertionError, match="the parts must give"):
        assembled(names, "My grandmother kept the")


def test_the_talks_line_ends_as_in_the_talk(notebook):
    assert notebook["stack"]["token"] == " đá" and "' đá', 100%" in shown(NAME, "stack")


def test_our_code_writes_what_transformers_writes(notebook):
    found = notebook["our-text"]
    assert found["ours"] == found["theirs"]
    assert len(found["prompt"][0]) == 6 and len(found["ours"][0]) == 6 + 36


def test_one_head_looks_at_the_token_before_and_another_at_what_followed(notebook):
    found = notebook["head-maps"]
    assert found["before"] > 0.99
    second = len(found["tokens"]) - 1 - found["tokens"][::-1].index("▁pur")
    row = found["copies"][second]
    assert found["tokens"][row.index(max(row))] == "ple"


def test_of_the_single_cuts_only_that_of_head_1_1_stops_copying(notebook):
    found = dict(notebook["cuts"]["found"])
    assert round(100 * found.pop("no head cut")) == 99
    assert round(100 * found.pop("without 1.1")) == 14
    assert round(100 * found.pop("without 2.0 and 2.1")) == 28
    assert len(found) == 7 and min(found.values()) > 0.6
    assert round(100 * notebook["cuts"]["share"], 1) == 1.7


def test_the_papers_pairs_end_copying_and_the_patch_is_taken_back(notebook):
    assert notebook["neighbours"]["wrong"] < 0.1
    assert notebook["neighbours"]["right"] == pytest.approx(
        notebook["cuts"]["found"]["no head cut"]
    )


def test_the_file_computes_with_googles_weights_what_transformers_computes():
    said = shown(NAME, "real-file")
    assert "268,098,176 parameters" in said and "transformers writes the same: True" in said
    num_logits, largest, difference = re.search(
        r"([\d,]+) logits, the largest ([\d.]+): largest difference (\S+)", said
    ).groups()
    assert 5.5e6 < int(num_logits.replace(",", "")) < 6e6  # "nearly six million"
    assert float(difference) < 1e-4 * float(largest)


def test_the_270m_rests_on_its_first_token_and_has_the_two_heads_of_copying():
    first, before, last_time = (
        re.search(r"all heads +(\d+)%, most in (\S+): (\d+)%", line).groups()
        for line in shown(NAME, "real-heads").splitlines()[:3]
    )
    assert 55 <= int(first[0]) <= 65  # "six parts of ten"
    assert before[1] == "2.3" and int(before[2]) > 50
    assert last_time[1].startswith("5.") and int(last_time[2]) > 60


def test_experts_are_what_the_270m_looks_at_before_it_says_the_talks_ending():
    at, *seen = re.findall(r"(\S+) (?:looks at|\d+%)", shown(NAME, "real-heads-talk"))
    assert at == "▁hàng" and seen[0] == "<bos>" and seen[1] == "▁gia"


@pytest.mark.parametrize("readme", ["README.md", "README.vi.md"])
def test_the_readme_s_first_answers_are_those_of_the_stored_notebooks(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    japan, hang = re.findall(r"^> .*\*\*(.+?)(?: …)?\*\*$", text, re.M)
    said = " ".join(shown("02_meet_gemma", "base-and-it").split())
    assert japan in said and hang in " ".join(shown(NAME, "real-file").split())
