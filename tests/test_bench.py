"""Speed, its limit, and the command that records both: arithmetic by formulas and a told clock."""

import subprocess
from types import SimpleNamespace

import pytest
import torch
from models import TINY
from transformers import AutoModelForCausalLM, AutoTokenizer, GemmaConfig, GemmaForCausalLM

from gemma_lab import bench, memory, profile

SMALL = str(profile.CHECKPOINTS / "pocket-small")


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(SMALL)


@pytest.fixture(scope="module")
def model():
    return AutoModelForCausalLM.from_pretrained(SMALL, dtype=torch.bfloat16)


class Told:
    """A model that takes `prompt` seconds for its first token and `step` for each one after."""

    config = SimpleNamespace(max_position_embeddings=4096)
    device = "cpu"

    def __init__(self, clock, runs):
        self.clock, self.runs, self.asked = clock, iter(runs), []

    def generate(self, ids, attention_mask, streamer, max_new_tokens, **options):
        self.asked.append((ids.shape, max_new_tokens, options))
        prompt, step = next(self.runs)
        streamer.put(ids)
        for at in range(max_new_tokens):
            self.clock[0] += step if at else prompt
            streamer.put(None)
        streamer.end()
        return torch.cat([ids, torch.arange(max_new_tokens).expand(len(ids), -1)], dim=1)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(bench.time, "perf_counter", lambda: now[0])
    return now


def test_the_medians_are_those_of_the_repeats_without_the_warm_up(clock, tokenizer):
    told = Told(clock, [(60, 9), (2, 0.5), (4, 0.25), (3, 0.2)])
    row = bench.measure(told, tokenizer, num_tokens=5, prompt_tokens=30, batch_size=2)
    assert row["first_token_s"] == pytest.approx(3)
    assert row["prefill_tokens_per_s"] == pytest.approx(2 * 30 / 3)
    assert row["decode_tokens_per_s"] == pytest.approx(2 / 0.25)  # 4 steps of both rows, not 5
    assert row["decode_spread"] == pytest.approx((2 / 0.2 - 2 / 0.5) / (2 / 0.25))
    assert row["tokens"] == [0, 1, 2, 3, 4]
    assert [shape for shape, *_ in told.asked] == [(2, 30)] * 4


def test_every_run_is_greedy_of_one_length_and_takes_further_options(clock, tokenizer):
    told = Told(clock, [(1, 1)] * 2)
    static = {"cache_implementation": "static"}
    bench.measure(told, tokenizer, num_tokens=7, repeats=1, options=static)
    for _, longest, options in told.asked:
        assert longest == options.pop("min_new_tokens") == 7
        assert options == {"do_sample": False, **static}


def test_an_interrupt_is_the_caller_s(clock, tokenizer):
    """It has the rows that are done; a half-measured one is none."""
    told = Told(clock, [(1, 1)])
    told.generate = lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        bench.measure(told, tokenizer)


@pytest.mark.parametrize(
    "name, value",
    [("num_tokens", 1), ("prompt_tokens", 0), ("repeats", 0), ("batch_size", 1.5)],
)
def test_a_size_that_cannot_be_is_said_with_what_was_received(tokenizer, model, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number from .* not {value}"):
        bench.measure(model, tokenizer, **{name: value})


def test_more_than_the_context_is_refused_before_anything_runs(tokenizer, model):
    context = model.config.max_position_embeddings
    with pytest.raises(ValueError, match=f"context is {context} tokens"):
        bench.measure(model, tokenizer, prompt_tokens=context, num_tokens=2)


def test_a_base_model_writes_what_plain_generate_writes(tokenizer, model):
    """No chat template is asked for; the row's tokens are greedy ones, <eos> put off."""
    plain = AutoTokenizer.from_pretrained(SMALL)
    plain.chat_template = None
    row = bench.measure(model, plain, num_tokens=6, prompt_tokens=20, repeats=1)
    ids = bench.prompt_ids(plain, 20)
    exactly = dict(min_new_tokens=6, max_new_tokens=6, do_sample=False)
    mask = torch.ones_like(ids)
    assert row["tokens"] == model.generate(ids, attention_mask=mask, **exactly)[0, 20:].tolist()
    assert row["first_token_s"] > 0 and row["decode_tokens_per_s"] > 0


@pytest.mark.parametrize("length", [1, 20, 2000])
def test_the_prompt_has_the_length_asked_for_and_one_bos(tokenizer, length):
    ids = bench.prompt_ids(tokenizer, length)
    assert ids.shape == (1, length) and ids[0, 0] == tokenizer.bos_token_id
    assert (ids == tokenizer.bos_token_id).sum() == 1


# ------------------------------------------------------------------ the limit


def tiny(tied: bool, dtype=torch.bfloat16):
    return GemmaForCausalLM(GemmaConfig(**TINY, tie_word_embeddings=tied)).to(dtype)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("dtype, size", [(torch.bfloat16, 2), (torch.float32, 4)])
def test_a_step_reads_all_weights_once_and_each_row_s_cache(tied, batch, dtype, size):
    made = tiny(tied, dtype)
    linear = sum(m.weight.numel() for m in made.modules() if isinstance(m, torch.nn.Linear))
    norms = (2 * 2 + 1) * 128
    looked_up = 0 if tied else batch * 128
    cache = 2 * 2 * 2 * 64 * 10 * batch  # keys and values, layers, KV heads, head_dim, tokens
    held = sum(b.numel() * b.element_size() for b in made.buffers())  # RoPE's
    expected = size * (linear + norms + looked_up + cache) + held
    assert bench.bytes_per_token(made, 10, batch) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("precision", ["int8", "nf4", "fp4"])
def test_quantized_layers_are_read_in_their_own_size(precision, model):
    """Against bitsandbytes' own tensors: the linear layers but the head shrink, nothing else."""
    import bitsandbytes
    from machines import LAPTOP

    from gemma_lab import catalog, loading

    plan = loading.plan_loading(SMALL, precision, LAPTOP)
    quantized = AutoModelForCausalLM.from_pretrained(SMALL, **plan.kwargs())
    info = catalog.find(SMALL)
    saved = bench.bytes_per_token(model, 8) - bench.bytes_per_token(quantized, 8)
    kept = 2 * info.num_linear_parameters - saved
    if precision == "int8":
        assert kept == pytest.approx(info.num_linear_parameters + 4 * info.num_linear_rows)
        return
    sizes = 0
    for module in quantized.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            state = module.weight.quant_state
            sizes += module.weight.numel() + state.absmax.numel()
            sizes += 4 * (state.state2.absmax.numel() + 16 + 256 + 1)  # both tables, an offset
    assert kept == sizes


@pytest.mark.parametrize("window", [None, 4])
def test_a_layer_with_a_window_reads_no_more_than_it_keeps(window):
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["sliding_attention" if window else "full_attention", "full_attention"]
    config = Gemma3TextConfig(**TINY, layer_types=kinds, sliding_window=window or 64)
    made = Gemma3ForCausalLM(config)
    grown = bench.bytes_per_token(made, 30) - bench.bytes_per_token(made, 3)
    assert grown == 4 * 2 * 2 * 64 * 27 * (1 if window else 2)


def test_bandwidth_is_bytes_by_the_best_time(monkeypatch):
    """Told times: 5 for the warm-up, then 2, 1, 4; a block of 8 MB."""
    reads = iter([0, 5, 10, 12, 20, 21, 30, 34])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(reads))
    assert bench.bandwidth(megabytes=8, repeats=3) == pytest.approx(8e6 / 1e9)


def test_the_block_is_larger_than_any_cache_of_a_processor(monkeypatch):
    made = []
    small = torch.zeros(8, 8)
    monkeypatch.setattr(torch, "ones", lambda *shape, device: made.append(shape) or small)
    assert bench.bandwidth(repeats=1) > 0
    ((rows, columns),) = made
    assert rows * columns * 4 == 512e6


# ------------------------------------------------------------------ the command


@pytest.fixture
def started(monkeypatch):
    calls = []
    done = subprocess.CompletedProcess([], 3)
    monkeypatch.setattr(subprocess, "run", lambda words, env: calls.append((words, env)) or done)
    return calls


@pytest.mark.parametrize(
    "words, script",
    [
        (["--record"], ["gemma_lab.lessons.nb04_record"]),
        (["--record", "precision", "--quick"], ["gemma_lab.lessons.nb04_record", "--quick"]),
        (["--record", "finetune"], ["gemma_lab.lessons.nb05_record"]),
    ],
)
def test_a_record_is_made_in_a_process_whose_threads_stop_spinning(started, words, script):
    with pytest.raises(SystemExit) as ended:
        bench.main(words)
    (command, environment), *others = started
    assert not others and command[2:] == script and ended.value.code == 3
    assert environment["GOMP_SPINCOUNT"] == "5000"


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "say what to record: --record precision, --record finetune or --record family"),
        (["--record", "poems"], "invalid choice: 'poems'"),
        (["--record", "finetune", "--quick"], "--quick is for --record precision"),
        (["google/gemma-2b-it"], "unrecognized arguments: google/gemma-2b-it"),
    ],
)
def test_what_cannot_be_recorded_is_one_sentence(started, capsys, words, said):
    with pytest.raises(SystemExit):
        bench.main(words)
    last = capsys.readouterr().err.splitlines()[-1]
    assert said in last and not started


def test_the_weights_are_still_what_memory_counts(model):
    """The limit's bytes are the loaded ones: a tied table once."""
    alone = bench.bytes_per_token(model, 0)
    assert alone == memory.weight_mb(model) * 1e6
