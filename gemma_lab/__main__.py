"""`python -m gemma_lab`: what this machine can run, which profile it gets, and why."""

import sys

from gemma_lab import access, catalog, hardware, loading, profile
from gemma_lab.memory import PRECISIONS


def main() -> None:
    """Print the machine, the profile and a table: which Gemma fits in which precision."""
    machine = hardware.describe_machine()
    chosen = profile.current_profile()
    print(f"Machine: {machine.describe()}")
    print(f"Profile: {chosen.name}. {chosen.reason}\n")
    print(f"{'GiB needed for inference':26}" + "".join(f"{name:>14}" for name in PRECISIONS))
    for hub_id in catalog.CATALOG:
        plans = [loading.plan_loading(hub_id, precision, machine) for precision in PRECISIONS]
        cells = [f"{plan.needed_gib:9.1f} {'fits' if plan.fits else '-':4}" for plan in plans]
        print(f"{hub_id:26}{''.join(cells)}")
    print(f"\nThis machine has {machine.free_gib:.1f} GiB free for them.")


if __name__ == "__main__":
    try:
        main()
    except (profile.ProfileError, access.AccessError) as error:
        sys.exit(str(error))
