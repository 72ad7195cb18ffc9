"""All data of a study: raw files fetched, and every draw of every setting processed.

What is already there and was made from the same raw files, options and code is left as it is.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from tqdm import tqdm

from benchmark import registry
from benchmark.configuration.allowed import allowed
from benchmark.configuration.mistakes import mistake, validated
from benchmark.data.dataset import Dataset
from benchmark.data.fetching.download import fetch, is_verified
from benchmark.data.options import Options
from benchmark.data.preprocess import preprocess
from benchmark.data.resumption import inputs
from benchmark.errors import ConfigError, did_you_mean, sentence
from benchmark.registry import PluginError
from benchmark.sealing import read_sealed, write_sealed
from benchmark.splits import are_whole
from benchmark.studies import Setting, Workspace

MANUAL, CHECKSUMS = Path("data/manual"), Path("datasets/checksums.json")


@dataclass(frozen=True)
class Draw:
    """A setting's dataset with its options, and where its splits belong."""

    name: str
    dataset: str
    options: Mapping[str, Any]
    raw: Path
    processed: Path

    @property
    def adapter(self) -> Dataset:
        """The dataset's adapter with the draw's options."""
        return registry.load("datasets", self.dataset, Dataset)(**self.options)

    def is_current(self) -> bool:
        """Tell whether the splits are there, as written, and come from the same inputs."""
        record = read_sealed(self.processed / "inputs.json")
        if record is None or record["inputs"] != inputs(self.adapter, self.raw):
            return False
        return are_whole(self.processed)


def adapter(workspace: Workspace, dataset: str) -> Dataset:
    """Return a dataset's adapter with its options of ``params.yaml``.

    Raises:
        ConfigError: an option is unknown or has a wrong value.
        LookupError: there is no such dataset.
    """
    kind, params = registry.load("datasets", dataset, Dataset), workspace.params
    if options := params.options.get(dataset, {}):
        validated(kind.options_model(), params.source, ("options", dataset))
    return kind(**options)


def download(workspace: Workspace, dataset: str) -> Path:
    """Fetch or take the raw files of a dataset; return their folder.

    Raises:
        ConfigError: an option is unknown or has a wrong value.
        DataError: the files cannot be had, or are not the published ones.
        LookupError: there is no such dataset.
    """
    loaded, raw = adapter(workspace, dataset), workspace.raw / dataset
    fetch(dataset, loaded.sources, raw, MANUAL / (loaded.base or dataset), CHECKSUMS)
    return raw


def check(workspace: Workspace) -> None:
    """Make sure that the options of all settings, and their factors, are right.

    Raises:
        ConfigError: an option is unknown or has a wrong value, or a factor is no option.
        LookupError: there is no such adapter.
    """
    _check_factors(workspace)
    _check_options(workspace, workspace.sources())


def prepare(workspace: Workspace, workers: int, dataset: str | None = None) -> dict[str, str]:
    """Fetch and process the data of a study, or of one dataset of it; return what failed and why.

    A dataset that cannot be had keeps no other from being prepared.

    Raises:
        ConfigError: an option is unknown or has a wrong value, or a factor is no option.
        LookupError: there is no such dataset among the params', or no such adapter.
    """
    check(workspace)
    settings = workspace.sources()
    known = dict.fromkeys(setting.dataset for setting in settings)
    if dataset is not None and dataset not in known:
        raise LookupError(f"params.yaml has no dataset {dataset!r}; it has {', '.join(known)}")
    names = [name for name in known if dataset in (None, name)]
    failures = {name: reason for name in names if (reason := _fetched(name, workspace))}
    prepared = [x for x in settings if x.dataset in names and x.dataset not in failures]
    draws = [draw for setting in prepared for draw in _draws(setting, workspace)]
    for setting in prepared:
        _clear(setting, {draw.processed for draw in draws})
    pending = [draw for draw in draws if not draw.is_current()]
    return failures | _process(pending, workers)


def _check_factors(workspace: Workspace) -> None:
    """Make sure that every factor is an option of the dataset, at levels that it may have."""
    if (study := workspace.params.sensitivity) is None:
        return
    base = adapter(workspace, study.dataset).options
    known = base.model_dump()
    for section, names in (("factors", study.factors), ("meanings", study.meanings)):
        for name in (name for name in names if name not in known):
            words = f"is no option of {study.dataset}: {_hint(name, base, known)}"
            raise _wrong_factor(workspace, (section, name), words)
    for factor, levels in study.factors.items():
        if known[factor] in levels:
            same = f"holds {known[factor]!r}, the level of the base setting; leave it out"
            raise _wrong_factor(workspace, ("factors", factor), same)
        for number, level in enumerate(levels):
            if must := _fault_of_level(base, factor, level):
                words = f"is {level!r}; it must be {must}"
                raise _wrong_factor(workspace, ("factors", factor, number), words)


def _hint(name: str, base: Options, known: Iterable[str]) -> str:
    present = base.renamed.get(name)
    return f"an old name; {present}" if present else did_you_mean(name, known)


def _wrong_factor(workspace: Workspace, path: tuple[str | int, ...], words: str) -> ConfigError:
    return ConfigError([mistake(workspace.params.source, ("sensitivity", *path), words)])


def _fault_of_level(base: Options, factor: str, level: float) -> str | None:
    """Return what a level must be that the base setting's options do not allow, None if they do."""
    try:
        type(base).model_validate(base.model_dump() | {factor: level})
    except ValidationError as error:
        if any(details["loc"][:1] == (factor,) for details in error.errors()):
            return allowed(type(base).model_fields[factor])
    return None


def _check_options(workspace: Workspace, settings: Iterable[Setting]) -> None:
    """Make the adapter of every setting before anything is fetched, if its file can be imported."""
    for setting in settings:
        with suppress(PluginError, LookupError):
            adapter(workspace, setting.dataset)
            registry.load("datasets", setting.dataset, Dataset)(**setting.changed)


def _draws(setting: Setting, workspace: Workspace) -> Iterator[Draw]:
    name, raw = setting.processed.name, workspace.raw / setting.dataset
    draws = setting.draws(workspace.params.replicates, workspace.tuning_draws)
    for processed, options in draws:
        yield Draw(name, setting.dataset, options, raw, processed)


def _fetched(dataset: str, workspace: Workspace) -> str | None:
    """Fetch the raw files of a dataset; return why they cannot be had, if so."""
    try:
        download(workspace, dataset)
    except (OSError, ValueError, LookupError, PluginError) as error:
        return sentence(error)
    return None


def _clear(setting: Setting, current: set[Path]) -> None:
    """Delete draws that are no longer asked for."""
    for folder in (setting.processed, *setting.processed.glob("*/")):
        if (folder / "schema.json").is_file() and folder not in current:
            shutil.rmtree(folder)


def _process(draws: list[Draw], workers: int) -> dict[str, str]:
    """Process draws side by side; return which datasets failed, and why."""
    failures = dict[str, str]()
    if not draws:
        return failures
    if len(draws) == 1 or workers == 1:
        for draw in tqdm(draws, desc="data", unit="draw"):
            _try(partial(process, draw), draw, failures)
        return failures
    with ProcessPoolExecutor(min(workers, len(draws)), get_context("spawn")) as pool:
        futures = {pool.submit(process, draw): draw for draw in draws}
        for future in tqdm(as_completed(futures), desc="data", unit="draw", total=len(draws)):
            _try(future.result, futures[future], failures)
    return failures


def _try(work: Callable[[], object], draw: Draw, failures: dict[str, str]) -> None:
    try:
        work()
    except (OSError, ValueError, LookupError, PluginError) as error:
        failures.setdefault(draw.name, sentence(error))


def process(draw: Draw) -> None:
    """Write the splits of a draw, and what they were made from."""
    dataset = draw.adapter
    with registry.located("datasets", draw.dataset, OSError, ValueError):
        preprocess(dataset, draw.name, draw.raw, draw.processed, verified=is_verified(draw.raw))
    write_sealed(draw.processed / "inputs.json", {"inputs": inputs(dataset, draw.raw)})


def report(failures: Mapping[str, str]) -> None:
    """Say what failed, and that the rest is there."""
    for name, reason in failures.items():
        sys.stderr.write(f"warning: {name} could not be prepared: {reason}\n")
