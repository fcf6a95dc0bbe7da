"""A stand-in for Kaggle's `kaggle_secrets`: its client, and the three ways in which that fails.

Names and messages as in Kaggle/docker-python, patches/kaggle_secrets.py, at 78aaa43. Secrets come
from the variable KAGGLE_SECRETS, a JSON object; without it, the session has no secrets. The word
"offline" as a value is a notebook without Internet.
"""

import json
import os


class CredentialError(Exception):
    pass


class BackendError(Exception):
    pass


class UserSecretsClient:
    def __init__(self):
        if "KAGGLE_SECRETS" not in os.environ:
            raise CredentialError("A JWT Token is required to use the UserSecretsClient")
        self.secrets = json.loads(os.environ["KAGGLE_SECRETS"])

    def get_secret(self, label: str) -> str:
        if label not in self.secrets:  # not there, or not attached to this notebook
            raise BackendError("Unexpected response from the service. Response: …")
        if self.secrets[label] == "offline":
            raise ConnectionError("Connection error trying to communicate with service.")
        return self.secrets[label]
