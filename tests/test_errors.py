"""Errors on the command line: one sentence, with the author's line where it is theirs."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark import cli, errors, registry
from benchmark.errors import BenchmarkError, ConfigError, did_you_mean, sentence
from benchmark.registry import ROOT
from benchmark.studies import Workspace
from benchmark.training.method import Method

METHOD = """
def key(): return {}["nothing"]
def shape(): import torch; return torch.zeros(2) @ torch.zeros(3)
def division(): return 1 / 0
def explicit(): raise ValueError("bad")
def silent(): raise ValueError
"""


def raised(work: Callable[[], object]) -> BaseException:
    with pytest.raises(BaseException) as error:  # noqa: PT011 (any)
        work()
    return error.value


@pytest.fixture
def method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], object]]:
    """The functions of a file that lies in methods/ of a project."""
    path = tmp_path / "methods" / "fresh.py"
    functions: dict[str, Callable[[], object]] = {}
    exec(compile(METHOD, str(path), "exec"), functions)
    monkeypatch.setattr(errors, "ROOT", tmp_path)
    return functions


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("key", "KeyError: nothing (methods/fresh.py, line 2, in key)"),
        ("division", "ZeroDivisionError: division by zero (methods/fresh.py, line 4, in division)"),
        ("explicit", "ValueError: bad (methods/fresh.py, line 5, in explicit)"),
        ("silent", "ValueError: without a message (methods/fresh.py, line 6, in silent)"),
    ],
)
def test_a_mistake_in_a_method_is_told_with_its_kind_and_line(
    name: str, expected: str, method: dict[str, Callable[[], object]]
) -> None:
    assert sentence(raised(method[name])) == expected


def test_a_mistake_that_a_library_notices_names_the_line_of_the_method(
    method: dict[str, Callable[[], object]],
) -> None:
    said = sentence(raised(method["shape"]))
    assert said.startswith("RuntimeError: ")
    assert said.endswith(" (methods/fresh.py, line 3, in shape)")


def test_what_the_project_raises_speaks_for_itself() -> None:
    error = raised(lambda: registry.load("methods", "naiv", Method))
    assert sentence(error).startswith("no Method 'naiv' in methods/; did you mean 'naive'?")
    assert sentence(ConfigError(["a", "b"])).startswith("a (and 1 more")
    assert sentence(BenchmarkError("two\nlines")) == "two lines"
    assert "No such file" in sentence(raised(lambda: Path("/nowhere/at/all").read_text()))


def test_a_mistake_in_the_project_is_told_with_its_line() -> None:
    said = sentence(raised(lambda: did_you_mean(3, ["a"])))  # type: ignore[arg-type]
    assert said.startswith("AttributeError: 'int' object has no attribute 'casefold' (benchmark/er")


def test_an_error_keeps_its_sentence_on_the_way_to_another_process() -> None:
    error = raised(lambda: _wrong(0))
    errors.locate(error)
    assert "tests/test_errors.py, line" in sentence(error)
    assert sentence(pickle.loads(pickle.dumps(error))) == sentence(error)


def _wrong(number: int) -> float:
    return 1 / number


# --- the command line


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmark", *arguments],
        cwd=ROOT,
        env=os.environ | more,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_mistake_of_a_subcommand_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> str:
        return dict[str, str]()["nothing"]

    monkeypatch.setattr("benchmark.reporting.report.write", fail)
    monkeypatch.chdir(ROOT)
    assert cli.main(["report"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: KeyError: nothing (")
    assert printed.count("\n") == 1


def test_settings_reach_the_params_of_a_subcommand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = list[Workspace]()
    monkeypatch.setattr("benchmark.reporting.report.write", seen.append)
    monkeypatch.chdir(ROOT)
    more = ["--set", "protocol.max_epochs=3", "--set", "launch={on: ray}"]
    assert cli.main(["report", "--study", "sensitivity", *more]) == 0
    [workspace] = seen
    assert workspace.params.protocol.max_epochs == 3
    assert workspace.params.launch.on == "ray"
    assert workspace.params.sensitivity is not None
    monkeypatch.setattr("benchmark.reporting.report.write", lambda workspace: workspace.params)
    assert cli.main(["report", "--set", "protocol.max_epochs=x"]) == 1
    assert "error: --set: protocol.max_epochs is 'x'; it must be" in capsys.readouterr().err


def test_every_subcommand_that_reads_params_takes_settings() -> None:
    without = {cli.restore, cli.export_recbole}  # of what lies in folders, whatever params say
    for command in cli.COMMANDS:
        if command.function not in cli.WITHOUT_WORKSPACE | without:
            assert cli.SETTINGS.items() <= command.arguments.items(), command.name


@pytest.mark.parametrize("name", ["datasets", "cards", "methods"])
def test_a_list_has_the_plugins_of_settings_too(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert cli.main([name, "--set", "plugins=[nowhere]"]) == 1
    assert "error: --set: plugins[0] is 'nowhere'; it must be" in capsys.readouterr().err


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert run("--version").stdout == f"{project['name']} {project['version']}\n"


def test_python_without_docstrings_is_refused_in_one_sentence() -> None:
    command = [sys.executable, "-OO", "-m", "benchmark", "check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: run Python without -OO: ")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_ends_it_quietly() -> None:
    code = "import sys; from benchmark.cli import main; sys.exit(main(['datasets']))"
    command = f'"{sys.executable}" -c "{code}" | head -n 1; echo ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] in ("0", "141")


@pytest.mark.parametrize(
    ("line", "word"),
    [("benchmark che", "check"), ("benchmark preprocess oracle_f", "oracle_funnel")],
)
def test_the_shell_completes_subcommands_and_names(line: str, word: str, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    completion = {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_IFS": "\n",
    }
    run(**completion)
    assert answer.read_text().split() == [word]
