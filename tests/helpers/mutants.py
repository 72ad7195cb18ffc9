"""Plants mistakes in a module, one at a time, and tells which of them no test finds.

``make mutants MODULE=benchmark/training/losses.py`` changes a copy of the project, which lies in
``build/mutants``. Cosmic Ray makes the mistakes; a fork of this process, which has the libraries
loaded, runs the tests: all files that import the module or name it, or those that are given.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from multiprocessing.pool import ThreadPool
from pathlib import Path
from queue import Queue

import lightgbm  # noqa: F401 (loaded once, not in every fork)
import polars  # noqa: F401
import pytest
import sklearn.metrics  # noqa: F401
import torch  # noqa: F401
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkItem
from statsmodels.stats.proportion import proportion_confint
from tqdm import tqdm

BUILD = Path("build/mutants")
PATIENCE = 600  # seconds; what takes longer is caught, since it would not go unnoticed


@dataclass(frozen=True)
class Outcome:
    """What became of a mistake: ``caught`` by the tests or not; ``change`` is its diff."""

    operator: str
    occurrence: int
    caught: bool
    change: str


def mistakes(module: Path, sample: int | None, seed: int) -> tuple[list[WorkItem], int]:
    """Return the mistakes that can be planted, or a random sample of them, and how many can."""
    with use_db(str(BUILD / "session.sqlite"), WorkDB.Mode.create) as session:
        init([module], session, {})
        known = list(session.work_items)
    drawn = known if sample is None else random.Random(seed).sample(known, min(sample, len(known)))
    return drawn, len(known)


def tests_of(module: Path) -> list[str]:
    """Return the test files that import a module, or have the name of a method in them."""
    dotted = ".".join(module.with_suffix("").parts)
    package, _, name = dotted.rpartition(".")
    needles = (f'"{name}"',) if package == "methods" else (dotted, f"from {package} import {name}")
    files = sorted(Path("tests").glob("test_*.py"))
    return [str(file) for file in files if any(x in file.read_text("utf-8") for x in needles)]


def copies(count: int) -> Queue[Path]:
    """Return copies of what Git has of the project, in which mistakes are planted."""
    free: Queue[Path] = Queue()
    for number in range(count):
        folder = BUILD / f"copy-{number}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        files = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout
        for file in map(os.fsdecode, files.split(b"\0")[:-1]):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, folder / file)
        free.put(folder.resolve())
    return free


def plant(item: WorkItem, tests: Sequence[str], free: Queue[Path]) -> Outcome:
    """Plant a mistake in a copy that nobody uses, run the tests there, and take it out again."""
    mutation, folder = item.mutations[0], free.get()
    operator = get_operator(mutation.operator_name)(**(mutation.operator_args or {}))
    path = folder / mutation.module_path
    try:
        with use_mutation(path, operator, mutation.occurrence) as (before, after):
            caught = after is None or fails(folder, tests)
            change = "" if after is None else _difference(before, after)
    finally:
        free.put(folder)
    return Outcome(mutation.operator_name, mutation.occurrence, caught, change)


def fails(folder: Path, tests: Sequence[str]) -> bool:
    """Tell whether a test fails in a copy of the project, or does not end."""
    process = get_context("fork").Process(target=_test, args=(folder, tests))
    process.start()
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    return process.exitcode != 0


def _test(folder: Path, tests: Sequence[str]) -> None:
    os.chdir(folder)
    sys.dont_write_bytecode = True
    sys.path[:] = [str(folder), *(path for path in sys.path if Path(path).resolve() != Path.cwd())]
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    quiet = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    os._exit(pytest.main([*tests, *quiet]))


def _difference(before: str, after: str) -> str:
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((f"{old.strip()}  →  {new.strip()}" for old, new in pairs if old != new), "")


def planted(
    items: Sequence[WorkItem], tests: Sequence[str], workers: int, kept: Path
) -> Iterator[Outcome]:
    """Yield what became of every mistake; what an earlier call found is not tried again."""
    lines = kept.read_text("utf-8").splitlines() if kept.is_file() else []
    done = {(x.operator, x.occurrence): x for x in (Outcome(**json.loads(line)) for line in lines)}
    free = copies(workers)
    if fails(free.queue[0], tests):
        raise SystemExit(f"error: {' '.join(tests)} fail without any mistake; mend them first")
    wanted = [(item.mutations[0].operator_name, item.mutations[0].occurrence) for item in items]
    yield from (done[key] for key in wanted if key in done)
    left = [item for item, key in zip(items, wanted, strict=True) if key not in done]
    with ThreadPool(workers) as pool, kept.open("a", encoding="utf-8") as file:
        for outcome in pool.imap_unordered(lambda item: plant(item, tests, free), left):
            file.write(json.dumps(asdict(outcome)) + "\n")
            file.flush()
            yield outcome


def main() -> None:
    """Read the arguments, plant the mistakes, and print those that no test found."""
    parser = argparse.ArgumentParser(prog="helpers.mutants", description=__doc__)
    parser.add_argument("module", type=Path, help="a file, such as benchmark/training/losses.py")
    parser.add_argument("tests", nargs="*", help="test files; by default those that name it")
    parser.add_argument(
        "--sample", type=int, help="how many mistakes, drawn at random; all if none"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    tests = given.tests or tests_of(given.module)
    if not given.module.is_file() or not tests:
        raise SystemExit(f"error: {given.module} is no file, or no test names it; name test files")
    BUILD.mkdir(parents=True, exist_ok=True)
    items, count = mistakes(given.module, given.sample, given.seed)
    kept = BUILD / f"{'.'.join(given.module.with_suffix('').parts)}.jsonl"
    outcomes = planted(items, tests, given.workers, kept)
    bar = list(tqdm(outcomes, total=len(items), unit="mistake"))
    for outcome in (one for one in bar if not one.caught):
        print(f"not caught: {outcome.change}  ({outcome.operator} {outcome.occurrence})")  # noqa: T201
    caught = sum(outcome.caught for outcome in bar)
    low, high = proportion_confint(caught, len(bar), method="wilson")
    print(  # noqa: T201
        f"{given.module}: {caught} of {len(bar)} mistakes were caught, drawn from {count} "
        f"(95 % interval of the share: {low:.0%} to {high:.0%})"
    )


if __name__ == "__main__":
    main()
