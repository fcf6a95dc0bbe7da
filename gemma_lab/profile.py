"""The profile of this kernel, and the checkpoint that it gives for a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gemma_lab import access, catalog, download, gemma3, hardware, install, memory, tokens

CHECKPOINTS = Path(__file__).with_name("checkpoints")
FAMILY = CHECKPOINTS.parents[1] / "pocket" / "family"  # in a clone alone: no wheel, no archive
PROFILES = ("auto", "pocket", "laptop", "hub", "mirror")
FIRST_MODEL = "google/gemma-2b-it"  # the repository whose access decides the profile
TERMS = "Gemma Terms of Use"
MEANWHILE = "Meanwhile, `%env GEMMA_LAB_PROFILE=laptop` and the set-up cell give a smaller model."


class ProfileError(catalog.ModelError):
    """No such profile, or no stand-in for a model."""


@dataclass(frozen=True)
class Profile:
    """The name, "pocket", "laptop" or "hub", and the sentence that says why."""

    name: str
    reason: str
    uses_mirror: bool = False


def choose_profile(
    requested: str, machine: hardware.Machine, found: access.Access | None, has_270m: bool = False
) -> Profile:
    """The profile for the one of `PROFILES` that was `requested`, this machine and this access.

    Args: has_270m: whether Google's Gemma 3 270M is here, or the packages that hold it.
    Raises: ProfileError for another word; AccessError, with what to do, where hub is refused.
    """
    if requested not in PROFILES:
        names = ", ".join(PROFILES)
        raise ProfileError(f"GEMMA_LAB_PROFILE must be one of {names}, not {requested!r}.")
    asked, here = "GEMMA_LAB_PROFILE asks for it.", "Google's Gemma 3 270M is here."
    second, why = ("laptop", here) if has_270m else ("pocket", gemma3.MISSING)
    if requested == "pocket" or (requested == "laptop" and has_270m):
        return Profile(requested, asked)
    if requested == "laptop":
        return Profile("pocket", f"GEMMA_LAB_PROFILE asks for laptop. {why}")
    if requested == "mirror":
        reason = f"From public copies of Google's checkpoints; the {TERMS} apply."
        return Profile("hub", reason, uses_mirror=True)
    if requested == "auto" and machine.device != "cuda":
        return Profile(second, f"There is no NVIDIA GPU to use. {why}")
    if requested == "auto":  # by its weights: a plan would import transformers, before Unsloth
        needed = memory.weight_bytes(catalog.CATALOG[FIRST_MODEL], "nf4") / hardware.GIB
        needed += memory.WORKING_GIB
        if machine.gpu_gib < needed:
            has = f"{machine.gpu_name} has {machine.gpu_gib:.1f}"
            return Profile(second, f"{FIRST_MODEL} in 4 bits needs {needed:.1f} GiB; {has}. {why}")
    if found.status == "ok":
        return Profile("hub", "The Hub grants access to Google's checkpoints.")
    if requested == "auto":
        reason = f"{found.advice} {why}"
        if found.status in ("no-token", "bad-token", "licence"):
            copies = f"public copies by Unsloth, under the same {TERMS}."
            reason += f" Or set GEMMA_LAB_PROFILE to mirror: {copies}"
        return Profile(second, reason)
    if found.status == "no-network":
        return Profile("hub", f"{asked} {found.advice} Models downloaded before still load.")
    raise access.AccessError(found.advice)


# All that this module remembers: profiles by GEMMA_LAB_PROFILE, grants by repository and token.
_chosen, _granted = {}, {}


def requested_profile() -> str:
    """The word in GEMMA_LAB_PROFILE, in small letters; "auto" where there is none."""
    return hardware.setting("GEMMA_LAB_PROFILE").lower() or "auto"


def current_profile(again: bool = False, ask: bool = False) -> Profile:
    """The profile of this kernel, decided once for each GEMMA_LAB_PROFILE.

    Args: again: decide anew, and ask Colab anew; ask: then ask for a token where none is found.
    """
    requested = requested_profile()
    if again:
        _chosen.clear()
        tokens.ask_anew()
        if ask:
            tokens.find_token(ask=True)
    has_270m = gemma3.is_here()  # a set-up may have brought it since
    if (requested, has_270m) not in _chosen:
        machine = hardware.describe_machine()
        asks_hub = requested == "hub" or (requested == "auto" and machine.device == "cuda")
        found = _access(FIRST_MODEL) if asks_hub else None
        _chosen[requested, has_270m] = choose_profile(requested, machine, found, has_270m)
    return _chosen[requested, has_270m]


def main_model() -> str:
    """The id of a codelab's main model: Gemma 3 270M in laptop, elsewhere Gemma 2B-it.

    In pocket, pocket-small-it stands in for the latter.
    """
    return gemma3.HUB_ID if current_profile().name == "laptop" else FIRST_MODEL


def forget() -> None:
    """Clears all: the next profile is decided, and access asked for, as if for the first time."""
    _chosen.clear()
    _granted.clear()


def _access(repo_id: str, is_public: bool = False) -> access.Access:
    """The Hub's answer to the token found now. Only a grant is kept: a licence may be accepted."""
    token = tokens.find_token()
    key = repo_id, token and hash(token.value)
    if key not in _granted:
        found = access.check_access(repo_id, token)
        if found.status == "bad-token" and is_public:  # refused, and kept from the client by now
            found = access.check_access(repo_id)
        if found.status != "ok":
            return found
        _granted[key] = found
    return _granted[key]


def checkpoint(hub_id: str, profile: str | None = None) -> str:
    """What to load for `hub_id`: a folder here, or a repository on the Hub. Prints one line.

    In the profiles pocket and laptop our pocket models stand in for Google's, but for Gemma 3 270M
    in laptop: that is Google's own.
    Args:
        hub_id: a catalog id such as "google/gemma-2b-it", another repository, or a folder.
        profile: "pocket", "laptop" or "hub" for this call only; by default `current_profile()`.
    Raises:
        ProfileError: pocket or laptop profile, nothing stands in for `hub_id`; or another word.
        AccessError: hub profile, and the Hub refuses, or (DownloadError) it does not arrive whole.
        ModelError: a folder that holds no checkpoint.
    """
    if hub_id and Path(hub_id).is_dir():  # transformers prefers it to a repository, too
        catalog.read_config(f"{hub_id} (a folder here)", Path(hub_id, "config.json"))
        print(f"{Path(hub_id).name}, a folder on this machine.")
        return str(hub_id)
    if profile not in (None, "pocket", "laptop", "hub"):
        raise ProfileError(f'profile must be "pocket", "laptop" or "hub", not {profile!r}.')
    now = current_profile() if profile is None else Profile(profile, "This cell asks for it.")
    info = catalog.known(hub_id)
    if info and info.hub_id == gemma3.HUB_ID:
        return _real_gemma(info, now)
    if now.name != "hub":
        return _stand_in(hub_id, info, now)
    try:
        return _from_hub((now.uses_mirror and info and info.mirror) or hub_id, info, now)
    except download.DownloadError as error:
        if profile or hub_id != FIRST_MODEL:
            raise
        raise download.DownloadError(f"{error} {MEANWHILE}") from None


def _from_hub(asked: str, info, now: Profile) -> str:
    """What to load for the repository `asked`, whole in the Hub's cache; prints whose it is."""
    is_copy = info is not None and info.mirror == asked
    found = _access(asked, is_public=is_copy)
    if found.status not in ("ok", "no-network"):
        raise access.AccessError(found.advice)
    path = download.fetch(asked, out_of_reach="" if found.status == "ok" else found.advice)
    original = f", a public copy of {info.hub_id} under the same {TERMS}" if is_copy else ""
    if info and info.hub_id == gemma3.HUB_ID:
        original += "" if is_copy else f", under {gemma3.TERMS}"
    reason = now.reason if found.status == "ok" else found.advice
    print(f"{asked} from the Hugging Face Hub{original}. {reason}")
    return path


def _real_gemma(info: catalog.ModelInfo, now: Profile) -> str:
    """Google's Gemma 3 270M from the best source at hand, or what stands in for it.

    These are a copy that was converted before; the Hub, with a token that it accepts; the public
    mirror there; the package, converted now.
    """
    is_here, why, sources = gemma3.is_here(), gemma3.MISSING, [info.mirror]
    if now.name == "pocket":
        why = "The profile laptop gives Google's own." if is_here else why
        why = now.reason if why in now.reason else f"{now.reason} {why}"
        return _stand_in(info.hub_id, info, Profile("pocket", why))
    if tokens.find_token() and not now.uses_mirror:
        sources.insert(0, info.hub_id)
    for asked in sources if gemma3.find() is None else ():
        try:
            return _from_hub(asked, info, now)
        except access.AccessError as error:
            why = f"{error} {gemma3.MISSING}"
    try:
        if is_here:
            folder = gemma3.convert()
            print(f"{info.hub_id}: Google's own, under {gemma3.TERMS}; by way of a Q4_K_M file.")
            return str(folder)
    except install.SetupError as error:
        why = str(error)
    return _stand_in(info.hub_id, info, Profile("pocket", why))


def pocket_homes() -> tuple[Path, Path, Path]:
    """Where pocket models lie: in the package, in the clone around it, or fetched in the cache."""
    return CHECKPOINTS, FAMILY, gemma3.cache_folder() / gemma3.FETCHED


def pocket_folder(name: str) -> Path:
    """The folder of a pocket model, which is fetched where the course was installed without it.

    Raises: ProfileError: this copy of the course lacks it; DownloadError: it cannot be fetched.
    """
    *shipped, fetched = pocket_homes()
    for home in shipped:
        if (home / name / "model.safetensors").is_file():
            return home / name
    if files := catalog.POCKETS.get(name, {}).get("files"):
        return download.fetch_pocket(fetched / name, files)
    raise ProfileError(
        f"{name} is missing from this copy of the course: clone or install it again."
    )


def _stand_in(hub_id: str, info: catalog.ModelInfo | None, now: Profile) -> str:
    """The folder of the pocket model that stands in for `hub_id`; prints whose it is and why."""
    if info is None or info.pocket is None:
        models = catalog.CATALOG | catalog.VARIANTS
        with_one = ", ".join(known for known, entry in models.items() if entry.pocket)
        raise ProfileError(f"No pocket model stands in for {hub_id}; there is one for {with_one}.")
    folder = pocket_folder(info.pocket)
    ours = f"ours, {catalog.find(folder).num_parameters / 1e6:.1f} M parameters"
    print(f"{info.pocket} ({ours}) standing in for {info.hub_id}. {now.reason}")
    return str(folder)
