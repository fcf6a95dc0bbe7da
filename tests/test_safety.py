"""No secret stands in any file, and nothing that is loaded can run code."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest

from tools import ROOT, contract, find_notebooks, signatures

SECRETS = {
    "a Hugging Face token": r"\bhf_[A-Za-z0-9]{20,}",
    "a GitHub token": r"\b(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})",
    "a key of Amazon": r"\bA(KI|SI)A[A-Z0-9]{16}\b",
    "a key of Google": r"\bAIza[\w-]{35}",
    "a key of OpenAI or Anthropic": r"\bsk-(ant-|proj-)?[\w-]{32,}",
    "a token of Slack": r"\bxox[abprs]-[\w-]{10,}",
    "a token of PyPI": r"\bpypi-[\w-]{40,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a password in an address": r"https?://[\w.-]+:(?!PASSWORD@)[\w.%-]+@\w",
}
FOLDERS = ("gemma_lab", "tools", "pocket")
CODE = [ROOT / "course.py", *(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))]
# What can run code that stands in data: functions, modules, and values of options.
UNSAFE = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "yaml.load",
    "yaml.unsafe_load",
    "pandas.read_pickle",
}
UNSAFE |= {"runpy.run_path", "builtins.eval", "builtins.exec"}
UNSAFE |= {"get_ipython().system", "get_ipython().getoutput"}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}
OPTIONS = {"trust_remote_code": True, "shell": True, "allow_pickle": True, "weights_only": False}
OPTIONS |= {"use_safetensors": False, "safe_serialization": False, "verify": False}
SHELL = re.compile(r"^ *(?:[\w, ]+ = )?(?:!|%%?(?:bash|sh|script|sx|system)\b).*$", re.MULTILINE)


# Where code is run on purpose: a model's in a process of its own, under limits; functions of ours.
RUNS_CODE = {"sandbox.py": {"exec", "eval"}, "functions.py": {"exec", "eval"}}


def tracked() -> list[Path]:
    """The files that git knows, or all of a copy without git, but for weights."""
    command = ["git", "ls-files", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split("\0")[:-1] if done.returncode == 0 else []
    paths = [ROOT / name for name in names] or CODE + find_notebooks([])
    return [path for path in paths if path.is_file() and path.suffix != ".safetensors"]


def secrets_in(text: str) -> list[str]:
    """What looks like a secret; a made-up one, of few different letters, is none."""
    found = []
    for what, pattern in SECRETS.items():
        for hit in re.finditer(pattern, text):
            if len(set(hit[0].split("_")[-1].lower())) > 5:
                found.append(what)
    return found


def unsafe_in(code: str) -> list[str]:
    """Each load, import or option that can run code which stands in data."""
    found, tree = [], signatures.Code(code)
    for node, scope in signatures.walk(tree.tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [one.name for one in node.names]
            )
            found += [name for name in names if name.split(".")[0] in MODULES]
        elif isinstance(node, ast.Call):
            name = tree.whole_name(node.func, scope) or ast.unparse(node.func)
            given = {one.arg: getattr(one.value, "value", None) for one in node.keywords}
            is_bare_load = name == "torch.load" and given.get("weights_only") is not True
            found += [name] if name in UNSAFE or is_bare_load else []
            found += [
                key
                for key, value in OPTIONS.items()
                if key in given and given[key] in (value, None)
            ]
        elif isinstance(node, ast.Dict):
            found += [
                key.value
                for key, value in zip(node.keys, node.values)
                if getattr(key, "value", "") in OPTIONS
                and getattr(value, "value", None) is OPTIONS[key.value]
            ]
    return found


def test_no_tracked_file_holds_a_secret():
    """Notebooks with their outputs too."""
    assert len(paths := tracked()) > 100
    found = {path.name: secrets_in(path.read_text("utf-8", "replace")) for path in paths}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    "text",
    [
        "HF_TOKEN=hf_" + "aB3dE5gH7" * 4,
        '"ghp_' + "aB3dE5gH7" * 4 + '"',
        "AKIA" + "Q2W3E4R5T6Y7U8I9",
        "sk-ant-" + "aB3dE5gH7" * 5,
        "-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        "https://me:" + "pa55word@example.org",
    ],
)
def test_a_secret_is_found(text):
    assert len(secrets_in(f"some words, {text}\n")) == 1


def test_a_made_up_token_is_no_secret():
    assert secrets_in("hf_" + "x" * 34) == []


@pytest.mark.parametrize("path", [*CODE, *find_notebooks([])], ids=lambda path: path.name)
def test_nothing_that_is_loaded_can_run_code(path):
    assert set(unsafe_in(signatures.code_of(path))) == RUNS_CODE.get(path.name, set())


@pytest.mark.parametrize("path", find_notebooks([]), ids=lambda path: path.stem)
def test_the_one_shell_of_a_notebook_is_the_pip_of_its_first_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (line,) = SHELL.findall("\n".join(code))
    assert line.startswith("        said = !pip install ") and line in contract.SETUP


@pytest.mark.parametrize("line", ["!ls", "  found = !ls", "%%bash", "%sx ls", "a, b = %system ls"])
def test_a_shell_is_found(line):
    assert SHELL.findall(f"x = 1\n{line}\n") == [line]


def test_no_shell_is_found_in_python():
    assert SHELL.findall("a = b != c\nprint('!')\n%matplotlib inline\nx = y % system") == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from joblib import load",
        "import torch\ntorch.load('a.pt')",
        "from torch import load as read\nread('a.pt', weights_only=False)",
        "import torch\ntorch.load('a.pt', weights_only=is_safe)",
        "model = AutoModel.from_pretrained('a', trust_remote_code=True)",
        "model = AutoModel.from_pretrained('a', trust_remote_code=wanted)",
        "options = {'trust_remote_code': True}",
        "eval('1 + 1')",
        "import yaml\nyaml.load(text)",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import numpy\nnumpy.load('a.npy', allow_pickle=True)",
        "import os\nos.system('ls')",
        "get_ipython().system('ls')",
    ],
)
def test_an_unsafe_load_is_found(code):
    assert unsafe_in(code)


@pytest.mark.parametrize(
    "code",
    [
        "import torch\ntorch.load('a.pt', weights_only=True)",
        "model.eval()",
        "import json\njson.load(file)",
        "import subprocess\nsubprocess.run(['ls'])",
    ],
)
def test_a_safe_load_is_none(code):
    assert unsafe_in(code) == []
