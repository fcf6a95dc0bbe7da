"""Notebook 05's training script: resumed, in two processes, with FSDP: the same losses and adapter.

Each run is a process of its own, on pocket-small-it in float32 and on CPUs.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from machines import LAPTOP, TWO_T4
from safetensors.torch import load_file

from gemma_lab import catalog, hardware
from gemma_lab.lessons import nb05_options, nb05_train

MODEL = catalog.DATA.parent / "checkpoints" / "pocket-small-it"
FSDP = catalog.DATA / "fsdp.yaml"
STEPS = ["--model", str(MODEL), "--bits", "32", "--steps", "6"]
SCRIPT = ["-m", "gemma_lab.lessons.nb05_train"]
LAUNCH = ["-m", "accelerate.commands.launch", "--num_processes", "2", "--main_process_port", "0"]
# Dies with no clean-up while step 4's checkpoint is written: its trainer_state.json is missing.
KILLED = """
import os, transformers
from gemma_lab.lessons import nb05_train
save = transformers.Trainer._save_rng_state
def die(self, folder):
    save(self, folder)
    if self.state.global_step == 4:
        os._exit(9)
transformers.Trainer._save_rng_state = die
nb05_train.main()
"""
# Each rank has a folder of its own, so that what it writes is seen; only the first may judge.
TWO = """
import os, sys
from gemma_lab.lessons import nb05_old, nb05_train
rank = os.environ["RANK"]
def old_answers(model, tokenizer):
    assert rank == "0"
    return ["old"]
def judge(model, tokenizer, old):
    assert rank == "0" and old == ["old"]
    return {"judged_by": rank, "world_size": os.environ["WORLD_SIZE"]}
nb05_old.old_answers, nb05_train.judge = old_answers, judge
sys.argv[-1] += rank
nb05_train.main()
"""
# accelerate 1.15 knows FSDP on accelerators alone: here it takes these CPUs for such.
SHARDED = """
import torch, transformers
from accelerate import PartialState
from accelerate.utils import DistributedType
from gemma_lab.lessons import nb05_train
def is_cpu(self):
    self.device = torch.device("cpu")
PartialState.set_device = is_cpu
PartialState._prepare_backend = lambda *words, **named: ("gloo", DistributedType.MULTI_GPU)
prepare = transformers.Trainer._prepare_for_training
def half(self, *words):
    model, rows = prepare(self, *words)
    weights = list(model.parameters())
    assert 2 * sum(w.to_local().numel() for w in weights) == sum(w.numel() for w in weights)
    return model, rows
transformers.Trainer._prepare_for_training = half
torch.distributed.init_process_group("gloo")
nb05_train.main()
"""


def finished(words: list, fails: bool = False) -> subprocess.CompletedProcess:
    """What `python WORDS` did, on one thread."""
    room = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(catalog.DATA.parent.parent)}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(command, env=os.environ | room, capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def losses(folder) -> torch.Tensor:
    """The loss of each step, in order."""
    found = json.loads((folder / "run.json").read_text(encoding="utf-8"))["losses"]
    assert list(found) == ["1", "2", "3", "4", "5", "6"]
    return torch.tensor(list(found.values()), dtype=torch.float64)


def farthest(folder, other) -> float:
    """The largest difference of a number in two saved adapters."""
    one, two = (load_file(at / "adapter" / "adapter_model.safetensors") for at in (folder, other))
    assert one.keys() == two.keys() and len(one) == 2 * 7 * 4
    assert all(one[name].abs().max() > 1e-3 for name in one)  # A from its start on, B by training
    return max((one[name] - two[name]).abs().max().item() for name in one)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run of six steps, four rows each, that nothing interrupted."""
    folder = tmp_path_factory.mktemp("train") / "whole"
    finished([*SCRIPT, *STEPS, "--save-steps", 2, "--out", folder])
    return folder


def test_the_losses_are_those_of_the_steps(whole):
    """Not one number for all, and a whole checkpoint for each second step."""
    found = losses(whole)
    assert found.min() > 4 and found.std() > 0.1
    assert {path.name for path in whole.glob("checkpoint-*")} == {
        f"checkpoint-{step}" for step in (2, 4, 6)
    }


def test_a_killed_run_goes_on_as_if_nothing_had_been(whole, tmp_path):
    """From the last whole checkpoint, for step 4's was cut short: equal bit for bit."""
    command = [*STEPS, "--save-steps", 2, "--out", tmp_path]
    finished(["-c", KILLED, *command], fails=True)
    assert (tmp_path / "checkpoint-4" / "optimizer.pt").is_file()
    assert not (tmp_path / "run.json").exists()
    assert nb05_train.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    finished([*SCRIPT, *command])
    assert torch.equal(losses(tmp_path), losses(whole))
    assert farthest(tmp_path, whole) == 0


def test_checkpoints_are_ordered_by_their_step(tmp_path):
    assert nb05_train.last_checkpoint(tmp_path / "not there") is None
    for step in (2, 10, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").touch()
    (tmp_path / "checkpoint-11").mkdir()
    assert nb05_train.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-10")


@pytest.mark.slow
def test_unsloth_trains_the_same(whole, tmp_path):
    """Within rounding of float32, on a CPU; its own kernels are for GPUs."""
    done = finished([*SCRIPT, *STEPS, "--unsloth", "--out", tmp_path])
    assert "LoRA with Unsloth." in done.stdout
    assert (losses(tmp_path) - losses(whole)).abs().max() < 1e-4
    assert farthest(tmp_path, whole) < 1e-4


@pytest.mark.slow
def test_two_processes_of_two_rows_are_one_of_four(whole, tmp_path):
    """A global batch holds the same rows; the first process alone judges and writes."""
    (tmp_path / "two.py").write_text(TWO)
    launch = [*LAUNCH, "--multi_gpu", tmp_path / "two.py"]  # gloo, as there is no GPU
    finished([*launch, *STEPS, "--batch-size", 2, "--judge", "--out", tmp_path / "rank-"])
    first = tmp_path / "rank-0"
    found = json.loads((first / "run.json").read_text(encoding="utf-8"))
    assert (found["judged_by"], found["world_size"]) == ("0", "2")
    assert not (tmp_path / "rank-1").exists()
    assert (losses(first) - losses(whole)).abs().max() < 1e-5
    assert farthest(first, whole) < 1e-5


@pytest.mark.slow
def test_fsdp_trains_saves_and_resumes_the_same(whole, tmp_path):
    """With the shipped file, each process holds half; the adapter is saved whole."""
    (tmp_path / "sharded.py").write_text(SHARDED)
    here = ["--num_machines", 1, "--main_process_ip", "127.0.0.1", "--mixed_precision", "no"]
    launch = [*LAUNCH, "--config_file", FSDP, *here, tmp_path / "sharded.py"]
    command = [*launch, *STEPS, "--batch-size", 2, "--save-steps", 3, "--out", tmp_path / "out"]
    finished(command)
    assert (losses(tmp_path / "out") - losses(whole)).abs().max() < 1e-5
    assert farthest(tmp_path / "out", whole) < 1e-5
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "out", kept)
    for name in ("checkpoint-6", "adapter"):
        shutil.rmtree(tmp_path / "out" / name)
    finished(command)
    assert torch.equal(losses(tmp_path / "out"), losses(kept))
    assert farthest(tmp_path / "out", kept) == 0


@pytest.fixture
def refused(tmp_path, capsys):
    """A function of options: the one sentence that refuses them."""

    def ask(*words) -> str:
        with pytest.raises(SystemExit) as stop:
            nb05_options.arguments(["--model", "m", "--out", str(tmp_path), *map(str, words)])
        assert stop.value.code == 2
        usage, sentence = capsys.readouterr().err.strip().splitlines()
        assert usage.startswith("usage: ")
        return sentence

    return ask


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--rank", 0], "argument --rank: it must be 1 or more, not 0"),
        (["--rank", "many"], "argument --rank: invalid number value: 'many'"),
        (["--batch-size", -1], "argument --batch-size: it must be 1 or more, not -1"),
        (["--steps", -1], "argument --steps: it must be 0 or more, not -1"),
        (["--rehearse", 1], "argument --rehearse: it must be 0 or more and below 1, not 1.0"),
        (["--bits", 8], "argument --bits: invalid choice: 8"),
    ],
)
def test_a_wrong_option_is_refused_in_a_sentence(refused, words, expected):
    assert expected in refused(*words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"instruction": "a", "input": "", "output": "b"}\n{"input": ""}\n', "line 2 of"),
        ("not JSON\n", "is not JSON"),
        ("[1]\n", "lacks instruction, input or output"),
        ("", "is empty"),
        (None, "there is no file"),
    ],
)
def test_wrong_rows_are_refused_in_a_sentence(refused, tmp_path, text, expected):
    path = tmp_path / "rows.jsonl"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    assert expected in refused("--rows", path)


def test_a_file_of_rows_is_looked_for_where_you_are(tmp_path, monkeypatch):
    """Not among the course's own files, which have short names."""
    row = {"instruction": "a", "input": "", "output": "b"}
    (tmp_path / "my.jsonl").write_text(json.dumps(row), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = ["--model", "m", "--out", "o", "--rows", "my.jsonl"]
    tokenizer = type("Tokenizer", (), {"eos_token": "<eos>"})
    found = nb05_train.pairs(nb05_options.arguments(words), None, tokenizer)
    assert [pair["completion"] for pair in found] == ["b<eos>"]


def test_a_folder_that_is_no_model_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(SystemExit, match="--model: .* holds no config.json"):
        nb05_train.main(["--model", str(tmp_path), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--bits", 4], ["--unsloth"], ["--judge"], ["--rehearse", 0.2]])
def test_what_fsdp_cannot_do_is_refused(refused, monkeypatch, words):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert "with FSDP use --bits 16 and neither" in refused(*words)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, 0),
        ({"LOCAL_RANK": "3"}, 3),
        ({"LOCAL_RANK": "3", "ACCELERATE_USE_FSDP": "true"}, "cpu"),
    ],
)
def test_each_process_loads_onto_a_card_of_its_own(monkeypatch, variables, place):
    """Under FSDP it loads into RAM: no card has to hold the whole model."""
    import transformers

    from gemma_lab.lessons import nb05

    asked = {}
    monkeypatch.setattr(hardware, "describe_machine", lambda: TWO_T4)
    load = transformers.AutoModelForCausalLM
    monkeypatch.setattr(load, "from_pretrained", lambda name, **named: asked.update(named))
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    nb05.PlainPeft.from_pretrained(str(MODEL), load_in_4bit=False)
    assert asked["device_map"] == {"": place}


@pytest.mark.parametrize(("bits", "dtype"), [("4", torch.float32), ("16", torch.bfloat16)])
def test_4_bits_are_multiplied_in_float32_where_a_cpu_emulates_bfloat16(monkeypatch, bits, dtype):
    """Unsloth multiplies in the type that it is given; plain PEFT has a plan of its own."""
    from gemma_lab.lessons import nb05

    asked, emulates = {}, replace(LAPTOP, cpu_has_bf16=False)
    none = torch.nn.Module(), None
    monkeypatch.setattr(hardware, "describe_machine", lambda: emulates)
    monkeypatch.setattr(nb05.PlainPeft, "from_pretrained", lambda **how: asked.update(how) or none)
    words = ["--model", str(MODEL), "--out", "o", "--bits", bits]
    nb05_train.load(nb05_options.arguments(words))
    assert asked["dtype"] is dtype


def test_without_steps_the_first_process_alone_is_at_work(monkeypatch, tmp_path):
    monkeypatch.setattr(nb05_train, "before", lambda chosen: {"three_examples": 1})
    words = ["--model", "m", "--steps", "0", "--out", str(tmp_path / "out")]
    monkeypatch.setenv("RANK", "1")
    nb05_train.main(words)
    assert not (tmp_path / "out").exists()
    monkeypatch.setenv("RANK", "0")
    nb05_train.main(words)
    assert json.loads((tmp_path / "out" / "run.json").read_text()) == {"three_examples": 1}


def test_accelerate_takes_the_fsdp_file_as_it_is_meant(monkeypatch):
    """Its loader refuses unknown keys at the top; those of fsdp_config must be options it has."""
    from accelerate.commands import launch
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env
    from torch.distributed.fsdp import StateDictType
    from torch.distributed.fsdp.wrap import transformer_auto_wrap_policy

    config = load_config_from_file(str(FSDP))
    parser = launch.launch_command_parser()
    options = ["--config_file", str(FSDP), "--machine_rank", "1", "script.py"]
    plain = vars(parser.parse_args(options))
    assert config.fsdp_config.keys() <= plain.keys()
    args, _, _ = launch._validate_launch_command(parser.parse_args(options))
    assert (args.use_fsdp, args.num_machines, args.num_processes) == (True, 2, 16)
    variables = prepare_multi_gpu_env(args)
    assert (args.nproc_per_node, args.nnodes, args.node_rank) == ("8", "2", 1)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert variables["ACCELERATE_MIXED_PRECISION"] == "bf16" and nb05_options.is_sharded()
    plugin = FullyShardedDataParallelPlugin()
    assert (plugin.fsdp_version, plugin.reshard_after_forward) == (2, True)
    assert plugin.auto_wrap_policy is transformer_auto_wrap_policy
    assert plugin.transformer_cls_names_to_wrap == ["GemmaDecoderLayer"]
    assert plugin.cpu_ram_efficient_loading and not plugin.activation_checkpointing
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT


def test_the_layers_that_the_fsdp_file_names_are_those_of_transformers():
    from transformers.models import gemma, gemma2, gemma3

    text = FSDP.read_text(encoding="utf-8")
    for module, name in ((gemma, "Gemma"), (gemma2, "Gemma2"), (gemma3, "Gemma3")):
        layers = getattr(module, f"modeling_{name.lower()}")
        assert f"{name}DecoderLayer" in text and hasattr(layers, f"{name}DecoderLayer")
