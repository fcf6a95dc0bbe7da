"""The table of faults: what a learner can meet, and the words of the sentence that helps.

A row is a machine with something wrong, and cells that a learner runs on it. `faults_kernel` runs
them, `test_faults` reads the screen. Except where a row says so, the machine has a T4, Gemma 3
270M, no token, a Hub that answers, and a package index that does not.
"""

import json
import os
import shutil
import subprocess
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hub_stand_in import (
    FINE,
    GOOD,
    NEW,
    OLD,
    REPO,
    WRONG,
    FileHandler,
    Handler,
    cut,
    first,
    missing,
    portal,
    silent,
    status,
    truncated,
    wrong_bytes,
)

ROOT = Path(__file__).parent.parent
SHARDED, GEMMA_2 = "google/gemma-7b-it", "google/gemma-2-2b-it"
NOWHERE = "http://127.0.0.1:9"  # nobody listens there
ELSEWHERE = "http://hub.invalid"  # no such host
SETUP = "import gemma_lab\nprofile = gemma_lab.setup()"
LOAD = """import gemma_lab
from transformers import AutoModelForCausalLM
path = gemma_lab.checkpoint("{}")
model = AutoModelForCausalLM.from_pretrained(path)
print("Loaded", f"{{model.num_parameters():,}} parameters.")"""
LOAD_2B = LOAD.format(REPO)


@dataclass(frozen=True)
class Fault:
    """One row.

    Args:
        name: what is wrong.
        says: words of the sentence, and of what goes on meanwhile; all must be shown.
        cells: what the learner runs.
        environment: beside the usual one. In a value <hub> is the address of the stand-in, <tls>
            that of one with a certificate that nobody knows, and <proxy> leads to this one.
        hub: what is wrong at the Hub, and at whatever else is asked there.
        make: makes this machine so, in the process that will be the kernel.
        machine: what gemma_lab sees; None leaves it as it is, and imports nothing.
    """

    name: str
    says: tuple[str, ...]
    cells: tuple[str, ...] = (SETUP,)
    environment: dict[str, str] = field(default_factory=dict)
    hub: tuple = ()
    make: Callable = lambda: None
    machine: str | None = "T4"

    def make_machine(self) -> None:
        """Described hardware, short timeouts, no pauses; then what is wrong."""
        time.sleep = lambda seconds: None  # clients wait before they try again
        sys.executable = os.environ["OTHER_PYTHON"]  # what is installed must not stay
        if self.machine:
            import machines
            from huggingface_hub import constants

            from gemma_lab import access, gemma3, hardware

            described = getattr(machines, self.machine)
            hardware.describe_machine = lambda: described
            gemma3.is_here = lambda: True
            access.LIMIT_S = 0.4
            constants.HF_HUB_DOWNLOAD_TIMEOUT = 0.4
            constants.DOWNLOAD_CHUNK_SIZE = 100_000
        self.make()


# ------------------------------------------------------------------------------------- the token

REFUSED = ("The Hub refused", "make a new Read token", "Profile:  laptop")
GRANTED = ("Profile:  hub. The Hub grants access",)
COPY_AGAIN = ("copy it again from https://huggingface.co/settings/tokens", "Profile:  laptop")


def token(name: str, value: str, *says: str, **more) -> Fault:
    return Fault(f"token: {name}", says, environment={"HF_TOKEN": value}, **more)


def token_file(content: bytes) -> Callable:
    def make():
        Path(os.environ["HF_HOME"]).mkdir()
        Path(os.environ["HF_HOME"], "token").write_bytes(content)

    return make


TOKENS = [
    Fault("token: none", ("Make a Read token at", "Profile:  laptop")),
    token("empty", "", "Make a Read token at", "Profile:  laptop"),
    token("blanks alone", "  \n", "Make a Read token at", "Profile:  laptop"),
    token("blanks and newlines around", f"\n {GOOD} \r\n", *GRANTED),
    token("a line break inside", f"{GOOD[:20]}\n{GOOD[20:]}", *GRANTED),
    token("quotes", f'"{GOOD}"', *GRANTED),
    token("quotes of a text program", f"“{GOOD}”", *GRANTED),
    token("with HF_TOKEN=", f"HF_TOKEN={GOOD}", *GRANTED),
    token("with Bearer", f"Bearer {GOOD}", *GRANTED),
    token("an invisible character", f"{GOOD[:9]}\u200b{GOOD[9:]}", *GRANTED),
    token("pasted twice", f"{GOOD}\n{GOOD}", "line breaks inside it taken away", *REFUSED),
    token("a blank inside", f"{GOOD[:20]} {GOOD[20:]}", "has a blank inside", *COPY_AGAIN),
    token("not ASCII", f"{GOOD[:20]}ñ{GOOD[20:]}", "a character that no token", *COPY_AGAIN),
    token("three dots in its place", "hf_…", "a character that no token", *COPY_AGAIN),
    token("unknown to the Hub", WRONG, *REFUSED),
    token("expired", OLD, *REFUSED),
    token("of another site", "ghp_" + "w" * 34, "does not start with hf_", *REFUSED),
    token("fine-grained", FINE, "use a token of the type Read", "Profile:  laptop"),
    token("licence not accepted", NEW, "Accept the licence on https://hug", "Profile:  laptop"),
    Fault(
        "token: the old variable, unknown to the Hub",
        ("HUGGING_FACE_HUB_TOKEN", *REFUSED),
        environment={"HUGGING_FACE_HUB_TOKEN": WRONG},
    ),
    Fault("token: an old token file", ("token file", *REFUSED), make=token_file(OLD.encode())),
    Fault("token: a file in UTF-16", GRANTED, make=token_file(GOOD.encode("utf-16"))),
    Fault(
        "token: a file that is not UTF-8",
        ("token file", "a character that no token", *COPY_AGAIN),
        make=token_file(GOOD.encode() + b"\xe9\xff"),
    ),
    Fault(
        "token: refused, and hub is asked for",
        ("AccessError: The Hub refused", "make a new Read token"),
        environment={"HF_TOKEN": WRONG, "GEMMA_LAB_PROFILE": "hub"},
    ),
    Fault(
        "token: none, and hub is asked for",
        ("AccessError: Make a Read token at",),
        environment={"GEMMA_LAB_PROFILE": "hub"},
    ),
    Fault(
        "token: replaced after the refusal",
        ("The Hub refused", *GRANTED),
        cells=(SETUP, f"import os\nos.environ['HF_TOKEN'] = '{GOOD[:3]}' + 'g' * 34", SETUP),
        environment={"HF_TOKEN": WRONG},
    ),
]

# --------------------------------------------------------------------------------- Colab, Kaggle


def colab(name: str, secrets: dict, *says: str, cells=(SETUP,), make=lambda: None) -> Fault:
    def make_colab():
        sys.path.insert(0, str(ROOT / "tests" / "colab_stand_in"))
        make()

    environment = {"COLAB_SECRETS": json.dumps(secrets)}
    return Fault(f"Colab: {name}", says, cells, environment, make=make_colab)


def fails_to_answer():
    from google.colab import userdata

    class MessageError(Exception):
        """As google.colab._message."""

    def get(key):
        raise MessageError("TypeError: Cannot read properties of undefined (reading 'secrets')")

    userdata.get = get


REPLACE = (
    "import os, json\nos.environ['COLAB_SECRETS'] = json.dumps({'HF_TOKEN': 'hf_' + 'g' * 34})"
)
COLAB = [
    colab("no secret", {}, "Add a secret named HF_TOKEN", "run the set-up cell", "laptop"),
    colab("no access", {"HF_TOKEN": "denied"}, "Switch on “Notebook access”", "laptop"),
    colab(
        "no answer", {"HF_TOKEN": "slow"}, "Colab did not give HF_TOKEN in time: allow", "laptop"
    ),
    colab("an empty secret", {"HF_TOKEN": " "}, "secret HF_TOKEN is empty: paste", "laptop"),
    colab("its page fails", {}, "reload the page, then run", "laptop", make=fails_to_answer),
    colab("quotes in the secret", {"HF_TOKEN": f'"{GOOD}"'}, *GRANTED),
    colab("an old token file", {"HF_TOKEN": GOOD}, *GRANTED, make=token_file(OLD.encode())),
    colab("not ASCII", {"HF_TOKEN": f"{GOOD}é"}, "the Colab secret", *COPY_AGAIN),
    colab("a refused secret", {"HF_TOKEN": WRONG}, "the Colab secret", *REFUSED),
    colab("added later", {}, "Add a secret", *GRANTED, cells=(SETUP, REPLACE, SETUP)),
    colab(
        "replaced later", {"HF_TOKEN": WRONG}, "refused", *GRANTED, cells=(SETUP, REPLACE, SETUP)
    ),
]


def kaggle(name: str, secrets: dict | None, *says: str, **environment) -> Fault:
    def make():  # its images hold google.colab, too
        sys.path[:0] = [str(ROOT / "tests" / f"{place}_stand_in") for place in ("kaggle", "colab")]

    environment |= {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}
    environment |= {} if secrets is None else {"KAGGLE_SECRETS": json.dumps(secrets)}
    says = ("Machine:  Kaggle, 2 x Tesla T4", *says)
    return Fault(f"Kaggle: {name}", says, (SETUP,), environment, make=make, machine="TWO_T4")


KAGGLE = [
    kaggle("a good secret", {"HF_TOKEN": GOOD}, *GRANTED),
    kaggle("no secret, or not attached", {}, "Add a secret named HF_TOKEN in Kaggle", "laptop"),
    kaggle("no secrets at all", None, "start a new one", "laptop"),
    kaggle("Internet off", {"HF_TOKEN": "offline"}, "switch Internet on", "phone", "laptop"),
    kaggle("an empty secret", {"HF_TOKEN": ""}, "The Kaggle secret HF_TOKEN is empty", "laptop"),
    kaggle("a refused secret", {"HF_TOKEN": WRONG}, "the Kaggle secret HF_TOKEN", *REFUSED),
]

# -------------------------------------------------------------------------- the Hub, the network


def hangs_up(handler: Handler, path: str) -> bool:
    """The connection ends without an answer."""
    handler.close_connection = True
    return True


def login_page(handler: Handler, path: str) -> bool:
    """As a network that sends everybody to its own page."""
    here = "log-in" in path
    if here:
        return portal(handler, path)
    handler.answer(302, b"", Location=f"{handler.hub.url}/log-in")
    return True


def at_check(name: str, says: str, hub=None, **environment) -> Fault:
    environment = {"HF_TOKEN": GOOD} | environment
    said = (says, "Profile:  laptop")
    return Fault(f"at the check: {name}", said, environment=environment, hub=(hub,) if hub else ())


LOG_IN, NETWORK = "log in to this network", "check the network"
CHECK = [
    at_check("429", "(429): wait a minute", status(429)),
    at_check("500", "(500): wait a minute", status(500)),
    at_check("503", "(503): wait a minute", status(503)),
    at_check("never answered", NETWORK, silent),
    at_check("hung up", NETWORK, hangs_up),
    at_check("a page to log in", LOG_IN, portal),
    at_check("sent to a page to log in", LOG_IN, login_page),
    at_check("nobody there", NETWORK, HF_ENDPOINT=NOWHERE),
    at_check("no such host", NETWORK, HF_ENDPOINT=ELSEWHERE),
    at_check("a certificate of the network", "SSL_CERT_FILE", HF_ENDPOINT="<tls>"),
    at_check("HF_ENDPOINT without https://", "check HF_ENDPOINT", HF_ENDPOINT="huggingface.co"),
    at_check("a dead proxy", NETWORK, HF_ENDPOINT=ELSEWHERE, HTTP_PROXY=NOWHERE),
    at_check("no proxy", "your proxy's settings", HF_ENDPOINT=ELSEWHERE, HTTP_PROXY="proxy:port"),
    at_check("407 of a proxy", "(407)", status(407), HF_ENDPOINT=ELSEWHERE, HTTP_PROXY="<hub>"),
    at_check("HF_HUB_OFFLINE", "HF_HUB_OFFLINE is set: unset it", HF_HUB_OFFLINE="1"),
    Fault(
        "at the check: no network, and hub is asked for",
        ("Profile:  hub", NETWORK, "Models downloaded before still load."),
        environment={"HF_TOKEN": GOOD, "GEMMA_LAB_PROFILE": "hub", "HF_ENDPOINT": NOWHERE},
    ),
]

# -------------------------------------------------------------------------- one model, not another

ONE_OF = {"HF_TOKEN": GOOD, "GEMMA_LAB_PROFILE": "hub"}
MIRROR = {"GEMMA_LAB_PROFILE": "mirror"}
LOADED = "Loaded 1,"


def model(name: str, hub_id: str, *says: str, environment=ONE_OF, setup=(SETUP,)) -> Fault:
    return Fault(f"model: {name}", says, (*setup, LOAD.format(hub_id)), environment)


MODELS = [
    model("7B not accepted", "google/gemma-7b", "Accept the licence on https://huggingface.co/"),
    model("Gemma 2 not accepted", GEMMA_2, "Accept the licence on https://huggingface.co/"),
    model("a misspelt id", "google/gema-2b-it", "no google/gema-2b-it", "check the spelling"),
    model("an id with a blank", "google/gemma 2b", "check the spelling"),
    model("a misspelt id in laptop", "google/gema-2b-it", "there is one for", environment={}),
    model("a mirror without licence", REPO, "a public copy", LOADED, environment=MIRROR),
    model(
        "a mirror with a bad token",
        REPO,
        "a public copy",
        LOADED,
        environment=MIRROR | {"HF_TOKEN": WRONG},
    ),
]

# ------------------------------------------------------------------------------------- downloads


def but_the_check(fault) -> Callable:
    """The fault, after the Hub has granted access."""

    def later(handler, path):
        return "auth-check" not in path and "whoami" not in path and fault(handler, path)

    return later


def file(name: str, fault) -> Callable:
    """The fault, for files of this ending at the place that holds their bytes."""

    def one(handler, path):
        is_here = isinstance(handler, FileHandler) or "/resolve/" in path
        return is_here and path.endswith(name) and fault(handler, path)

    return one


def stalled(handler, path):
    """Half of the weights, or of the part that is asked for, and then nothing more."""
    if not isinstance(handler, FileHandler) or not path.endswith(".safetensors"):
        return False
    content, asked = (handler.hub.root / path[1:]).read_bytes(), handler.headers.get("Range")
    first = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
    handler.send_response(206 if asked else 200)
    handler.send_header("Content-Length", str(len(content) - first))
    where = f"bytes {first}-{len(content) - 1}/{len(content)}"
    handler.send_header("Content-Range", where)
    handler.end_headers()
    handler.wfile.write(content[first : (first + len(content)) // 2])
    return silent(handler, path)


def other_content(content: bytes) -> Callable:
    """This in the place of a file, whose size and hash the Hub announces as they were."""

    def fault(handler, path):
        if handler.command == "HEAD":
            return False
        handler.answer(200, content)
        return True

    return fault


def changed(name: str, change: Callable[[bytes], bytes]) -> Callable:
    """Other bytes in the place of a large file, of the length and hash that the Hub announces."""

    def fault(handler, path):
        is_meant = isinstance(handler, FileHandler) and path.endswith(name)
        if is_meant:
            handler.serve(path, change)
        return is_meant

    return fault


def no_header(content: bytes) -> bytes:
    return b"\xff" * 8 + content[8:]


def download(name: str, *says: str, hub=(), make=lambda: None, cell=LOAD_2B, **more) -> Fault:
    environment = ONE_OF | more
    hub = hub if isinstance(hub, tuple) else (hub,)
    return Fault(f"download: {name}", says, (SETUP, cell), environment, hub, make)


def full_disk():
    free = types.SimpleNamespace(total=1e9, used=1e9, free=1000)
    shutil.disk_usage = lambda path: free


def disk_fills_up():
    """The file system takes a part of the weights, and no more."""
    from huggingface_hub import file_download

    def http_get(url, temp_file, **more):
        temp_file.write(b"a part")
        raise OSError(28, "No space left on device")

    file_download.http_get = http_get


def read_only():
    mkdir, cache = os.mkdir, os.environ["HF_HOME"]

    def refuse(path, *more, **named):
        if str(path).startswith(cache):
            raise OSError(30, "Read-only file system", str(path))
        mkdir(path, *more, **named)

    os.mkdir = refuse


def interrupted():
    from huggingface_hub import file_download

    def http_get(url, temp_file, **more):
        raise KeyboardInterrupt

    file_download.http_get = http_get


AGAIN, MEANWHILE = "run this cell again", "GEMMA_LAB_PROFILE=laptop"
OTHER_BYTES = "had other bytes than the Hub announces, and is deleted: run this cell again"
DOWNLOADS = [
    download("cut once", LOADED, hub=first(1, cut)),
    download("stalled once", LOADED, hub=first(1, stalled)),
    download("cut every time", AGAIN, MEANWHILE, hub=cut),
    download("stalled every time", AGAIN, MEANWHILE, hub=stalled),
    download("network gone", NETWORK, MEANWHILE, hub=but_the_check(hangs_up)),
    download("429", "429", MEANWHILE, hub=but_the_check(status(429))),
    download("500", "500", MEANWHILE, hub=but_the_check(status(500))),
    download("503", "503", MEANWHILE, hub=but_the_check(status(503))),
    download("a page to log in", LOG_IN, MEANWHILE, hub=but_the_check(portal)),
    download("never answered", NETWORK, MEANWHILE, hub=but_the_check(silent)),
    download(
        "a shard is missing",
        "The Hub has no model-00002-of-00002.safetensors",
        "choose another model",
        cell=LOAD.format(SHARDED),
        hub=missing("model-00002-of-00002.safetensors"),
    ),
    download("no config.json", "config.json", hub=missing("config.json")),
    download(
        "a malformed config.json", AGAIN, MEANWHILE, hub=file("config.json", other_content(b"{"))
    ),
    download("truncated weights", OTHER_BYTES, hub=truncated),
    download("wrong bytes of the right length", OTHER_BYTES, hub=wrong_bytes),
    download("weights without a header", OTHER_BYTES, hub=changed(".safetensors", no_header)),
    download("another tokenizer", OTHER_BYTES, hub=changed("tokenizer.json", bytes.upper)),
    download("a disk that is full", "disk", "free", make=full_disk),
    download("a disk that fills up", "is full: make room", MEANWHILE, make=disk_fills_up),
    download("a cache that is read-only", "HF_HOME", make=read_only),
    download("offline, nothing in the cache", "HF_HUB_OFFLINE", HF_HUB_OFFLINE="1"),
]


def whole_cache():
    from huggingface_hub import snapshot_download

    snapshot_download(REPO, token=GOOD)


def gone():
    from huggingface_hub import constants

    whole_cache()
    constants.ENDPOINT = NOWHERE
    constants.HUGGINGFACE_CO_URL_TEMPLATE = (
        f"{NOWHERE}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )


def offline():
    from huggingface_hub import constants

    whole_cache()
    constants.HF_HUB_OFFLINE = True


def offline_with_half():
    """The weights are not there any more."""
    offline()
    for weights in Path(os.environ["HF_HOME"]).rglob("*.safetensors"):
        weights.resolve().unlink()
        weights.unlink()


DOWNLOADS += [
    download("offline, half a cache", "HF_HUB_OFFLINE", MEANWHILE, make=offline_with_half),
    download("offline, a whole cache", LOADED, make=offline),
    download("nobody there, a whole cache", NETWORK, LOADED, make=gone),
]

# -------------------------------------------------- weights that the course is installed without


def fetch(name: str, *says: str, hub=(), make=lambda: None, repository=None, **more) -> Fault:
    """A model of the family, in the profile pocket, from the server in GitHub's place."""

    def make_family():
        import family

        family.leave_out(os.environ["RAW"], family.REPOSITORY if repository is None else repository)
        make()

    environment = {"GEMMA_LAB_PROFILE": "pocket", "RAW": "<files>"} | more
    cell = "import gemma_lab\nprint(gemma_lab.checkpoint('google/codegemma-2b'))"
    return Fault(f"family: {name}", says, (cell,), environment, hub, make_family)


def disk_takes_half():
    def write_bytes(path, content):
        raise OSError(28, "No space left on device")

    Path.write_bytes = write_bytes


GOES_ON = "Notebooks 00 to 06 run without it."
FAMILY_WEIGHTS = [
    fetch("as it should be", "0.5 MB to fetch", "standing in for google/codegemma-2b"),
    fetch("nobody there", "check the network, then run this cell again", GOES_ON, RAW=NOWHERE),
    fetch("never answered", "GitHub stopped answering", GOES_ON, hub=(silent,)),
    fetch("cut every time", "connection broke off", GOES_ON, hub=(cut,)),
    fetch("no such tag", "has no config.json at v", "clone", GOES_ON, hub=(status(404),)),
    fetch("503", "GitHub answered with an error (503): wait", GOES_ON, hub=(status(503),)),
    fetch("a page to log in", "instead of GitHub: log in", GOES_ON, hub=(portal,)),
    fetch("wrong bytes", "has other bytes", "run this cell again", GOES_ON, hub=(wrong_bytes,)),
    fetch("a course without an owner", "names no repository: clone it", GOES_ON, repository=""),
    fetch("a disk that fills up", "is full: make room", GOES_ON, make=disk_takes_half),
    fetch("offline", "HF_HUB_OFFLINE is set: unset it", GOES_ON, HF_HUB_OFFLINE="1"),
    fetch("a dead proxy", "check the network", GOES_ON, RAW=ELSEWHERE, HTTP_PROXY=NOWHERE),
    fetch("no proxy", "The download failed", GOES_ON, RAW=ELSEWHERE, HTTP_PROXY="proxy:port"),
    fetch("a certificate of the network", "SSL_CERT_FILE", GOES_ON, RAW="<tls>"),
    fetch(
        "a cache that is none",
        "cannot be written to",
        "set GEMMA_LAB_CACHE",
        GOES_ON,
        GEMMA_LAB_CACHE="/dev/null",
    ),
]

# --------------------------------------------------------------------------- folders and settings


def folder(name: str, **files) -> Callable:
    def make():
        Path(name).mkdir(parents=True)
        for file, values in files.items():
            Path(name, f"{file}.json").write_text(json.dumps(values), encoding="utf-8")

    return make


ADAPTER = folder("outputs/adapter", adapter_config={"base_model_name_or_path": REPO})
FAMILY = folder("mine", config={"model_type": "lama", "hidden_size": 8})


def brackets():
    """The course in a folder whose name is a pattern."""
    here = Path("[2024] Nguyễn Văn A")
    leave = shutil.ignore_patterns("checkpoints", "__pycache__")
    shutil.copytree(ROOT / "gemma_lab", here / "gemma_lab", ignore=leave)
    for module in [module for module in sys.modules if module.startswith("gemma_lab")]:
        del sys.modules[module]
    sys.path.insert(0, str(here.resolve()))


ROWS_OF_05 = """from gemma_lab import catalog
from gemma_lab.lessons import nb05_rows
rows, _ = nb05_rows.unify(catalog.DATA / "six_rows.jsonl")
print(len(rows), "rows of", catalog.DATA.parts[-3])"""
SETTINGS = [
    Fault(
        "folder: of the course, with brackets",
        ("6 rows of [2024] Nguyễn Văn A",),
        (ROWS_OF_05,),
        make=brackets,
    ),
    Fault(
        "folder: an empty one with the model's name",
        ("config.json",),
        (SETUP, LOAD_2B),
        ONE_OF,
        make=folder(REPO),
    ),
    Fault(
        "folder: an adapter",
        ("is a LoRA adapter: load google/gemma-2b-it",),
        (SETUP, LOAD.format("outputs/adapter")),
        make=ADAPTER,
    ),
    Fault(
        "folder: of no known family",
        ("mine", "lama"),
        (SETUP, "plan = gemma_lab.plan_loading('mine', 'nf4', gemma_lab.describe_machine())"),
        make=FAMILY,
    ),
    Fault(
        "profile: misspelt",
        ("must be one of auto, pocket, laptop, hub, mirror, not 'pokcet'",),
        environment={"GEMMA_LAB_PROFILE": "pokcet"},
    ),
    Fault(
        "profile: misspelt in a cell",
        ("ProfileError", "'pokcet'"),
        (SETUP, f"gemma_lab.checkpoint('{REPO}', profile='pokcet')"),
    ),
    *(
        Fault(f"profile: {name}", ("Profile:  pocket",), environment={"GEMMA_LAB_PROFILE": value})
        for name, value in {
            "with cmd's blank": "pocket ",
            "in capitals": "Pocket",
            "in quotes": '"pocket"',
        }.items()
    ),
    Fault(
        "set-up: a package that the course does not know",
        ("setup() knows what requirements.txt lists, not 'bitsandbyte'",),
        ("import gemma_lab\ngemma_lab.setup('bitsandbyte')",),
    ),
]

# ---------------------------------------------------------------------------------- installation


def trl_is_missing():
    from gemma_lab import install

    install._is_met = lambda requirement: requirement.name != "trl"


def without_uv():
    trl_is_missing()
    shutil.which = lambda name: None


def installer_says(text: str) -> Callable:
    """The installer fails with these words of its own: test_failures says where they are from."""

    def make():
        trl_is_missing()
        from gemma_lab import install

        def run(command, **how):
            return subprocess.CompletedProcess(command, 1, "", text)

        install.install.__defaults__ = (run,)

    return make


def moved():
    """As where somebody upgraded pyarrow after this kernel had loaded it."""
    from gemma_lab import install

    sys.modules["pyarrow"] = types.SimpleNamespace(__version__="18.1.0")
    version = install.version
    install.version = lambda name: "26.0.0" if name == "pyarrow" else version(name)


def no_distribution():
    """A clone on sys.path that was never installed."""
    from importlib import metadata

    requires = metadata.requires

    def of(name):
        if name == "gemma_lab":
            raise metadata.PackageNotFoundError(name)
        return requires(name)

    metadata.requires = of


def last_years_transformers():
    from gemma_lab import install

    version = install.version
    install.version = lambda name: "4.48.3" if name == "transformers" else version(name)


def index(name: str, *says: str, make=trl_is_missing, hub=(), at="", **environment) -> Fault:
    where = {"UV_DEFAULT_INDEX": at, "PIP_INDEX_URL": at} if at else {}
    says = says or ("check the network", "un this cell again")
    cell = "import gemma_lab\ngemma_lab.setup('trl')"
    return Fault(f"install: {name}", says, (cell,), where | environment, hub, make)


def not_here(place: str) -> Callable:
    def make():
        from gemma_lab import gemma3

        gemma3.is_here = lambda: False
        sys.path.insert(0, str(ROOT / "tests" / f"{place}_stand_in"))

    return make


def gemma_3(place: str, *says: str, **environment) -> Fault:
    """The set-up gets it by itself on a hosted machine."""
    says = (*says, "Profile:  pocket. Google's Gemma 3 270M is not here. Could not install")
    return Fault(
        f"install: Gemma 3 270M, {place}", says, (SETUP,), environment, make=not_here(place)
    )


INDEX = "<hub>/simple"
CERTIFICATE = "SSL_CERT_FILE and PIP_CERT"
INSTALL = [
    index("no index there, uv"),
    index("no index there, pip", make=without_uv),
    index("no such host", at="http://index.invalid/simple"),
    index("a certificate of the network, uv", CERTIFICATE, at="<tls>/simple"),
    index("a certificate of the network, pip", CERTIFICATE, make=without_uv, at="<tls>/simple"),
    index(
        "a proxy that is not there", "HTTPS_PROXY", at="https://index.invalid", HTTPS_PROXY=NOWHERE
    ),
    index("a page to log in", "trl", hub=(portal,), at=INDEX),
    index("out of order", "500", hub=(status(500),), at=INDEX),
    index("no such package", "trl", hub=(status(404),), at=INDEX),
    index("never answered", hub=(silent,), at=INDEX, UV_HTTP_TIMEOUT="1"),
    index("a full disk", "disk is full: free", make=installer_says("(os error 28)")),
    index("a system's own Python", "course.py", make=installer_says("externally-managed")),
    gemma_3("colab", "check the network, then run this cell again"),
    gemma_3("kaggle", "switch Internet on, then run", KAGGLE_KERNEL_RUN_TYPE="Interactive"),
    Fault("install: moved after import", ("Restart the kernel", "pyarrow"), make=moved),
    Fault("install: a clone that was not installed", ("Profile:  laptop",), make=no_distribution),
    Fault(
        "install: last year's transformers",
        ("transformers 4.48.3 is older than the course (5.15)", "%pip install -U"),
        make=last_years_transformers,
    ),
]

# ------------------------------------------------------------------------------ the first cell


def first_cell(repository: str = "learner/gemma-course") -> str:
    from tools.contract import REPOSITORY
    from tools.contract import SETUP as cell

    return cell.replace(REPOSITORY, repository)


class NoPackage:
    """An import finder that has no gemma_lab, as in a new kernel on Colab."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "gemma_lab":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def no_package(name: str, *says: str, cell=None, hub=(), **environment) -> Fault:
    def make():
        sys.meta_path.insert(0, NoPackage)
        sys.executable = os.environ["OTHER_PYTHON"]
        for module in [module for module in sys.modules if module.startswith("gemma_lab")]:
            del sys.modules[module]

    cells = (cell or first_cell(),)
    return Fault(f"first cell: {name}", says, cells, environment, hub, make, machine=None)


ON_COLAB = {"COLAB_RELEASE_TAG": "release-colab"}
GITHUB = ON_COLAB | {"HTTPS_PROXY": "<proxy>", "PIP_CERT": "<certificate>"}
ON_KAGGLE = {"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}
UNSET = first_cell("-your-name-/gemma-course")
FIRST_CELL = [
    no_package("another kernel, as in VS Code", "Choose the kernel .venv", "python3 course.py"),
    no_package("no repository", "Set REPOSITORY above", cell=UNSET, **ON_COLAB),
    no_package("GitHub is out of reach", "does not answer", "run this cell again", **ON_COLAB),
    no_package("Internet is off on Kaggle", "switch Internet on", **ON_KAGGLE),
    no_package("no such release", "correct REPOSITORY or VERSION", hub=(status(404),), **GITHUB),
    no_package("GitHub is out of order", "un this cell again", hub=(status(500),), **GITHUB),
    no_package("a page to log in", "un this cell again", hub=(portal,), **GITHUB),
    no_package("a certificate of the network", "un this cell again", **GITHUB | {"PIP_CERT": ""}),
]

# ------------------------------------------------------------------------------------- hardware


def card(machine: str, *says: str, **environment) -> Fault:
    return Fault(
        f"hardware: {machine}", says, environment={"HF_TOKEN": GOOD, **environment}, machine=machine
    )


def driver(name: str, *says: str, is_wsl: bool = False) -> Fault:
    """A card that NVIDIA's driver knows, and a torch for CPUs."""

    def make():
        from gemma_lab import gemma3, hardware

        gemma3.is_here = lambda: True
        program = Path(os.environ["HOME"], "nvidia-smi")
        program.write_text("#!/bin/sh\necho 580.65.06, NVIDIA GeForce RTX 4060\n")
        program.chmod(0o755)
        if is_wsl:
            hardware.WSL = str(program.parent)
        else:
            os.environ["PATH"] = f"{program.parent}{os.pathsep}{os.environ['PATH']}"

    return Fault(f"hardware: {name}", says, (SETUP,), make=make, machine=None)


HARDWARE = [
    card("P100", "Kaggle, Tesla P100-PCIE-16GB is not used", "7.5", "Profile:  laptop"),
    card("GTX_1060", "is not used: it has compute capability 6.1", "Profile:  laptop"),
    card("RTX_5090", "built for sm_80, sm_90: install a newer torch", "Profile:  laptop"),
    card("CARD_2_GB", "NVIDIA GeForce MX570", "Profile:  laptop"),
    card("MAC", "Apple GPU", "Profile:  laptop"),
    card("LAPTOP", "no GPU", "Profile:  laptop"),
    driver("torch without CUDA", "RTX 4060 is not used", "install its CUDA build", "laptop"),
    driver("the same in WSL", "RTX 4060 is not used", "CUDA build", "laptop", is_wsl=True),
]

# ------------------------------------------------------------------------------------- course.py

COURSE = f"import sys\n!{{sys.executable}} {ROOT / 'course.py'} "


def under(version: tuple[int, int]) -> str:
    """A cell that starts course.py under another version of Python."""
    code = f"import sys, runpy; sys.version_info = {version}; "
    code += "runpy.run_path(sys.argv[1], run_name='__main__')"
    return f'import sys\n!PYTHONPATH={ROOT} {{sys.executable}} -c "{code}" {ROOT / "course.py"}'


def course(name: str, cell: str, *says: str, **more) -> Fault:
    return Fault(f"course.py: {name}", says, (cell,), machine=None, **more)


def new_clone():
    """Everything that a set-up reads, and an environment with nothing in it but pip."""
    leave = shutil.ignore_patterns("checkpoints", "data", "lessons", "scratch", "__pycache__")
    shutil.copytree(ROOT / "gemma_lab", "gemma_lab", ignore=leave)
    shutil.copytree(ROOT / "tools", "tools", ignore=leave)
    shutil.copytree(ROOT / "notebooks", "notebooks")
    for name in ("course.py", "pyproject.toml", "requirements.txt", "requirements-gemma.txt"):
        shutil.copy(ROOT / name, name)
    python = Path(os.environ["OTHER_PYTHON"])
    shutil.copytree(python.parents[1], ".venv", symlinks=True)


COURSE_PY = [
    course(
        "no network for the set-up",
        "import sys\n!{sys.executable} course.py lint",
        "The package index did not answer: check the network, then run the same command again.",
        make=new_clone,
    ),
    course("no such notebook", f"{COURSE} run 99", "There is no notebook '99'; there are 00_"),
    course("a copy elsewhere", f"{COURSE} run work/01.ipynb", "is not in notebooks/"),
    course("no such profile", f"{COURSE} run --profile gpu", "choose from"),
    course("no such command", f"{COURSE} rum", "choose from"),
    course("Python 3.9", under((3, 9)), "install one of these"),
    course("Python 3.14", under((3, 14)), "install one of these"),
]

GROUPS = [
    TOKENS,
    COLAB,
    KAGGLE,
    CHECK,
    MODELS,
    DOWNLOADS,
    FAMILY_WEIGHTS,
    SETTINGS,
    INSTALL,
    FIRST_CELL,
    HARDWARE,
    COURSE_PY,
]
ROWS = {row.name: row for rows in GROUPS for row in rows}
assert len(ROWS) == sum(map(len, GROUPS)), "two rows have one name"

# An interrupt, and mistakes that are not the course's, may have a traceback, with all variables.
OWN_MISTAKES = {
    row.name: row
    for row in (
        Fault("a download interrupted", (), (SETUP, LOAD_2B), ONE_OF, make=interrupted),
        *(
            Fault(name, ("hf_…",), (SETUP, f"import os, json\n{cell}"), {"HF_TOKEN": GOOD})
            for name, cell in {
                "a variable": "mine = os.environ['HF_TOKEN']\nint(mine)",
                "an argument": "json.loads(os.environ['HF_TOKEN'])",
            }.items()
        ),
    )
}
