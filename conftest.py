"""What every test and its notebook kernels get: the pocket profile, no Hub, no token of yours."""

import os
import tempfile

import pytest

_home = tempfile.TemporaryDirectory(prefix="gemma-course-")
os.environ.update(
    GEMMA_LAB_PROFILE="pocket",
    HF_HOME=_home.name,
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
)
for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH"):
    os.environ.pop(name, None)


def pytest_itemcollected(item):
    """A random order is one of tests: the cells of a notebook stay in theirs."""
    if item.path.suffix == ".ipynb":
        item.add_marker(pytest.mark.random_order(disabled=True))
