"""As google.colab.ai: an account's models, here from the variable COLAB_MODELS, and one answer."""

import os


def list_models() -> list[str]:
    return os.environ.get("COLAB_MODELS", "").split()


def generate_text(prompt: str, model_name: str = "google/gemini-2.5-flash") -> str:
    if model_name not in list_models():
        raise ValueError(f"{model_name} is not offered")
    return f"{len(prompt)} characters received"
