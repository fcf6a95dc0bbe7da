"""How a checkpoint of Gemma 3 becomes a GGUF file for llama.cpp, to be read from top to bottom.

The way back of `from_gguf.py`. The sizes and the vocabulary are copied, byte for byte, from a GGUF
of the same model; only the weights are new. Every number is little-endian:

    "GGUF", version 3, number of tensors, number of fields
    each field:  its name, the kind of its value, the value
    each tensor: its name, its shape, the kind of its numbers, where they start
    the numbers of all tensors, each padded to a multiple of 32 bytes

Source: the GGUF specification (github.com/ggml-org/ggml, docs/gguf.md). llama.cpp's own
`convert_hf_to_gguf.py` does the same for models of all kinds.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFValueType, LlamaFileType, get_tensor_name_map

TEXT, LIST = GGUFValueType.STRING, GGUFValueType.ARRAY
# Bytes of a value, by its kind; a text begins with its length, a list with its kind and length.
BYTES = dict(zip(GGUFValueType, (1, 1, 2, 2, 4, 4, 4, 1, None, None, 8, 8, 8)))
F32, BF16 = GGMLQuantizationType.F32, GGMLQuantizationType.BF16
HEADER = struct.Struct("<4sIQQ")


def end_of(data: mmap.mmap, at: int, kind: int) -> int:
    """Where the value ends that starts at `at`."""
    if kind == TEXT:
        return at + 8 + struct.unpack_from("<Q", data, at)[0]
    if kind != LIST:
        return at + BYTES[kind]
    kind, count = struct.unpack_from("<IQ", data, at)
    at += 12
    if kind not in (TEXT, LIST):
        return at + count * BYTES[kind]
    for _ in range(count):  # such as the 262,144 tokens
        at = end_of(data, at, kind)
    return at


def fields(source: Path) -> tuple[bytearray, dict[str, int]]:
    """The bytes of all fields of a GGUF of version 3, and where in them each value starts."""
    with open(source, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version, _, count = HEADER.unpack_from(data)
        if (magic, version) != (b"GGUF", 3):
            raise ValueError(f"{Path(source).name} is no GGUF of version 3: take another file.")
        at, places = HEADER.size, {}
        for _ in range(count):
            name_ends = end_of(data, at, TEXT)
            name = data[at + 8 : name_ends].decode()
            (kind,) = struct.unpack_from("<I", data, name_ends)
            places[name] = name_ends + 4 - HEADER.size
            at = end_of(data, name_ends + 4, kind)
        return bytearray(data[HEADER.size : at]), places


def numbers(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """A tensor as it stands in the file: matrices in BF16, norms in F32 and as 1 + w."""
    tensor = tensor.detach().cpu()
    if name.endswith("norm.weight"):
        return tensor.float() + 1
    return tensor.to(torch.bfloat16).contiguous()


def named(weights: dict[str, torch.Tensor], num_layers: int) -> dict[str, torch.Tensor]:
    """The tensors under llama.cpp's names. The head is tied: the file needs no copy of the table.

    Raises: ValueError for weights that are not those of a plain Gemma 3 with `num_layers` layers.
    """
    names = get_tensor_name_map(MODEL_ARCH.GEMMA3, num_layers)
    found = {name: names.get_name(name, try_suffixes=(".weight",)) for name in weights}
    if unknown := [name for name, new in found.items() if new is None]:
        raise ValueError(
            f"{unknown[0]} has no place in this file: merge the adapter into a Gemma 3 in 16 bits, "
            "and take the fields from a GGUF of the same model."
        )
    head = found.pop("lm_head.weight", None)
    if head and not torch.equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"]):
        raise ValueError("lm_head.weight is not the embedding table: Gemma 3 ties the two.")
    return {new: numbers(new, weights[name]) for name, new in found.items()}


def write(weights: dict[str, torch.Tensor], source: Path, file: Path) -> None:
    """Writes `weights` as a GGUF in BF16, under the fields of another GGUF of the same model.

    Args:
        weights: a state dict of transformers, in any type; rounded to bfloat16 once.
        source: the GGUF whose fields are copied, the vocabulary too; its own tensors do not count.
        file: the GGUF to write.
    Raises: ValueError where weights and fields are not of the same Gemma 3; nothing is written.
    """
    head, places = fields(source)
    if "gemma3.block_count" not in places:
        raise ValueError(f"{Path(source).name} is not of a Gemma 3: take one of the same model.")

    def number(name: str, kind: str = "<I", skip: int = 0, otherwise: int = 0) -> int:
        at = places.get(name)
        return otherwise if at is None else struct.unpack_from(kind, head, at + skip)[0]

    num_layers, width = number("gemma3.block_count"), number("gemma3.embedding_length")
    num_tokens = number("tokenizer.ggml.tokens", "<Q", skip=4)  # a list: kind, length, texts
    alignment = number("general.alignment", otherwise=32)
    tensors = named(weights, num_layers)
    found = [sum("attn_q." in name for name in tensors), *tensors["token_embd.weight"].shape[::-1]]
    if found != [num_layers, width, num_tokens]:
        raise ValueError(
            f"The weights have {found[0]} layers, width {found[1]} and {found[2]:,} tokens, not "
            f"{num_layers}, {width} and {num_tokens:,}: take a GGUF of the same model."
        )
    if "general.file_type" in places:  # what most of the numbers are
        struct.pack_into("<I", head, places["general.file_type"], LlamaFileType.MOSTLY_BF16)
    start, table = 0, b""
    for name, tensor in tensors.items():
        text, shape = name.encode(), tensor.shape[::-1]  # the fastest axis first
        table += struct.pack(f"<Q{len(text)}sI", len(text), text, len(shape))
        kind = BF16 if tensor.dtype is torch.bfloat16 else F32
        table += struct.pack(f"<{len(shape)}QIQ", *shape, kind, start)
        start += tensor.nbytes + -tensor.nbytes % alignment
    head = HEADER.pack(b"GGUF", 3, len(tensors), len(places)) + head + table
    with open(file, "wb") as out:
        for part in (head, *(tensor.view(torch.uint8).numpy() for tensor in tensors.values())):
            out.write(part)
            out.write(bytes(-out.tell() % alignment))
