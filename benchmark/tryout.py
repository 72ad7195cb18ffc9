"""Try a method before its first commit: its contract tests, then its row of a small study."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmark import registry
from benchmark.config import Launch
from benchmark.configuration.names import check_names, check_options
from benchmark.errors import did_you_mean
from benchmark.studies import Workspace

STUDY = "smoke"
TESTS = ("test_method_files", "test_methods", "test_optimizer", "test_device")


def contract_faults(method: str) -> list[str] | None:
    """Return a sentence for each contract test that a method fails.

    None where the tests are not here, as beside an installed package.

    Raises:
        LookupError: there is no such method.
        RuntimeError: the tests cannot be run.
    """
    if method not in (known := registry.names("methods")):
        raise LookupError(f"{method!r} is not in methods/; {did_you_mean(method, known)}")
    files = [f"tests/{name}.py" for name in TESTS]
    if not all((registry.ROOT / file).is_file() for file in files):
        return None
    options = ("-q", "--tb=no", "-rfE", "-p", "no:cacheprovider", "--method", method)
    completed = subprocess.run(
        (sys.executable, "-m", "pytest", *options, *files),
        cwd=registry.ROOT,
        env=os.environ | {"COLUMNS": "1000"},  # no sentence is cut
        capture_output=True,
        text=True,
        check=False,
    )
    lines = (completed.stdout + completed.stderr).splitlines()
    faults = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    if completed.returncode and not faults:
        raise RuntimeError(f"the contract tests cannot be run: {lines[-1] if lines else 'no word'}")
    return list(dict.fromkeys(line.partition(" - ")[2].removeprefix("Failed: ") for line in faults))


def small(method: str | None, changes: tuple[str, ...], folder: Path) -> Workspace:
    """Return the small study, with a method beside its own, whose data and results lie in a folder.

    Raises:
        ConfigError: a change is no assignment, or names an unknown key or a wrong value.
        ValueError: the folder is a project, or lies in its results, which stay as they are.
    """
    if (folder / "params.yaml").is_file():
        raise ValueError(f"{folder.resolve()} is a project; name another folder after --keep")
    if folder.resolve().is_relative_to(published := Path("results").resolve()):
        raise ValueError(f"{published} holds what is published; name another folder after --keep")
    workspace = Workspace(STUDY, changes, folder)
    if method is not None:
        names = dict.fromkeys((*workspace.params.methods, method))
        workspace = Workspace(STUDY, (*changes, f"methods=[{', '.join(names)}]"), folder)
    check_names(workspace.params)
    check_options(workspace)
    return workspace


def table(workspace: Workspace) -> tuple[str, list[str]]:
    """Prepare, fit and tabulate a study here; return its table, and why methods have no row."""
    from benchmark.data.prepare import prepare, report  # noqa: PLC0415 (seconds)
    from benchmark.execution.executors.local import cores  # noqa: PLC0415
    from benchmark.execution.run import run  # noqa: PLC0415
    from benchmark.reporting.leaderboard import legend, plain  # noqa: PLC0415
    from benchmark.reporting.records import read  # noqa: PLC0415
    from benchmark.reporting.table import build  # noqa: PLC0415

    report(prepare(workspace, cores()))
    run(workspace, Launch())
    tables = [build(results, workspace.params) for results in read(workspace)]
    texts = [plain(built) for built in tables] + [legend(workspace.params.leaderboard)]
    absent = [f"{task.title}: {task.excluded}" for built in tables for task in built.excluded]
    return "\n\n".join(texts), absent
