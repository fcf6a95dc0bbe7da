"""The optimizers of a training; Muon in float32, too: torch's rounds to bfloat16, as few CPUs can.

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


def optimizers_of(model, is_float32: bool = False) -> list:
    """Muon for the weight matrices, AdamW for the embedding table and the norms."""
    kind = Float32Muon if is_float32 else torch.optim.Muon
    learned = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    matrices = [p for name, p in learned if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in learned if p.ndim != 2 or "embed" in name]
    return [
        kind(
            matrices,
            lr=0.02,
            momentum=0.95,
            nesterov=True,
            weight_decay=0.01,
            adjust_lr_fn="original",
        ),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
