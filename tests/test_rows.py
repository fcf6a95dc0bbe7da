"""Own rows of Codelab 2: files of real desks are read, and no row is dropped in silence."""

import json
import unicodedata
from html.parser import HTMLParser

import pyarrow
import pytest
import torch
from datasets import Dataset
from hub_stand_in import GOOD, Hub
from models import SMALL_IT
from notebook_cells import finished
from pyarrow import parquet
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from gemma_lab import catalog, figures, finetune
from gemma_lab.lessons import nb05_check, nb05_read, nb05_rows, nb05_views_rows

ROW = {"instruction": "Ask", "input": "Given", "output": "Answer"}


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(SMALL_IT)


def rows_of(num: int, begin: int = 0) -> list[dict]:
    return [
        {"instruction": f"Explain topic {at}", "input": "", "output": f"Thing {at}."}
        for at in range(begin, begin + num)
    ]


def jsonl(rows) -> str:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def written(path, content: str, encoding: str = "utf-8"):
    path.write_bytes(content.encode(encoding))
    return path


def checked(rows, tokenizer, exam=None, max_length=512):
    """The check of rows in lines 1, 2, …; the exam asks something else unless it is given."""
    exam = exam or [ROW | {"instruction": "Only in the exam"}]
    pairs = [list(enumerate(part, 1)) for part in (rows, exam)]
    return nb05_check.check(*pairs, tokenizer, max_length)


# ------------------------------------------------------------------------------------ what is read

CSV = "instruction,input,output\nAsk,Given,Answer\n"
SEMICOLONS = (
    'Instruction;Input;Output\r\nExplain;"He said ""rest""; then left.";"Name: a\nSigns: b"\r\n'
)
EXPLAIN = {"instruction": "Explain", "input": 'He said "rest"; then left.'}
EXPLAIN["output"] = "Name: a\nSigns: b"


@pytest.mark.parametrize("name, content, encoding, line, row", [
    ("a.csv", CSV, "utf-8", 2, ROW),
    ("bom.csv", CSV, "utf-8-sig", 2, ROW),
    ("excel.csv", SEMICOLONS, "utf-8-sig", 2, EXPLAIN),
    ("utf16.csv", SEMICOLONS, "utf-16", 2, EXPLAIN),
    ("tabs.tsv", CSV.replace(",", "\t"), "utf-16", 2, ROW),
    ("unicode.txt.csv", "\n" + CSV.replace("\n", "\r\n"), "utf-8", 3, ROW),
    ("a.jsonl", jsonl([ROW]), "utf-8", 1, ROW),
    ("bom.JSONL", "\n" + jsonl([ROW]), "utf-8-sig", 2, ROW),
    ("powershell.jsonl", jsonl([ROW]).replace("\n", "\r\n"), "utf-16", 1, ROW),
    ("big_endian.jsonl", "\ufeff" + jsonl([ROW]), "utf-16-be", 1, ROW),
    ("a.json", json.dumps([ROW], indent=2), "utf-8", 1, ROW),
    ("lines.json", jsonl([ROW]), "utf-8", 1, ROW),
])  # fmt: skip
def test_a_file_is_read_as_desks_write_it(tmp_path, name, content, encoding, line, row):
    assert nb05_rows.unify(written(tmp_path / name, content, encoding)) == ([(line, row)], [])


def test_parquet_is_read_with_its_chats_and_numbers(tmp_path):
    table = [{"prompt": "Ask", "completion": 42}, {"prompt": None, "completion": 3}]
    parquet.write_table(pyarrow.Table.from_pylist(table), tmp_path / "a.parquet")
    rows, _ = nb05_rows.unify(tmp_path / "a.parquet")
    assert rows[0] == (1, {"instruction": "Ask", "input": None, "output": 42})
    assert rows[1] == (2, {"instruction": None, "input": None, "output": 3})
    turns = [{"role": "user", "content": "Ask"}, {"role": "assistant", "content": "Answer"}]
    parquet.write_table(pyarrow.Table.from_pylist([{"messages": turns}]), tmp_path / "b.parquet")
    assert nb05_rows.unify(tmp_path / "b.parquet")[0] == [(1, ROW | {"input": ""})]


def test_a_folder_may_be_named_like_a_pattern(tmp_path):
    folder = tmp_path / "[2024] Nguyễn Văn A"
    folder.mkdir()
    for name, content in (("*.csv", CSV), ("a.jsonl", jsonl([ROW]))):
        assert nb05_rows.unify(str(written(folder / name, content)))[0][0][1] == ROW
    parquet.write_table(pyarrow.Table.from_pylist([ROW]), folder / "a.parquet")
    assert nb05_rows.unify(folder / "a.parquet")[0] == [(1, ROW)]


def test_windows_1252_is_read_and_said(tmp_path):
    text = "question;answer\nWas ist Müdigkeit?;Ein “Gefühl”\n"
    rows, (note,) = nb05_rows.unify(written(tmp_path / "old.csv", text, "cp1252"))
    assert rows[0][1]["instruction"] == "Was ist Müdigkeit?" and "“" in rows[0][1]["output"]
    assert "old.csv is not UTF-8" in note and "save it as UTF-8" in note


def test_a_line_is_where_a_row_begins_in_the_file(tmp_path):
    """Counted by hand; a text with two line breaks takes three lines, and a bad row one."""
    text = 'prompt,response\nfirst,"a\nb\nc"\n\nsecond,d\nthird,e, and f\nfourth,"g" h\nfifth,i\n'
    rows, _ = nb05_rows.unify(written(tmp_path / "a.csv", text))
    assert [line for line, _ in rows] == [2, 6, 7, 8, 9]
    assert rows[2][1] == "has 3 fields for 2 columns: put quotes around its texts"
    assert rows[3][1].startswith("has quotes that do not match, up to line 8")
    assert rows[4][1]["output"] == "i"


def test_an_open_quote_says_how_far_it_reaches(tmp_path):
    text = 'prompt,response\na,b\nc,"d\ne,f\ng,h\n'
    rows, _ = nb05_rows.unify(written(tmp_path / "a.csv", text))
    assert rows[1][0] == 3 and "up to line 5" in rows[1][1] and len(rows) == 2


def test_a_broken_json_line_is_named_and_the_others_are_read(tmp_path, tokenizer):
    lines = jsonl(rows_of(3)).splitlines()
    text = "\n".join([lines[0], lines[1][:-1], "", "[1]", '"words"', lines[2]])
    found = nb05_rows.load(written(tmp_path / "a.jsonl", text), None, tokenizer, 512)
    broken = [(line, kind) for line, _, kind, _ in found.report]
    assert broken == [(2, "cannot be read"), (4, "cannot be read"), (5, "cannot be read")]
    assert "is broken JSON (column" in found.report[0][3]
    assert len(found.train) == len(found.exam) == 1


@pytest.mark.parametrize("name, content, sentence", [
    ("a.csv", b"", "is empty"),
    ("a.csv", b"instruction,output\n", "is empty"),
    ("a.jsonl", b"\n\n", "is empty"),
    ("a.json", b"[]", "is empty"),
    ("a.json", b'[{"a": 1},\n {"a": }]', "broken JSON (line 2, column 8"),
    ("a.jsonl", b'{"a": 1\n', "has no row that can be read: line 1 is broken JSON"),
    ("a.xlsx", b"PK", "save it as CSV UTF-8"),
    ("a.csv", b"PK\x03\x04\0\0", "save it as text in UTF-8"),
    ("a.csv", b"\xff\xfea", "save it as text in UTF-8"),
    ("a.parquet", b"PAR1 no", "cannot be read as Parquet"),
    ("a.txt", b"words", "should be one of .csv, .tsv"),
    ("a.csv", b"title;poem\nx;y\n", "has the columns poem, title: name them instruction/input"),
    ("a.jsonl", b'{"instruction": "x", "result": "y"}', "or give chats in messages or conv"),
])  # fmt: skip
def test_what_is_no_table_of_rows_gets_one_sentence(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as caught:
        nb05_rows.unify(tmp_path / name)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("source, sentence", [
    ("nowhere.csv", "There is no file nowhere.csv: check its name"),
    ("data/nowhere.csv", "There is no file data/nowhere.csv"),
    ("nowhere", "There is no file nowhere"),
    (".", "is a folder: name a file in it"),
    ([ROW], "a path or a name in quotes, not list"),
])  # fmt: skip
def test_what_is_not_there_gets_one_sentence(source, sentence):
    with pytest.raises(ValueError) as caught:
        nb05_read.read(source)
    assert sentence in str(caught.value)


# ---------------------------------------------------------------------------------------- columns

CHAT = [
    {"from": "system", "value": "Be short."},
    {"from": "human", "value": "Hello"},
    {"from": "gpt", "value": "Good day"},
    {"from": "human", "value": "Ask"},
    {"from": "gpt", "value": "Answer"},
    {"from": "human", "value": "Thanks"},
]
OPENAI = [
    {"role": "User", "content": "Ask"},
    {"role": "assistant", "content": "Answer"},
]


@pytest.mark.parametrize("row, given", [
    (ROW, "Given"),
    ({"instruction": "Ask", "output": "Answer", "text": "all of Alpaca's"}, None),
    ({"Instruction ": "Ask", "context": "", "response": "Answer", "category": "open_qa"}, ""),
    ({"prompt": "Ask", "completion": "Answer"}, None),
    ({"prompt": "Ask", "response": "Answer"}, None),
    ({"question": "Ask", "answer": "Answer", "id": 7}, None),
    ({"conversations": CHAT}, "system: Be short.\nuser: Hello\nassistant: Good day"),
    ({"messages": OPENAI, "prompt": "Ask"}, ""),
])  # fmt: skip
def test_each_layout_becomes_the_talks_three_columns(tmp_path, row, given):
    rows, notes = nb05_rows.unify(written(tmp_path / "a.jsonl", jsonl([row])))
    assert rows == [(1, ROW | {"input": given})]
    assert len(notes) == bool({"messages", "conversations"} & set(row))


@pytest.mark.parametrize("turns, fault", [
    (None, "has no list of turns in messages"),
    (["Ask"], "has no list of turns in messages"),
    ([], "has no answer right behind a question"),
    (OPENAI[:1], "has no answer right behind a question"),
    (OPENAI[1:], "has no answer right behind a question"),
    ([OPENAI[0], {"role": "tool", "content": "3"}, OPENAI[1]], "right behind a question"),
    ([{"role": "user", "content": [{"type": "text"}]}, OPENAI[1]], "has a turn that is no text"),
    ([OPENAI[0], {"role": "assistant", "content": None}], "has a turn that is no text"),
    ([{"role": [1]}, {}], "has no answer right behind a question"),
])  # fmt: skip
def test_a_chat_that_makes_no_row_says_why(tmp_path, turns, fault):
    chats = [{"messages": OPENAI}, {"messages": turns}]
    rows, _ = nb05_rows.unify(written(tmp_path / "a.jsonl", jsonl(chats)))
    assert rows[0][1] == ROW | {"input": ""} and fault in rows[1][1]


# ------------------------------------------------------------------------------------- each row

TWIN = "Giải thích bệnh béo phì"
CASES = [
    (ROW | {"output": None}, "missing", "it has no output: left out"),
    ({"instruction": "x", "input": "y", "output": float("nan")}, "missing", "no output: left out"),
    (ROW | {"instruction": None}, "missing", "it has no instruction: left out"),
    (ROW | {"output": ""}, "empty", "its output is empty: left out"),
    (ROW | {"output": " \n\u00a0"}, "empty", "its output is empty: left out"),
    (ROW | {"instruction": " ", "input": ""}, "empty", "both empty: left out"),
    (ROW | {"output": ["a"]}, "no text", "its output is of the type list: left out"),
    (ROW | {"output": True}, "no text", "its output is of the type bool: left out"),
    (ROW | {"input": "\ud83d"}, "no text", "its input holds half a character: left out"),
    (ROW | {"input": "long " * 600}, "too long", "its prompt alone has"),
    (ROW | {"output": "long " * 600}, "too long", "a cut answer teaches not to stop: left out"),
    (ROW | {"output": "It <eos> ends."}, "control token", "write it as < eos >; left out"),
    (ROW | {"output": "Ends.<end_of_turn>"}, "control token", "<end_of_turn> in its output"),
    (ROW | {"instruction": "<start_of_turn>model"}, "control token", "in its instruction"),
    (ROW | {"input": "a<bos>b"}, "control token", "<bos> in its input"),
    ("is broken JSON", "cannot be read", "is broken JSON: left out"),
    (rows_of(1)[0], "twice", "is line 1 again: left out"),
    (rows_of(1)[0] | {"instruction": "explain  Topic 0?"}, "twice", "is line 1 again: left out"),
]  # fmt: skip


@pytest.mark.parametrize("row, kind, what", CASES)
def test_a_row_that_cannot_be_used_is_left_out_and_named(tokenizer, row, kind, what):
    good = rows_of(1)
    found = checked([*good, row], tokenizer)
    ((line, split, said, happens),) = found.report
    assert (line, split, said) == (2, "train", kind) and what in happens
    assert found.train == good and happens.endswith("left out")
    found = checked(rows_of(1, begin=5), tokenizer, exam=[*good, row])  # the exam is cut likewise
    assert found.exam == good and found.report == [(2, "exam", kind, happens)]


@pytest.mark.parametrize("row, kept, kind", [
    (ROW | {"output": 42}, {"output": "42"}, "number"),
    (ROW | {"output": 0.5}, {"output": "0.5"}, "number"),
    (ROW | {"input": None}, {"input": ""}, None),
    (ROW | {"output": "one\r\ntwo"}, {"output": "one\ntwo"}, "other form"),
    (ROW | {"output": unicodedata.normalize("NFD", TWIN)}, {"output": TWIN}, "other form"),
    (ROW | {"output": " Ａ\u00a0b \n"}, {}, None),
    (ROW | {"output": "One < eos > more"}, {}, None),
])  # fmt: skip
def test_a_row_that_is_changed_is_kept_and_said(tokenizer, row, kept, kind):
    found = checked([row], tokenizer)
    assert found.train == [row | kept]
    assert [entry[2] for entry in found.report] == ([kind] if kind else [])


@pytest.mark.parametrize("other", [
    unicodedata.normalize("NFD", TWIN),
    TWIN.replace(" ", "\u00a0"),
    "ＧＩ" + TWIN[2:],
    TWIN.upper() + " ?!",
    f"“{TWIN}”",
    TWIN.replace(" ", "  \n"),
    TWIN[:4] + "\u200b" + TWIN[4:],
])  # fmt: skip
def test_a_question_of_the_exam_is_found_in_any_spelling(tokenizer, other):
    exam = [{"instruction": TWIN, "input": "", "output": "The right one"}]
    found = checked([*rows_of(2), ROW | {"instruction": other, "input": ""}], tokenizer, exam)
    assert found.train == rows_of(2) and len(found.exam) == 1
    line, split, kind, what = found.report[-1]
    assert (line, split, kind) == (3, "train", "in the exam")
    assert what == "asks what line 1 of the exam asks: left out"


@pytest.mark.parametrize("one, other", [
    ("What is 5 - 3?", "What is 5 * 3?"), ("What is 53?", "What is 5 3?"), ("?", "!"),
    ("What is -5?", "What is 5?"), ("ma", "má"), ("น้ำ", "นา"),
])  # fmt: skip
def test_another_question_is_no_twin(tokenizer, one, other):
    row = ROW | {"input": ""}
    exam = [row | {"instruction": one}]
    assert checked([row | {"instruction": other}], tokenizer, exam).report == []


def test_two_answers_to_one_question_are_both_kept(tokenizer):
    rows = [ROW, ROW | {"output": "Another answer"}]
    assert checked(rows, tokenizer).train == rows


@pytest.mark.parametrize("max_length", [49, 52, 64])
def test_what_fits_is_what_trl_trains_on_uncut(tokenizer, tmp_path, max_length):
    """TRL cuts at max_length in silence: of the rows that are left it has to cut none."""
    rows = [ROW | {"instruction": f"{at}", "output": "word " * at} for at in range(1, 25)]
    found = checked(rows, tokenizer, max_length=max_length)
    assert 0 < len(found.train) < len(rows)
    whole = trainer_of(found.train, tokenizer, tmp_path, max_length).train_dataset
    assert len(whole) == len(found.train)
    assert all(one["input_ids"][-1] == tokenizer.eos_token_id for one in whole)
    kept = {row["output"] for row in found.train}
    for row in rows:
        prepared = trainer_of([row], tokenizer, tmp_path, max_length=None).train_dataset[0]
        assert (len(prepared["input_ids"]) <= max_length) == (row["output"] in kept)


def test_the_other_tokenizers_control_tokens_count():
    class Tokenizer:
        all_special_tokens = ["</s>"]

        def get_added_vocab(self):
            return {"<end_of_turn>": 5, "<unused0>": 6}

    assert nb05_check.control_tokens(Tokenizer()) == ["</s>", "<end_of_turn>"]


# ------------------------------------------------------------------------- split, load, the report


@pytest.mark.parametrize("num, in_exam", [(2, 1), (3, 1), (9, 2), (40, 8), (500, 84)])
def test_without_an_exam_the_last_fifth_is_it(tmp_path, tokenizer, num, in_exam):
    rows = rows_of(num)
    path = written(tmp_path / "a.jsonl", jsonl(rows))
    found = nb05_rows.load(path, None, tokenizer, 512)
    assert found.train == rows[: num - in_exam] and found.exam == rows[num - in_exam :]
    assert f"the exam takes {in_exam} of the last rows" in str(found) and found.report == []


def test_a_csv_of_nine_rows_is_enough(tmp_path, tokenizer):
    lines = [f"Question {at};;Answer {at}" for at in range(9)]
    text = "\r\n".join(["instruction;input;output", *lines])
    path = written(tmp_path / "nine.csv", text, "utf-8-sig")
    found = nb05_rows.load(str(path), None, tokenizer, 512)
    assert (len(found.train), len(found.exam)) == (7, 2)
    assert found.exam[-1] == {"instruction": "Question 8", "input": "", "output": "Answer 8"}


def test_the_exam_takes_no_row_whose_question_is_in_training():
    rows = rows_of(4) + [ROW, ROW | {"output": "Another"}]
    train, exam = nb05_check.split(list(enumerate(rows, 1)))
    assert exam == [(4, rows[3])] and len(train) == 5


@pytest.mark.parametrize("rows, sentence", [
    ([ROW], "1 of 1 rows can be used, where at least 2 should: add rows."),
    ([ROW, ROW], "1 of 2 rows can be used, where at least 2 should: train, line 2: twice"),
    ([ROW, ROW | {"output": "b"}], "0 questions are asked once"),
    ([ROW | {"output": None}], "train, line 1: missing: it has no output: left out."),
])  # fmt: skip
def test_too_few_rows_get_one_sentence(tmp_path, tokenizer, rows, sentence):
    with pytest.raises(ValueError) as caught:
        nb05_rows.load(written(tmp_path / "a.jsonl", jsonl(rows)), None, tokenizer, 512)
    assert sentence in str(caught.value)


def test_a_file_that_is_its_own_exam_leaves_nothing_to_train_on(tmp_path, tokenizer):
    path = written(tmp_path / "a.jsonl", jsonl(rows_of(3)))
    with pytest.raises(ValueError, match="no row is left of “train”: train, line 1: in the exam"):
        nb05_rows.load(path, path, tokenizer, 512)
    bad = written(tmp_path / "b.jsonl", jsonl([ROW | {"output": ""}]))
    with pytest.raises(ValueError, match="no row is left of “exam”: exam, line 1: empty"):
        nb05_rows.load(path, bad, tokenizer, 512)


def test_the_courses_own_rows_pass_as_they_are(tokenizer):
    found = nb05_rows.load(None, None, tokenizer, 512)
    for rows, name in ((found.train, nb05_rows.OWN[0]), (found.exam, nb05_rows.OWN[1])):
        text = (catalog.DATA / name).read_text(encoding="utf-8")
        assert rows == [json.loads(line) for line in text.splitlines()]
    assert str(found) == "Rows to train on: 1075. For the exam: 84." and found.report == []


def test_own_rows_with_an_own_exam(tmp_path, tokenizer):
    train = written(tmp_path / "a.jsonl", jsonl(rows_of(6)))
    exam = written(tmp_path / "b.csv", "question,answer\nIs there an app?,Yes.\n")
    found = nb05_rows.load(train, exam, tokenizer, 512)
    assert found.train == rows_of(6) and found.exam[0]["instruction"] == "Is there an app?"


def test_the_report_is_short_and_names_each_kind(tokenizer):
    bad = [row for row, _, _ in CASES if isinstance(row, dict)]
    found = checked([*rows_of(1), *bad, *[ROW | {"output": ""}] * 30], tokenizer)
    assert len(found.report) == len(bad) + 30
    lines = str(found).splitlines()
    assert lines[0] == "Rows to train on: 1. For the exam: 1." and len(lines) == 1 + 8 + 1
    kinds = {kind for _, _, kind, _ in found.report}
    assert all(any(f": {kind}: " in line for line in lines) for kind in kinds)
    assert lines[-1].startswith(f"… and {len(found.report) - 8} more: ") and " empty" in lines[-1]


def test_six_rows_of_the_exercise_pass_all_checks(tokenizer):
    """Its point: what is wrong with line 5 no check reports."""
    rows, notes = nb05_rows.unify(catalog.DATA / "six_rows.jsonl")
    found = checked([row for _, row in rows], tokenizer)
    assert found.report == notes == [] and len(found.train) == 6
    heading = "### Instruction:"
    assert heading in finetune.PROMPT
    assert [line for line, row in rows if heading in row["output"]] == [5]


HUB_ROWS = """
from gemma_lab.lessons import nb05_read
for name in ("someone/rows", "someone/gone", "talk"):
    try:
        print(nb05_read.read(name))
    except ValueError as error:
        print("ValueError:", error)
"""


def test_rows_of_the_hub(tmp_path):
    """A dataset is read; one that is gone, and a Hub that is not there, get a sentence."""
    folder = tmp_path / "hub" / "someone" / "rows"
    folder.mkdir(parents=True)
    written(folder / "train.jsonl", jsonl([ROW]))
    hub = Hub(tmp_path / "hub", tokens={GOOD})
    done = finished(HUB_ROWS, tmp_path / "home", HF_ENDPOINT=hub.url, HF_TOKEN=GOOD)
    read, gone, talk = done.stdout.splitlines()
    assert read == str(([(1, ROW)], []))
    assert gone.startswith("ValueError: The dataset someone/gone cannot be had (Dataset 'someone")
    assert nb05_read.DOLLY in gone and nb05_read.DOLLY in talk
    dolly = tmp_path / "hub" / nb05_read.DOLLY
    dolly.mkdir(parents=True)
    written(dolly / "train.jsonl", jsonl([ROW]))
    talk = finished(HUB_ROWS, tmp_path / "home", HF_ENDPOINT=hub.url, HF_TOKEN=GOOD).stdout
    hub.shutdown()
    assert f"{nb05_read.TALKS}, cannot be had: {nb05_read.DOLLY} takes its place" in talk
    away = finished(HUB_ROWS, tmp_path / "other", HF_HUB_OFFLINE="1", HF_TOKEN=GOOD)
    assert away.stdout.count("ValueError: The dataset ") == 3
    assert not any(GOOD in text for text in (done.stdout + done.stderr, talk, away.stdout))


# ------------------------------------------------------------------------------------------ views


def trainer_of(rows, tokenizer, folder, max_length=512):
    """TRL's own trainer on these rows, as in the notebook."""
    config = SFTConfig(
        str(folder),
        completion_only_loss=True,
        max_length=max_length,
        bf16=False,
        use_cpu=True,
        report_to="none",
        per_device_train_batch_size=4,
    )
    pairs = [finetune.to_prompt_completion(row, tokenizer.eos_token) for row in rows]
    model = AutoModelForCausalLM.from_pretrained(SMALL_IT)
    data = Dataset.from_list(pairs)
    return SFTTrainer(model=model, processing_class=tokenizer, train_dataset=data, args=config)


class Seen(HTMLParser):
    """The ids of all tokens in a view, of those that are bold and underlined, and the text."""

    def __init__(self, view):
        super().__init__()
        self.ids, self.loss, self.loss_styles, self.text = [], [], [], []
        self.feed(view.data)

    def handle_starttag(self, tag, attrs):
        if tag == "span":
            self.ids.append(int(dict(attrs)["title"]))
            self.style = dict(attrs)["style"]
        if tag == "u" and self.ids:
            self.loss.append(self.ids[-1])
            self.loss_styles.append(self.style)

    def handle_data(self, data):
        self.text.append(data)


def test_the_coloured_tokens_are_what_trl_trains(tokenizer, tmp_path):
    row = ROW | {"instruction": 'Is 3 < 4 & "so"?', "output": "Yes:\n- it is"}
    trainer = trainer_of([row], tokenizer, tmp_path)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    view = nb05_views_rows.loss_tokens(tokenizer, batch["input_ids"][0], batch["labels"][0])
    seen = Seen(view)
    assert seen.ids == batch["input_ids"][0].tolist()
    assert tokenizer.decode(seen.loss) == "Yes:\n- it is<eos>"
    assert all(figures.BLUE in style for style in seen.loss_styles)
    assert {"⏎", "<bos>", "<eos>", "<", "▁"} <= set(seen.text)
    assert f"{len(seen.loss)} of {len(seen.ids)} tokens" in "".join(seen.text)


def test_a_row_without_loss_and_labels_of_another_row_are_refused(tokenizer):
    with pytest.raises(ValueError, match="all 3 labels are -100"):
        nb05_views_rows.loss_tokens(tokenizer, torch.tensor([2, 7, 8]), torch.tensor([-100] * 3))
    with pytest.raises(ValueError, match="2 labels for 3 tokens"):
        nb05_views_rows.loss_tokens(tokenizer, [2, 7, 8], [-100, 8])


def test_lengths_and_padding_are_those_of_trls_batches(tokenizer, tmp_path):
    rows = [ROW | {"output": "word " * at} for at in range(1, 11)]
    trainer = trainer_of(rows, tokenizer, tmp_path, max_length=None)
    lengths = [len(one["input_ids"]) for one in trainer.train_dataset]
    figure = nb05_views_rows.lengths(rows, tokenizer, 512)
    (axis,) = figure.axes
    assert axis.get_title(loc="left") == (
        f"All 10 rows fit: the longest has {max(lengths)} of 512 tokens"
    )
    assert sum(bar.get_height() for bar in axis.patches) == 10 and figure.get_figwidth() <= 7
    assert list(axis.lines[0].get_xdata()) == [512, 512]
    limit = sorted(lengths)[-3]
    (axis,) = nb05_views_rows.lengths(rows, tokenizer, limit).axes
    assert axis.get_title(loc="left") == f"2 of 10 rows are longer than {limit} tokens"
    real = total = 0
    for at in range(0, 10, 4):
        mask = trainer.data_collator([trainer.train_dataset[i] for i in range(at, min(at + 4, 10))])
        real += mask["attention_mask"].sum().item()
        total += mask["attention_mask"].numel()
    assert nb05_views_rows.padding_share(rows, tokenizer) == pytest.approx(1 - real / total)


@pytest.mark.parametrize("strategy, is_apart", [("bfd", True), ("wrapped", False)])
def test_what_the_text_says_of_packing(tokenizer, tmp_path, strategy, is_apart):
    """Does a packed row see its neighbour? The logits of the row alone are the oracle."""
    pairs = [finetune.to_prompt_completion(row, tokenizer.eos_token) for row in rows_of(8)]
    config = SFTConfig(
        str(tmp_path),
        packing=True,
        packing_strategy=strategy,
        max_length=256,
        bf16=False,
        use_cpu=True,
        report_to="none",
    )
    model = AutoModelForCausalLM.from_pretrained(SMALL_IT, dtype=torch.float32).eval()
    data = Dataset.from_list(pairs)
    trainer = SFTTrainer(model=model, processing_class=tokenizer, train_dataset=data, args=config)
    batch = trainer.data_collator([trainer.train_dataset[0]])
    ids = batch["input_ids"]
    _, begin, end = (ids[0] == tokenizer.bos_token_id).nonzero().flatten().tolist()[:3]
    del batch["labels"]
    with torch.no_grad():
        packed = model(**batch).logits[0, begin:end]
        alone = model(ids[:, begin:end]).logits[0]
    assert torch.allclose(packed, alone, atol=1e-3) == is_apart


def test_a_csv_with_the_line_ends_of_old_macs_is_read(tmp_path):
    """Excel on a Mac offers it as "CSV (Macintosh)"."""
    path = written(tmp_path / "a.csv", "instruction,output\rx,y\rz,w\r")
    rows, _ = nb05_rows.unify(path)
    assert [row["output"] for _, row in rows] == ["y", "w"]


def test_a_name_with_a_line_break_gets_one_sentence():
    with pytest.raises(ValueError, match="type it again") as caught:
        nb05_rows.unify("rows.csv\n")
    assert "\n" not in str(caught.value)
