"""What notebook 03 says of the heads of the pocket model, from its executed cells."""

import pytest
from notebook_cells import values_after

ASKED = {
    "our-text": {"ours": "written", "theirs": "theirs", "prompt": "prompt"},
    "head-maps": {"tokens": "tokens", "before": "back.mean()", "copies": "weights[2][0, 0]"},
    "cuts": {"found": "found", "share": "share"},
    "neighbours": {"wrong": "wrong", "right": "copying(gemma)"},
}


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    return values_after("03_architecture", ASKED, tmp_path_factory.mktemp("home"))


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
