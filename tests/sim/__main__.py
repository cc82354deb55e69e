"""``python -m tests.sim``: many seeds, or one of them in full."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from multiprocessing import Pool

import click

from tests.sim.shrink import shrunk
from tests.sim.simulation import Simulation

Outcome = tuple[int, list[str], Counter[str], int]


def hold(seed: int) -> Outcome:
    """Run one seed: (seed, what is wrong, what was injected, events in the record)."""
    sim = Simulation(seed)
    bad = sim.run()
    return seed, bad, sim.injected, len(sim.disk.records)


@click.command()
@click.option("--seeds", type=int, help="How many fresh seeds")
@click.option("--first", type=int, help="The first of them; drawn when it is left out")
@click.option("--seed", type=int, help="Run this one in full, and shrink it when it fails")
@click.option("--jobs", type=int, default=os.cpu_count() or 1, show_default=True)
@click.option("--keep-going", is_flag=True, help="Do not stop at the first failure")
def main(seeds: int | None, first: int | None, seed: int | None, jobs: int, keep_going: bool) -> None:
    """Simulate handoffs with everything that can go wrong; print how many seeds held."""
    if seed is not None:
        sys.exit(_one(seed))
    count = seeds or 200
    first = int.from_bytes(os.urandom(4), "big") if first is None else first
    click.echo(f"seeds {first} to {first + count - 1}")
    began, held, events, failed = time.monotonic(), 0, 0, []
    injected: Counter[str] = Counter()
    with Pool(jobs, maxtasksperchild=500) as pool:
        for number, bad, what, size in pool.imap_unordered(hold, range(first, first + count), chunksize=4):
            injected += what
            events += size
            held += not bad
            if bad:
                failed.append(number)
                click.echo(f"seed {number}: {bad[0][:600]}")
                if not keep_going:
                    break
    took = time.monotonic() - began
    click.echo("injected: " + ", ".join(f"{what} {times}" for what, times in sorted(injected.items())))
    click.echo(f"{held} of {count} seeds held; {events} events, {took:.0f} s")
    if failed and not keep_going:
        _one(failed[0])
    sys.exit(1 if failed else 0)


def _one(seed: int) -> int:
    sim = Simulation(seed)
    bad = sim.run()
    if not bad:
        click.echo(f"seed {seed} holds: {len(sim.disk.records)} events, {sum(sim.injected.values())} faults and orders")
        return 0
    small = shrunk(seed, sim.plan)
    again = Simulation(seed, small)
    found = again.run()
    click.echo("\n".join(again.lines))
    click.echo(f"\nseed {seed} fails: {found[0]}")
    click.echo(f"what it needs, of {len(sim.plan)} faults and orders:")
    for fault in small:
        click.echo(f"  {fault.told()}")
    click.echo(f"again: make simulate SEED={seed}")
    return 1


if __name__ == "__main__":
    main()
