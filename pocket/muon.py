"""Muon whose arithmetic is float32: torch's rounds to bfloat16, which is slow where a CPU lacks it.

Measured on such a CPU: for a step of `shield` 10.5 s of 12 were spent in torch's.
"""

from unittest import mock

import torch


def orthogonalized(matrix, coefficients: tuple, steps: int, eps: float) -> torch.Tensor:
    """A matrix of the same singular vectors whose singular values are near 1, in float32.

    With a, b, c the coefficients, each step makes x to a x + b x^3 + c x^5 of a singular value x.
    Args: matrix: (m, n); eps: the least that it is divided by.
    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
    """
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    found = (matrix.T if is_tall else matrix).float()
    found = found / found.norm().clamp(min=eps)
    for _ in range(steps):
        gram = found @ found.T
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.T if is_tall else found


class Float32Muon(torch.optim.Muon):
    """torch's Muon, but for the arithmetic of `orthogonalized`."""

    def step(self, closure=None):
        with mock.patch("torch.optim._muon._zeropower_via_newtonschulz", orthogonalized):
            return super().step(closure)
