"""Notebook 00: which profile, model and precision each later notebook uses on a machine."""

from __future__ import annotations

from dataclasses import replace

import ipywidgets

from gemma_lab import catalog, figures, gemma3, hardware, loading, memory, profile
from gemma_lab.access import Access
from gemma_lab.hardware import T4, Machine
from gemma_lab.lessons.nb00 import (
    CODE,
    CODE_CHAT,
    GEMMA_2,
    RECURRENT,
    SEE,
    SEVEN,
    SHIELD,
    TWO,
    USED_IN,
    as_html,
)

TINY = gemma3.HUB_ID
NOTEBOOKS = ("01", "02", "03", "04", "05", "06", "07")
CODELABS = ("04", "05")  # Colab opens these on a T4, and the others without a GPU
# What a notebook also loads in hub, each in the first of its precisions that fits.
ALSO = {
    "04": {SEVEN: ("nf4",)},
    "06": {GEMMA_2: ("bf16",)},
    "07": {CODE: ("bf16", "nf4"), CODE_CHAT: ("nf4",)}
    | dict.fromkeys((SEE, SHIELD, RECURRENT), ("bf16", "nf4")),
}
COLAB = Machine("Linux", True, 2, 12.7, "cpu")
CARDS = {
    "Colab": COLAB,
    "Kaggle, 2 x T4": replace(T4, is_colab=False, num_cores=4, ram_gib=31, gpu_count=2),
    "a card of 8 GB": Machine("Linux", False, 16, 16, "cuda", "a card of 8 GB", 7.75, (8, 9), 1),
    "a card of 4 GB": Machine("Linux", False, 12, 16, "cuda", "a card of 4 GB", 3.68, (8, 6), 1),
    "a laptop without a card": Machine("Linux", False, 4, 8, "cpu"),
}
YES, NO = Access("ok", ""), Access("no-token", "")
GRANTS = {
    "no token": dict.fromkeys(USED_IN, NO),
    "2B granted": dict.fromkeys(USED_IN, NO) | {TWO: YES},
    "all granted": dict.fromkeys(USED_IN, YES),
}


def plan(
    machine: Machine,
    found: dict[str, Access],
    requested: str = "auto",
    has_270m: bool = True,
    is_hosted: bool = False,
) -> list[dict]:
    """A row for each notebook: what to do tonight, GB to download, models, precisions, profile.

    Args: found: as `nb00.ask_for_each` gives it; requested: as GEMMA_LAB_PROFILE; has_270m: whether
        Gemma 3 270M is there, or a set-up can get it; is_hosted: each notebook on a new machine.
    Raises: as `profile.choose_profile`.
    """
    rows, kept, before = [], set(), ""
    for number in NOTEBOOKS:
        where = opened_on(number, machine)
        world = profile.choose_profile(requested, where, found[TWO], has_270m)
        loads = _loads(number, world, where, found)
        fetched = set(loads) - (set() if is_hosted else kept)
        kept |= fetched
        if has_270m and not is_hosted:
            fetched -= {TINY}
        gb = sum((_download_gb(one, world.name) for one in fetched), 0.0)
        if "does not fit" in str(loads):
            todo = "Set GEMMA_LAB_PROFILE to laptop for this one: it does not fit."
        else:
            todo = _licences(number, where, found) if requested in ("auto", "hub") else ""
            if world.name == "pocket" and not has_270m and requested != "pocket":
                missing = "Switch the Internet on, for the real 270M."
                todo += f" {missing if is_hosted else gemma3.MISSING}"
            if gb and not is_hosted:
                todo += " Run it once, on a good network."
        todo = todo.strip()
        uses_card = number in (*CODELABS, "07") or GEMMA_2 in loads
        cards = {"cuda": where.gpu_name, "mps": "an Apple GPU"} if uses_card else {}
        names = [catalog.find(one).pocket if world.name == "pocket" else one for one in loads]
        row = {
            "notebook": number,
            "tonight": "As above." if todo and todo == before else todo or "Nothing.",
            "GB": round(gb, 2),
            "models": ", ".join(name.removeprefix("google/") for name in names),
            "precisions": "; ".join(loads.values()),
            "profile": f"{world.name}, on {cards.get(where.device, 'a CPU')}",
        }
        rows.append(row)
        before = todo
    return rows


def plan_here(machine: Machine, found: dict[str, Access], requested: str = "") -> list[dict]:
    """`plan` for this kernel, with its settings."""
    is_hosted, requested = hardware.is_hosted(), requested or profile.requested_profile()
    can_fetch = is_hosted and profile.current_profile().name == "hub"  # else it was tried here
    return plan(machine, found, requested, gemma3.is_here() or can_fetch, is_hosted)


def total_gb(rows: list[dict]) -> float:
    """GB to download in all notebooks together."""
    return round(sum(row["GB"] for row in rows), 2)


def opened_on(number: str, machine: Machine) -> Machine:
    """The machine of a notebook: Colab gives each its own, to a codelab a T4."""
    if not machine.is_colab:
        return machine
    if number not in CODELABS:
        return COLAB
    return machine if machine.device == "cuda" else T4


def _loads(number: str, world: profile.Profile, where: Machine, found) -> dict[str, str]:
    """The models that a notebook loads beside our small ones, with their precisions."""
    is_hub, main = world.name == "hub", TINY if world.name == "laptop" else TWO

    def is_had(hub_id: str) -> bool:
        has_copy = world.uses_mirror and catalog.find(hub_id).mirror
        return has_copy or found[hub_id].status in ("ok", "no-network")

    def fitting(*precisions: str) -> str:
        pocket = catalog.find(main).pocket
        model = profile.pocket_folder(pocket) if world.name == "pocket" else main
        plans = [loading.plan_loading(model, precision, where) for precision in precisions]
        names = [_as_computed(one) for one in plans if one.fits]
        return " ".join(dict.fromkeys(names)) or f"{_as_computed(plans[-1])} (does not fit)"

    if number == "04":
        loads = {main: fitting(*memory.PRECISIONS)}
    elif number == "05":
        wide = "fp32" if where.device == "cpu" and not where.has_bf16 else "bf16"
        loads = {main: fitting(wide if main == TINY else "nf4")}
    else:
        loads = {TINY: "fp32"}
    also = _also(number, where) if is_hub else {}
    return loads | {hub_id: precision for hub_id, precision in also.items() if is_had(hub_id)}


def _also(number: str, where: Machine) -> dict[str, str]:
    """Those of the notebook's `ALSO` that fit, each with its first precision that does."""
    found = {}
    for hub_id, precisions in ALSO.get(number, {}).items():
        plans = [loading.plan_loading(hub_id, precision, where) for precision in precisions]
        if fitting := [_as_computed(one) for one in plans if one.fits]:
            found[hub_id] = fitting[0]
    return found


def _as_computed(one: loading.Plan) -> str:
    """The precision of a plan, or that in which the machine really computes in place of bf16."""
    instead = {"float32": "fp32", "float16": "fp16"}
    return instead.get(one.dtype, "bf16") if one.precision == "bf16" else one.precision


def _download_gb(hub_id: str, world: str) -> float:
    """GB of a model's files: in hub 16 bits a weight; pocket models come with the course."""
    whole = memory.weight_bytes(catalog.find(hub_id), "bf16") / 1e9
    return {"pocket": 0.0, "laptop": gemma3.PACKAGE_GB}.get(world, whole)


def _licences(number: str, where: Machine, found: dict[str, Access]) -> str:
    """What to do about the models that a notebook would use on this card, if it got them."""
    if where.device != "cuda":
        return ""
    wanted = [TWO] * (number in CODELABS) + [*_also(number, where)]
    refused = [one.removeprefix("google/") for one in wanted if found[one].status != "ok"]
    if refused and found[TWO].status == "no-network":
        return "Run section 2 again, with a network."
    names = " and ".join(", ".join(refused).rsplit(", ", 1))
    return f"Get {names}: section 2 says how." if refused else ""


def what_if(machine: Machine, found: dict[str, Access]) -> ipywidgets.VBox:
    """Choose a machine and a token, and see the plan; it starts with those that are here."""
    look = {"style": {"description_width": "5em"}, "layout": {"max_width": "95%"}}
    here = {"this machine": None} | CARDS
    card = ipywidgets.Dropdown(options=list(here), description="machine", **look)
    grant = ipywidgets.Dropdown(options=["as it is now", *GRANTS], description="token", **look)
    table = ipywidgets.HTML()

    def tell(_=None) -> None:
        answers = GRANTS.get(grant.value, found)
        chosen = here[card.value]
        asked = "auto" if grant.value in GRANTS else ""
        rows = plan_on(card.value, answers) if chosen else plan_here(machine, answers, asked)
        total = f'<p role="status">To download: {total_gb(rows):.2f} GB of models</p>'
        table.value = as_html(rows) + total

    for control in (card, grant):
        control.observe(tell, "value")
    tell()
    return ipywidgets.VBox([card, grant, table])


def plan_on(card: str, found: dict[str, Access]) -> list[dict]:
    """`plan` for one of `CARDS`, with Gemma 3 270M at hand."""
    return plan(CARDS[card], found, is_hosted=card.startswith(("Colab", "Kaggle")))


def download_bars():
    """A figure of the GB that all notebooks download on three machines, with three tokens."""
    named = {"Colab": "Colab", "Kaggle": "Kaggle, 2 x T4", "8 GB card": "a card of 8 GB"}
    gb = {
        f"{name}: {grant}": total_gb(plan_on(card, answers))
        for name, card in named.items()
        for grant, answers in GRANTS.items()
    }
    figure = figures.share_bars(gb, "Only the larger models make long downloads (GB)", unit="GB")
    figure.set_size_inches(4.2, 2.8)  # narrow, so that a telephone shows the names large enough
    return figure
