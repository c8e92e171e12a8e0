"""Inject faults and count what was lost: ``python -m tests.faults --rounds 200``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
from pathlib import Path

FAMILIES = ("kills", "full_disk")
SHORT_ROUNDS = 30


def main(argv: list[str] | None = None) -> int:
    """Run the chosen families; 1 if anything was lost or any fault did not end well."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="faults per family (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--short", action="store_true", help=f"{SHORT_ROUNDS} faults per family")
    options = parser.parse_args(argv)
    # Results must not depend on the number of cores; set before torch is loaded in any process.
    os.environ["OMP_NUM_THREADS"] = "1"
    rounds = SHORT_ROUNDS if options.short else options.rounds
    totals = []
    with tempfile.TemporaryDirectory(prefix="faults-") as root:
        for name in options.families:
            folder = Path(root, name)
            folder.mkdir()
            family = importlib.import_module(f"tests.faults.{name}")
            started, outcomes = time.monotonic(), []
            for outcome in family.faults(rounds, options.seed, folder):
                outcomes.append(outcome)
                if not outcome.survived:
                    print(f"  {name}: {outcome.case}: {outcome.detail}", flush=True)
            survived = sum(outcome.survived for outcome in outcomes)
            lost = sum(outcome.lost for outcome in outcomes)
            totals.append((len(outcomes), survived, lost))
            seconds = time.monotonic() - started
            print(
                f"{name:12} {len(outcomes):5} faults, {survived:5} survived, {lost:3} lost items, "
                f"{seconds:6.1f} s",
                flush=True,
            )
    count, survived, lost = (sum(column) for column in zip(*totals, strict=True)) if totals else (0, 0, 0)
    print(f"in all       {count:5} faults, {survived:5} survived, {lost:3} lost items")
    return 0 if survived == count and lost == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
