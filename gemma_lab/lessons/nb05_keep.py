"""Notebook 05, "Keep it": an adapter that others can load, on the right base, and on the Hub."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import torch

from gemma_lab import access, catalog, finetune, profile, scores, tokens

CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "README.md"


def base_name(path: str | Path, model: str) -> str:
    """The name under which others find the base: never a path of this machine.

    Args:
        path: what was loaded, from `checkpoint(model)`.
        model: the id that was asked for; a folder's or a pocket model's own name takes its place.
    """
    is_ours = Path(path).parent in profile.pocket_homes()
    return Path(path).name if is_ours or Path(model).is_dir() else model


def save(model, folder: str | Path, base: str) -> Path:
    """The folder that now holds the adapter of a PEFT model, and names its base as others know it.

    PEFT writes the path that the base was loaded from into two files. The one gets `base` instead;
    the other, its card, is for `write_card` to write.
    Raises: ValueError for a folder that holds an adapter already.
    """
    folder = Path(folder)
    if (folder / CONFIG).exists():
        raise ValueError(
            f"{folder} holds an adapter already: write another name, such as adapter-2."
        )
    model.save_pretrained(folder)
    config = config_of(folder) | {"base_model_name_or_path": base}
    (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    (folder / CARD).unlink(missing_ok=True)
    return folder


def config_of(folder: str | Path) -> dict:
    """What a saved adapter's adapter_config.json says. Raises: ValueError where there is none."""
    if not all(Path(folder, name).is_file() for name in (CONFIG, WEIGHTS)):
        raise ValueError(f"{folder} holds no adapter: it needs {CONFIG} and {WEIGHTS}.")
    with contextlib.suppress(ValueError):  # of JSON, or of another encoding
        config = json.loads(Path(folder, CONFIG).read_text(encoding="utf-8"))
        if isinstance(config, dict):
            return config
    raise ValueError(f"{folder}/{CONFIG} is damaged: save the adapter again, in a new folder.")


def is_pocket(base: str) -> bool:
    """Whether that is the name, not the path, of one of this course's own small models."""
    configs = [home / base / "config.json" for home in profile.pocket_homes()]
    return base == Path(base).name and any(config.is_file() for config in configs)


def check_base(folder: str | Path, base: str, path: str | Path) -> None:
    """Says no to an adapter that was made for another base. It reads names and sizes, no weights.

    Args: base: the name of the model at hand, by `base_name`; path: what it is loaded from.
    Raises: ValueError, in one sentence, where names that this course knows, or the sizes, differ.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM

    made_for = config_of(folder).get("base_model_name_or_path") or "another model"
    names = [_known(made_for), _known(base)]
    if all(names) and names[0] != names[1]:
        raise ValueError(
            f"This adapter was made for {made_for}, not for {base}: load {made_for} instead."
        )
    with torch.device("meta"):  # sizes without numbers
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
        model = PeftModel(model, PeftConfig.from_pretrained(folder))
    here = get_peft_model_state_dict(model, save_embedding_layers=False)
    wanted = {name: list(weight.shape) for name, weight in here.items() if "lora_" in name}
    with safe_open(Path(folder, WEIGHTS), framework="pt") as file:
        names = [name for name in file.keys() if "lora_" in name]
        found = {name: file.get_slice(name).get_shape() for name in names}
    if found != wanted:
        raise ValueError(
            f"This adapter was made for {made_for}: the layers of {base} have other sizes."
        )


def _known(name: str) -> str | None:
    """Google's name for a model or its mirror, or a pocket model's; None for all others."""
    info = catalog.known(name)
    return info.hub_id if info else name if is_pocket(name) else None


def response_scores(model, tokenizer, rows: list[dict]) -> scores.Scores:
    """What `model` thinks of each token of the right responses, the end included.

    The log of its perplexity is the held-out loss.
    """
    found = scores.Scores([], [])
    for row in rows:
        ids, start = finetune.encode(row, tokenizer)
        found.log_probs.append(scores.log_probs(model, ids, start))
        found.targets.append(ids[0, start:])
    return found


def push(folder: str | Path, repo: str) -> str:
    """The address of the private repository that now holds the adapter and its card.

    Raises: AccessError, one sentence on what to do: no token, one that may not write, no Hub.
    """
    import httpx
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    token, make_one = tokens.find_token(), f"make a Write token at {tokens.TOKEN_PAGE}"
    if token is None:
        raise access.AccessError(f"No token was found: {make_one} and set it as HF_TOKEN.")
    answers = {
        401: f"The Hub refused {token}: {make_one}.",
        403: f"The Hub does not let {token} write to {repo}: {make_one}, for a name of your own.",
    }
    hub, files = HfApi(token=token.value), [CONFIG, WEIGHTS, CARD]
    try:
        made = hub.create_repo(repo, private=True, exist_ok=True)
        hub.upload_folder(folder_path=folder, repo_id=made.repo_id, allow_patterns=files)
    except HfHubHTTPError as error:
        status = error.response.status_code
        other = f"The Hub answered with an error ({status}): wait a minute, then try again."
        raise access.AccessError(answers.get(status, other)) from None
    except HFValidationError:
        raise access.AccessError(f"{repo!r} is no name: write your-name/health-cards.") from None
    except (httpx.HTTPError, ConnectionError):
        raise access.AccessError("The Hub does not answer: check the network.") from None
    return str(made)
