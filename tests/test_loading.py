"""Decisions on described machines, the profile, the pocket switch, the real Hub path, and safe 4-bit weights on a CPU."""

import os
import subprocess
import sys

import pytest
import torch
from hub_stand_in import Hub
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, GemmaConfig, GemmaForCausalLM

from gemma_lab import catalog, loading
from gemma_lab.access import Access
from gemma_lab.hardware import A100, H100, L4, LAPTOP, MAC, T4

OK = Access("ok", "fine")
GOOD = "hf_" + "g" * 34


@pytest.mark.parametrize("family, machine, dtype", [
    ("gemma", T4, "float16"), ("gemma2", T4, "float16"), ("gemma3", T4, "float32"), ("gemma3", A100, "bfloat16"),
    ("gemma", L4, "bfloat16"), ("gemma", H100, "bfloat16"), ("gemma", LAPTOP, "bfloat16"), ("gemma", MAC, "float16"),
    ("gemma4", MAC, "float32"),
])  # fmt: skip
def test_dtype_by_family_and_machine(family, machine, dtype):
    assert loading.choose_dtype(family, machine) == dtype


def test_gemma_2_never_gets_sdpa_and_a_t4_never_flash_attention():
    assert loading.choose_attention("gemma2") == "eager"
    assert "sdpa" not in loading.attention_implementations("gemma2", A100)
    assert loading.attention_implementations("gemma", T4) == ["eager", "sdpa"]


def test_sdpa_really_drops_gemma_2s_soft_capping():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=64, hidden_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, head_dim=32,
        intermediate_size=64, attn_logit_softcapping=0.05, query_pre_attn_scalar=1,
    )  # fmt: skip
    model = Gemma2ForCausalLM(config).eval()
    for weight in model.parameters():
        weight.data *= 10
    logits = {}
    for attention in ("eager", "sdpa"):
        model.set_attn_implementation(attention)
        logits[attention] = model(torch.arange(20)[None]).logits
    assert not torch.allclose(logits["eager"], logits["sdpa"], atol=1e-3)


@pytest.mark.parametrize("hub_id", ["google/gemma-2b-it", "google/gemma-7b-it"])
@pytest.mark.parametrize("precision", catalog.BITS)
def test_a_t4_gets_a_plan_that_fits_15_gb_and_does_not_overflow(hub_id, precision):
    plan = loading.plan_loading(hub_id, precision, T4)
    assert plan.dtype in ("float16", "float32")
    is_too_large = hub_id == "google/gemma-7b-it" and precision in ("fp32", "bf16", "fp16")  # 34 and 17 GB
    assert plan.fits != is_too_large
    assert plan.fits or "does not fit" in plan.sentence
    if precision == "bf16":
        assert "no bfloat16" in plan.sentence
    if precision in ("nf4", "fp4"):
        assert plan.quantization["bnb_4bit_compute_dtype"] == "float16"
        assert plan.quantization["bnb_4bit_quant_type"] == precision


def test_plan_arguments_are_those_of_transformers():
    arguments = loading.plan_loading("google/gemma-2b-it", "nf4", A100).kwargs()
    assert arguments["dtype"] is torch.bfloat16 and arguments["device_map"] == {"": 0}
    config = arguments["quantization_config"]
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_compute_dtype) == ("nf4", torch.bfloat16)
    on_a_mac = loading.plan_loading("google/gemma-2b-it", "int8", MAC)
    assert on_a_mac.device_map == {"": "cpu"} and on_a_mac.dtype == "bfloat16"  # its CPU has bfloat16
    assert loading.plan_loading("unsloth/gemma-2b-it", "fp32", A100).kwargs()["dtype"] is torch.float32


@pytest.mark.parametrize("requested, machine, access, name", [
    ("auto", LAPTOP, None, "pocket"), ("auto", MAC, None, "pocket"), ("auto", T4, OK, "hub"), ("pocket", T4, OK, "pocket"),
    ("auto", T4, Access("no-token", "Make one."), "pocket"), ("hub", LAPTOP, OK, "hub"), ("mirror", T4, None, "hub"),
    ("hub", T4, Access("no-network", "Check."), "hub"),
])  # fmt: skip
def test_profile(requested, machine, access, name):
    profile = loading.choose_profile(requested, machine, access)
    assert profile.name == name and profile.reason


def test_profile_says_what_to_do():
    refused = Access("licence", "Accept the licence.")
    reason = loading.choose_profile("auto", T4, refused).reason
    assert "Accept the licence." in reason and "mirror" in reason and "Gemma Terms of Use" in reason
    with pytest.raises(PermissionError, match="Accept the licence"):
        loading.choose_profile("hub", T4, refused)
    with pytest.raises(ValueError, match="not 'gpu'"):
        loading.choose_profile("gpu", T4, None)


def test_pocket_checkpoints_say_what_they_are(capsys):
    path = loading.checkpoint("google/gemma-7b-it")
    assert AutoTokenizer.from_pretrained(path).vocab_size == 2048
    printed = capsys.readouterr().out
    assert printed.startswith("pocket-large-it (ours, 6.1 M parameters) standing in for google/gemma-7b-it")
    assert printed.count("\n") == 1
    loading.checkpoint("google/gemma-2b")
    assert capsys.readouterr().out.startswith("pocket-small (ours, 1.2 M parameters) standing in for google/gemma-2b.")
    with pytest.raises(ValueError, match="google/gemma-2b, google/gemma-2b-it, google/gemma-7b-it"):
        loading.checkpoint("google/gemma-2-27b")


def test_a_misspelt_profile_is_named():
    with pytest.raises(ValueError, match="pokcet"):
        loading.checkpoint("google/gemma-2b-it", profile="pokcet")


def test_a_folder_of_your_own_is_taken_as_it_is(tmp_path, capsys):
    assert loading.checkpoint(str(tmp_path)) == str(tmp_path)


def test_the_command_says_what_this_machine_can_run():
    done = subprocess.run([sys.executable, "-m", "gemma_lab"], check=True, capture_output=True, text=True)
    assert "Machine: " in done.stdout and "Profile: pocket. GEMMA_LAB_PROFILE asks for it." in done.stdout
    rows = {line.split()[0]: line for line in done.stdout.splitlines() if line.startswith("google/")}
    assert set(rows) == set(catalog.CATALOG)
    machine = loading.hardware.describe_machine()
    fits = [catalog.fit(catalog.lookup("google/gemma-2b"), p, machine).fits for p in ("fp32", "bf16", "int8", "nf4")]
    assert rows["google/gemma-2b"].count("fits") == sum(fits)


TINY = dict(vocab_size=512, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
            head_dim=64, intermediate_size=256)  # fmt: skip
LOAD = """
import time, torch
from huggingface_hub import constants
from transformers import AutoModelForCausalLM
time.sleep = lambda seconds: None  # the client waits before it tries again; here that is not needed
constants.DOWNLOAD_CHUNK_SIZE = 1000  # so that this tiny file is written in many parts, as a real one is
from gemma_lab import loading
path = loading.checkpoint("google/gemma-2b-it")
model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
print(model.generate(torch.tensor([[2, 7]]), max_new_tokens=3, do_sample=False).shape[1])
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    root = tmp_path_factory.mktemp("hub")
    torch.manual_seed(0)
    for name in ("google/gemma-2b-it", "unsloth/gemma-2b-it"):
        GemmaForCausalLM(GemmaConfig(**TINY)).save_pretrained(root / name)
    server = Hub(root, gated={"google/gemma-2b-it"}, tokens={GOOD, "hf_new"}, accepted={GOOD})
    yield server
    server.shutdown()


def load_from(hub, tmp_path, profile, token="", fault=None, cuts=10**9):
    """What a fresh process prints that loads Gemma 2B with the real clients from the stand-in."""
    hub.fault, hub.cuts = fault, cuts
    for log in (hub.asked, hub.sent, hub.ranges):
        log.clear()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path),
        "GEMMA_LAB_PROFILE": profile,
        "HF_HUB_DISABLE_XET": "1",
    }
    environment |= {"HF_TOKEN": token} if token else {}
    done = subprocess.run([sys.executable, "-c", LOAD], env=environment, capture_output=True, text=True, check=False)
    assert not token or token not in done.stdout + done.stderr
    return done


def test_the_real_loading_path_with_a_good_token(hub, tmp_path):
    done = load_from(hub, tmp_path, "hub", GOOD)
    assert done.stdout.splitlines()[-1:] == ["5"], done.stderr[-2000:]
    assert "google/gemma-2b-it from the Hugging Face Hub" in done.stdout


def test_the_mirror_loads_in_spite_of_a_bad_token_and_names_its_terms(hub, tmp_path):
    done = load_from(hub, tmp_path, "mirror", "hf_no")
    assert done.stdout.splitlines()[-1:] == ["5"], done.stderr[-2000:]
    assert len(hub.sent) == 2  # to learn that it is bad; no download came with it
    assert "unsloth/gemma-2b-it" in done.stdout and "same Gemma Terms of Use" in done.stdout


@pytest.mark.parametrize(
    "token, advice", [("", "Make a Read token"), ("hf_new", "Accept the licence"), ("hf_no", "refused")]
)
def test_a_refusal_comes_before_any_download(hub, tmp_path, token, advice):
    done = load_from(hub, tmp_path, "hub", token)
    assert done.returncode and advice in done.stderr.splitlines()[-1]
    assert not any("safetensors" in path for path in hub.asked)


def test_a_connection_cut_once_is_resumed_by_the_very_same_load(hub, tmp_path):
    done = load_from(hub, tmp_path, "hub", GOOD, fault="cut", cuts=1)
    assert done.stdout.splitlines()[-1:] == ["5"], done.stderr[-2000:]
    assert hub.cuts == 0 and len(hub.ranges) == 1 and not hub.ranges[0].startswith("bytes=0-")


@pytest.mark.slow
def test_a_connection_cut_every_time_fails_and_the_next_load_recovers(hub, tmp_path):
    done = load_from(hub, tmp_path, "hub", GOOD, fault="cut")
    assert done.returncode and "5" not in done.stdout.splitlines()
    assert load_from(hub, tmp_path, "hub", GOOD).stdout.splitlines()[-1:] == ["5"]


def test_the_stand_in_cuts_and_resumes_as_a_real_host(hub):
    """The full size is announced, half of it comes, and the rest can be had from there."""
    import httpx

    url = f"{hub.url}/unsloth/gemma-2b-it/resolve/main/model.safetensors"
    whole = (hub.root / "unsloth/gemma-2b-it/model.safetensors").read_bytes()
    hub.fault, hub.cuts = "cut", 1
    head = httpx.head(url)
    assert int(head.headers["Content-Length"]) == len(whole) and not head.content and hub.cuts == 1
    arrived = b""
    with pytest.raises(httpx.RemoteProtocolError), httpx.stream("GET", url) as answer:
        assert answer.status_code == 200 and int(answer.headers["Content-Length"]) == len(whole)
        for chunk in answer.iter_bytes():
            arrived += chunk
    assert arrived == whole[: len(whole) // 2]
    rest = httpx.get(url, headers={"Range": f"bytes={len(arrived)}-"})
    assert rest.status_code == 206 and arrived + rest.content == whole
    assert rest.headers["Content-Range"] == f"bytes {len(arrived)}-{len(whole) - 1}/{len(whole)}"
    assert httpx.get(url, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416


def lora_gradients(folder, evaluate_first, portable):
    """Gradients of all LoRA weights on one batch, after an evaluation or without one."""
    from peft import LoraConfig, get_peft_model

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, quantization_config=config)
    if portable:
        loading.portable_4bit(model)
    torch.manual_seed(1)
    adapter = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    model = get_peft_model(model, adapter)
    ids = torch.arange(3, 35)[None]
    if evaluate_first:
        with torch.no_grad():
            model.eval()(ids)
    model.train()
    model(ids, labels=ids).loss.backward()
    return torch.cat([p.grad.flatten().float() for p in model.parameters() if p.grad is not None])


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    GemmaForCausalLM(GemmaConfig(**TINY)).save_pretrained(folder)
    return folder


def test_portable_4bit_keeps_lora_gradients_right_after_an_evaluation(tiny):
    fresh = lora_gradients(tiny, evaluate_first=False, portable=False)
    after = lora_gradients(tiny, evaluate_first=True, portable=True)
    assert torch.cosine_similarity(fresh, after, dim=0) > 0.999


def test_without_it_they_are_wrong_on_cpus_that_repack(tiny):
    import bitsandbytes

    layer = bitsandbytes.nn.Linear4bit(64, 64)
    fresh = lora_gradients(tiny, evaluate_first=False, portable=False)
    after = lora_gradients(tiny, evaluate_first=True, portable=False)
    cosine = torch.cosine_similarity(fresh, after, dim=0)
    assert (cosine < 0.99) == layer.support_avx512bf16_for_cpu
