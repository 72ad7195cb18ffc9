"""What would go wrong, found before anything starts: ``python -m benchmark check``."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

import psutil

from benchmark.configuration.names import broken, check_names, check_options
from benchmark.data.dataset import Dataset, Source
from benchmark.data.prepare import MANUAL, adapter
from benchmark.errors import ConfigError
from benchmark.execution.executors.local import cores
from benchmark.execution.run import tasks
from benchmark.files import DamagedError
from benchmark.preflight.encoders import refused
from benchmark.preflight.footprint import drawing, fitting
from benchmark.preflight.standing import Standing
from benchmark.recovery import recovered
from benchmark.registry import PluginError
from benchmark.sealing import read_sealed
from benchmark.studies import Workspace

GB = 1e9
UNPACKED = 3  # bytes on disk per downloaded byte: the archive, its content, the processed splits
SPARE = 1 * GB  # below it, any run may fill the disk


@dataclass(frozen=True)
class Finding:
    """One sentence; an error must be mended before a run, which leaves out what a warning names."""

    text: str
    kind: Literal["error", "warning", "note"] = "note"

    def __str__(self) -> str:
        return self.text if self.kind == "note" else f"{self.kind}: {self.text}"


def findings(workspace: Workspace) -> Iterator[Finding]:
    """Yield what a run of the benchmark, or of a study, would need, and all mistakes.

    What a killed run of DVC left unreadable is removed.
    """
    for text, mended in recovered(Path()):
        yield Finding(text, "note" if mended else "error")
    try:
        check_names(workspace.params)
        check_options(workspace)
    except ConfigError as error:
        yield from (Finding(text, "error") for text in error.sentences)
        return
    yield from (Finding(text, "warning") for text in broken(workspace.params))
    standing = Standing(workspace)
    yield from _data(workspace, standing)
    memory = _memory(workspace, standing)
    yield memory
    if memory.kind == "error":  # what follows makes models of these sizes
        return
    refusals = list(_encoders(workspace))
    yield from refusals
    if all(finding.kind != "error" for finding in refusals):
        yield _time(workspace, standing)


def _encoders(workspace: Workspace) -> Iterator[Finding]:
    """Yield the settings in which no method has an encoder: an error if these are all."""
    reasons = dict(refused(workspace))
    nowhere = len(reasons) == len(workspace.settings())
    for name, reason in reasons.items():
        yield Finding(f"{name}: {reason}", "error" if nowhere else "warning")


def _data(workspace: Workspace, standing: Standing) -> Iterator[Finding]:
    """Yield where the data of each dataset are, and whether the disk has room for them."""
    settings = workspace.sources()
    downloads = 0.0
    for name in dict.fromkeys(setting.dataset for setting in settings):
        own = [setting for setting in settings if setting.dataset == name]
        if all(map(standing.is_processed, own)):
            yield Finding(f"{name}: processed")
            continue
        try:
            dataset = adapter(workspace, name)
        except (PluginError, LookupError):
            continue
        if not dataset.sources:
            yield Finding(f"{name}: will be simulated")
            continue
        finding, size = _raw(name, dataset, workspace)
        downloads += size
        yield finding
    free = shutil.disk_usage(Path()).free
    needed = max(UNPACKED * downloads + drawing(workspace, standing)[1], SPARE)
    words = f"disk: {free / GB:,.1f} GB free, {needed / GB:,.1f} GB needed"
    yield Finding(words, "error" if free < needed else "note")


def _raw(name: str, dataset: Dataset, workspace: Workspace) -> tuple[Finding, float]:
    """Return where raw files come from, and the bytes that are downloaded."""
    if (workspace.raw / name / "manifest.json").is_file():
        return Finding(f"{name}: raw files are here and will be processed"), 0.0
    folder = MANUAL / (dataset.base or name)
    if any(path.is_file() and path.name[0] != "." for path in folder.rglob("*")):
        return Finding(f"{name}: files in {folder}/ will be processed"), 0.0
    if by_hand := [source for source in dataset.sources if source.url is None]:
        return Finding(_by_hand(name, by_hand, folder), "warning"), 0.0
    size = sum(source.size or 0 for source in dataset.sources)
    return Finding(f"{name}: {size / GB:.2f} GB will be downloaded"), size


def _by_hand(name: str, sources: list[Source], folder: Path) -> str:
    pages = ", ".join(dict.fromkeys(source.page for source in sources))
    files = ", ".join(source.file for source in sources[:3]) + ", …" * (len(sources) > 3)
    return f"{name}: get {files} by hand from {pages} and put them into {folder}/"


def _memory(workspace: Workspace, standing: Standing) -> Finding:
    """Return what this machine holds at a time: draws that are simulated, then fits of workers.

    What the machines of a cluster have is not known here.
    """
    launch, memory = workspace.params.launch, psutil.virtual_memory()
    workers = launch.workers or cores()
    fits = workers * fitting(workspace) if launch.on == "local" else 0
    needs = {"for simulation": drawing(workspace, standing)[0], f"for {workers} workers": fits}
    words = f"memory: {memory.available / GB:.1f} of {memory.total / GB:.1f} GB free"
    for what, need in needs.items():
        words += f", about {need / GB:,.2f} GB needed {what}" * bool(need)
    if max(needs.values()) <= memory.total:
        return Finding(words)
    smaller = "take fewer rows, narrower layers or a smaller launch.workers"
    return Finding(f"{words}; {smaller}", "error")


def _time(workspace: Workspace, standing: Standing) -> Finding:
    """Return how long what is left takes, by fits that are on record here or were published."""
    params = workspace.params
    try:
        pending = [cell for cell in tasks(workspace) if not standing.is_over(cell)]
    except DamagedError:  # a schema that `python -m benchmark data` will replace
        return Finding("time: unknown until the data are made again")
    fits = sum(cell.fits for cell in pending)
    if not fits:
        return Finding("time: everything is on record")
    source, seconds = "those on record", _recorded(workspace.runs)
    if not seconds:
        source, seconds = "the published ones", _published(workspace.results / "runs.csv")
    if not seconds:
        return Finding(f"time: unknown for {fits} fits, of which none is on record")
    usual = median(seconds.values())
    workers = params.launch.workers or cores()
    total = sum(cell.fits * seconds.get(cell.method, usual) for cell in pending) / workers
    where = f"on {workers} workers" if params.launch.on == "local" else f"of {params.launch.on}"
    return Finding(
        f"time: about {_span(total)} for {fits} fits {where}, if they take as long as {source}"
    )


def _recorded(runs: Path) -> dict[str, float]:
    """Return the median seconds of a fit of each method, from records of this machine."""
    records = ((path.parts[-3], read_sealed(path) or {}) for path in runs.glob("*/*/*/*.json"))
    return _medians((method, record.get("seconds")) for method, record in records)


def _published(path: Path) -> dict[str, float]:
    """Return the median seconds of a fit of each method, from the table of published ones."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        fits = ((row.get("method"), row.get("seconds")) for row in rows)
        return _medians((method, seconds) for method, seconds in fits if method and seconds)


def _medians(fits: Iterable[tuple[str, float | str | None]]) -> dict[str, float]:
    seconds_of: dict[str, list[float]] = {}
    for method, seconds in fits:
        if seconds is not None:
            seconds_of.setdefault(method, []).append(float(seconds))
    return {method: median(values) for method, values in seconds_of.items()}


def _span(seconds: float) -> str:
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} hours"
