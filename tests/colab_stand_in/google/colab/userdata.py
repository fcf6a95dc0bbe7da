"""As google.colab.userdata: `get`, and the three ways in which it fails."""

import json
import os

from google.colab import errors


class SecretNotFoundError(errors.Error):
    def __init__(self, key):
        super().__init__(f"Secret {key} does not exist.")


class NotebookAccessError(Exception):  # not an Error: that is so on Colab, too
    def __init__(self, key):
        super().__init__(f"Notebook does not have access to secret {key}")


class TimeoutException(errors.Error):
    def __init__(self, key):
        super().__init__(
            f"Requesting secret {key} timed out. "
            "Secrets can only be fetched when running from the Colab UI."
        )


def get(key: str) -> str:
    secrets = json.loads(os.environ.get("COLAB_SECRETS", "{}"))
    if key not in secrets:
        raise SecretNotFoundError(key)
    if secrets[key] == "denied":
        raise NotebookAccessError(key)
    if secrets[key] == "slow":
        raise TimeoutException(key)
    return secrets[key]
