"""Names in ``params.yaml`` that must exist elsewhere: datasets, methods, metrics, options.

:func:`check_names` looks at lists of files and imports nothing heavy. :func:`check_options` and
:func:`broken` import the adapters, encoders and methods that are named.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import TYPE_CHECKING, cast

from benchmark import registry
from benchmark.configuration.documents import Node, shortened
from benchmark.configuration.mistakes import Path, mistake, validated, wrong
from benchmark.declarations import method_of, undeclared
from benchmark.errors import ConfigError, did_you_mean, sentence
from benchmark.metrics.criteria import CRITERIA
from benchmark.metrics.measures import MEASURES
from benchmark.registry import PluginError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from benchmark.studies import StudyParams, Workspace


def check_names(params: StudyParams) -> None:
    """Make sure that all datasets, methods and metrics that the params name exist.

    Raises:
        ConfigError: with a sentence for each that does not.
    """
    if sentences := [*_files(params), *_all_metrics(params)]:
        raise ConfigError(sentences)


def check_metrics(params: StudyParams) -> None:
    """Make sure that all metrics that the params name exist.

    Raises:
        ConfigError: with a sentence for each that does not.
    """
    if sentences := _all_metrics(params):
        raise ConfigError(sentences)


def check_options(workspace: Workspace) -> None:
    """Make sure that datasets, encoder and methods have the options and defaults that are set.

    Plugins that cannot be imported are passed over: :func:`broken` tells them.

    Raises:
        ConfigError: with a sentence for each that they do not have, or that has a wrong value.
    """
    datasets = list(_adapters(workspace)) or [*_factors(workspace), *_arms(workspace)]
    models = [
        sentence
        for params in workspace.params.and_variants()
        for sentence in (*_encoder(params), *_hyperparameters(params))
    ]
    if sentences := [*datasets, *dict.fromkeys(models)]:
        raise ConfigError(sentences)


def broken(params: StudyParams) -> Iterator[str]:
    """Yield a sentence for each dataset or method of the params that cannot be used."""
    from benchmark.data.dataset import Dataset  # noqa: PLC0415 (half a second)
    from benchmark.training.method import Method  # noqa: PLC0415 (seconds)

    for name in used_datasets(params):
        yield from _import_error("datasets", name, Dataset)
    for name in params.methods:
        yield from _import_error("methods", name, Method) or undeclared(name, method_of(name))


def used_datasets(params: StudyParams) -> list[str]:
    """Return the datasets that are prepared, and those that have options."""
    study = params.sensitivity
    prepared = [study.dataset] if study else list(params.datasets)
    return list(dict.fromkeys([*prepared, *params.options]))


def _import_error(folder: str, name: str, base: type) -> list[str]:
    try:
        registry.load(folder, name, base)
    except LookupError as error:
        return [sentence(error)]
    except Exception as error:  # noqa: BLE001 (whatever an author's file raises)
        path = registry.shown(registry.path_of(folder, name))
        return [f"{path} cannot be imported: {sentence(error)}"]
    return []


def _files(params: StudyParams) -> Iterator[str]:
    source = params.source
    datasets, methods = (registry.names(folder) for folder in ("datasets", "methods"))
    yield from _unknown(source, _items("datasets", params.datasets), datasets, "datasets/")
    yield from _unknown(source, _items("methods", params.methods), methods, "methods/")
    options: dict[Path, str] = {("options", name): name for name in params.options}
    yield from _unknown(source, options, datasets, "datasets/")
    if (study := params.sensitivity) is not None:
        named: dict[Path, str] = {("sensitivity", "dataset"): study.dataset}
        yield from _unknown(source, named, datasets, "datasets/")
        baselines = _items("sensitivity.baselines", study.baselines)
        yield from _unknown(source, baselines, methods, "methods/")
    for named in _references(params):
        yield from _unknown(source, named, methods, "methods/")


def _references(params: StudyParams) -> Iterator[dict[Path, str]]:
    """Yield the methods with which others are compared, and those others, by their paths."""
    board = params.leaderboard
    if board.reference is not None:
        yield {("leaderboard", "reference"): board.reference}
    own: dict[Path, str] = {
        ("leaderboard", "own_references", name): name for name in board.own_references
    }
    yield own
    yield dict(zip(own, board.own_references.values(), strict=True))


def _items(key: str, names: Iterable[str]) -> dict[Path, str]:
    """Return each name of a list by its path."""
    return {(*key.split("."), number): name for number, name in enumerate(names)}


def _unknown(
    source: Node, named: Mapping[Path, str], known: Sequence[str], where: str
) -> Iterator[str]:
    for path, name in named.items():
        if name not in known:
            what = "is" if path[-1] == name else f"is {shortened(repr(name))}, which is"
            yield mistake(source, path, f"{what} not in {where}; {did_you_mean(name, known)}")


def _all_metrics(params: StudyParams) -> list[str]:
    """Return what is wrong with the metrics of the params or of a variant, each once."""
    return list(dict.fromkeys(text for own in params.and_variants() for text in _metrics(own)))


def _metrics(params: StudyParams) -> Iterator[str]:
    from benchmark.reporting.metric import POPULATIONS, TASKS  # noqa: PLC0415 (half a second)

    known = ["_".join(parts) for parts in product(TASKS, MEASURES, POPULATIONS)]
    if (metric := params.protocol.selection_metric) not in CRITERIA:
        must = f"a criterion that needs no oracle; {did_you_mean(metric, CRITERIA)}"
        yield wrong(params.source, ("protocol", "selection_metric"), must)
    for key in ("headline", "columns"):
        for number, name in enumerate(getattr(params.leaderboard, key)):
            if name not in known:
                hint = did_you_mean(name, known)
                must = hint if hint.startswith("did") else f"as in {known[0]}"
                path = ("leaderboard", key, number)
                yield wrong(params.source, path, f"<task>_<measure>_<rows>; {must}")


def _adapters(workspace: Workspace) -> Iterator[str]:
    from benchmark.data.prepare import adapter  # noqa: PLC0415 (half a second)

    for name in used_datasets(workspace.params):
        with suppress(PluginError, LookupError):
            try:
                adapter(workspace, name)
            except (ConfigError, ValueError) as error:
                yield from _all(error)


def _factors(workspace: Workspace) -> Iterator[str]:
    from benchmark.data.prepare import check  # noqa: PLC0415 (half a second)

    with suppress(PluginError, LookupError):
        try:
            check(workspace)
        except ConfigError as error:
            yield from error.sentences


def _arms(workspace: Workspace) -> Iterator[str]:
    """Yield the fields of the section ``arms`` that a dataset does not have."""
    from benchmark.data.prepare import adapter  # noqa: PLC0415 (half a second)

    if (arms := workspace.params.arms) is None:
        return
    field: dict[Path, str] = {("arms", "field"): arms.field}
    for name in dict.fromkeys(setting.dataset for setting in workspace.settings()):
        with suppress(PluginError, LookupError):
            known = adapter(workspace, name).categorical
            for path, key in (field | _items("arms.strata", arms.strata)).items():
                if key not in known:
                    words = f"is {key!r}, no categorical field of {name}"
                    hint = did_you_mean(key, known)
                    yield mistake(workspace.params.source, path, f"{words}; {hint}")


def _all(error: Exception) -> Sequence[str]:
    return error.sentences if isinstance(error, ConfigError) else [sentence(error)]


def _encoder(params: StudyParams) -> Iterator[str]:
    """Yield what is wrong with the backbone, and with the one that it wraps."""
    from benchmark.training.backbones import NAMES, OPTIONS  # noqa: PLC0415 (seconds)
    from benchmark.training.backbones.options import Options  # noqa: PLC0415

    backbone, source = params.protocol.backbone, params.source
    path: Path = ("protocol", "backbone")
    if backbone.name not in NAMES:
        must = f"the name of a backbone; {did_you_mean(backbone.name, NAMES)}"
        yield wrong(source, (*path, "name"), must)
        return
    name, path = backbone.name, (*path, "options")
    try:
        options = validated(OPTIONS.get(name, Options), source, path)
        if (base := getattr(options, "base", None)) is not None:
            validated(OPTIONS.get(base, Options), source, (*path, "base_options"))
    except ConfigError as error:
        yield from error.sentences


def _hyperparameters(params: StudyParams) -> Iterator[str]:
    """Yield what is wrong with the defaults that the params give to hyper-parameters."""
    path, own = ("protocol", "defaults"), params.protocol.own_defaults
    spaces = _spaces() if params.protocol.defaults else {}
    for key, value in params.protocol.defaults.items():
        if key not in own:
            unknown = "a hyper-parameter of no method"
            yield from _default(params, (*path, key), value, spaces, unknown)
    for method, values in own.items():
        if method not in (names := registry.names("methods")):
            words = f"is no method; {did_you_mean(method, names)}"
            yield mistake(params.source, (*path, method), words)
        for key, value in values.items() if method in spaces else ():
            space, unknown = {method: spaces[method]}, f"no hyper-parameter of {method}"
            yield from _default(params, (*path, method, key), value, space, unknown)


def _default(
    params: StudyParams,
    path: Path,
    value: object,
    spaces: Mapping[str, Mapping[str, BaseDistribution]],
    unknown: str,
) -> Iterator[str]:
    """Yield what is wrong with a default that each of these methods would be given."""
    key, tuned = str(path[-1]), params.protocol.tuning.trials > 0
    ranges = {name: space[key] for name, space in spaces.items() if key in space}
    if not ranges:
        known = sorted({key for space in spaces.values() for key in space})
        yield mistake(params.source, path, f"is {unknown}; {did_you_mean(key, known)}")
    required = {
        _must(distribution, value, tuned=tuned): name for name, distribution in ranges.items()
    }
    for must, name in list(required.items())[:1] if "" not in required else []:
        yield wrong(params.source, path, f"{must}, as in methods/{name}.py")


def _spaces() -> dict[str, Mapping[str, BaseDistribution]]:
    """Return the search space of each method that can be imported."""
    spaces = {}
    for name in registry.names("methods"):
        with suppress(PluginError, LookupError):
            spaces[name] = method_of(name).search_space
    return spaces


def _must(distribution: BaseDistribution, value: object, *, tuned: bool) -> str:
    """Return what a default must be, nothing if it is that.

    A range binds what is tuned; of what is not, it tells the sign.
    """
    if choices := getattr(distribution, "choices", ()):
        fits = any(type(value) is type(choice) and value == choice for choice in choices)
        return "" if fits else f"one of {', '.join(map(_written, choices))}"
    whole = "int" in type(distribution).__name__.lower()
    if type(value) not in ((int,) if whole else (int, float)):
        return "a whole number" if whole else "a number"
    low, high = (getattr(distribution, name) for name in ("low", "high"))
    must = f"within its range, {low:g} to {high:g}"
    if tuned:
        return "" if low <= cast(float, value) <= high else must
    least = min(low, 0)  # what is never negative while it is tuned, has no meaning below 0
    fits = least <= cast(float, value) < math.inf
    return "" if fits else f"{must}, or where nothing is tuned finite and at least {least:g}"


def _written(choice: object) -> str:
    return str(choice).lower() if isinstance(choice, bool) else str(choice)
