"""What makes one pocket model differ from the others: each file of `recipes/` holds a `Recipe`."""

from dataclasses import dataclass, field
from pathlib import Path

from gemma_lab.profile import CHECKPOINTS, FAMILY

WIDTHS = ("hidden_size", "intermediate_size")
Kinds = dict  # a function that writes one kind of document -> its share


class TrainingError(ValueError):
    """What was trained so far is not what is needed; the message says what to do."""


@dataclass(frozen=True)
class Recipe:
    """A pocket model: what it stands for, its sizes, and how it is trained, measured and drawn."""

    name: str  # of the command; the shipped folder has "pocket-" before it
    stands_for: str | None  # a model of Google's, by its id on the Hub
    sizes: dict  # in the names of transformers' configuration of the family
    steps: int
    mixes: dict[int, Kinds]  # the mix of documents, by the step from which on it holds
    fresh_kinds: Kinds  # its perplexity is measured on fresh documents of this mix
    family: str = "gemma"  # transformers' model_type
    rises: dict[int, float] = field(default_factory=dict)  # the steps at which the learning rate
    # rises again, and what a fall from the peak is multiplied by from there on
    begins_from: "Recipe | None" = None  # whose trained weights it goes on from; None: from nothing
    begins_shipped: bool = False  # from its shipped weights, which are not trained anew for it
    is_chat: bool = True  # a chat model is asked questions; a base model continues texts
    is_code: bool = False  # it reads Python, and is asked to fill holes
    is_sight: bool = False  # it looks at pictures
    is_judge: bool = False  # it reads a text and a rule, and says Yes or No
    is_family: bool = False  # its weights stay outside the wheel, and are fetched where they lack
    is_fine_tuned: bool = False  # its card also says what Codelab 2's fine-tuning does to it
    snapshots: tuple[int, ...] = ()  # steps whose weights are shipped too: a model to be watched
    averages: tuple[int, ...] = ()  # steps, the last among them, whose weights' mean is the model
    rows: int | None = None  # of 256 tokens, that a step sees; None: as many as train.ROWS
    colour: str | None = None  # of its line in curves.svg, a name in gemma_lab.figures; None: no
    # line, or that of another model, which begins from this one

    def __post_init__(self):
        odd = {name: self.sizes[name] for name in WIDTHS if self.sizes[name] % 64}
        if odd or "head_dim" in self.sizes:
            raise ValueError(
                f"{self.name}: widths are multiples of 64, as 4-bit blocks are, and head_dim is 64 "
                f"for all pocket models; not {odd or self.sizes['head_dim']}."
            )

    @property
    def shipped_name(self) -> str:
        """The name of its folder."""
        return f"pocket-{self.name}"

    @property
    def shipped_folder(self) -> Path:
        """Its folder: in gemma_lab/checkpoints or, of the family, in pocket/family."""
        return (FAMILY if self.is_family else CHECKPOINTS) / self.shipped_name

    def config(self):
        """A new configuration: these sizes, and what all pocket models have in common."""
        from transformers import AutoConfig

        from pocket import see, tokenizer

        if self.is_sight:
            return see.config(self.sizes)
        return AutoConfig.for_model(
            self.family,
            vocab_size=tokenizer.CODE_VOCAB_SIZE if self.is_code else tokenizer.VOCAB_SIZE,
            head_dim=64,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            hidden_activation="gelu_pytorch_tanh",
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
            **self.sizes,
        )
