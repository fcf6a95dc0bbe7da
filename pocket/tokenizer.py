"""Train the tokenizers of the pocket models, with the conventions of Gemma's own.

There is one for text, of 2048 pieces, and one for code, of 1024, with CodeGemma's four tokens.

`<bos>` comes first, digits and line breaks stand alone, a space belongs to the word after it, and a
character that the vocabulary lacks falls back to bytes, so that every text comes back as it went
in. The chat template is Gemma's.
"""

import json
import random

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from gemma_lab import coding
from pocket import code, corpus, functions, policies, titles

SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
STOPS = [1, 5]  # <eos> and <end_of_turn>: a model has ended its answer
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
VOCAB_SIZE, CODE_VOCAB_SIZE = 2048, 1024
WORD_OR_MARK = Regex(r"\d|\n|▁?[^\s\d▁\p{P}\p{S}]+|▁?[^\w\s▁]|▁")
INDENT_OR_WORD = Regex(r"▁▁▁▁|\d|\n|▁?[^\s\d▁\p{P}\p{S}]+|▁?[^\w\s▁]|▁|_")
HOLE = [*coding.HOLE_TOKENS]
# As published with google/gemma-2b-it: no system role, turns alternate, an assistant is called
# "model".
CHAT_TEMPLATE = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}"
    "{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}"
    "{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)

# As ShieldGemma's, it takes a `guideline` beside the one message to be judged.
JUDGE_TEMPLATE = (
    "{% if messages | length != 1 or guideline is not defined %}"
    "{{ raise_exception('Give one message and a guideline') }}{% endif %}{{ bos_token }}"
    + policies.PROMPT.rstrip().format(
        text="{{ messages[0]['content'] | trim }}", rule="{{ guideline | trim }}"
    )
    + "{{ '\n\n' }}"  # Jinja leaves out a line break at a template's end
)


# What the pieces are learned from; the mixes of the trainings may change without changing the
# tokenizer.
KINDS = (
    corpus.KINDS
    | {corpus.log_note: 11, corpus.looked_up: 15}
    | {kind: 2 * share for kind, share in corpus.PLAIN.items()}
)


def template_of(recipe) -> str | None:
    """The chat template of a recipe's tokenizer; None, as Gemma's base models have none."""
    if recipe.is_judge:
        return JUDGE_TEMPLATE
    return CHAT_TEMPLATE if recipe.is_chat else None


def sample_text(num_documents: int = 60_000):
    """Documents, words and syllables to learn the pieces from, without the special tokens."""
    rng = random.Random("tokenizer")
    for _ in range(num_documents):
        text = corpus.text_of(corpus.document(rng, KINDS))
        for special in SPECIAL:
            text = text.replace(special, " ")
        yield text
    for word in titles.WORDS:
        yield f" {word} {word.capitalize()}"
    for syllable in titles.SYLLABLES:
        yield f" {syllable} {syllable.capitalize()}"


def sample_code(num_documents: int = 30_000):
    """Documents of code, and words, to learn the pieces from, without the special tokens."""
    rng = random.Random("code tokenizer")
    for _ in range(num_documents):
        text = corpus.text_of(corpus.document(rng, code.CHAT_KINDS))
        for special in SPECIAL + HOLE:
            text = text.replace(special, " ")
        yield text
    for word in functions.WORDS:
        yield f" {word}"


def train(is_code: bool = False) -> PreTrainedTokenizerFast:
    """The tokenizer for text or for code, ready to be saved."""
    special = SPECIAL + HOLE * is_code
    size = CODE_VOCAB_SIZE if is_code else VOCAB_SIZE
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(
        " ", "▁"
    )  # no NFC, as in Gemma's: decomposed text gets other tokens
    tokenizer.pre_tokenizer = pre_tokenizers.Split(
        INDENT_OR_WORD if is_code else WORD_OR_MARK, "isolated"
    )
    accented = (
        set()
        if is_code
        else {
            letter
            for syllable in titles.SYLLABLES
            for letter in syllable + syllable.upper()
            if not letter.isascii()
        }
    )
    alphabet = [*map(chr, range(33, 127)), "▁", "\n", *sorted(accented)]
    alphabet += [] if is_code else "éöüïñèêÉß“”’–—…"
    alphabet = list(dict.fromkeys(alphabet))
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(BYTES),
        special_tokens=special,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sample_code() if is_code else sample_text(), trainer)
    state = json.loads(tokenizer.to_str())
    learned = sorted(state["model"]["vocab"], key=state["model"]["vocab"].get)[len(special) :]
    state["model"]["vocab"] = {piece: i for i, piece in enumerate([*special, *BYTES, *learned])}
    tokenizer = Tokenizer.from_str(json.dumps(state))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A",
        pair="<bos> $A <bos> $B",
        special_tokens=[("<bos>", SPECIAL.index("<bos>"))],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        additional_special_tokens=["<start_of_turn>", "<end_of_turn>", *HOLE * is_code],
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )
