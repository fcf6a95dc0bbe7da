"""What each described card gets: a profile, a type, an attention, and what fits.

The tables are written by hand, from facts of the cards and the models, and read as documentation.
"""

import itertools

import machines
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gemma_lab import catalog, hardware, loading, profile
from gemma_lab.access import Access

MACHINES = {
    "T4": hardware.T4,
    "two T4": machines.TWO_T4,
    "L4": machines.L4,
    "A100": hardware.A100,
    "H100": machines.H100,
    "2 GB card": machines.CARD_2_GB,
    "4 GB card": machines.CARD_4_GB,
    "8 GB card": machines.CARD_8_GB,
    "P100": machines.P100,
    "GTX 1060": machines.GTX_1060,
    "Mac": machines.MAC,
    "laptop": machines.LAPTOP,
}
MODELS = {
    "270M": "google/gemma-3-270m",
    "2B": "google/gemma-2b-it",
    "7B": "google/gemma-7b-it",
    "2 2B": "google/gemma-2-2b-it",
}
PRECISIONS = ("fp32", "bf16", "fp16", "int8", "nf4", "fp4")


def rows_of(table: str) -> list[list[str]]:
    """The rows of a table whose first line names its columns, cut at the bars."""
    lines = [line for line in table.strip().splitlines()[1:] if line.strip()]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


# A GPU alone changes nothing: hub needs the Hub's grant too. A card that torch cannot use is no
# GPU: P100 and GTX 1060 have compute capability 6.x, torch's builds of CUDA 13 begin at 7.5.
PROFILES = """
machine   | the Hub says | with the 270M here | without
T4        | ok           | hub                | hub
T4        | no-token     | laptop             | pocket
T4        | bad-token    | laptop             | pocket
T4        | licence      | laptop             | pocket
T4        | no-network   | laptop             | pocket
two T4    | ok           | hub                | hub
two T4    | no-token     | laptop             | pocket
L4        | ok           | hub                | hub
A100      | ok           | hub                | hub
A100      | no-token     | laptop             | pocket
H100      | ok           | hub                | hub
2 GB card | ok           | laptop             | pocket
4 GB card | ok           | hub                | hub
4 GB card | no-token     | laptop             | pocket
8 GB card | ok           | hub                | hub
8 GB card | no-token     | laptop             | pocket
P100      | not asked    | laptop             | pocket
GTX 1060  | not asked    | laptop             | pocket
Mac       | not asked    | laptop             | pocket
laptop    | not asked    | laptop             | pocket
"""


@pytest.mark.parametrize("name, said, with_270m, without", rows_of(PROFILES))
def test_profile_of_each_world(name, said, with_270m, without):
    found = None if said == "not asked" else Access(said, "What to do.")
    for has_270m, expected in ((True, with_270m), (False, without)):
        chosen = profile.choose_profile("auto", MACHINES[name], found, has_270m)
        assert chosen.name == expected
        says_what_to_do = said not in ("ok", "not asked")
        assert ("What to do." in chosen.reason) == says_what_to_do
        assert ("no NVIDIA GPU to use" in chosen.reason) == (said == "not asked")


# bfloat16 is real from compute capability 8.0 on, and on CPUs. Gemma 3 overflows in float16, so
# where there is no bfloat16 it runs in float32, quantized or not. On a Mac what bitsandbytes
# quantizes runs on the CPU, which has bfloat16.
TYPES = """
machine   | Gemma 1 and 2: bf16, fp16, quantized | 270M: bf16, fp16, quantized  | on
T4        | float16  float16 float16             | float32  float32  float32    | 0    0
two T4    | float16  float16 float16             | float32  float32  float32    | 0    0
L4        | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | 0    0
A100      | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | 0    0
H100      | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | 0    0
2 GB card | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | 0    0
4 GB card | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | 0    0
8 GB card | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | 0    0
P100      | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | cpu  cpu
GTX 1060  | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | cpu  cpu
Mac       | float16  float16 bfloat16            | float32  float32  bfloat16   | mps  cpu
laptop    | bfloat16 float16 bfloat16            | bfloat16 bfloat16 bfloat16   | cpu  cpu
"""
ATTENTION = {"270M": "sdpa", "2B": "sdpa", "7B": "sdpa", "2 2B": "eager"}  # Gemma 2 caps its scores


@pytest.mark.parametrize("name, older, of_270m, places", rows_of(TYPES))
def test_types_attention_and_place_of_each_plan(name, older, of_270m, places):
    for model, hub_id in MODELS.items():
        bf16, fp16, quantized = (of_270m if model == "270M" else older).split()
        types = {"fp32": "float32", "bf16": bf16, "fp16": fp16}
        for precision in PRECISIONS:
            plan = loading.plan_loading(hub_id, precision, MACHINES[name])
            assert plan.dtype == types.get(precision, quantized)
            assert plan.attn_implementation == ATTENTION[model]
            assert str(plan.device_map[""]) == places.split()[precision not in types]
            if precision in ("nf4", "fp4"):
                assert plan.quantization["bnb_4bit_compute_dtype"] == quantized
                assert plan.quantization["bnb_4bit_quant_type"] == precision
            assert (plan.quantization is None) == (precision in types)


# GiB to load and to write up to 1,024 tokens. Parameters: 268,098,176 of which 100 M in linear
# layers; 2.51 B, 8.54 B and 2.61 B of which 1.98 B, 7.75 B and 2.02 B. Linear ones take 4, 2, 1 or
# 0.516 bytes (nf4: half a byte, and a byte for each 64), the others 4 in fp32, else 2. Beside them
# 1 GiB to work in, a cache of 18 to 448 KiB a token, what passes through one layer, and in Gemma 2
# all scores of one. On a CPU the largest matrix is quantized by way of float32: 9 or 13 bytes for
# a number. Where the 270M runs in float32 though fewer bits are asked, its others take 4 bytes.
NEEDED = """
model              | fp32 | bf16 | int8 | nf4
270M               |  2.1 |  1.5 |  1.4 | 1.4
270M, in float32   |  2.1 |  2.1 |  1.8 | 1.7
2B                 | 10.6 |  5.8 |  4.0 | 3.1
2B, on a CPU       | 10.6 |  5.8 |  4.1 | 3.3
7B                 | 34.0 | 17.5 | 10.3 | 6.8
7B, on a CPU       | 34.0 | 17.5 | 10.3 | 7.1
2 2B               | 11.2 |  6.1 |  4.2 | 3.3
"""
# Free is what torch reports of the card, or RAM less 2 GiB.
FITS = """
machine   | free | 270M               | 2B                 | 7B                 | 2 2B
T4        | 14.7 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 |           int8 nf4 | fp32 bf16 int8 nf4
two T4    | 14.7 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 |           int8 nf4 | fp32 bf16 int8 nf4
L4        | 22.2 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 |      bf16 int8 nf4 | fp32 bf16 int8 nf4
A100      | 39.6 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4
H100      | 79.1 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4
2 GB card | 1.95 |      bf16 int8 nf4 |                    |                    |
4 GB card |  3.7 | fp32 bf16 int8 nf4 |                nf4 |                    |                nf4
8 GB card |  7.8 | fp32 bf16 int8 nf4 |      bf16 int8 nf4 |                nf4 |      bf16 int8 nf4
P100      | 29.0 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 |      bf16 int8 nf4 | fp32 bf16 int8 nf4
GTX 1060  | 14.0 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 |           int8 nf4 | fp32 bf16 int8 nf4
Mac       | 14.0 | fp32 bf16 int8 nf4 | fp32 bf16 int8 nf4 |           int8 nf4 | fp32 bf16 int8 nf4
laptop    |  6.0 | fp32 bf16 int8 nf4 |      bf16 int8 nf4 |                    |           int8 nf4
"""


@pytest.mark.parametrize("name, free, fits", [(row[0], row[1], row[2:]) for row in rows_of(FITS)])
def test_what_fits_on_each_machine(name, free, fits):
    machine = MACHINES[name]
    needed = {row[0]: map(float, row[1:]) for row in rows_of(NEEDED)}
    needed = {
        model: dict(zip(("fp32", "bf16", "int8", "nf4"), gib)) for model, gib in needed.items()
    }
    assert machine.free_gib == pytest.approx(float(free), abs=0.06)
    for model, fitting in zip(MODELS, fits):
        for precision in ("fp32", "bf16", "int8", "nf4"):
            plan = loading.plan_loading(MODELS[model], precision, machine)
            row = "270M, in float32" if (model, plan.dtype) == ("270M", "float32") else model
            on_cpu = f"{model}, on a CPU"
            row = on_cpu if on_cpu in needed and plan.device_map[""] == "cpu" else row
            assert plan.needed_gib == pytest.approx(needed[row][precision], abs=0.06)
            assert plan.fits == (precision in fitting.split())
            where = machine.gpu_name if machine.device == "cuda" else "this machine"
            assert f"{where} has {machine.free_gib:.1f} free" in plan.sentence


def plans_of_the_270m():
    """Every plan of Gemma 3 270M on every machine here."""
    for machine, precision in itertools.product(MACHINES.values(), PRECISIONS):
        yield machine, loading.plan_loading(MODELS["270M"], precision, machine)


def asks_for_float16(plan) -> bool:
    return "float16" in (plan.dtype, (plan.quantization or {}).get("bnb_4bit_compute_dtype"))


def test_nothing_asks_for_float16_of_the_270m_and_the_sentence_says_what_it_runs_in():
    for machine, plan in plans_of_the_270m():
        assert not asks_for_float16(plan)
        where = (machine.device, plan.device_map[""])
        lacks_bf16 = where in (("cuda", 0), ("mps", "mps")) and not machine.has_bf16
        lacks_bf16 = lacks_bf16 and plan.precision != "fp32"
        says = "It runs in float32:" in plan.sentence
        assert says == lacks_bf16
        if lacks_bf16:
            assert plan.sentence.endswith("gemma3_text overflows in float16.")
        if plan.precision == "fp16" and not lacks_bf16:
            ends = "It runs in bfloat16: gemma3_text overflows in float16."
            assert plan.sentence.endswith(ends)


def test_without_the_list_of_families_some_plans_would_ask_for_float16(monkeypatch):
    monkeypatch.setattr(loading, "OVERFLOWS", ("gemma4",))
    asked = {machine.gpu_name for machine, plan in plans_of_the_270m() if asks_for_float16(plan)}
    assert "Tesla T4" in asked


def test_the_270m_in_float16_is_nan(real_gemma):
    model = AutoModelForCausalLM.from_pretrained(real_gemma, dtype=torch.float16)
    with torch.no_grad():
        assert model(torch.tensor([[2, 818, 5]]), logits_to_keep=1).logits.isnan().all()


@pytest.mark.slow
def test_each_plan_of_the_270m_gives_numbers_near_those_of_float32(real_gemma):
    """Its types and bits, on this CPU.

    On a card int8 passes what a linear layer takes and gives through float16, whatever the type:
    there it is far from the largest number of float16. What overflows is the sum over the layers.
    """
    tokenizer = AutoTokenizer.from_pretrained(real_gemma)
    ids = tokenizer("The river runs past the house, and", return_tensors="pt")["input_ids"]
    largest = {"in a linear layer": 0.0, "between layers": 0.0}

    def watch(kind):
        def hook(module, given, made):
            made = made[0] if isinstance(made, tuple) else made
            largest[kind] = max(largest[kind], given[0].abs().max().item(), made.abs().max().item())

        return hook

    def last_logits(watched=False, **arguments):
        model = AutoModelForCausalLM.from_pretrained(real_gemma, **arguments)
        if watched:
            for layer in model.model.layers:
                layer.register_forward_hook(watch("between layers"))
                for module in layer.modules():
                    if isinstance(module, torch.nn.Linear):
                        module.register_forward_hook(watch("in a linear layer"))
        with torch.no_grad():
            return loading.portable_4bit(model)(ids, logits_to_keep=1).logits[0, -1].double()

    half = torch.finfo(torch.float16).max
    reference = last_logits(watched=True, dtype=torch.float32).log_softmax(-1)
    assert largest["in a linear layer"] < half / 50 and largest["between layers"] > half
    plans = {(plan.dtype, str(plan.quantization)): plan for _, plan in plans_of_the_270m()}
    assert len(plans) == 8  # float32 and bfloat16, each as it is, in int8, nf4 and fp4
    for plan in plans.values():
        arguments = plan.kwargs() | {"device_map": {"": "cpu"}}
        thought = last_logits(**arguments).log_softmax(-1)
        kl = (reference.exp() * (reference - thought)).sum().item()
        limit = {"int8": 0.05, "nf4": 0.4, "fp4": 0.4}.get(plan.precision, 0.002)
        assert 0 <= kl < limit, (plan.precision, plan.dtype)


def test_every_machine_and_model_of_the_tables_is_in_each():
    for table in (TYPES, FITS):
        assert [row[0] for row in rows_of(table)] == list(MACHINES)
    assert {row[0] for row in rows_of(PROFILES)} == set(MACHINES)
    assert set(MODELS.values()) <= set(catalog.CATALOG)
