"""A notebook's first cell: installs what is missing, looks at the machine, chooses the profile."""

from __future__ import annotations

import logging
import os

from gemma_lab import gemma3, hardware, install, profile

# Loggers that repeat in every layer what nobody can act on: a missing speed-up, a cast of int8.
NOISY = ("bitsandbytes.backends.cpu.ops", "bitsandbytes.autograd._functions", "torchao")


def setup(*packages: str, ask: bool = False) -> str:
    """The profile, "pocket", "laptop" or "hub", of a kernel made ready. Prints three lines.

    On Colab and Kaggle it installs Google's Gemma 3 270M where there is no access to larger ones,
    and says so in a fourth.

    Args:
        packages: names from requirements.txt that the notebook needs; missing ones are installed.
        ask: ask for a Hugging Face token when none is found; the input is hidden.
    Raises:
        SetupError: a package is too old, or requirements.txt does not list it; the installation
            failed, or moved what was loaded.
        ProfileError, AccessError: GEMMA_LAB_PROFILE holds another word; hub, which is refused.
    """
    # Read once, by torch's threads: how long each waits awake. Longer costs a busy machine half.
    os.environ.setdefault("GOMP_SPINCOUNT", "5000")
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    missing = install.missing_requirements(packages)
    if old := install.too_old(packages):
        raise install.SetupError(old)
    if missing:
        install.install(missing)
    names = dict.fromkeys(("torch", "transformers", *packages))
    state = ", ".join(f"{name} {install.version(name)}" for name in names)
    new = f" (installed now: {', '.join(r.name for r in missing)})" if missing else ""
    print(f"Packages: {state}{new}")
    if moved := install.moved_after_import():
        where = " (Runtime, Restart session)" if hardware.is_colab() else ""
        raise install.SetupError(
            f"Restart the kernel{where} and run this cell again: {', '.join(moved)} changed on "
            "disk after this kernel had loaded another version."
        )
    print(f"Machine:  {hardware.describe_machine().describe()}")
    chosen = profile.current_profile(again=True, ask=ask)
    wants_270m = profile.requested_profile() in ("auto", "laptop")
    if chosen.name == "pocket" and wants_270m and hardware.is_hosted():
        chosen = _with_270m(chosen)
    print(f"Profile:  {chosen.name}. {chosen.reason}")
    if chosen.name != "hub":  # nothing is downloaded: progress bars would only be noise
        os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
        os.environ["HF_DATASETS_DISABLE_PROGRESS_BARS"] = "1"
    return chosen.name


def _with_270m(chosen: profile.Profile) -> profile.Profile:
    """The profile after Gemma 3 270M is installed and converted, or as it was if that fails."""
    print(f"Gemma:    Google's Gemma 3 270M, {gemma3.COST}, under {gemma3.TERMS}.")
    try:
        install.install(install.pins("gemma").values())
        gemma3.convert()
    except install.SetupError as error:
        return profile.Profile(chosen.name, f"Google's Gemma 3 270M is not here. {error}")
    return profile.current_profile()
