"""Models that several tests ask: a tiny one, a pocket model, and what the reports say."""

from machines import LAPTOP
from transformers import AutoModelForCausalLM

from gemma_lab import loading, profile

TINY = dict(
    vocab_size=512,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=64,
    intermediate_size=256,
)
SMALL_IT = str(profile.CHECKPOINTS / "pocket-small-it")
# Parameters without the embedding table: Gemma report, table 2; Gemma 2 report, table 1.
REPORTED = {
    "google/gemma-2b": 1_981_884_416,
    "google/gemma-7b": 7_751_248_896,
    "google/gemma-2-2b": 2_024_517_888,
    "google/gemma-2-9b": 8_324_201_984,
    "google/gemma-2-27b": 26_047_480_320,
}


def in_nf4(folder: str):
    """The model of a checkpoint folder in 4 bits, as the course loads it on a CPU."""
    arguments = loading.plan_loading(folder, "nf4", LAPTOP).kwargs()
    return loading.portable_4bit(AutoModelForCausalLM.from_pretrained(folder, **arguments))
