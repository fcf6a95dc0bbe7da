"""Described machines beside those of gemma_lab.hardware."""

from gemma_lab.hardware import Machine

L4 = Machine("Linux", True, 12, 53, "cuda", "NVIDIA L4", 22.2, (8, 9), 1)
H100 = Machine("Linux", False, 26, 200, "cuda", "NVIDIA H100 80GB HBM3", 79.1, (9, 0), 1)
MAC = Machine("Darwin", False, 8, 16, "mps")
LAPTOP = Machine("Linux", False, 4, 8, "cpu")
