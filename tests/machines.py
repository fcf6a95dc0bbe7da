"""Described machines beside those of gemma_lab.hardware.

GiB as torch reports them. Sources: Kaggle/docker-python issue 1546 for the P100 (the name, and that
torch cannot use it), Robbyant/lingbot-map issue 73 for a laptop card of 4 GB, ESRSchao/EdgeRegNet
issue 2 for one of 8 GB; NVIDIA's table of compute capabilities. Kaggle gives 2 T4, 4 cores, 31 GiB.
"""

from dataclasses import replace

from gemma_lab.hardware import T4, Machine, why_unused

L4 = Machine("Linux", True, 12, 53, "cuda", "NVIDIA L4", 22.2, (8, 9), 1)
H100 = Machine("Linux", False, 26, 200, "cuda", "NVIDIA H100 80GB HBM3", 79.1, (9, 0), 1)
TWO_T4 = replace(T4, is_colab=False, is_kaggle=True, num_cores=4, ram_gib=31, gpu_count=2)
CARD_4_GB = Machine("Linux", False, 12, 16, "cuda", "NVIDIA RTX A500 Laptop GPU", 3.68, (8, 6), 1)
CARD_8_GB = Machine(
    "Linux", False, 16, 16, "cuda", "NVIDIA GeForce RTX 4060 Laptop GPU", 7.75, (8, 9), 1
)
CARD_2_GB = replace(CARD_4_GB, gpu_name="NVIDIA GeForce MX570", gpu_gib=1.95)
# Cards that torch cannot use, so the CPU is what is used: too old, too new, and as a driver says.
P100 = Machine("Linux", False, 4, 31, "cpu", "Tesla P100-PCIE-16GB", 15.89, (6, 0), 1)
P100 = replace(P100, is_kaggle=True, why_unused=why_unused((6, 0), []))
GTX_1060 = Machine("Linux", False, 8, 16, "cpu", "NVIDIA GeForce GTX 1060 6GB", 5.93, (6, 1), 1)
GTX_1060 = replace(GTX_1060, why_unused=why_unused((6, 1), []))
RTX_5090 = Machine("Linux", False, 16, 64, "cpu", "NVIDIA GeForce RTX 5090", 31.4, (12, 0), 1)
RTX_5090 = replace(RTX_5090, why_unused=why_unused((12, 0), ["sm_80", "sm_90"]))
MAC = Machine("Darwin", False, 8, 16, "mps")
LAPTOP = Machine("Linux", False, 4, 8, "cpu")
