"""Helpers of the Gemma course: thin, lazy, and free of hard dependencies.

`import gemma_lab` imports neither torch nor transformers. A name is loaded from its module when it is first used,
because Unsloth has to be imported before transformers, trl and peft.
"""

from importlib import import_module

__version__ = "0.1.0"

_HOME = {
    "hardware": ("Machine", "describe_machine"),
    "access": ("find_token", "check_access"),
    "catalog": ("CATALOG", "lookup", "weight_bytes", "kv_cache_bytes", "fit"),
    "loading": ("checkpoint", "current_profile", "plan_loading", "attention_implementations", "portable_4bit"),
    "start": ("setup",),
    "finetune": ("lora_backend",),
}
_MODULES = (
    "access", "catalog", "check", "check_model", "diagrams", "figures", "finetune", "hardware", "loading", "measure", "model",
    "start", "widgets",
)  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = list(_MODULE_OF)


def __getattr__(name: str):
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"gemma_lab has no {name!r}; it has {', '.join(__all__)}")


def __dir__():
    return sorted([*__all__, *_MODULES, "__version__"])
