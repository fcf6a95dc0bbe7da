"""A 5-gram model, the yardstick that a neural model has to beat on the same text.

Interpolated with Witten-Bell smoothing (Chen and Goodman 1998, "An empirical study of smoothing
techniques for language modeling", section 2.6): the more different tokens followed a context, the
more weight the shorter context gets.
"""

import collections

ORDER = 5


class NGram:
    """Counts of token sequences; `prob` gives the probability of a token after a context."""

    def __init__(self, vocab_size: int):
        self.vocab_size = vocab_size
        self.followers = collections.defaultdict(
            collections.Counter
        )  # context -> counts of the next token

    def add(self, ids: list[int]) -> None:
        """Count a document."""
        for at, token in enumerate(ids):
            for length in range(min(ORDER - 1, at) + 1):
                self.followers[tuple(ids[at - length : at])][token] += 1

    def prob(self, token: int, context: list[int]) -> float:
        """P(token | the last four tokens of `context`)."""
        found = 1 / self.vocab_size
        for length in range(min(ORDER - 1, len(context)) + 1):
            counts = self.followers.get(tuple(context[len(context) - length :]))
            if counts is None:
                break
            found = (counts[token] + len(counts) * found) / (counts.total() + len(counts))
        return found
