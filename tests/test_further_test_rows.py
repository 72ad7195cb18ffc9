"""Further test rows of the simulator are of the same world, and change nothing else."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from benchmark import registry
from benchmark.data.dataset import Dataset
from benchmark.data.preprocess import preprocess
from benchmark.data.simulation.generator import correlated, standardised
from benchmark.errors import ConfigError
from benchmark.schema import ORACLE, POST_CLICK, Schema

KIND = registry.load("datasets", "oracle_funnel", Dataset)
FEATURES = [*KIND.categorical, *KIND.numeric]
USER, ITEM = ("user_segment", "age", "user_activity"), ("category", "brand", "item_popularity")
ROWS, FURTHER = 60_000, 200_000
SETTINGS: list[dict[str, Any]] = [
    {},
    {"rates": "published", "seed": 3},
    {"history": 4, "delay": 1.5, "overlap": 0.5, "markov_violation": 1.0},
]


@lru_cache
def table(**options: Any) -> pl.DataFrame:
    return KIND(**{"rows": ROWS, **options}).table(Path()).collect()


def further(**options: Any) -> pl.DataFrame:
    return table(test_rows=FURTHER, **options)[ROWS:]


def same_mean(one: pl.Series, other: pl.Series) -> bool:
    """Return whether two samples' means lie within four standard errors of each other."""
    samples = [sample.cast(pl.Float64).to_numpy() for sample in (one, other)]
    error = sqrt(sum(sample.var() / len(sample) for sample in samples))
    return abs(samples[0].mean() - samples[1].mean()) < 4 * error


@pytest.mark.parametrize("options", SETTINGS)
@pytest.mark.parametrize("count", [1, FURTHER])
def test_the_log_is_bit_identical_whatever_their_number(
    options: dict[str, Any], count: int
) -> None:
    more = table(test_rows=count, **options)
    assert more.height == ROWS + count
    assert_frame_equal(more[:ROWS], table(**options), check_exact=True)
    assert more[ROWS:]["split"].unique().to_list() == ["test"]


def test_they_are_fresh_rows_of_the_same_users_items_and_numbers() -> None:
    log, more = table(), further()
    assert not more[:ROWS].select(FEATURES).equals(log.select(FEATURES))
    for key in (["user_id", *USER], ["item_id", *ITEM]):
        either = pl.concat([log, more]).select(key).unique()
        assert either[key[0]].is_unique().all()
    assert same_mean(more["item_popularity"], log["item_popularity"])


@pytest.mark.parametrize("options", SETTINGS)
def test_their_outcomes_have_the_distribution_of_the_log(options: dict[str, Any]) -> None:
    log, more = table(**options), further(**options)
    for column in ("click", "conversion", *ORACLE):
        assert same_mean(log[column].drop_nulls(), more[column].drop_nulls()), column
    for quantile in (0.1, 0.5, 0.9, 0.99):
        for truth in ORACLE[:2]:
            found = [frame[truth].quantile(quantile) for frame in (log, more)]
            assert found[1] == pytest.approx(found[0], rel=0.05), truth
    links = [frame.select(pl.corr(*ORACLE[:2], method="spearman")).item() for frame in (log, more)]
    assert links[1] == pytest.approx(links[0], abs=0.02)


def test_their_truth_is_the_same_function_of_features_as_in_the_log() -> None:
    """User, item, hour and position explain log odds of either part by the same effects."""
    log, more = table(unobserved_confounding=0), further(unobserved_confounding=0)
    cell = ["user_id", "item_id"]
    rest = [(pl.col(p) / (1 - pl.col(p))).log().alias(p) for p in ORACLE[:2]]
    means = [f.select(*cell, *rest).group_by(cell).agg(pl.len(), pl.all()) for f in (log, more)]
    both = means[0].join(means[1], on=cell).filter((pl.col("len") > 3) & (pl.col("len_right") > 3))
    for truth in ORACLE[:2]:
        pair = both.select(pl.col(truth).list.mean(), pl.col(f"{truth}_right").list.mean())
        assert pair.select(pl.corr(*pair.columns)).item() > 0.7, truth
        assert same_mean(pair.to_series(0), pair.to_series(1))


def test_their_probabilities_are_those_of_their_outcomes() -> None:
    more = further()
    for outcome, truth in (("oracle_conversion", "oracle_cvr"), ("click", "oracle_ctr")):
        for _, part in more.group_by(pl.col(truth).rank("ordinal") * 10 // (FURTHER + 1)):
            p = part[truth].to_numpy()
            assert abs(part[outcome].sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    observed = more.filter(click=1)
    assert observed["conversion"].equals(observed["oracle_conversion"], check_names=False)
    assert more.filter(click=0).select(POST_CLICK).null_count().row(0) == (
        more.filter(click=0).height,
    ) * len(POST_CLICK)


def test_they_follow_the_log_in_time_and_remember_its_clicks() -> None:
    more = table(history=4, delay=1.5, test_rows=1000)
    times = more["click_time"].drop_nulls()
    assert times.is_sorted()
    assert more[ROWS:]["click_time"].drop_nulls().is_between(10, 11, closed="left").all()
    assert more[ROWS:]["conversion_delay"].drop_nulls().is_between(0, 2).all()
    user = more[ROWS]["user_id"].item()
    own = more[:ROWS].filter(user_id=user, click=1)["item_id"].tail(4)
    assert more["recent_items"][ROWS].to_list() == own.to_list()


def test_processed_train_and_valid_files_are_the_same_bytes(tmp_path: Path) -> None:
    for name, count in (("without", 0), ("with", 3000)):
        preprocess(KIND(rows=5000, test_rows=count), name, tmp_path, tmp_path / name, verified=True)
    for file in ("train.parquet", "valid.parquet", "valid.oracle.parquet"):
        assert (tmp_path / "with" / file).read_bytes() == (tmp_path / "without" / file).read_bytes()
    assert Schema.read(tmp_path / "with").rows == {"train": 4000, "valid": 500, "test": 3500}
    assert pl.read_parquet(tmp_path / "with" / "test.oracle.parquet").height == 3500


def test_what_is_fitted_to_the_log_applies_to_further_rows() -> None:
    rng = np.random.default_rng(0)
    base, own = rng.normal(2, 3, 40_000), rng.normal(5, 0.5, 40_000)
    log = 30_000
    assert standardised(base, log)[:log].std() == pytest.approx(1)
    expected = (base[log:] - base[:log].mean()) / base[:log].std()
    np.testing.assert_allclose(standardised(base, log)[log:], expected, rtol=1e-6, atol=1e-12)
    made = correlated(base, own, 0.6, log)
    assert np.array_equal(made[:log], correlated(base[:log], own[:log], 0.6))
    assert np.corrcoef(base[log:], made[log:])[0, 1] == pytest.approx(0.6, abs=0.02)
    again = correlated(np.append(base, base[:9]), np.append(own, own[:9]), 0.6, log)
    assert again[-9:] == pytest.approx(made[:9])


@pytest.mark.parametrize("value", [-1, 0.5, True, None, "all"])
def test_other_numbers_of_them_are_refused(value: object) -> None:
    with pytest.raises(
        ConfigError, match=r"\.test_rows is .*; it must be a whole number of at least 0"
    ):
        KIND(test_rows=value)
