"""A course installed without the family's weights, and a tiny model of the family that GitHub has.

Its weights are no weights: what counts are the bytes that arrive.
"""

import dataclasses
import hashlib
from pathlib import Path

from gemma_lab import __version__, catalog, download, profile

NAME, HUB_ID, REPOSITORY = "pocket-code", "google/codegemma-2b", "learner/gemma-course"
PLACE = f"{REPOSITORY}/v{__version__}/pocket/family/{NAME}"  # in GitHub's address of a file
FILES = {
    "config.json": (profile.CHECKPOINTS / "pocket-small" / "config.json").read_bytes(),
    "model.safetensors": bytes(range(256)) * 2000,
    "tokenizer.json": b'{"version": "1.0"}',
}
ROW = {
    "stands_for": HUB_ID,
    "files": {
        name: [len(content), hashlib.sha256(content).hexdigest()] for name, content in FILES.items()
    },
}


def publish(root: Path) -> None:
    """Makes the files that a server with this root answers with."""
    (root / PLACE).mkdir(parents=True)
    for name, content in FILES.items():
        (root / PLACE / name).write_bytes(content)


def leave_out(url: str, repository: str = REPOSITORY, change=setattr) -> None:
    """Makes this process one whose course lacks the family, and knows it by its table alone.

    Args: url: of the server in GitHub's place; change: `monkeypatch.setattr`, to put all back.
    """
    info = dataclasses.replace(catalog.known(HUB_ID), pocket=NAME)
    change(catalog, "POCKETS", catalog.POCKETS | {NAME: ROW})
    change(catalog, "_TABLE", catalog._TABLE | {HUB_ID: info})
    change(profile, "FAMILY", Path("nowhere"))
    change(download, "RAW", url)
    change(download, "_repository", lambda: repository)
