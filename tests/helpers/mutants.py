"""Plants mistakes in a module, one at a time, and tells which of them no test finds.

``make mutants MODULE=benchmark/training/losses.py`` changes a copy of the project, which lies in
``build/mutants``. Cosmic Ray makes the mistakes, none in annotations, which nothing evaluates. The
tests run, the shortest first, until one fails: those of the files that import the module or name
it, or of the files that are given. For a method these are the contract tests too, and none that is
about another method.

A mistake in a method, or in the body of a function, is judged in a fork of a process that has
collected the tests: there, functions take the code of the changed file, and caches are emptied, so
that methods are loaded anew. Any other needs a collection of its own; so do those that no test
finds in a fork, since the code may have run while the tests were collected, and all where the tests
compute with polars meanwhile, since its threads are lost in a fork.
"""

from __future__ import annotations

import argparse
import ast
import gc
import hashlib
import importlib
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import _lru_cache_wrapper, partial
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from types import CodeType, FunctionType

import polars
import pytest
from cosmic_ray.commands.init import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkItem
from statsmodels.stats.proportion import proportion_confint
from tqdm import tqdm

BUILD = Path("build/mutants")
PATIENCE = 1800  # seconds; what takes longer is caught, since it would not go unnoticed
COMPUTING = 10  # times the processor time of the unchanged project, for the same reason
CONTRACT = ("test_catalogue.py", "test_methods.py", "test_method_files.py")
QUIET = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist")
COLLECT = """
import os, pytest, sys
sys.stdout = open(os.devnull, "w")
pytest.main([*sys.argv[1:], "--collect-only", "-q", "-p", "no:cacheprovider"])
sys.__stdout__.write("\\n".join(name for name, module in sys.modules.items()
                               if "-packages" in (getattr(module, "__file__", "") or "")))
"""
FORK = get_context("fork")
Span = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Outcome:
    """What became of a mistake: ``caught`` by the tests or not; ``change`` is its diff."""

    operator: str
    occurrence: int
    caught: bool
    change: str


@dataclass
class Plugin:
    """Leaves out tests of other methods, runs the shortest first, and notes how long each takes.

    With mistakes to plant, no test runs but in a fork for each of them.
    """

    module: Path
    seconds: dict[str, float] = field(default_factory=dict)
    plant: Callable[[Callable[[Path], int]], None] | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Select and sort the tests."""
        if self.module.parent.name == "methods":
            others = {path.stem for path in Path("methods").glob("*.py")} - {self.module.stem}
            items[:] = [item for item in items if not _words(item) & others]
        if self.seconds:
            items.sort(key=lambda item: self.seconds.get(item.nodeid, 0.0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run the tests in forks, if there are mistakes; else leave them to pytest."""
        if self.plant is None:
            return None
        if has_threads_of_polars():
            raise pytest.UsageError("polars has threads, which a fork lacks")
        loaded = Loaded.of(self.module.resolve())

        def run(path: Path) -> int:
            loaded.change(path)
            for item, following in zip(session.items, [*session.items[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if session.testsfailed:
                    return 1
            return 0

        self.plant(run)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how long a test took."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration


def _words(item: pytest.Item) -> set[str]:
    call = getattr(item, "callspec", None)
    return {value for value in call.params.values() if isinstance(value, str)} if call else set()


def has_threads_of_polars() -> bool:
    """Tell whether polars has computed something here; a fork would wait for it forever."""
    names = (path.read_text("utf-8") for path in Path("/proc/self/task").glob("*/comm"))
    return any(re.match(r"polars-\d", name) for name in names)


@dataclass(frozen=True)
class Loaded:
    """The functions that were loaded from a file, and all caches of functions."""

    functions: list[FunctionType]
    caches: list[_lru_cache_wrapper[object]]

    @classmethod
    def of(cls, path: Path) -> Loaded:
        """Find them; what is there now is never collected again, so that forks share it."""
        gc.unfreeze()  # what was frozen after collection would not be listed
        every = gc.get_objects()
        functions = [one for one in every if isinstance(one, FunctionType)]
        loaded = cls(
            [one for one in functions if one.__code__.co_filename == str(path)],
            [one for one in every if isinstance(one, _lru_cache_wrapper)],
        )
        gc.freeze()
        codes = _codes(path)
        if not loaded.functions:
            raise RuntimeError(f"{path}: no function of it was loaded")
        for one in loaded.functions:
            if codes.get(_key(one.__code__)) != one.__code__:
                raise RuntimeError(f"{path}: {one.__qualname__} has the place of another function")
        return loaded

    def change(self, path: Path) -> None:
        """Give every function the code that it has in the file now, and empty the caches."""
        codes = _codes(path)
        for one in self.functions:
            one.__code__ = codes.get(_key(one.__code__), one.__code__)
        for cache in self.caches:
            cache.cache_clear()


def _codes(path: Path) -> dict[tuple[str, int], CodeType]:
    code = compile(path.read_text("utf-8"), str(path), "exec", dont_inherit=True)
    return {_key(part): part for part in _parts(code)}


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _parts(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _parts(constant)


def mistakes(module: Path, sample: int | None, seed: int) -> tuple[list[WorkItem], int]:
    """Return the mistakes that can be planted, or a random sample of them, and how many can."""
    with use_db(str(BUILD / "session.sqlite"), WorkDB.Mode.create) as session:
        init([module], session, {})
        every = list(session.work_items)
    tree = ast.parse(module.read_text("utf-8"))
    nodes = [getattr(x, part, None) for x in ast.walk(tree) for part in ("annotation", "returns")]
    annotations = [_span(x, x) for x in nodes if isinstance(x, ast.expr)]
    known = [x for x in every if not _within(x, annotations)]
    drawn = known if sample is None else random.Random(seed).sample(known, min(sample, len(known)))
    return drawn, len(known)


def bodies(module: Path) -> list[Span]:
    """Return from where to where the bodies of functions reach."""
    nodes = list(ast.walk(ast.parse(module.read_text("utf-8"))))
    plain = [_span(x.body[0], x.body[-1]) for x in nodes if isinstance(x, ast.FunctionDef)]
    return plain + [_span(x.body, x.body) for x in nodes if isinstance(x, ast.Lambda)]


def _span(first: ast.stmt | ast.expr, last: ast.stmt | ast.expr) -> Span:
    end = (last.end_lineno or 0, last.end_col_offset or 0)
    return (first.lineno, first.col_offset), end


def _within(item: WorkItem, spans: list[Span]) -> bool:
    return any(low <= item.mutations[0].start_pos < high for low, high in spans)


def tests_of(module: Path) -> list[str]:
    """Return the test files that import a module, or have the name of a method in them."""
    dotted = ".".join(module.with_suffix("").parts)
    package, _, name = dotted.rpartition(".")
    needles = (f'"{name}"',) if package == "methods" else (dotted, f"from {package} import {name}")
    contract = CONTRACT if package == "methods" else ()
    return [
        str(file)
        for file in sorted(Path("tests").glob("test_*.py"))
        if file.name in contract or any(x in file.read_text("utf-8") for x in needles)
    ]


def load_libraries(tests: Sequence[str]) -> None:
    """Import the libraries that the tests import, so that no fork has to."""
    command = [sys.executable, "-c", COLLECT, *tests]
    names = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()
    for name in names:
        with suppress(Exception):
            importlib.import_module(name)
    polars.thread_pool_size = lambda: os.cpu_count() or 1  # polars would start its threads for that


def copy_project(folder: Path) -> None:
    """Copy what Git has of the project."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout
    for file in map(os.fsdecode, files.split(b"\0")[:-1]):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, folder / file)


def in_fork(run: Callable[[], int], limit: int = resource.RLIM_INFINITY) -> int:
    """Return what a function returns in a fork, in so much processor time; 1 if it does not end."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
        sys.exit(run())

    process = FORK.Process(target=limited)
    process.start()
    process.join(None if limit == resource.RLIM_INFINITY else PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
    return 1 if process.exitcode else 0


@contextmanager
def planted(item: WorkItem, folder: Path) -> Iterator[tuple[Path, str]]:
    """Plant a mistake in a copy, and take it out again; give the file and what is changed."""
    mutation = item.mutations[0]
    operator = get_operator(mutation.operator_name)(**(mutation.operator_args or {}))
    path = folder / mutation.module_path
    with use_mutation(path, operator, mutation.occurrence) as (before, after):
        yield path, "" if after is None else _difference(before, after)


def _difference(before: str, after: str) -> str:
    pairs = zip(before.splitlines(), after.splitlines(), strict=False)
    return next((f"{old.strip()}  →  {new.strip()}" for old, new in pairs if old != new), "")


@dataclass
class Judge:
    """Tests, and copies of the project in which they run."""

    module: Path
    tests: Sequence[str]
    seconds: dict[str, float] = field(default_factory=dict)
    limit: int = resource.RLIM_INFINITY

    def prepare(self, workers: int) -> list[Path]:
        """Copy the project, and learn from a run without mistakes how long each test takes."""
        load_libraries(self.tests)
        first, *others = folders = [(BUILD / f"copy-{i}").resolve() for i in range(workers)]
        copy_project(first)
        if in_fork(lambda: self._pytest(first)):
            raise SystemExit(f"error: {' '.join(self.tests)} fail without any mistake; mend them")
        noted = json.loads((first / "seconds.json").read_text("utf-8"))
        self.seconds, self.limit = noted["tests"], COMPUTING * int(noted["all"] + 1)
        for folder in others:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(first, folder)
        return folders

    def work(self, folder: Path, items: Sequence[WorkItem], outcomes: SimpleQueue[Outcome]) -> None:
        """Plant mistakes in a copy, one after the other, and put on a queue what became of them."""
        known = bodies(self.module)
        method = self.module.parent.name == "methods"
        inner = [item for item in items if method or _within(item, known)]
        caught = FORK.Array("b", 1 + len(inner), lock=False)

        def plant(run: Callable[[Path], int]) -> None:
            for number, item in enumerate(inner):
                outcome = self._tried(item, folder, run)
                if outcome.caught:
                    outcomes.put(outcome)
                    caught[number] = True

        if inner:
            in_fork(lambda: self._pytest(folder, plant))
        done = [item for item, flag in zip(inner, caught, strict=False) if flag]
        for item in (item for item in items if item not in done):
            outcomes.put(self._tried(item, folder, lambda _: self._pytest(folder)))

    def _tried(self, item: WorkItem, folder: Path, run: Callable[[Path], int]) -> Outcome:
        mutation = item.mutations[0]
        with planted(item, folder) as (path, change):
            caught = not change or in_fork(partial(run, path), self.limit) != 0
        return Outcome(mutation.operator_name, mutation.occurrence, caught, change)

    def _pytest(
        self, folder: Path, plant: Callable[[Callable[[Path], int]], None] | None = None
    ) -> int:
        """Run the tests; only where nothing is planted is bytecode kept, and time noted."""
        os.chdir(folder)
        sys.dont_write_bytecode = bool(self.seconds)
        others = [path for path in sys.path if Path(path).resolve() != Path.cwd()]
        sys.path[:] = [str(folder), *others]
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        plugin = Plugin(self.module, dict(self.seconds), plant)
        status = pytest.main([*self.tests, *QUIET], plugins=[plugin])
        if not self.seconds:
            noted = {"tests": plugin.seconds, "all": time.process_time()}
            Path("seconds.json").write_text(json.dumps(noted), encoding="utf-8")
        return status


def judged(items: Sequence[WorkItem], judge: Judge, workers: int, kept: Path) -> Iterator[Outcome]:
    """Yield what became of every mistake; one that an earlier call saw caught is not tried again.

    What is kept holds for one text of the module; tests that were added since can only catch more.
    """
    lines = kept.read_text("utf-8").splitlines() if kept.is_file() else []
    tried = [Outcome(**json.loads(line)) for line in lines]
    done = {(x.operator, x.occurrence): x for x in tried if x.caught}
    wanted = [(item.mutations[0].operator_name, item.mutations[0].occurrence) for item in items]
    yield from (done[key] for key in wanted if key in done)
    left = [item for item, key in zip(items, wanted, strict=True) if key not in done]
    if not left:
        return
    outcomes: SimpleQueue[Outcome] = FORK.SimpleQueue()
    processes = [
        FORK.Process(target=judge.work, args=(folder, left[i::workers], outcomes))
        for i, folder in enumerate(judge.prepare(workers))
    ]
    for process in processes:
        process.start()
    with kept.open("a", encoding="utf-8") as file:
        for _ in left:
            outcome = outcomes.get()
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
    text = hashlib.sha256(given.module.read_bytes()).hexdigest()[:8]
    kept = BUILD / f"{'.'.join(given.module.with_suffix('').parts)}-{text}.jsonl"
    outcomes = judged(items, Judge(given.module, tests), given.workers, kept)
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
