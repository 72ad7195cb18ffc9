"""Kills, failing writes, damaged raw files and mistakes in params, by count and seed.

``make soak`` tries each many times and prints the counts; it ends with 1 where anything was not as
it must be. A fault is told with its seed, so that ``PYTHONPATH=.:tests python -m helpers.soak
--files 1 --seed 1234`` repeats it.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import TimeoutError as TimedOutError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmark.data.dataset import DataError
from benchmark.data.preprocess import preprocess
from benchmark.execution.archive import outcomes
from benchmark.files import DamagedError
from benchmark.registry import ROOT
from benchmark.schema import Schema
from helpers import mutations
from helpers.projects import write_small_params
from helpers.raw_logs import laid_out, layout, load

METHODS = ("naive", "esmm")
PATIENCE = 600.0  # seconds that a damaged file may take: ten of an idle core, but machines are busy
ROUND = 5  # kills until a run may end
COMMAND = [sys.executable, "-m", "benchmark"]
BYTES = (b'"', b",", b"\n", b"\t", b"\r", b"\x00", b"\xff", b"-1", b"1e999", b"nan", b" ", b"{")

Outcome = tuple[str, str]  # what came of one attempt, and what is wrong with that, if anything is


# --- kills


def kills(count: int, seed: int) -> Iterator[Outcome]:
    """Kill a run with all its workers at random moments; what is there at the end must be equal."""
    with TemporaryDirectory() as folder:
        project = Path(folder)
        more = {"trials": 2, "batch": 2, "seed": 3, "draws": 1}
        write_small_params(project, METHODS, protocol={"tuning": more})
        _ended(project, "data")
        start = time.monotonic()
        _ended(project, "run", "--strict")
        seconds, runs = time.monotonic() - start, project / "results" / "runs"
        expected = outcomes(runs)
        shutil.rmtree(runs)
        for number in range(count):
            yield _killed(project, random.Random(seed + number).uniform(0, seconds))
            if number % ROUND == ROUND - 1 or number == count - 1:
                _ended(project, "run", "--strict")
                found = outcomes(runs)
                left = [path.name for path in project.rglob("*.tmp")]
                yield "ended", f"left {left}" if left else "" if found == expected else "unequal"
                shutil.rmtree(runs)


def _killed(project: Path, after: float) -> Outcome:
    with subprocess.Popen(
        [*COMMAND, "run", "--workers", "2"], cwd=project, env=_here(), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            return "over before", ""
    try:
        outcomes(project / "results" / "runs")
    except DamagedError as error:
        return "killed", str(error)
    return "killed", ""


def _ended(project: Path, *words: str) -> None:
    subprocess.run([*COMMAND, *words], cwd=project, env=_here(), check=True, capture_output=True)


def _here() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


# --- failing writes


def faults(count: int, seed: int) -> Iterator[Outcome]:
    """Let one operation on files fail while splits are written: the old ones stay, or new come."""
    kind, options = load("oracle_funnel"), {"rows": 1000}
    with TemporaryDirectory() as folder:
        raw, ready = Path(folder) / "raw", Path(folder) / "ready"
        raw.mkdir()

        def make() -> Schema:
            return preprocess(kind(**options), "oracle_funnel", raw, ready, verified=True)

        with _failing(None) as calls:
            expected = make()
        total = len(calls)
        for number in range(count):
            draw = random.Random(seed + number)
            if draw.random() < 0.5:
                shutil.rmtree(ready)
            yield _failed_once(make, draw.randrange(total), ready, expected)


def _failed_once(make: Callable[[], Schema], place: int, ready: Path, expected: Schema) -> Outcome:
    answer = "survived"
    try:
        with _failing(place):
            make()
    except (OSError, DataError):
        answer = "refused"
    if (ready / "schema.json").is_file():
        Schema.read(ready).check_splits(ready)
    again = make()
    left = [path.name for path in ready.parent.iterdir() if path.name.startswith(".")]
    return answer, f"left {left}" if left else "" if again == expected else "unequal"


@contextmanager
def _failing(place: int | None) -> Iterator[list[str]]:
    """Let the call of one number fail for want of space; yield the names of all calls."""
    calls = list[str]()
    places: tuple[tuple[Any, str], ...] = (
        *((os, name) for name in ("fsync", "replace")),
        *((Path, name) for name in ("replace", "write_text", "mkdir")),
    )
    originals = {where: getattr(*where) for where in places}

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            calls.append(name)
            if len(calls) - 1 == place:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))
            return call(*arguments, **more)

        return counted

    try:
        for (owner, name), call in originals.items():
            setattr(owner, name, wrapped(name, call))
        yield calls
    finally:
        for (owner, name), call in originals.items():
            setattr(owner, name, call)


# --- damaged raw files


def files(count: int, seed: int) -> Iterator[Outcome]:
    """Damage a raw file of an adapter: it is read, or refused in one sentence."""
    with _Watched() as watched:
        for number in range(seed, seed + count):
            yield watched.do(damaged, number)


def damaged(seed: int) -> Outcome:
    """Damage a file as the seed says, and process it."""
    draw = random.Random(seed)
    name = draw.choice(laid_out())
    with TemporaryDirectory() as folder:
        raw, ready = Path(folder) / "raw", Path(folder) / "ready"
        layout(name).write(raw)
        victim = draw.choice(sorted(path for path in raw.rglob("*") if path.is_file()))
        victim.write_bytes(_spoilt(victim.read_bytes(), draw))
        try:
            preprocess(load(name)(), name, raw, ready, verified=False)
        except DataError as error:
            return "refused", f"{name}: {error}" if "\n" in str(error) else ""
        except BaseException as error:  # noqa: BLE001 (what it must not be; a panic is no Exception)
            return "traceback", f"{name}: {type(error).__name__}: {error}"
    return "accepted", ""


def _spoilt(content: bytes, draw: random.Random) -> bytes:
    place, length = draw.randrange(len(content) + 1), draw.randrange(1, 40)
    lines = content.splitlines(keepends=True) or [b""]
    line = draw.randrange(len(lines))
    ways: list[Callable[[], bytes]] = [
        lambda: content[:place],
        lambda: content[:place] + content[place + length :],
        lambda: content[:place] + draw.choice(BYTES) + content[place + 1 :],
        lambda: content[:place] + draw.randbytes(length) + content[place:],
        lambda: b"".join([*lines[:line], lines[line], *lines[line:]]),
        lambda: b"".join([*lines[:line], *lines[line + 1 :]]),
        lambda: b"".join([*lines[:line], lines[line].replace(b",", b"\t"), *lines[line + 1 :]]),
    ]
    return draw.choice(ways)()


class _Watched:
    """A process of its own for what may hang: it is ended, and another one goes on."""

    def __enter__(self) -> _Watched:
        self._pool = self._new()
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _new(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, get_context("spawn"))

    def _end(self) -> None:
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown()

    def do(self, work: Callable[[int], Outcome], seed: int) -> Outcome:
        try:
            answer, fault = self._pool.submit(work, seed).result(PATIENCE)
        except (TimedOutError, BrokenProcessPool) as error:
            self._end()
            self._pool = self._new()
            answer, fault = "hung", type(error).__name__
        return answer, fault and f"seed {seed}: {fault}"


# --- mistakes in params


def configs(count: int, seed: int) -> Iterator[Outcome]:
    """Answer mutations of ``params.yaml``: by params with a meaning, or by one line."""
    with TemporaryDirectory() as folder:
        for number in range(seed, seed + count):
            kind, text = mutations.mutated(number)
            answer, fault = mutations.outcome(text, Path(folder) / "params.yaml")
            yield answer, fault and f"seed {number}, {kind}: {fault}"


KINDS = {"kills": (kills, 500), "faults": (faults, 1000), "files": (files, 10_000),
         "configs": (configs, 5000)}  # fmt: skip


def soak(counts: dict[str, int], seed: int, say: Callable[[str], object]) -> int:
    """Try each kind so often; say what came of it, and return how many faults there were."""
    total = 0
    for kind, count in counts.items():
        answers, wrong = Counter[str](), list[str]()
        for answer, fault in KINDS[kind][0](count, seed) if count else ():
            answers[answer] += 1
            wrong += [fault] if fault else []
        told = ", ".join(f"{number:,} {answer}" for answer, number in sorted(answers.items()))
        say(f"{kind}: {count:,} from seed {seed}: {told or 'none'}; {len(wrong)} faults")
        for fault in wrong:
            say(f"  {fault}")
        total += len(wrong)
    return total


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the counts and soak."""
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, (_, usual) in KINDS.items():
        parser.add_argument(
            f"--{kind}", type=int, help=f"by default {usual:,}; 0 if another is set"
        )
    parser.add_argument("--seed", type=int, default=0)
    asked = vars(parser.parse_args(arguments))
    seed = asked.pop("seed")
    chosen = {kind: count for kind, count in asked.items() if count is not None}
    counts = chosen or {kind: usual for kind, (_, usual) in KINDS.items()}
    return int(soak(counts, seed, lambda text: print(text, flush=True)) > 0)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
