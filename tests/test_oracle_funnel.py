"""The simulator keeps its contract, its rates, and its promise about selection."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from benchmark import registry
from benchmark.data.dataset import Dataset
from benchmark.data.preprocess import preprocess
from benchmark.data.simulation.generator import LogOddsEffect, Past, calibrated, correlated
from benchmark.errors import ConfigError
from benchmark.schema import ORACLE, POST_CLICK, Schema

KIND = registry.load("datasets", "oracle_funnel", Dataset)
FEATURES = [*KIND.categorical, *KIND.numeric]
ROWS = 60_000
TARGETS = {
    "dense": {"click": 0.2, "micro": 0.35, "macro": 0.25, "conversion": 0.12},
    "published": {"click": 0.0292, "micro": 0.254, "macro": 0.132, "conversion": 0.0346},
}


@lru_cache
def table(**options: Any) -> pl.DataFrame:
    return KIND(**{"rows": ROWS, **options}).table(Path()).collect()


def mean(frame: pl.DataFrame, column: str) -> float:
    return float(frame[column].to_numpy().mean())


def clicked(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(pl.col("click") == 1)


def gap(frame: pl.DataFrame) -> float:
    """Return the expected CVR of clicks relative to that of all impressions, minus 1."""
    ctr, cvr = frame["oracle_ctr"].to_numpy(), frame["oracle_cvr"].to_numpy()
    return float(np.average(cvr, weights=ctr) / cvr.mean() - 1)


def near(share: float, expected: float, rows: int) -> bool:
    """Return whether an observed share lies within four standard errors of the expected one."""
    return abs(share - expected) < 4 * sqrt(expected * (1 - expected) / rows)


@pytest.fixture(scope="module")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "oracle_funnel"
    preprocess(KIND(rows=20_000), "oracle_funnel", folder.parent, folder, verified=True)
    return folder


def test_ready_data_keep_the_contract(processed: Path) -> None:
    schema = Schema.read(processed)
    assert schema.rows == {"train": 16_000, "valid": 2_000, "test": 2_000}
    assert [field.name for field in schema.fields] == FEATURES
    assert all(field.size > 2 for field in schema.categorical)
    assert schema.numeric
    assert schema.has_oracle
    assert schema.has_groups
    assert schema.has_impressions


def test_oracle_lies_apart_from_the_splits(processed: Path) -> None:
    for split in ("train", "valid", "test"):
        columns = pl.read_parquet_schema(processed / f"{split}.parquet")
        assert set(columns) == {*FEATURES, "click", *POST_CLICK, "policy", "group"}
    assert not (processed / "train.oracle.parquet").exists()
    truth = pl.read_parquet(processed / "test.oracle.parquet")
    assert truth.columns == list(ORACLE)
    assert truth.height == 2_000
    assert truth.null_count().sum_horizontal().item() == 0


@pytest.mark.parametrize("rates", TARGETS)
def test_rates_hit_their_targets(rates: str) -> None:
    frame, targets = table(rates=rates), TARGETS[rates]
    clicks = clicked(frame)
    expected_cvr = np.average(frame["oracle_cvr"], weights=frame["oracle_ctr"])
    assert mean(frame, "oracle_ctr") == pytest.approx(targets["click"])
    assert expected_cvr == pytest.approx(targets["conversion"])
    assert near(mean(frame, "click"), targets["click"], frame.height)
    for label in POST_CLICK:
        assert near(mean(clicks, label), targets[label], clicks.height), label


def test_oracle_probabilities_are_those_of_the_outcomes() -> None:
    frame = table()
    for outcome, probability in (("oracle_conversion", "oracle_cvr"), ("click", "oracle_ctr")):
        tenth = pl.col(probability).rank("ordinal") * 10 // (pl.len() + 1)
        for _, part in frame.group_by(tenth):
            assert near(mean(part, outcome), mean(part, probability), part.height)


def test_labels_after_the_click_are_observed_on_clicks_alone() -> None:
    frame = table()
    clicks, others = clicked(frame), frame.filter(pl.col("click") == 0)
    assert clicks["conversion"].equals(clicks["oracle_conversion"], check_names=False)
    assert all(clicks[label].null_count() == 0 for label in POST_CLICK)
    assert all(others[label].null_count() == others.height for label in POST_CLICK)
    assert others["oracle_conversion"].sum() > 0


def test_each_behaviour_raises_the_next() -> None:
    clicks = clicked(table())
    for before, after, ratio in (("micro", "macro", 2), ("macro", "conversion", 5)):
        rate = dict(clicks.group_by(before).agg(pl.col(after).mean()).iter_rows())
        assert rate[1] > ratio * rate[0] > 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_selection_clicks_tell_nothing_about_conversions(seed: int) -> None:
    frame = table(selection_strength=0, seed=seed)
    clicks = clicked(frame)
    error = frame["oracle_cvr"].to_numpy().std() / sqrt(clicks.height)
    assert abs(mean(clicks, "oracle_cvr") - mean(frame, "oracle_cvr")) < 4 * error
    assert near(mean(clicks, "conversion"), mean(frame, "oracle_conversion"), clicks.height)
    assert abs(gap(frame)) < 0.015


@pytest.mark.parametrize("rates", TARGETS)
def test_selection_grows_with_its_strength(rates: str) -> None:
    gaps = [gap(table(selection_strength=s, rates=rates)) for s in (0, 0.5, 1, 2)]
    steps = np.diff(gaps)
    assert (steps > 0.05).all()
    assert gaps[2] > 0.15


@pytest.mark.parametrize(("strength", "low", "high"), [(0, -0.1, 0.1), (2, 0.6, 0.95)])
def test_selection_has_a_part_that_no_feature_explains(
    strength: float, low: float, high: float
) -> None:
    """Where all features but hour and position are equal, only hidden causes are shared."""
    frame = table(selection_strength=strength).select(
        *("user_id", "item_id"),
        *((pl.col(p) / (1 - pl.col(p))).log().alias(p) for p in ("oracle_ctr", "oracle_cvr")),
    )
    within = [pl.col(p) - pl.col(p).mean().over("user_id", "item_id") for p in ORACLE[:2]]
    assert low < frame.select(pl.corr(*within)).item() < high


def test_features_are_not_made_from_outcomes() -> None:
    features = table().select(FEATURES)
    for other in (table(selection_strength=0), table(rates="published")):
        assert not other.select(ORACLE).equals(table().select(ORACLE))
        assert features.equals(other.select(FEATURES))
    for owner, number in (("user_id", "user_activity"), ("item_id", "item_popularity")):
        assert features.group_by(owner).agg(pl.col(number).n_unique())[number].max() == 1


def test_few_items_have_most_impressions() -> None:
    counts = table()["item_id"].value_counts()["count"].sort(descending=True)
    assert counts[: len(counts) // 5].to_numpy().sum() > 0.4 * ROWS


def test_options_and_seed_determine_every_value() -> None:
    first = KIND(rows=2000, seed=3).table(Path()).collect()
    assert first.equals(KIND(seed=3, rows=2000).table(Path()).collect())
    assert not first.equals(KIND(rows=2000, seed=4).table(Path()).collect())


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("rows", 10),
        ("rows", 2000.0),
        ("selection_strength", -1),
        ("selection_strength", float("nan")),
        ("rates", "sparse"),
        ("rates", ["dense"]),
        ("seed", -1),
        ("strength", 1),
    ],
)
def test_bad_options_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^params\.yaml: options\.oracle_funnel\.{option} is "):
        KIND(**{option: value})


def test_correlation_is_exact_and_leaves_no_other_trace() -> None:
    rng = np.random.default_rng(0)
    base = rng.normal(size=20_000)
    own = base**2 + 3 * base + rng.normal(size=20_000)
    for correlation in (0.0, 0.3, 1.0):
        made = correlated(base, own, correlation)
        assert np.corrcoef(base, made)[0, 1] == pytest.approx(correlation, abs=1e-9)
        assert (made.mean(), made.std()) == (pytest.approx(0, abs=1e-9), pytest.approx(1))
    free = correlated(base, own, 0)
    assert abs(np.corrcoef(base**2, free)[0, 1]) < 0.1
    assert abs(np.corrcoef(base, free**2)[0, 1]) < 0.1


def test_calibration_hits_a_weighted_rate() -> None:
    rng = np.random.default_rng(0)
    logit, previous, weights = rng.normal(size=1000), Past(rng.random(1000)), rng.random(1000)
    step = calibrated(logit, LogOddsEffect(1.5), previous, weights, 0.001)
    assert np.average(step.rate(previous), weights=weights) == pytest.approx(0.001)
    chances = [step.chance(previous=done, earlier=False) for done in (True, False)]
    odds = [p / (1 - p) for p in chances]
    assert np.log(odds[0] / odds[1]) == pytest.approx(np.full(1000, 1.5))
