"""What the talk of July 2024 said, what holds, and the notebook and section that show it
("home": below its *Go deeper*).

A row is charged to the talk only where its slides say it. "Then right" marks what was so in 2024.
"""

from __future__ import annotations

CORRECTIONS = {
    "words": [
        [
            "“Gemini's Open-Source Twin”",
            "Gemma 1 to 3 are open **weights**: the Gemma Terms forbid some uses",
            "02 · 1",
        ],
        [
            "an LLM has “tens or hundreds of billions of parameters”",
            "Gemma 2B has 2.5 billion, and is one",
            "01 · home",
        ],
        [
            "CodeGemma: PT and IT, in 2B and 7B",
            "only the 7B model has an IT form; 2B completes",
            "07 · 3",
        ],
        [
            "PaliGemma: PT and IT",
            "it comes as *pt*, *mix* and *ft*; none of them chats",
            "02 · home",
        ],
        [
            "RecurrentGemma: “optimized, fast”",
            "more exactly: it saves memory and, on long texts, time",
            "07 · 5",
        ],
    ],
    "architecture": [
        [
            "RoPE is “shared between inputs and outputs”",
            "RoPE has no weights. The embedding **table** is shared with the head",
            "03 · 4, 6",
        ],
        [
            "RoPE “multiplies the input word embeddings”",
            "it turns queries and keys, inside attention",
            "03 · 4",
        ],
        [
            "Su et al. (2023)",
            "the paper is of 2021: arXiv:2104.09864",
            "03 · 4",
        ],
        [
            "RMSNorm on “both inputs and outputs” of each sub-layer",
            "Gemma 1 norms inputs only; both is Gemma 2. Google's first report hinted at both, too",
            "06 · 5",
        ],
        [
            "not said",
            "the norm scales by 1 + weight; embeddings are multiplied by √hidden_size",
            "03 · 5, 6",
        ],
    ],
    "codelab_1": [
        [
            "a *fine-grained* token",
            "it gets error 403 unless one more box is ticked: take type **Read**",
            "00 · 1",
        ],
        [
            "“full precision” loads without a dtype",
            "then right; today that loads bfloat16: write `dtype=torch.float32`",
            "04 · 3",
        ],
        [
            "`flash_attn` is installed",
            "it needs compute capability 8.0: a free T4 has 7.5",
            "04 · home",
        ],
        [
            "the `-it` model gets a bare prompt",
            "they were trained with a chat template: use it",
            "04 · 3",
        ],
        [
            "five poems for five precisions",
            "they rank nothing: measure bytes, speed, perplexity and KL",
            "04 · 1, 5",
        ],
    ],
    "codelab_2": [
        [
            "`model.generate(*inputs, …)`",
            "one star passes names, not tensors: `**inputs`",
            "05 · 2",
        ],
        [
            '`prompt = ""Based on …""`',
            "two quotes are an empty string: three open a long text",
            "05 · 2",
        ],
        [
            'a response of `" "` when asking',
            "a stray token behind “### Response:”",
            "05 · 2",
        ],
        [
            "`max_seq_length` 2048, then 4096",
            "one value; 512 is plenty for these rows",
            "05 · 1",
        ],
        [
            "`get_device_capability()`, not used",
            "it raises an error where there is no card",
            "05 · recap",
        ],
    ],
    "training": [
        [
            "`bf16 = torch.cuda.is_bf16_supported()`",
            "it says yes on a T4, which only emulates it: ask for capability 8.0",
            "05 · 1",
        ],
        [
            "10 steps of 8 × 16 rows, then a question",
            "no evaluation: hold out rows, and measure before and after",
            "05 · 5, 7",
        ],
        [
            "nothing is saved",
            "save the adapter, with a card that names its base",
            "05 · 8",
        ],
        [
            "`tokenizer=`, `max_seq_length=`, `TrainingArguments`",
            "then right; today `processing_class=`, `max_length=`, `SFTConfig`",
            "05 · 6",
        ],
        [
            "`starfishmedical/webGPT_x_dolly`",
            "it may be gone; the course ships rows of the same three columns",
            "05 · 4",
        ],
    ],
    "gemma_2": [
        [
            "“the span of the global attention layers is set to 8192”",
            "more exactly: that is the longest text, not a second window",
            "06 · 3",
        ],
        [
            "27B is “competitive with those 2x its size”",
            "partly: behind Llama 3 70B, ahead of Grok-1 in 3 of 4",
            "06 · 1",
        ],
        [
            "“significantly faster”, “much more computationally efficient”",
            "better answers; no measurement of speed was given",
            "06 · 2",
        ],
        [
            "“a permissive license”",
            "commercial use yes; the terms forbid some uses",
            "06 · 2",
        ],
        [
            "not said",
            "grouped-query attention, caps of 50 and 30, distillation",
            "06 · 4, 5",
        ],
        [
            "an “upcoming 2.6B” model",
            "then right: it came on 2024-07-31 as Gemma 2 2B",
            "06 · 6",
        ],
    ],
}
