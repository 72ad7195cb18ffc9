"""Rules of the house that a reader would otherwise have to check by eye."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from benchmark import bibliography, registry
from benchmark.registry import ROOT

ENGINE = sorted((ROOT / "benchmark").rglob("*.py"))


def test_the_engine_names_no_plugin() -> None:
    plugins = [*registry.names("methods"), *registry.names("datasets")]
    assert len(plugins) > 10
    named = [
        f"{path.relative_to(ROOT)}: {plugin}"
        for path in ENGINE
        for plugin in plugins
        for quote in ("'", '"')
        if f"{quote}{plugin}{quote}" in path.read_text(encoding="utf-8")
    ]
    assert not named


READERS = re.compile(r"\b(?:scan|read)_(?:parquet|csv|ndjson|ipc|lines|csv_batched)\w*\(")
BY_PATH = ("benchmark/parquet.py", "benchmark/data/reading/")  # in which no path is a pattern


def test_no_path_is_taken_for_a_pattern_when_a_table_is_read() -> None:
    """A project in ``bench[12]`` read, and recorded as its own, what lay in ``bench1``."""
    files = [*ENGINE, *(ROOT / "datasets").glob("*.py"), *(ROOT / "methods").glob("*.py")]
    raw = [
        f"{name}: {line.strip()}"
        for path in files
        if not (name := path.relative_to(ROOT).as_posix()).startswith(BY_PATH)
        for line in path.read_text(encoding="utf-8").splitlines()
        if READERS.search(line)
    ]
    assert not raw


OF_RECBOLE = {"benchmark/training/backbones/recbole.py", "benchmark/data/atomic_files.py"}


def test_the_project_reads_its_own_yaml_by_one_reader_alone() -> None:
    """Another one would let a key stand twice, and read `no` as a truth value."""
    users = {
        path.relative_to(ROOT).as_posix()
        for path in ENGINE
        if re.search(r"^(?:import|from) yaml\b", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert users == OF_RECBOLE, "benchmark.configuration.documents reads YAML"


def test_the_pipeline_stays_below_the_size_at_which_its_lock_file_is_slow() -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    datasets, methods = len(params["datasets"]), len(params["methods"])
    assert 2 * datasets + datasets * methods + 2 < 150


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = (
        "import sys, contextlib\n"
        "from benchmark.cli import main\n"
        "with contextlib.suppress(SystemExit): main(['--help'])\n"
        "sys.exit(bool({'torch', 'polars', 'pandas', 'optuna'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0
    for verb in ("check", "data", "run", "report", "show", "export-recbole", "methods"):
        assert verb in done.stdout


@pytest.mark.parametrize("folder", ["methods", "datasets"])
def test_every_reference_has_title_author_and_year(folder: str) -> None:
    wanted = ("title", "author", "year")
    lacking = {
        key: absent
        for key, entry in bibliography.known(folder).items()
        if (absent := [name for name in wanted if not bibliography.field(entry, name)])
    }
    assert not lacking


SYNTAX = """
import ast, sys, warnings
from pathlib import Path
warnings.simplefilter("error")
for path in map(Path, sys.argv[1:]):
    ast.parse(path.read_text(encoding="utf-8"), str(path))
"""


OTHERS = {"3.11", "3.12", "3.13"} - {"{}.{}".format(*sys.version_info)}


@pytest.mark.parametrize("version", sorted(OTHERS))
def test_every_supported_python_reads_the_code(version: str) -> None:
    """Running the suite under each takes an environment for each; CI has as many as it has."""
    interpreter = interpreter_of(version)
    if interpreter is None:
        pytest.skip(f"no Python {version} is installed, on the path or by pyenv")
    files = [
        *ENGINE,
        *(path for kind in ("methods", "datasets") for path in (ROOT / kind).glob("*.py")),
    ]
    done = subprocess.run(
        [interpreter, "-c", SYNTAX, *map(str, files)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def interpreter_of(version: str) -> str | None:
    """Return an interpreter that starts: pyenv has names on the path that may not."""
    own = Path.home().glob(f".pyenv/versions/{version}.*/bin/python")
    for found in filter(None, [shutil.which(f"python{version}"), *map(str, own)]):
        asked = [found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, check=False, capture_output=True, text=True)
        if done.stdout.strip() == version:
            return found
    return None


def test_the_project_states_the_oldest_python_once() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = content["project"]["requires-python"].removeprefix(">=")
    assert content["tool"]["mypy"]["python_version"] == oldest
    assert content["tool"]["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
