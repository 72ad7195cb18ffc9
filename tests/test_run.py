"""Any pool of workers, and any of them killed: the same records, each trained to its end once."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from helpers import cluster, errands
from helpers.projects import work_here, write_small_params
from helpers.runs import records, run, task

from benchmark import plugin_folders, registry
from benchmark.cli import main
from benchmark.config import Launch, Protocol
from benchmark.configuration.names import check_options
from benchmark.errors import ConfigError
from benchmark.execution import tasks
from benchmark.execution.executors.executor import ATTEMPTS, Executor, LostError
from benchmark.execution.executors.local import LocalExecutor, visible
from benchmark.execution.jobs import ForeignError
from benchmark.execution.provenance import environment
from benchmark.execution.run import overridden, run_tasks
from benchmark.execution.run import run as run_study
from benchmark.execution.run import tasks as tasks_of
from benchmark.execution.tasks import Candidates, Task
from benchmark.files import read_json
from benchmark.registry import ROOT
from benchmark.studies import StudyParams, Workspace

METHOD = registry.names("methods")[0]
PATIENCE = 300  # seconds, of a busy machine


# --- the pools


@contextmanager
def local(_: Path) -> Iterator[Executor]:
    with LocalExecutor(2) as executor:
        yield executor


@contextmanager
def processes(folder: Path) -> Iterator[Executor]:
    """What submitit does, without a cluster."""
    submitit = pytest.importorskip("submitit")
    base = import_module("benchmark.execution.executors.slurm").Slurm

    class Processes(base):  # type: ignore[misc, valid-type]
        executor = submitit.LocalExecutor
        patience = 0.4

        def __init__(self, folder: Path, workers: int) -> None:
            super().__init__(folder, workers, {}, seconds=0.1)

        def queued(self, jobs: Any) -> set[str]:
            return {job.job_id for job in jobs if not job.done()}

        def cancel(self, jobs: Any) -> None:
            for job in jobs:
                job.cancel()

    with Processes(folder / "log", 2) as executor:
        yield executor


@contextmanager
def slurm(folder: Path) -> Iterator[Executor]:
    pytest.importorskip("submitit")
    if reason := cluster.missing():
        pytest.skip(reason)
    configuration = running_slurm()
    cluster.empty(configuration)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(configuration))
        options = {"time": 60, "mem": "500MB"}
        connect = import_module("benchmark.execution.executors.slurm").connect
        patch.setattr(connect, "patience", 1.2)
        with connect(folder / "log", 2, options, seconds=0.3) as executor:
            yield executor


DAEMONS = ExitStack()


@cache
def running_slurm() -> Path:
    """Start the daemons, which all tests share, and return the path of their configuration."""
    folder = Path(DAEMONS.enter_context(TemporaryDirectory()))
    return DAEMONS.enter_context(cluster.slurm(folder))


@pytest.fixture(scope="module", autouse=True)
def _daemons_end() -> Iterator[None]:
    with DAEMONS:
        yield


@contextmanager
def ray(_: Path) -> Iterator[Executor]:
    pytest.importorskip("ray", reason="ray is not installed")
    with import_module("benchmark.execution.executors.ray").connect(Path(), 2, {}) as executor:
        yield executor


EVERY = pytest.mark.parametrize("opened", [local, processes, slurm, ray])
SOME = pytest.mark.parametrize("opened", [local, slurm, ray])


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let workers of a cluster find the errands, and those the diary."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path]))
    monkeypatch.setenv(errands.DIARY, str(tmp_path))


@EVERY
def test_every_pool_keeps_the_contract(opened: Any, tmp_path: Path) -> None:
    with opened(tmp_path) as executor:
        results = [executor.submit(errands.double, number) for number in range(3)]
        killed_once = executor.submit(errands.die_once, tmp_path / "mark")
        fails = executor.submit(errands.fail, 7)
        dies = executor.submit(errands.die, "an errand")
        assert [result.result(90) for result in results] == [0, 2, 4]
        assert killed_once.result(90) == "done"
        with pytest.raises(LookupError, match=r"^no 7$"):
            fails.result(90)
        with pytest.raises(LostError, match=f"an errand: {ATTEMPTS} workers died of it, "):
            dies.result(90)


@SOME
def test_workers_find_the_plugins_of_the_process_that_starts_them(
    opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugin_folders.VARIABLE, "[]")
    (tmp_path / "group" / "methods").mkdir(parents=True)
    (tmp_path / "group" / "methods" / "of_a_group.py").touch()
    plugin_folders.add([tmp_path / "group"])
    with opened(tmp_path) as executor:
        assert "of_a_group" in executor.submit(registry.names, "methods").result(90)


@EVERY
def test_an_interruption_ends_the_workers(opened: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    futures = list[Future[Any]]()

    def interrupted() -> None:
        with opened(tmp_path) as executor:
            futures.extend(executor.submit(errands.wait_forever, mark) for _ in range(3))
            while not mark.exists():
                time.sleep(0.1)
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for future in futures:
        with pytest.raises(CancelledError):
            future.result(60)
    assert time.monotonic() - start < 120 < errands.FOREVER
    assert not multiprocessing.active_children()


def test_a_result_that_shows_late_is_awaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS shows it: not before its folder was changed, and then not at once."""
    pytest.importorskip("submitit")
    module, late = import_module("benchmark.execution.executors.slurm"), time.monotonic() + 5
    monkeypatch.setattr(module, "_has_result", hidden_until(late, module._has_result))
    with processes(tmp_path) as executor:
        monkeypatch.setattr(executor, "patience", 60)
        monkeypatch.setattr(executor, "queued", lambda _: set())
        assert executor.submit(errands.double, 4).result(60) == 8
    assert len(list(tmp_path.rglob("*_result.pkl"))) == 1, "it was done once"


def hidden_until(late: float, has_result: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def shown(job: Any) -> bool:
        job.paths.result_pickle.exists()
        changed = job.paths.folder.stat().st_ctime_ns
        found = has_result(job)
        return found and time.monotonic() > late and job.paths.folder.stat().st_ctime_ns > changed

    return shown


LAUNCHER = """
import sys
from pathlib import Path
from helpers import errands
from benchmark.execution.executors.local import LocalExecutor
if __name__ == "__main__":
    with LocalExecutor(1) as executor:
        executor.submit(errands.wait_forever, Path(sys.argv[1])).result()
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_a_launcher_that_is_killed(how: signal.Signals, tmp_path: Path) -> None:
    mark, script = tmp_path / "mark", tmp_path / "launcher.py"
    script.write_text(LAUNCHER)
    launcher = subprocess.Popen([sys.executable, str(script), str(mark)])
    _await(lambda: mark.exists() and mark.read_text() != "")
    launcher.send_signal(how)
    launcher.wait(30)
    _await(lambda: not _runs(int(mark.read_text())))


def _await(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _runs(process: int) -> bool:
    """Tell whether a process runs; one that nobody has buried does not."""
    try:
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_each_worker_sees_its_own_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert visible(2) == ["4", "7"]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert visible(2) == ["0", "1"]
    with LocalExecutor(2, ["4", "7"]) as executor:
        seen = [executor.submit(errands.see, number) for number in range(4)]
        assert {future.result() for future in seen} == {"4", "7"}


# --- tasks


@pytest.fixture
def small(protocol: Protocol) -> Protocol:
    tuning = protocol.tuning.model_copy(update={"trials": 1})
    return protocol.model_copy(update={"tuning": tuning, "max_epochs": 1})


def in_this_process(*cells: Task) -> list[tuple[Any, BaseException]]:
    return run_tasks(cells, nullcontext())


@SOME
def test_workers_are_killed_and_no_number_is_lost_doubled_or_another(
    opened: Any, processed: Path, small: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replicates = 2 if opened is slurm else 1  # there, two are stopped in two ways
    undisturbed = task(tmp_path / "undisturbed", processed, METHOD, small, replicates)
    assert not in_this_process(undisturbed)
    monkeypatch.setattr(tasks, "train", errands.disturbed_train)
    disturbed = task(tmp_path / "disturbed", processed, METHOD, small, replicates)
    assert not run_tasks([disturbed], opened(tmp_path))

    whole = records(tmp_path / "undisturbed")
    assert len(whole) == disturbed.fits
    assert records(tmp_path / "disturbed") == whole
    assert len(list(tmp_path.glob("begun *"))) == disturbed.fits
    assert [path.read_text() for path in tmp_path.glob("ended *")] == ["once "] * disturbed.fits

    monkeypatch.setattr(tasks, "train", errands.die)
    assert not in_this_process(disturbed), "what is finished is found"


def test_what_another_device_finished_is_kept_and_what_it_began_is_not(
    processed: Path, small: Protocol, tmp_path: Path
) -> None:
    one = task(tmp_path / "task", processed, METHOD, small)
    assert not in_this_process(one)
    elsewhere = environment("cpu") | {"device": "another"}
    before = records(one.folder)
    assert one.prepare(elsewhere)
    assert records(one.folder) == before

    (one.folder / "default" / "1.json").unlink()
    assert one.prepare(elsewhere)
    assert read_json(one.folder / "task.json")["device"] == "another"
    assert not records(one.folder)


def test_fits_of_another_method_are_made_again(
    processed: Path, small: Protocol, tmp_path: Path
) -> None:
    one, other = (
        task(tmp_path / name, processed, name, small) for name in registry.names("methods")[:2]
    )
    assert not in_this_process(one, other)
    before = records(one.folder)
    shutil.copytree(other.folder / "default", one.folder / "default", dirs_exist_ok=True)
    assert not in_this_process(one)
    assert records(one.folder) == before


@pytest.mark.parametrize("text", ["", "{}", '{"reason": "mine"}'])
def test_a_broken_reason_to_skip_is_written_again(
    processed: Path, small: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    one = task(tmp_path / "task", processed, METHOD, small)
    monkeypatch.setattr(one.kind, "missing", lambda _: "needs rain")
    assert not in_this_process(one)
    path = one.folder / "skipped.json"
    whole = path.read_text(encoding="utf-8")
    assert "needs rain" in whole
    path.write_text(text, encoding="utf-8")
    assert not in_this_process(one)
    assert path.read_text(encoding="utf-8") == whole


def test_a_task_whose_description_was_edited_is_made_again(
    processed: Path, small: Protocol, tmp_path: Path
) -> None:
    one = task(tmp_path / "task", processed, METHOD, small)
    assert not in_this_process(one)
    path, before = one.folder / "task.json", records(one.folder)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole.replace('"commit": ', '"commit": "mine", "was": '), encoding="utf-8")
    assert one.prepare(environment("cpu"))
    assert not records(one.folder)
    assert not in_this_process(one)
    assert path.read_text(encoding="utf-8") == whole
    assert records(one.folder).keys() == before.keys()


def test_a_worker_that_is_not_what_the_key_says_trains_nothing(
    processed: Path, small: Protocol, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "train", errands.die)
    where = environment("cpu") | {"device": "another"}
    monkeypatch.setattr("benchmark.execution.run.environment", lambda _: where)
    with pytest.raises(ForeignError, match=r"begun with other device \(cpu .*, not another\)"):
        run(tmp_path / "task", processed, METHOD, small)
    assert not records(tmp_path / "task")


def test_a_device_that_is_not_here_is_named(
    processed: Path, small: Protocol, tmp_path: Path
) -> None:
    cuda = small.model_copy(update={"device": "cuda"})
    one = task(tmp_path / "task", processed, METHOD, cuda)
    with pytest.raises(RuntimeError, match=r"protocol\.device is cuda, which is not here"):
        one.prepare(environment("cpu") | {"device": None})
    assert not one.folder.exists()


def test_one_task_that_fails_does_not_keep_the_others_from_running(
    processed: Path, small: Protocol, tmp_path: Path
) -> None:
    absent = task(tmp_path / "absent", tmp_path / "nowhere", METHOD, small)
    one = task(tmp_path / "task", processed, METHOD, small)
    [(failed, error)] = in_this_process(absent, one)
    assert failed is absent
    assert "nowhere" in str(error)
    assert len(records(one.folder)) == one.fits


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_goes_on_from_what_is_on_record(
    how: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_small_params(tmp_path, [METHOD], replicates=4)
    work_here(tmp_path, monkeypatch)
    assert main(["data"]) == 0
    runs = tmp_path / "results" / "runs"
    command = [sys.executable, "-m", "benchmark", "run", "--workers", "1"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            _await(lambda: any(runs.rglob("default/*.json")))
        finally:
            process.send_signal(how)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    assert ("interrupted; finished work is kept" in said) == (how is signal.SIGINT)

    kept = {path: path.stat().st_mtime_ns for path in runs.rglob("default/*.json")}
    assert 0 < len(kept) < 4, "it was interrupted in the midst of it"
    assert main(["run", "--strict"]) == 0
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(list(runs.rglob("default/*.json"))) == 4


# --- what is asked for


def test_the_command_line_changes_what_params_say() -> None:
    params = Launch(on="slurm", options={"partition": "cpu", "time": 60})
    launch = overridden(params, None, "8", "time: 90, gpus_per_node: 1")
    assert launch.workers == 8
    assert launch.options == {"partition": "cpu", "time": 90, "gpus_per_node": 1}
    assert launch.on == "slurm"
    with pytest.raises(ValueError, match="is no YAML"):
        overridden(params, None, None, "time: [")
    with pytest.raises(ValueError, match=r"on is .cloud.; it must be one of local, slurm, ray"):
        overridden(params, "cloud", None, None)


def test_an_unknown_option_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("submitit")
    connect = import_module("benchmark.execution.executors.slurm").connect
    monkeypatch.setattr(connect.executor, "affinity", classmethod(lambda _: 2))
    with pytest.raises(ValueError, match=r"\['colour'\]; allowed are .*partition[^\n]*$"):
        connect(tmp_path, 2, {"colour": "red"})


def test_a_missing_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, package in ((None, "submitit"), (None, "ray")):
        monkeypatch.setitem(sys.modules, package, module)
    for cluster_kind, module in (("slurm", "slurm"), ("ray", "ray_cluster")):
        monkeypatch.delitem(sys.modules, f"benchmark.execution.executors.{module}", raising=False)
        with pytest.raises(RuntimeError, match=f"to run on {cluster_kind}, `pip install '"):
            run_study(Workspace(), Launch(on=cluster_kind))


def test_a_study_has_a_task_for_every_setting_and_method() -> None:
    params = Workspace().params
    plain = [one for one in tasks_of(Workspace()) if "@" not in one.folder.name]
    assert len(plain) == len(params.datasets) * len(params.methods)
    study = Workspace("sensitivity")
    found = tasks_of(study)
    assert all(type(one) is Task for one in found)
    settings = 1 + sum(map(len, study.section("sensitivity").factors.values()))
    assert len(found) == settings * len(registry.names("methods"))
    method = study.params.methods[0]
    assert Path("results/studies/sensitivity/runs/base", method) in {one.folder for one in found}
    one = tasks_of(study, "base", method)
    assert [str(cell) for cell in one] == [f"{method} on base"]
    with pytest.raises(LookupError, match=r"params\.yaml has no setting 'bse'; it has base, "):
        tasks_of(study, "bse")
    with pytest.raises(LookupError, match=r"params\.yaml has no method 'x'; it has "):
        tasks_of(study, None, "x")
    assert all(isinstance(one, Candidates) for one in tasks_of(Workspace("selection")))


def defaults_of(monkeypatch: pytest.MonkeyPatch, text: str) -> dict[str, dict[str, Any]]:
    """Return the defaults that each method is given, where the protocol's are those of the text."""
    changes = ("methods=[esmm, dr_v2]", f"protocol.defaults={text}")
    params = StudyParams.read(Path("params.yaml"), settings=changes)
    monkeypatch.setattr(Workspace, "params", params)
    return {one.method: one.protocol.defaults for one in tasks_of(Workspace())}


def test_a_method_may_have_defaults_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{ctcvr_weight: 3.0, propensity_floor: 0.1, dr_v2: {cvr_weight: 2.0, ctcvr_weight: 1.0}}"
    assert defaults_of(monkeypatch, text) == {
        "esmm": {"ctcvr_weight": 3.0, "propensity_floor": 0.1},
        "dr_v2": {"ctcvr_weight": 1.0, "propensity_floor": 0.1, "cvr_weight": 2.0},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{dr_v3: {cvr_weight: 2}}", r"defaults\.dr_v3 is no method; did you mean 'dr_v2'"),
        (
            "{dr_v2: {cvr_wight: 2}}",
            r"cvr_wight is no hyper-parameter of dr_v2; did you mean",
        ),
        ("{dr_v2: {cvr_weight: high}}", r"dr_v2\.cvr_weight.* must be a number"),
    ],
)
def test_own_defaults_of_what_is_not_there_are_refused(
    text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    defaults_of(monkeypatch, text)
    with pytest.raises(ConfigError, match=said):
        check_options(Workspace())
