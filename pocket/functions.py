"""Small Python functions: what each does in words, its code, and asserts that tell a right one.

They are put together from parts (a condition, what happens to each item, what is made of all), so
that there are far more than a model can learn by heart. What a function does is its `key`; keys are
split by a hash, and training draws none of "dev" or "card". What stands alone, such as "the square
of n", is never held out: a model that never saw it could not know it.
"""

import ast
import builtins
import hashlib
import keyword
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from pocket import texts, titles

NUMBERS = "n x value number count amount total size score age price year level index".split()
PAIRS = [
    pair.split()
    for pair in (
        "a b;x y;m n;left right;first second;width height;price amount;one other;old new;low high;"
        "length width;start end"
    ).split(";")
]
LISTS = "numbers values items scores prices data xs nums amounts ages".split()
TEXTS = "text word name s line message title sentence string letters".split()
TAKEN = {*dir(builtins), *keyword.kwlist, *"x n i number letter item result total word".split()}
WORDS = [word for word in titles.WORDS if re.fullmatch("[a-z]+", word) and word not in TAKEN]
LETTERS = "abcdefghilmnoprstuwy"
SAMPLE_NUMBERS = (7, -4, 12, 0, 35, -18, 3, 50, 21, -9)
SAMPLE_LISTS = ([3, -8, 12, 7, 0, 25, -14, 6], [5, 2], [10, -3, 44, 9, 10, 30], [-1, 8, 8, 15])
SAMPLE_TEXTS = ("banana bread", "Level", "the quick fox ran", "noon", " Seattle is wet ", "a")


@dataclass(frozen=True)
class Function:
    """A function: `says` what it returns, `lines` are its body, `inputs` what it is tried with."""

    key: str
    name: str
    parameters: tuple[str, ...]
    says: str
    lines: tuple[str, ...]
    inputs: tuple[tuple, ...]

    @property
    def head(self) -> str:
        """The line that begins with `def`."""
        return f"def {self.name}({', '.join(self.parameters)}):\n"

    @property
    def docstring(self) -> str:
        """Its line, indented."""
        return f'    """Return {self.says}."""\n'

    @property
    def body(self) -> str:
        """The code after the docstring, indented."""
        return "".join(f"    {line}\n" for line in self.lines)

    @property
    def code(self) -> str:
        """All of it."""
        return self.head + self.docstring + self.body

    def made(self) -> list[str]:
        """What the code gives for each of `inputs`. Only for code that we wrote."""
        room: dict = {}
        exec(self.code, room)
        return [repr(room[self.name](*given)) for given in self.inputs]

    def is_right(self, code: str) -> bool:
        """Whether other code of ours passes the asserts."""
        try:
            exec(code + self.tests(), {})
        except Exception:
            return False
        return True

    def tests(self) -> str:
        """An assert for each of `inputs`."""
        calls = zip((", ".join(map(repr, given)) for given in self.inputs), self.made())
        return "".join(f"assert {self.name}({given}) == {made}\n" for given, made in calls)


def split_of(key: str) -> str:
    """ "train", "dev" or "card": by a hash, where more than one part is joined ("+")."""
    if "+" not in key:
        return "train"
    share = hashlib.sha256(key.encode()).digest()[0]
    return "dev" if share < 13 else "card" if share < 26 else "train"


def _name(rng: random.Random, usual: list[str]) -> str:
    return rng.choice(usual) if rng.random() < 0.7 else rng.choice(WORDS)


def _two(rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.7:
        return tuple(rng.choice(PAIRS))
    return tuple(rng.sample(WORDS, 2))


def _whole(code: str) -> str:
    """An expression as an operand: in brackets, if it has operators outside of any."""
    depth, plain = 0, ""
    for letter in code:
        depth += letter in "([{"
        plain += letter if depth == 0 else ""
        depth -= letter in ")]}"
    return f"({code})" if " " in plain or plain.startswith("-") else code


# Each part: its part of the key and the name; in words; in code. {x} is what it is made of, {k} a
# number.
UNARY = (
    ("twice", "twice {x}", "2 * {x}"),
    ("half", "half of {x}, rounded down", "{x} // 2"),
    ("square", "the square of {x}", "{x} ** 2"),
    ("cube", "the cube of {x}", "{x} ** 3"),
    ("negative", "the negative of {x}", "-{x}"),
    ("absolute", "the absolute value of {x}", "abs({x})"),
    ("last_digit", "the last digit of {x}", "{x} % 10"),
)
SHIFTS = (
    ("plus", "{x}, plus {k}", "{x} + {k}"),
    ("minus", "{x}, minus {k}", "{x} - {k}"),
    ("times", "{x}, times {k}", "{x} * {k}"),
)
BINARY = (
    ("sum", "the sum of {a} and {b}", "{a} + {b}"),
    ("difference", "the difference of {a} and {b}", "{a} - {b}"),
    ("product", "the product of {a} and {b}", "{a} * {b}"),
    ("larger", "the larger of {a} and {b}", "max({a}, {b})"),
    ("smaller", "the smaller of {a} and {b}", "min({a}, {b})"),
)
CONDITIONS = (
    ("even", "is even", "{x} % 2 == 0"),
    ("odd", "is odd", "{x} % 2 == 1"),
    ("positive", "is positive", "{x} > 0"),
    ("negative", "is negative", "{x} < 0"),
    ("above", "is greater than {k}", "{x} > {k}"),
    ("below", "is less than {k}", "{x} < {k}"),
    ("multiple", "is a multiple of {k}", "{x} % {k} == 0"),
)
FILTERS = (
    ("even", "the even numbers in {xs}", "{x} % 2 == 0"),
    ("odd", "the odd numbers in {xs}", "{x} % 2 == 1"),
    ("positive", "the positive numbers in {xs}", "{x} > 0"),
    ("negative", "the negative numbers in {xs}", "{x} < 0"),
    ("above", "the numbers above {k} in {xs}", "{x} > {k}"),
    ("below", "the numbers below {k} in {xs}", "{x} < {k}"),
    ("multiples", "the multiples of {k} in {xs}", "{x} % {k} == 0"),
)
MAPS = (
    ("squares", "the squares of {xs}", "{x} ** 2"),
    ("cubes", "the cubes of {xs}", "{x} ** 3"),
    ("doubles", "the doubles of {xs}", "2 * {x}"),
    ("halves", "the halves of {xs}", "{x} // 2"),
    ("absolutes", "the absolute values of {xs}", "abs({x})"),
    ("last_digits", "the last digits of {xs}", "{x} % 10"),
)
ON_TEXTS = (
    ("capitals", "{s} in capital letters", "{s}.upper()"),
    ("small", "{s} in small letters", "{s}.lower()"),
    ("reversed", "{s} backwards", "{s}[::-1]"),
    ("stripped", "{s} without spaces around it", "{s}.strip()"),
    ("replaced", '{s} with "{c}" in place of "{d}"', '{s}.replace("{d}", "{c}")'),
    ("repeated", "{s}, {k} times", "{s} * {k}"),
    ("ended", '{s} with "{m}" at its end', '{s} + "{m}"'),
    ("begin", "the first {k} letters of {s}", "{s}[:{k}]"),
    ("end", "the last {k} letters of {s}", "{s}[-{k}:]"),
)
OF_TEXTS = (
    ("length", "the length of {s}", "len({s})"),
    ("count", 'the number of times "{c}" occurs in {s}', '{s}.count("{c}")'),
    ("vowels", "the number of vowels in {s}", 'sum(letter in "aeiou" for letter in {s})'),
    ("word_count", "the number of words in {s}", "len({s}.split())"),
    ("starts", 'whether {s} starts with "{c}"', '{s}.startswith("{c}")'),
    ("ends", 'whether {s} ends with "{c}"', '{s}.endswith("{c}")'),
    ("words", "the words of {s}", "{s}.split()"),
    ("first_letter", "the first letter of {s}", "{s}[0]"),
)
ON_LISTS = (
    ("first", "the first of {xs}", "{xs}[0]"),
    ("last", "the last of {xs}", "{xs}[-1]"),
    ("largest", "the largest of {xs}", "max({xs})"),
    ("smallest", "the smallest of {xs}", "min({xs})"),
    ("total", "the sum of {xs}", "sum({xs})"),
    ("length", "the length of {xs}", "len({xs})"),
    ("average", "the average of {xs}", "sum({xs}) / len({xs})"),
)
IN_ORDER = (
    ("sorted", "{xs} in ascending order", "sorted({xs})"),
    ("descending", "{xs} in descending order", "sorted({xs}, reverse=True)"),
    ("backwards", "{xs} backwards", "{xs}[::-1]"),
)
CUTS = (
    ("begin", "the first {k} of {xs}", "{xs}[:{k}]"),
    ("end", "the last {k} of {xs}", "{xs}[-{k}:]"),
    ("rest", "{xs} without the first {k}", "{xs}[{k}:]"),
)
UNITS = (
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("kilometers", "meters", 1000),
    ("meters", "centimeters", 100),
    ("kilograms", "grams", 1000),
    ("liters", "milliliters", 1000),
    ("dozens", "pieces", 12),
)


def arithmetic(rng: random.Random) -> Function:
    """Of one number or two: "twice the sum of a and b", "the square of n, plus 7"."""
    if rng.random() < 0.6:
        parameters = _two(rng)
        key, says, code = rng.choice(BINARY)
        slots = dict(zip("ab", parameters))
        inputs = tuple(zip(SAMPLE_NUMBERS[:4], SAMPLE_NUMBERS[4:8]))
        name = key
    else:
        parameters = (_name(rng, NUMBERS),)
        key, says, code = "", "{x}", "{x}"
        slots = {"x": parameters[0]}
        inputs = tuple((number,) for number in SAMPLE_NUMBERS[:5])
        name = ""
    says, code = says.format(**slots), code.format(**slots)
    many = rng.choice((1, 2) if not key else (0, 1, 1, 2))
    for outer in rng.sample(UNARY, min(many, 1)) + rng.sample(SHIFTS, int(many == 2)):
        k = rng.randint(2, 20)
        says = outer[1].format(x=says, k=k)
        code = outer[2].format(x=_whole(code), k=k)
        part = f"{outer[0]}_{k}" if "{k}" in outer[1] else outer[0]
        key = f"{key}+{part}".strip("+")
        is_shift = "{k}" in outer[1]
        name = f"{name}_{part}".strip("_") if is_shift else f"{part}_{name}".strip("_")
    if not many and rng.random() < 0.2:
        k = rng.randint(2, 20)
        outer = rng.choice(SHIFTS)
        says, code = outer[1].format(x=says, k=k), outer[2].format(x=_whole(code), k=k)
        key, name = f"{key}+{outer[0]}_{k}", f"{name}_{outer[0]}_{k}"
    return Function(key, name, parameters, says, _returned(rng, code), inputs)


def _returned(rng: random.Random, code: str) -> tuple[str, ...]:
    """`return code`, or by way of a variable."""
    if rng.random() < 0.15:
        return (f"result = {code}", "return result")
    return (f"return {code}",)


def _condition(rng: random.Random) -> tuple[str, str, str]:
    """A condition's part of a key and name, with its words and code in {x}."""
    key, says, code = rng.choice(CONDITIONS)
    k = rng.randint(2, 20)
    if "{k}" in says:
        key = f"{key}_{k}"
    return key, says.replace("{k}", str(k)), code.replace("{k}", str(k))


def _around(code: str) -> list[int]:
    """Numbers to try a condition with: also each that it names, with its neighbours."""
    named = [int(digits) for digits in re.findall(r"\d+", code)]
    close = [number + step for number in named for step in (-1, 0, 1)]
    return list(dict.fromkeys([*SAMPLE_NUMBERS, *close, *(-number for number in named)]))


def predicate(rng: random.Random) -> Function:
    """Whether a number is so, or so and so."""
    x = _name(rng, NUMBERS)
    first, second = _condition(rng), _condition(rng)
    if rng.random() < 0.5 or first[0] == second[0]:
        key, says, code = first
        key = key.replace("_", "+")
        name = f"is_{first[0]}"
    else:
        joint = rng.choice(("and", "or"))
        key, name = f"{first[0]}+{joint}+{second[0]}", f"is_{first[0]}_{joint}_{second[0]}"
        says = f"{first[1]} {joint} {second[1]}"
        code = f"{first[2]} {joint} {second[2]}"
    inputs = tuple((number,) for number in _around(code))
    code = code.format(x=x)
    return Function(
        f"is+{key}" if "+" in key else f"is {key}",
        name,
        (x,),
        f"whether {x} {says}",
        _returned(rng, code),
        inputs,
    )


def choice(rng: random.Random) -> Function:
    """One thing if a condition holds, else another."""
    x = _name(rng, NUMBERS)
    key, says, code = _condition(rng)
    if rng.random() < 0.5:
        one, other = rng.sample(WORDS, 2)
        made, words = (f'"{one}"', f'"{other}"'), (f'"{one}"', f'"{other}"')
        parts, name = "words", f"{one}_or_{other}"
    else:
        two = rng.sample(UNARY, 2)
        made = [part[2].format(x=x) for part in two]
        words = [part[1].format(x=x) for part in two]
        parts = name = "_or_".join(part[0] for part in two)
    test = code.format(x=x)
    lines = (f"if {test}:", f"    return {made[0]}", f"return {made[1]}")
    if rng.random() < 0.25:
        lines = (f"return {made[0]} if {test} else {made[1]}",)
    says = f"{words[0]} if {x} {says}, else {words[1]}"
    inputs = tuple((number,) for number in _around(code))
    return Function(f"if+{key}+{parts}", name, (x,), says, lines, inputs)


def pipeline(rng: random.Random) -> Function:
    """Of some of many numbers: "the sum of the squares of the even numbers in values"."""
    is_range = rng.random() < 0.2
    xs = _name(rng, ["n", "n", "limit", "end"] if is_range else LISTS)
    source = f"range(1, {xs} + 1)" if is_range else xs
    says, x = (f"the numbers from 1 to {xs}" if is_range else xs), rng.choice(("x", "n", "number"))
    x = "i" if x == xs else x
    parts, test, each = (["range"] if is_range else []), "", x
    if rng.random() < 0.7:
        key, words, code = rng.choice(
            [FILTERS[i] for i in (0, 1, 4, 5, 6)] if is_range else FILTERS
        )
        k = rng.randint(2, 20)
        parts.append(f"{key}_{k}" if "{k}" in words else key)
        says, test = words.format(xs=says, k=k), code.format(x=x, k=k)
        if is_range:
            says = says.replace("numbers in the numbers", "numbers").replace("in the numbers ", "")
    if rng.random() < 0.6:
        key, words, code = rng.choice(MAPS)
        parts.append(key)
        says, each = words.format(xs=says), code.format(x=x)
    end = rng.choice(("list", "list", "sum", "sum", "largest", "count"))
    if end == "count" and (each != x or not test):
        end = "list"
    some = f" if {test}" if test else ""
    parts.append(end)
    made = f"{each} for {x} in {source}{some}"
    is_loop = rng.random() < 0.35
    start, step = {"list": ("[]", f".append({each})"), "count": ("0", " += 1")}.get(
        end, ("0", f" += {each}")
    )
    if end == "list":
        words, lines = f"a list of {says}", (f"return [{made}]",)
    elif end == "sum":
        words, lines = f"the sum of {says}", (f"return sum({made})",)
    elif end == "count":
        words, lines = (
            f"the number of {says.removeprefix('the ')}",
            (f"return sum(1 for {x} in {source}{some})",),
        )
    else:
        words, lines = f"the largest of {says}", (f"return max({made})",)
        is_loop = False
    if is_loop:
        result = "result" if end == "list" else "total"
        inner = [f"    if {test}:", f"        {result}{step}"] if test else [f"    {result}{step}"]
        lines = (f"{result} = {start}", f"for {x} in {source}:", *inner, f"return {result}")
    name = "_".join([end, *parts[:-1][::-1]])
    inputs = (
        tuple((n,) for n in (25, 40, 60))
        if is_range
        else tuple((row,) for row in (*SAMPLE_LISTS, _around(test)))
    )
    if end == "largest":  # of nothing there is none
        inputs = tuple(i for i in inputs if _has_any(test, x, i[0]))
    return Function("+".join(parts), name, (xs,), words, lines, inputs)


def _has_any(test: str, x: str, given) -> bool:
    values = range(1, given + 1) if isinstance(given, int) else given
    return not test or any(eval(test, {x: value}) for value in values)


def _filled(rng: random.Random, part: tuple, inner: str, code: str, slot: str) -> tuple:
    """A part's key, words and code, with its numbers and letters drawn."""
    key, says, made = part
    c, d = rng.sample(LETTERS, 2)
    values = {"k": rng.randint(2, 5), "c": c, "d": d, "m": rng.choice("!?.,")}
    used = [str(values[name]) for name in "kcdm" if f"{{{name}}}" in says]
    is_whole_argument = f"({{{slot}}})" in made or f"({{{slot}}}, " in made
    operand = code if is_whole_argument else _whole(code)
    words = says.format(**values, **{slot: inner})
    return "_".join([key, *used]), words, made.format(**values, **{slot: operand})


def on_text(rng: random.Random) -> Function:
    """Of a text: "the length of name without spaces around it"."""
    s = _name(rng, TEXTS)
    says = code = s
    parts, name = [], []
    steps = rng.sample(ON_TEXTS, rng.choice((0, 1, 1, 2)))
    steps += [rng.choice(OF_TEXTS)] * (not steps or rng.random() < 0.5)
    for part in steps:
        key, says, code = _filled(rng, part, says, code, "s")
        parts.append(key)
        name.append(part[0])
    named = [
        tried for letter in re.findall('"(.)"', code) for tried in (f"{letter}o {letter}", letter)
    ]
    inputs = tuple((text,) for text in (*SAMPLE_TEXTS, *named))
    return Function(
        "+".join(["text", *parts]) if len(parts) > 1 else parts[0],
        "_".join(name),
        (s,),
        says,
        _returned(rng, code),
        inputs,
    )


def on_list(rng: random.Random) -> Function:
    """Of a list as it is: "the sum of the first 3 of values"."""
    xs = _name(rng, LISTS)
    says = code = xs
    parts, name = [], []
    steps = rng.sample([rng.choice(IN_ORDER), rng.choice(CUTS)], rng.choice((0, 1, 1, 2)))
    steps += [rng.choice(ON_LISTS)] * (not steps or rng.random() < 0.5)
    for part in steps:
        key, says, code = _filled(rng, part, says, code, "xs")
        parts.append(key)
        name.append(part[0])
    inputs = tuple((row,) for row in SAMPLE_LISTS if len(row) > 5)
    return Function(
        "+".join(["list", *parts]) if len(parts) > 1 else f"list {parts[0]}",
        "_".join(name),
        (xs,),
        says,
        _returned(rng, code),
        inputs,
    )


def units(rng: random.Random) -> Function:
    """One unit in another, also back."""
    large, small, times = rng.choice(UNITS)
    one, other, code = large, small, f"{large} * {times}"
    if rng.random() < 0.5:
        one, other, code = small, large, f"{small} / {times}"
    inputs = ((120,), (36,), (7,), (5000,))
    return Function(
        f"units {one}",
        f"{one}_to_{other}",
        (one,),
        f"{one} in {other}",
        _returned(rng, code),
        inputs,
    )


def greeting(rng: random.Random) -> Function:
    """Text before and after a name."""
    name, word = _name(rng, TEXTS), rng.choice(WORDS).capitalize()
    mark = rng.choice("!.?")
    says = f'"{word}, ", {name} and "{mark}"'
    code = rng.choice((f'f"{word}, {{{name}}}{mark}"', f'"{word}, " + {name} + "{mark}"'))
    return Function("greet", "greet", (name,), says, (f"return {code}",), (("Lan",), ("Tom",)))


def _classics() -> list[Function]:
    """What people type first, from a file of functions, each with what it is tried with."""
    found = []
    for block in texts.FOLDER.joinpath("classics.txt").read_text(encoding="utf-8").split("\n\n"):
        head, docstring, *lines, tried = block.strip().splitlines()
        name, parameters = head.removeprefix("def ").removesuffix("):").split("(")
        says = docstring.strip().removeprefix('"""Return ').removesuffix('."""')
        body = tuple(line[4:] for line in lines)
        inputs = ast.literal_eval(f"[{tried.removeprefix('# ')}]")
        found.append(Function(name, name, tuple(parameters.split(", ")), says, body, tuple(inputs)))
    return found


CLASSICS = _classics()


def classic(rng: random.Random) -> Function:
    """One of what people type first, with its usual names or others."""
    one = rng.choice(CLASSICS)
    if rng.random() < 0.6:
        return one
    names = dict(zip(one.parameters, rng.sample(WORDS, len(one.parameters))))
    usual = re.compile(rf"\b({'|'.join(one.parameters)})\b")

    def renamed(text: str) -> str:
        return usual.sub(lambda found: names[found[0]], text)

    lines = tuple(map(renamed, one.lines))
    return replace(one, parameters=tuple(names.values()), says=renamed(one.says), lines=lines)


KINDS: dict[Callable[[random.Random], Function], int] = {
    arithmetic: 18,
    predicate: 10,
    choice: 10,
    pipeline: 26,
    on_text: 16,
    on_list: 10,
    units: 3,
    greeting: 3,
    classic: 14,
}


def draw(rng: random.Random, split: str = "train", kinds: dict = KINDS) -> Function:
    """A function whose key is of `split`, with its own name, another, or a random word.

    One that is held out gives more than one result, so that its asserts can tell.
    """
    while True:
        made = rng.choices(list(kinds), list(kinds.values()))[0](rng)
        if split_of(made.key) == split and (split == "train" or len(set(made.made())) > 1):
            return replace(made, name=_named(rng, made.name))


def _named(rng: random.Random, usual: str) -> str:
    """A function's name: the usual one, with a verb, or any word; never one that Python has."""
    chance = rng.random()
    if chance < 0.1:
        return rng.choice(WORDS)
    is_taken = usual in dir(builtins)
    return f"{rng.choice(('get', 'find', 'make'))}_{usual}" if chance < 0.3 or is_taken else usual


def held_out(split: str, num: int = 120) -> list[Function]:
    """`num` functions that do different things, none of which training shows. Always the same."""
    rng, found = random.Random(f"held out: {split}"), {}
    while len(found) < num:
        one = draw(rng, split)
        found.setdefault(one.key, one)
    return list(found.values())
