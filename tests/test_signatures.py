"""Each call of somebody else's code takes its arguments; one that drifted is found."""

import pytest

from tools import signatures


@pytest.mark.parametrize("path", signatures.files(), ids=lambda path: path.name)
def test_every_call_of_somebody_elses_code_takes_its_arguments(path):
    assert signatures.Code(signatures.code_of(path)).faults() == []


@pytest.mark.parametrize(
    "code, why",
    [
        ("from trl import SFTConfig\nSFTConfig('x', max_seq_length=5)", "max_seq_length"),
        ("import transformers\ntransformers.BitsAndBytesConfig(load_4bit=1)", "load_4bit"),
        ("import peft\nlora = dict(rank=8)\npeft.LoraConfig(**lora)", "rank"),
        ("model.generate(ids, max_new_token=5)", "max_new_token"),
        ("model.generate(**{'max_tokens': 5})", "max_tokens"),
        ("tokenizer.apply_chat_template([], add_generation=True)", "add_generation"),
        (
            "from transformers import AutoModelForCausalLM as A\nA.from_pretrained('x', dtyp=1)",
            "dtyp",
        ),
        ("from torch.nn import functional as F\nF.gelu(x, approximation='tanh')", "approximation"),
        ("import torch\nsdpa = torch.nn.functional.scaled_dot_product\nsdpa(1)", "scaled_dot"),
        ("import torch\ntorch.zeros(3).argmaxx()", "no class of CLASSES has .argmaxx"),
        ("import datasets\ndatasets.Dataset.from_list([]).shuffle(seeds=1)", "seeds"),
        ("import matplotlib.pyplot as plt\nplt.subplots(figsise=(1, 2))", "figsise"),
        ("import torch\ndef f(some):\n    torch.zeros(3, **some)", "UNPACKED"),
        ("tokenizer.decode(ids, skip_special_tokenz=True)", "skip_special_tokenz"),
        ("tokenizer.encode('a', add_specials=False)", "add_specials"),
        ("trainer.train(resume=1)", "resume"),
        ("table.style.format(precisionn=2)", "precisionn"),
        ("import bitsandbytes\nbitsandbytes.functional.quantize_4bit(1, kind='nf4')", "kind"),
    ],
)
def test_a_call_that_drifted_is_found(code, why):
    (fault,) = signatures.Code(code).faults()
    assert why in fault


def test_a_name_that_is_left_out_is_used_and_its_reason_said():
    texts = "\n".join(map(signatures.code_of, signatures.files()))
    assert all(name.strip(".") in texts and why for name, why in signatures.LEFT_OUT.items())


def test_every_class_is_there():
    assert all(map(signatures.look_up, signatures.CLASSES + signatures.PYTHONS))
