"""How a GGUF file of Gemma 3 becomes a checkpoint of transformers, to be read from top to bottom.

A GGUF holds everything in one file: sizes, vocabulary, and tensors, quantized here. transformers
reads its weights too, but builds another tokenizer from it: one that cuts "capital" into c, ap, it,
al, and writes no <bos>.
Sources: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md); llama.cpp's
`convert_hf_to_gguf.py`, which goes the other way; the published tokenizer.json of Gemma 3.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader, dequantize

# A tensor's name in the file, without "blk.0." -> its name in transformers, in "model.layers.0.".
IN_A_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "post_ffw_norm": "post_feedforward_layernorm",
}
OUTSIDE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # kinds of tokens; 2 is unknown, 6 a byte
# Of the control tokens, decoding leaves out only these; <mask> and <unused0> stay in the text.
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>")
SPECIAL += ("<start_of_image>", "<end_of_image>")


class Reader(GGUFReader):
    """A `GGUFReader` in a third of its time: small slices of a mapped array are slow."""

    @property
    def data(self):
        return self.plain

    @data.setter
    def data(self, mapped):
        self.plain = mapped.view(np.ndarray)


def weights(reader: GGUFReader) -> Iterator[tuple[str, torch.Tensor]]:
    """Names in transformers, and tensors in bfloat16, one after the other. The head is tied."""
    for tensor in reader.tensors:
        parts = tensor.name.split(".")  # blk.0.attn_q.weight, output_norm.weight
        if parts[0] == "blk":
            name = f"model.layers.{parts[1]}.{IN_A_LAYER[parts[2]]}.weight"
        else:
            name = f"{OUTSIDE[parts[0]]}.weight"
        values = dequantize(tensor.data, tensor.tensor_type)
        if "norm" in name:  # the file holds 1 + w, transformers w
            values = values - 1
        yield name, torch.from_numpy(values).to(torch.bfloat16)


def vocabulary(reader: GGUFReader) -> tuple[list[str], list[float], list[int]]:
    """Tokens in the order of their ids, their scores, and their kinds."""
    names = ("tokens", "scores", "token_type")
    tokens, scores, kinds = (reader.fields[f"tokenizer.ggml.{name}"] for name in names)
    kinds = [int(kinds.parts[at][0]) for at in kinds.data]
    scores = [float(scores.parts[at][0]) for at in scores.data]
    tokens = [bytes(tokens.parts[at]).decode("utf-8") for at in tokens.data]
    for at, kind in enumerate(kinds):
        if kind == USER_DEFINED:  # runs of blanks, line breaks and tags: llama.cpp changed these
            tokens[at], scores[at] = tokens[at].replace(" ", "▁"), 0.0
    return tokens, scores, kinds


def merges(tokens: list[str], scores: list[float], kinds: list[int]) -> list[tuple[str, str]]:
    """Pairs of tokens that byte-pair encoding joins, the first to join first.

    The file names no pairs. Each way to cut a token into two tokens is one, and the token's score
    is its rank; among equals, pairs of longer tokens come first.
    """
    ids = {token: at for at, token in enumerate(tokens)}
    found = []
    for token, score, kind in zip(tokens, scores, kinds):
        if kind in (NORMAL, USER_DEFINED):
            cuts = ((token[:at], token[at:]) for at in range(1, len(token)))
            pairs = [(first, second) for first, second in cuts if first in ids and second in ids]
            pairs.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
            found += [(score, len(first), len(second), first, second) for first, second in pairs]
    found.sort(key=lambda merge: merge[:3], reverse=True)
    return [(first, second) for *_, first, second in found]


def tokenizer(reader: GGUFReader):
    """The `tokenizers.Tokenizer` that Google publishes for Gemma 3, from the file's vocabulary."""
    from tokenizers import (
        AddedToken,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
    )

    tokens, scores, kinds = vocabulary(reader)
    made = Tokenizer(
        models.BPE(
            vocab={token: at for at, token in enumerate(tokens)},
            merges=merges(tokens, scores, kinds),
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    made.normalizer = normalizers.Replace(" ", "▁")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    steps = decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()
    made.decoder = decoders.Sequence([*steps])
    bos = [("<bos>", tokens.index("<bos>"))]
    made.post_processor = processors.TemplateProcessing("<bos> $A", "<bos> $A <bos>:1 $B:1", bos)
    whole = [token for token, kind in zip(tokens, kinds) if kind in (CONTROL, USER_DEFINED)]
    made.add_tokens(
        [AddedToken(token, special=token in SPECIAL, normalized=False) for token in whole]
    )
    return made


def write(file: Path, folder: Path, sizes: dict) -> Iterator[float]:
    """Writes the checkpoint into `folder`, and yields the percents of the work that are done.

    Args: sizes: the model's, as in config.json; transformers completes them.
    """
    from safetensors.torch import save_file
    from transformers import AutoConfig, GenerationConfig

    reader = Reader(file)
    yield 35
    tokenizer(reader).save(str(folder / "tokenizer.json"))
    yield 20
    tensors, share = {}, 35 / len(reader.tensors)
    for name, tensor in weights(reader):
        tensors[name] = tensor
        yield share
    del reader
    gc.collect()  # Windows deletes no file that is mapped
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = AutoConfig.for_model(**sizes)
    config.architectures, config.dtype = ["Gemma3ForCausalLM"], torch.bfloat16
    config.save_pretrained(folder)
    GenerationConfig(bos_token_id=2, eos_token_id=1, pad_token_id=0).save_pretrained(folder)
    about = {f"{name}_token": f"<{name}>" for name in ("bos", "eos", "pad", "unk")}
    about |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    about |= {"padding_side": "left", "model_max_length": config.max_position_embeddings}
    text = json.dumps(about, indent=1)
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    yield 5
