"""`python -m gemma_lab`: what this machine can run, which profile it gets, and why."""

from gemma_lab import catalog, hardware, loading

PRECISIONS = ("fp32", "bf16", "int8", "nf4")


def main() -> None:
    """Print the machine, the profile and a table: which Gemma fits in which precision."""
    machine = hardware.describe_machine()
    profile = loading.current_profile()
    print(f"Machine: {machine.describe()}")
    print(f"Profile: {profile.name}. {profile.reason}\n")
    print(f"{'GiB needed for inference':28}" + "".join(f"{precision:>10}" for precision in PRECISIONS))
    for hub_id, info in catalog.CATALOG.items():
        fits = [catalog.fit(info, precision, machine) for precision in PRECISIONS]
        cells = "".join(f"{fit.needed_gib:8.1f}{' ✓' if fit.fits else ' –'}" for fit in fits)
        print(f"{hub_id:28}{cells}")
    print(f"\n✓ fits into the {machine.memory_gib:.0f} GiB of this machine, – does not.")


if __name__ == "__main__":
    main()
