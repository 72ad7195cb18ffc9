"""The models of ``params.yaml``, the only configuration; every key says what it does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from annotated_types import MinLen
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveInt,
    PrivateAttr,
    field_validator,
    model_validator,
)

from benchmark import plugin_folders, registry
from benchmark.configuration import documents
from benchmark.configuration.allowed import Allowed
from benchmark.configuration.documents import Location, Node, shortened
from benchmark.configuration.mistakes import WrongValueError, validated

T = TypeVar("T")


def _distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    for value in values:
        if values.count(value) > 1:
            raise WrongValueError(
                "", f"{shortened(repr(value))} stands in it twice, once is enough"
            )
    return values


def _name(text: str) -> str:
    if not (text.isascii() and text.isidentifier()) or text.startswith("_"):
        raise WrongValueError("", "it must be a file name without folder and without .py")
    return text


def _frozen(value: object) -> object:
    """Return a value with tuples for lists, since sections do not change."""
    if isinstance(value, Mapping):
        return {key: _frozen(item) for key, item in value.items()}
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


Name = Annotated[str, AfterValidator(_name), Allowed("a file name without folder and without .py")]
Metric = Annotated[str, Allowed("a metric, <task>_<measure>_<rows>, as in cvr_auc_clicked")]
Several = Annotated[tuple[T, ...], MinLen(1), AfterValidator(_distinct)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Count = Annotated[int, Field(ge=1, le=10_000)]


class Section(BaseModel):
    """A part of a configuration: no unknown keys, no conversions between types, no changes.

    ``renamed`` has the keys that a section once had, and what to write instead.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_lists(cls, values: object) -> object:
        return _frozen(values)


class Range(Section):
    """A hyper-parameter that every method tunes, log-uniform between two bounds."""

    low: float = Field(gt=0, le=10)
    """The lower bound."""
    high: float = Field(gt=0, le=10)
    """The upper bound, above ``low``."""
    default: float = Field(ge=0, le=10)
    """The value of the first trial, and of all fits where nothing is tuned."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise WrongValueError("low", f"it must be below `high`, which is {self.high:g}")
        return self


class BackboneParams(Section):
    """The encoder and the heads that all methods share."""

    name: str
    """The encoder: ``embeddings``, a context model of RecBole, or one of the suite's own."""
    embedding_size: int = Field(ge=1, le=4096)
    """The length of the vector of each categorical feature."""
    hidden: tuple[Width, ...] = Field(max_length=64)
    """The widths of the encoder's hidden layers; none, and the encoder's own default holds."""
    tower: tuple[Width, ...] = Field(max_length=64)
    """The widths of the hidden layers of each task's tower."""
    dropout: float = Field(ge=0, lt=1)
    """The share of activations that are set to zero during training."""
    options: dict[str, Any] = {}
    """The encoder's own options, listed with its name in the reference."""


class Pretraining(Section):
    """What every encoder learns from features alone before a method trains it."""

    task: Literal["none", "masked", "replaced"] = "none"
    """What is predicted: the values that were masked, or whether a value was replaced."""
    epochs: Count = 1
    """Passes over the training rows."""
    rate: float = Field(default=0.3, gt=0, lt=1)
    """The share of categorical fields that are masked or replaced in a row."""


class Tuning(Section):
    """The budget of the search, equal for all methods."""

    trials: int = Field(ge=0, le=10_000)
    """Hyper-parameter settings tried per method and setting; 0 tunes nothing.

    The first trial uses the method's defaults, which are the published ones only where the method's
    page says so. A larger number begins with the same trials, so that finished work is kept when it
    is raised.
    """
    batch: Count
    """Trials that are chosen, and trained, side by side."""
    seed: Seed
    """The seed of the search and of the weights in all trials."""
    draws: Count = 1
    """Fits per trial, each on a tuning draw that no table reports; a trial has their mean."""


class Protocol(Section):
    """How every method is trained, tuned and run."""

    renamed: ClassVar[Mapping[str, str]] = {
        "together": "write `vectorized_trials`",
        "seeds": "write `replicates`, how many there are, beside `protocol`",
    }

    backbone: BackboneParams
    """The encoder and the heads that all methods share."""
    pretraining: Pretraining = Pretraining()
    """What every encoder learns from features alone before a method trains it."""
    batch_size: int = Field(ge=1, le=10_000_000)
    """Training rows per optimisation step."""
    max_epochs: Count
    """The largest number of passes over the training rows."""
    patience: Count
    """Training stops after this many epochs without a better value of ``selection_metric``."""
    kept_epoch: Literal["best", "last"] = "best"
    """Which epoch's weights are evaluated; "last" is without early stopping."""
    selection_metric: Metric
    """What epochs and hyper-parameters are chosen by, on the validation split."""
    learning_rate: Range
    """Adam's step size."""
    weight_decay: Range
    """The factor of the squared weights."""
    row_sparse_from: PositiveInt = 200_000
    """Embedding tables of at least this many rows are trained only in the rows of a batch."""
    vectorized_trials: bool = False
    """Trains the trials of a batch, and the replicates of a fixed dataset, in one vectorised step.

    Results are equal up to rounding; it is faster where calls cost more than arithmetic.
    """
    defaults: dict[str, Any] = {}
    """Values that replace the defaults of the methods, by hyper-parameter.

    Below the name of a method stand those of this method alone.
    """
    tuning: Tuning
    """The budget of the search, equal for all methods."""
    device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Allowed("auto, cpu or cuda; CUDA_VISIBLE_DEVICES tells which GPUs there are"),
    ]
    """Where fits run; ``auto`` is CUDA if there is a GPU, of which each worker sees one."""

    @property
    def identity(self) -> dict[str, Any]:
        """What of the protocol can change the number of a fit: all but the budget and the device.

        The device that does the work is part of a result's key by its name.
        """
        return self.model_dump(mode="json", exclude={"device": True, "tuning": {"trials"}})

    @property
    def own_defaults(self) -> dict[str, dict[str, Any]]:
        """The ``defaults`` of single methods, by method."""
        return {key: value for key, value in self.defaults.items() if isinstance(value, dict)}

    def of(self, method: str) -> Self:
        """Return the protocol of one method: its own ``defaults`` take the place of all others'."""
        own = self.own_defaults
        shared = {key: value for key, value in self.defaults.items() if key not in own}
        return self.model_copy(update={"defaults": shared | own.get(method, {})})

    @model_validator(mode="after")
    def _defaults_in_their_ranges(self) -> Self:
        ranges = {"learning_rate": self.learning_rate, "weight_decay": self.weight_decay}
        for name, limits in ranges.items():
            if self.tuning.trials and not limits.low <= limits.default <= limits.high:
                raise WrongValueError(
                    f"{name}.default",
                    f"it must lie in its range, {limits.low:g} to {limits.high:g}",
                )
        return self


class Launch(Section):
    """Where ``python -m benchmark run`` runs: no number depends on it."""

    on: Literal["local", "slurm", "ray"] = "local"
    """This machine, or a cluster."""
    workers: Count | None = None
    """Fits that run at a time: by default one per core or GPU, on a cluster 100."""
    time_limit: Annotated[float, Field(gt=0, le=525_600)] | None = None
    """Minutes after which a fit is ended and counts as failed; by default it may take any time."""
    options: dict[str, Any] = {}
    """Options of the cluster's jobs, such as ``partition`` and ``time`` (minutes)."""


class Leaderboard(Section):
    """What the tables show."""

    headline: Several[Metric]
    """Metrics by which a table is sorted; of a dataset, the first one that is defined on it."""
    columns: Several[Metric]
    """The metrics that tables show, in this order."""
    confidence: float = Field(gt=0, lt=1)
    """The level of all confidence intervals and tests, as a share."""
    reference: Name | None = None
    """The method that all others are compared with, by its file name in methods/.

    It is also trained with wider towers, so that each method is compared with as many parameters.
    """
    own_references: dict[Name, Name] = {}
    """The reference of a method's own family, by method, where ``reference`` is of another one.

    Such a method is compared with both: what it gains within its family is not due to the family.
    """


class Params(Section):
    """The whole file: settings × replicates × methods, how they are trained, what is reported."""

    plugins: Annotated[tuple[str, ...], Allowed("a list of folders")] = ()
    """Folders with methods/ and datasets/ of your own, which are searched before the project's."""
    datasets: Several[Name]
    """The datasets, by their file names in datasets/."""
    methods: Annotated[Several[Name], Allowed("all, or a non-empty list of file names in methods/")]
    """The methods, by their file names in methods/; ``all`` means every one."""
    options: dict[Name, dict[str, Any]]
    """Options of the datasets, by dataset; those that are not named keep their defaults."""
    replicates: Count
    """Fits per method and setting that are evaluated, numbered from 0.

    One of a simulated setting is a fresh draw of its data and of the initial weights; one of a
    real dataset, of the weights on its fixed splits.
    """
    protocol: Protocol
    """How every method is trained, tuned and run; a change here reruns everything."""
    leaderboard: Leaderboard
    """What the tables show."""
    launch: Launch = Launch()
    """Where ``python -m benchmark run`` runs."""

    _source: Node = PrivateAttr(default=Node({}, Location("params.yaml")))

    @property
    def source(self) -> Node:
        """The files that the params were read from, for sentences about mistakes in them."""
        return self._source

    @field_validator("plugins")
    @classmethod
    def _searched(cls, folders: tuple[str, ...]) -> tuple[str, ...]:
        """Have each searched, so that the keys below may name what it holds."""
        paths = [registry.ROOT, *map(Path, folders)]
        for number, folder in enumerate(folders):
            try:
                reason = plugin_folders.fault(Path(folder), paths[: number + 1])
            except OSError as error:  # its message repeats the whole name, however long
                reason = f"it must be a folder that can be looked into: {error.strerror}"
            if reason:
                raise WrongValueError(str(number), reason)
        plugin_folders.add(folders)
        return folders

    @field_validator("methods", mode="before")
    @classmethod
    def _all(cls, methods: object) -> object:
        return tuple(registry.names("methods")) if methods == "all" else methods

    @classmethod
    def read(
        cls, path: Path = Path("params.yaml"), *changes: Path, settings: Sequence[str] = ()
    ) -> Self:
        """Read and check the file, with what further files and then settings change in it.

        ``settings`` are assignments such as ``protocol.max_epochs=3``.

        Raises:
            FileNotFoundError: not in the project root.
            ConfigError: a file is no YAML, or a key is missing, unknown or has a wrong value.
        """
        node = documents.read(path)
        for change in (*map(documents.read, changes), *map(documents.setting, settings)):
            node = node.merged(change)
        params = validated(cls, node)
        params._source = node
        return params
