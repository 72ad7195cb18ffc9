"""Methods that fail: all others run, the report says why, and what would fail again is not run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from helpers.projects import work_here, write_small_params

from benchmark import registry
from benchmark.cli import main
from benchmark.declarations import method_of
from benchmark.execution.fitting import Job
from benchmark.execution.promises import explained
from benchmark.files import read_json
from benchmark.registry import ROOT
from benchmark.studies import Workspace
from benchmark.training.search import defaults

GOOD = "naive"
LOSS = re.compile(r"(    def loss\(.*?\n)(        return .*\n)", re.DOTALL)
RUNS = Path("results/runs/oracle_funnel")


def with_loss(statement: str) -> Callable[[str], str]:
    """Return a change of a method's text: another statement in place of what the loss returns."""

    def change(text: str) -> str:
        changed, count = LOSS.subn(lambda found: f"{found[1]}        {statement}\n", text)
        assert count == 1
        return changed

    return change


def at_the_end(statement: str) -> Callable[[str], str]:
    return lambda text: f"{text}\n{statement}\n"


def with_updates(statement: str) -> Callable[[str], str]:
    """Return a change of a method's text: it yields something else than updates."""
    return lambda text: f"{text}\n    def updates(self, batch):\n        {statement}\n"


def with_function(text: str) -> Callable[[str], str]:
    """Return a change of a method's text: one more function."""
    return lambda given: f"{given}\n    def {text}\n"


def with_log(value: str) -> Callable[[str], str]:
    """Return a change of a method's text: it predicts by another logarithm of the CVR."""
    lines = (
        "    def forward(self, features):",
        "        from dataclasses import replace",
        "        given = super().forward(features)",
        f"        return replace(given, cvr=replace(given.cvr, log={value}))  # no such log",
    )
    return lambda text: text + "\n" + "\n".join(lines) + "\n"


IMPORT = "from benchmark.training.method import"
MUST = "; it must be a tensor of one number that has a gradient"
BROKEN = {
    "misspelt": (at_the_end("def broken(:"), r"SyntaxError: .+"),
    "lacking": (with_loss('return {}["no such key"]'), r"KeyError: 'no such key'"),
    "leaving": (with_loss("raise SystemExit(3)"), r"SystemExit: 3"),
    "gone": (at_the_end("raise SystemExit(4)"), r"SystemExit: 4"),
    "shapeless": (with_loss("return batch.labels"), r"AttributeError: .+"),
    "silent": (with_loss("pass"), f"loss returned None{MUST}"),
    "plain": (with_loss("return 0.5"), f"loss returned a float{MUST}"),
    "wide": (
        with_loss("return self(batch.features).cvr.log"),
        rf"loss returned a tensor of shape \(\d+,\){MUST}",
    ),
    "constant": (
        with_loss("return batch.conversion.mean()"),
        f"loss returned a tensor without gradient{MUST}",
    ),
    "bare": (
        with_updates("yield self.loss(batch)"),
        "updates yielded a Tensor; it must yield an Update",
    ),
    "still": (
        with_updates("return iter(())"),
        "updates yielded no step: nothing learned",
    ),
    "empty": (
        with_updates("return None"),
        "updates returned None; it must return Updates, one after the other",
    ),
    "homeless": (
        with_updates(f"{IMPORT} Update; yield Update(self.loss(batch), 3)"),
        "updates yielded an Update of an int; it must be of a module to train",
    ),
    "endless_step": (  # until the loss is small, which no step makes it
        with_updates(
            f"{IMPORT} Update\n        while self.loss(batch): yield Update(self.loss(batch), 3)"
        ),
        "updates yielded an Update of an int; it must be of a module to train",
    ),
    "cold": (with_function("warm_up(self): return None"), "warm_up returned None; it must .+"),
    "halved": (
        with_function(f"warm_up(self): {IMPORT} Phase; return [Phase(1.5, self.updates)]"),
        r"warm_up returned a Phase of 1\.5 epochs; it must be a whole number",
    ),
    "counting": (
        with_function("start_epoch(self, number): pass"),
        "start_epoch fails: TypeError: .+ missing 1 required positional argument: 'number'",
    ),
    "daily": (with_function('schedule(self): return "daily"'), "schedule returned a str; .+"),
    "absent": (
        with_function(
            "forward(self, features): return super().forward(features) if self.training else None"
        ),
        "forward returned None; it must return a Prediction",
    ),
    "file": (with_loss('return open("/nowhere/x")'), "FileNotFoundError: .+ '/nowhere/x'"),
    "square": (
        with_log("given.cvr.log[:, None]"),
        r"forward returned a cvr of shape \(\d+, 1\); it must be \(\d+,\)",
    ),
    "certain": (
        with_log("given.cvr.log + 9"),
        r"the CVR of row 0 of the test split is \d+(\.\d+)?, no probability; make it by .+",
    ),
}
LASTING = BROKEN.keys() - {"misspelt", "gone", "file"}
COUNT = len(BROKEN) + 1


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of one method that works, of several that do not, and of one without numbers."""
    (tmp_path / "datasets").symlink_to(ROOT / "datasets")
    (tmp_path / "methods").mkdir()
    shutil.copy(ROOT / "methods" / "references.bib", tmp_path / "methods")
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    for name in (GOOD, *BROKEN, "endless"):
        write_method(tmp_path, name)
    write_small_params(tmp_path, (GOOD, *BROKEN, "endless"))
    work_here(tmp_path, monkeypatch)
    assert main(["data"]) == 0
    return tmp_path


def write_method(folder: Path, name: str, *, mended: bool = False) -> None:
    text = (ROOT / "methods" / f"{GOOD}.py").read_text(encoding="utf-8")
    if not mended and name in BROKEN:
        text = BROKEN[name][0](text)
    if not mended and name == "endless":
        text = LOSS.sub(lambda found: found[1] + found[2].rstrip() + ' * float("nan")\n', text)
    (folder / "methods" / f"{name}.py").write_text(text, encoding="utf-8")


def reasons() -> dict[str, str]:
    """Return what the table says of the methods that are not in it."""
    text = Path("results/leaderboard.md").read_text(encoding="utf-8")
    found = {}
    for name in (*BROKEN, "endless"):
        failed = RUNS / name / "failed.json"
        if failed.is_file():
            reason = read_json(failed)["reason"]
            assert f"failed: {reason}" in text
            found[name] = reason
    return found


def test_a_method_that_fails_keeps_no_other_from_running_and_the_report_says_why(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run"]) == 0
    error = capsys.readouterr().err
    assert main(["report"]) == 0
    assert len(list((RUNS / GOOD / "default").glob("*.json"))) == 2
    found = reasons()
    assert found.keys() == {*BROKEN, "endless"}
    for name, (_, says) in BROKEN.items():
        lines = (project / "methods" / f"{name}.py").read_text(encoding="utf-8").splitlines()
        pattern = rf"methods/{name}\.py, line (\d+): {says}( \(.+\))?"
        reason = re.fullmatch(pattern, found[name])
        assert reason is not None, found[name]
        blamed = r"broken|no such|SystemExit|labels|def \w+|open"
        assert re.search(blamed, lines[int(reason[1]) - 1])
        assert f"warning: {name} on oracle_funnel failed: {found[name]}" in error
    assert "are not numbers" in found["endless"]
    assert f"warning: {COUNT} of {COUNT + 1} tasks failed; the others are on record" in error
    assert main(["run", "--strict"]) == 1
    error = capsys.readouterr().err
    assert f"error: {COUNT} of {COUNT + 1} tasks failed; the others are on record" in error


def test_what_would_fail_again_is_not_trained_again_until_the_file_is_mended(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["run"]) == 0
    assert {n for n in BROKEN if read_json(RUNS / n / "failed.json")["lasting"]} == LASTING
    before = {path: path.stat().st_mtime_ns for path in RUNS.rglob("*.json")}
    trained = list[Sequence[Job]]()
    monkeypatch.setattr("benchmark.execution.tasks.train", trained.append)
    assert main(["run"]) == 0
    assert {jobs[0].method for jobs in trained} == {"file"}, "which may be there next time"
    lasting = {path: time for path, time in before.items() if path.parent.name in LASTING}
    assert {path: path.stat().st_mtime_ns for path in lasting} == lasting
    monkeypatch.undo()

    monkeypatch.setattr(registry, "ROOT", project)
    work_here(project, monkeypatch)
    for name in (*BROKEN, "endless"):
        write_method(project, name, mended=True)
    assert main(["run", "--strict"]) == main(["report"]) == 0
    assert reasons() == {}
    for name in (*BROKEN, "endless"):
        assert len(list((RUNS / name / "default").glob("*.json"))) == 2


def test_a_failure_of_another_state_of_the_file_does_not_last(project: Path) -> None:
    path, fits = project / "methods" / f"{GOOD}.py", RUNS / GOOD / "default"
    text = path.read_text(encoding="utf-8")
    assert main(["run", "oracle_funnel", GOOD]) == 0
    before = {fit: fit.stat().st_mtime_ns for fit in fits.glob("*.json")}
    broken = "    @classmethod\n    def missing(cls, schema):\n        return schema.nothing\n"
    for change in (text.replace('"ma2018entire"', '"nobody2099"'), f"{text}\n{broken}"):
        path.write_text(change, encoding="utf-8")
        assert main(["run", "oracle_funnel", GOOD]) == 0
        assert (RUNS / GOOD / "failed.json").is_file()
        path.write_text(text, encoding="utf-8")
        assert main(["run", "oracle_funnel", GOOD]) == 0
        assert not (RUNS / GOOD / "failed.json").is_file()
        assert {fit: fit.stat().st_mtime_ns for fit in fits.glob("*.json")} == before


def test_what_fails_in_a_probe_alone_is_not_blamed(project: Path) -> None:
    naive = (ROOT / "methods" / f"{GOOD}.py").read_text(encoding="utf-8")
    late = with_function("forward(self, features): return super().forward(features) + self.late")
    path = project / "methods" / "late.py"
    path.write_text(late(naive), encoding="utf-8")
    schema = project / "data/processed/oracle_funnel/0"
    protocol = Workspace().params.protocol
    values = tuple(sorted(defaults(method_of(GOOD), protocol).items()))
    job = Job(schema, schema, "late", protocol, values, 0, final=True)
    for error in (RuntimeError("transient"), MemoryError(), OSError(28, "full")):
        with pytest.raises(type(error)) as caught, explained(job):
            raise error
        assert caught.value is error


def test_a_file_that_is_no_method_fails_with_its_reason(project: Path) -> None:
    naive = (ROOT / "methods" / f"{GOOD}.py").read_text(encoding="utf-8")
    files = {
        "numbered": naive.replace('name = "Naive"', "name = 3"),
        "double": f"{naive}\n\nclass Second(Naive):\n    pass\n",
        "cut": f"{naive}\0\0",
        "uncited": naive.replace('cite = "', 'cite = "no'),
    }
    for name, text in files.items():
        (project / "methods" / f"{name}.py").write_text(text, encoding="utf-8")
    write_small_params(project, [GOOD, *files])
    assert main(["run"]) == main(["report"]) == 0
    text = Path("results/leaderboard.md").read_text(encoding="utf-8")
    assert "failed: methods/numbered.py: name is 3; it must be the method's name, as text" in text
    assert "failed: methods/double.py must define exactly one Method, found 2" in text
    assert "failed: methods/uncited.py cites 'no" in text
    assert "failed: methods/cut.py: SyntaxError: source code string cannot contain null" in text
    assert len(list((RUNS / GOOD / "default").glob("*.json"))) == 2


def test_a_dataset_that_cannot_be_prepared_keeps_no_other_from_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "datasets").unlink()
    (project / "datasets").mkdir()
    source = (ROOT / "datasets" / "oracle_funnel.py").read_text(encoding="utf-8")
    (project / "datasets" / "oracle_funnel.py").write_text(source, encoding="utf-8")
    (project / "datasets" / "misspelt.py").write_text("class (:\n", encoding="utf-8")
    write_small_params(project, [GOOD], datasets=["misspelt", "oracle_funnel"])
    assert main(["data"]) == 0
    says = "warning: misspelt could not be prepared: datasets/misspelt.py, line 1: SyntaxError: "
    assert says in capsys.readouterr().err
    assert main(["data", "misspelt"]) == 1
    assert main(["run"]) == 0
    assert "misspelt" in capsys.readouterr().err
    assert len(list((RUNS / GOOD / "default").glob("*.json"))) == 2


def test_a_wrong_criterion_is_one_sentence_and_runs_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_params(project, [GOOD], protocol={"selection_metric": "cvr_auc_oracle"})
    assert main(["run"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "cvr_auc_oracle" in error
    assert not RUNS.exists()
