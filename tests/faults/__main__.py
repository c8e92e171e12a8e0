"""Inject faults and count what was lost: ``python -m tests.faults --rounds 200``."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import full_disk, kills
from tests.faults.world import World

FAMILIES = {"kills": kills, "full_disk": full_disk}
SHORT_ROUNDS = 30


def main(argv: list[str] | None = None) -> int:
    """Run the chosen families; 1 if anything was lost or any fault did not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="faults per family (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--short", action="store_true", help=f"{SHORT_ROUNDS} faults per family")
    options = parser.parse_args(argv)
    # Results must not depend on the number of cores; the scripts are started with this.
    os.environ["OMP_NUM_THREADS"] = "1"
    rounds = SHORT_ROUNDS if options.short else options.rounds
    count = bad = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as root:
        started = time.monotonic()
        world = World(Path(root, "world"))
        print(f"undisturbed runs of all scripts: {time.monotonic() - started:.1f} s", flush=True)
        for name in options.families:
            folder = Path(root, name)
            folder.mkdir()
            started = time.monotonic()
            faults = []
            for fault in FAMILIES[name].faults(world, rounds, options.seed, folder):
                faults.append(fault)
                if fault.problems:
                    print(f"  {name}: {fault.case}: {'; '.join(fault.problems)}", flush=True)
            count, bad = count + len(faults), bad + sum(bool(fault.problems) for fault in faults)
            print(f"{name:12} {_summary(faults)}, {time.monotonic() - started:6.1f} s", flush=True)
    print(f"in all       {count:5} faults, {count - bad:5} survived")
    return int(bad > 0)


def _summary(faults: list[kills.Fault]) -> str:
    problems = [len(fault.problems) for fault in faults]
    survived = problems.count(0)
    return f"{len(faults):5} faults, {survived:5} survived, {sum(problems):3} lost items"


if __name__ == "__main__":
    sys.exit(main())
