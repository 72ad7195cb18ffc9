"""The rows of a dataset with randomised arms, and the predictions of its test split."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmark import parquet
from benchmark.execution import predictions
from benchmark.reporting.records import DatasetResults, Task
from benchmark.reporting.studies.arms.measure import Array, Counts, Integers
from benchmark.schema import SPLITS, Schema
from benchmark.splits import schema_of
from benchmark.studies import Arms, Setting


@dataclass(frozen=True)
class Rows:
    """Logged rows: arm (n,), by its index among the values of the section, and outcomes (n,).

    ``conversion`` is 0 without a click. ``strata`` has the ids of each field, (n,) each.
    """

    arm: Integers
    strata: dict[str, Integers]
    click: Array
    conversion: Array

    def counts(self, arm: int, within: NDArray[np.bool_] | None = None) -> Counts:
        """Return the counts of an arm, among all rows or some, (n,)."""
        rows = self.arm == arm if within is None else (self.arm == arm) & within
        clicks, conversions = self.click[rows].sum(), self.conversion[rows].sum()
        return Counts(int(rows.sum()), int(clicks), int(conversions))


@dataclass(frozen=True)
class Predicted:
    """What a replicate of a method predicts for the test rows, (n,) each."""

    ctr: Array
    cvr: Array


def read(folder: Path, arms: Arms, splits: tuple[str, ...] = SPLITS) -> Rows:
    """Read the logged rows of splits of a processed dataset.

    Raises:
        LookupError: the section does not fit the dataset.
    """
    schema = schema_of(folder)
    _check(schema, arms)
    names = [arms.field, *arms.strata, "click", "conversion"]
    frame = pl.concat(
        parquet.scan(folder / f"{split}.parquet").filter(policy="log").select(names)
        for split in splits
    ).collect()
    indices = np.array([arms.values.index(value) for value in sorted(arms.values)])
    return Rows(
        arm=indices[frame[arms.field].to_numpy().astype(np.int64) - 1],
        strata={name: frame[name].to_numpy().astype(np.int64) for name in arms.strata},
        click=frame["click"].cast(pl.Float64).to_numpy(),
        conversion=frame["conversion"].fill_null(0).cast(pl.Float64).to_numpy(),
    )


def _check(schema: Schema, arms: Arms) -> None:
    sizes = {field.name: field.size for field in schema.fields if field.kind == "categorical"}
    for name in (arms.field, *arms.strata):
        if name not in sizes:
            known = ", ".join(sizes)
            raise LookupError(
                f"arms: {schema.title} has no categorical field {name!r}; it has {known}"
            )
    if (count := sizes[arms.field] - 1) != len(arms.values):
        raise LookupError(
            f"arms.values names {len(arms.values)} arms; {schema.title} has {count} values of "
            f"{arms.field}"
        )


def predicted(setting: Setting, results: DatasetResults) -> Iterator[tuple[Task, list[Predicted]]]:
    """Yield the methods that predict CTR and CVR, with their replicates.

    Raises:
        FileNotFoundError: the predictions of a record are not on this machine.
    """
    for task in results.reported:
        scores_of = [
            _scores(path, setting.replicate(number)) for number, path in enumerate(task.predicted())
        ]
        if known := [scores for scores in scores_of if scores is not None]:
            yield task, known


def _scores(path: Path, splits: Path) -> Predicted | None:
    scores = predictions.read(path, schema_of(splits).rows["test"])
    if scores.ctr is None:
        return None
    policy = parquet.scan(splits / "test.parquet").select("policy").collect()["policy"]
    logged = (policy == "log").to_numpy()
    return Predicted(scores.ctr[logged], scores.cvr[logged])
