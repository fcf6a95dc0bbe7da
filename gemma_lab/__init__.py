"""Helpers of the Gemma course: thin, lazy, and free of hard dependencies.

`import gemma_lab` imports neither torch nor transformers. A name is loaded from its module when it
is first used, because Unsloth has to be imported before transformers, trl and peft.
"""

from importlib import import_module
from importlib.util import find_spec

__version__ = "0.1.0"

_HOME = {
    "hardware": ("Machine", "describe_machine"),
    "tokens": ("find_token",),
    "access": ("check_access",),
    "catalog": ("CATALOG", "find"),
    "memory": ("weight_bytes", "kv_cache_bytes", "needed_gib"),
    "profile": ("checkpoint", "current_profile", "main_model"),
    "loading": ("plan_loading", "attention_implementations", "portable_4bit"),
    "start": ("setup",),
}
MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = list(MODULE_OF)


def __getattr__(name: str):
    if find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    if name in MODULE_OF:
        return getattr(import_module(f"{__name__}.{MODULE_OF[name]}"), name)
    raise AttributeError(f"gemma_lab has no {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return sorted([*__all__, "__version__"])
