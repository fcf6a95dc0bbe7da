"""The profile of this kernel, and the checkpoint that it gives for a model."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from gemma_lab import access, catalog, hardware, tokens

CHECKPOINTS = Path(__file__).with_name("checkpoints")
PROFILES = ("auto", "pocket", "hub", "mirror")
FIRST_MODEL = "google/gemma-2b-it"  # the repository whose access decides the profile
TERMS = "Gemma Terms of Use"


class ProfileError(ValueError):
    """No such profile, or no stand-in for a model; Jupyter shows the message without traceback."""

    _render_traceback_ = access.AccessError._render_traceback_


@dataclass(frozen=True)
class Profile:
    """The name, "pocket" or "hub", and the sentence that says why."""

    name: str
    reason: str
    uses_mirror: bool = False


def choose_profile(
    requested: str, machine: hardware.Machine, found: access.Access | None
) -> Profile:
    """The profile for the one of `PROFILES` that was `requested`, this machine and this access.

    Raises: ProfileError for another word; AccessError, with what to do, where hub is refused.
    """
    if requested not in PROFILES:
        names = ", ".join(PROFILES)
        raise ProfileError(f"GEMMA_LAB_PROFILE must be one of {names}, not {requested!r}.")
    if requested == "pocket":
        return Profile("pocket", "GEMMA_LAB_PROFILE asks for it.")
    if requested == "mirror":
        reason = f"From public copies of Google's checkpoints; the {TERMS} apply."
        return Profile("hub", reason, uses_mirror=True)
    if requested == "auto" and machine.device != "cuda":
        return Profile("pocket", "There is no NVIDIA GPU here.")
    if found.status == "ok":
        return Profile("hub", "The Hub grants access to Google's checkpoints.")
    if requested == "auto":
        reason = found.advice
        if found.status in ("no-token", "bad-token", "licence"):
            copies = f"public copies by Unsloth, under the same {TERMS}."
            reason += f" Or set GEMMA_LAB_PROFILE to mirror: {copies}"
        return Profile("pocket", reason)
    if found.status == "no-network":
        kept = "Models downloaded before still load."
        return Profile("hub", f"GEMMA_LAB_PROFILE asks for it. {found.advice} {kept}")
    raise access.AccessError(found.advice)


@dataclass
class _State:
    """All that this module remembers, for each GEMMA_LAB_PROFILE and each (repository, token)."""

    chosen: dict = field(default_factory=dict)
    granted: dict = field(default_factory=dict)


_state = _State()


def current_profile(again: bool = False, ask: bool = False) -> Profile:
    """The profile of this kernel, decided once for each GEMMA_LAB_PROFILE.

    Args: again: decide anew, and ask Colab anew; ask: then ask for a token where none is found.
    """
    requested = os.getenv("GEMMA_LAB_PROFILE") or "auto"
    if again:
        _state.chosen.clear()
        tokens.ask_anew()
        if ask:
            tokens.find_token(ask=True)
    if requested not in _state.chosen:
        machine = hardware.describe_machine()
        asks_hub = requested == "hub" or (requested == "auto" and machine.device == "cuda")
        found = _access(FIRST_MODEL) if asks_hub else None
        _state.chosen[requested] = choose_profile(requested, machine, found)
    return _state.chosen[requested]


def forget() -> None:
    """Clears all: the next profile is decided, and access asked for, as if for the first time."""
    _state.__init__()


def _access(repo_id: str, is_public: bool = False) -> access.Access:
    """The Hub's answer to the token found now. Only a grant is kept: a licence may be accepted."""
    token = tokens.find_token()
    key = repo_id, token and hash(token.value)
    if key not in _state.granted:
        found = access.check_access(repo_id, token)
        if found.status == "bad-token" and is_public:  # refused, and kept from the client by now
            found = access.check_access(repo_id)
        if found.status != "ok":
            return found
        _state.granted[key] = found
    return _state.granted[key]


def checkpoint(hub_id: str, profile: str | None = None) -> str:
    """What to load for `hub_id`: a folder here, or a repository on the Hub. Prints one line.

    Args:
        hub_id: a catalog id such as "google/gemma-2b-it", another repository, or a folder.
        profile: "pocket" or "hub" for this call only; by default that of `current_profile()`.
    Raises:
        ProfileError: pocket profile, and nothing stands in for `hub_id`; or another word.
        AccessError: hub profile, and the Hub refuses; the message says what to do.
    """
    if Path(hub_id).is_dir():
        print(f"{Path(hub_id).name}, a folder on this machine.")
        return str(hub_id)
    if profile not in (None, "pocket", "hub"):
        raise ProfileError(f'profile must be "pocket" or "hub", not {profile!r}.')
    now = current_profile() if profile is None else Profile(profile, "This cell asks for it.")
    info = catalog.known(hub_id)
    if now.name == "pocket":
        return _stand_in(hub_id, info, now)
    asked = (now.uses_mirror and info and info.mirror) or hub_id
    is_copy = info is not None and info.mirror == asked
    found = _access(asked, is_public=now.uses_mirror and is_copy)
    if found.status not in ("ok", "no-network"):
        raise access.AccessError(found.advice)
    original = f", a public copy of {info.hub_id} under the same {TERMS}" if is_copy else ""
    reason = now.reason if found.status == "ok" else found.advice
    print(f"{asked} from the Hugging Face Hub{original}. {reason}")
    return asked


def _stand_in(hub_id: str, info: catalog.ModelInfo | None, now: Profile) -> str:
    """The folder of the pocket model that stands in for `hub_id`; prints whose it is and why."""
    if info is None or info.pocket is None:
        with_one = ", ".join(known for known, entry in catalog.CATALOG.items() if entry.pocket)
        raise ProfileError(f"No pocket model stands in for {hub_id}; there is one for {with_one}.")
    folder = CHECKPOINTS / info.pocket
    if not (folder / "model.safetensors").is_file():
        advice = "is missing from this copy of the course: clone or install it again."
        raise ProfileError(f"{info.pocket} {advice}")
    ours = f"ours, {catalog.find(folder).num_parameters / 1e6:.1f} M parameters"
    print(f"{info.pocket} ({ours}) standing in for {info.hub_id}. {now.reason}")
    return str(folder)
