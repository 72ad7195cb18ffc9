"""Test users drawn with replacement: each metric as if it were computed on the drawn rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers import fake_runs
from helpers.fake_runs import CLICKS, schema, write_project

from benchmark.execution import predictions
from benchmark.metrics.evaluation import assess
from benchmark.metrics.measures import BY_SPACE
from benchmark.metrics.ordering import NO_GROUP
from benchmark.metrics.populations import Labels, Scores
from benchmark.reporting import plots, resampling
from benchmark.reporting.influence import influence
from benchmark.reporting.metric import Metric
from benchmark.reporting.resampling import DRAWS, MOST, Resampling
from benchmark.reporting.statistics import interval

USERS, EACH = 300, 30
SUPPORTED = [
    (space, measure)
    for space, measures in BY_SPACE.items()
    for measure in measures
    if influence(measure.name) and not space.endswith("oracle")
]


def log(users: int = USERS, each: int = EACH) -> tuple[Labels, Scores]:
    """Return rows of users with tastes of their own, of which some were shown at random."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(users), each)
    taste = rng.normal(0, 0.7, users)[user]
    # Single precision, as networks predict, and coarse enough for ties.
    score = (0.5 * taste + rng.normal(0, 1, len(user))).round(2)
    cvr = (1 / (1 + np.exp(1.2 - score))).astype(np.float32).astype(np.float64)
    conversion = (rng.random(len(user)) < 1 / (1 + np.exp(1.0 - score - taste))).astype(float)
    click = (rng.random(len(user)) < 0.3).astype(float)
    random = rng.random(len(user)) < 0.4
    conversion = np.where((click == 1) | random, conversion, np.nan)
    return Labels(conversion, click, random, user), Scores(cvr, 0.2 + 0.6 * cvr)


def repeated(labels: Labels, scores: Scores, times: np.ndarray) -> tuple[Labels, Scores]:
    """Return the rows of users that are drawn so many times, each time as another user."""
    each = len(scores.cvr) // len(times)
    drawn = np.repeat(np.arange(len(times)), times)
    rows = (drawn[:, None] * each + np.arange(each)).ravel()
    group = np.repeat(np.arange(len(drawn)), each)
    assert labels.click is not None
    assert scores.ctr is not None
    taken = Labels(labels.conversion[rows], labels.click[rows], labels.random[rows], group)
    return taken, Scores(scores.cvr[rows], scores.ctr[rows])


@pytest.fixture(scope="module")
def spreads() -> dict[str, tuple[float, float]]:
    """Return of each metric the spread to first order and that of the metric on drawn rows."""
    labels, scores = log()
    data = Resampling.of(labels, "seed")
    found = data.influences(scores, assess(labels, scores).test)
    rng = np.random.default_rng(1)
    draws = [
        assess(*repeated(labels, scores, rng.multinomial(USERS, np.full(USERS, 1 / USERS)))).test
        for _ in range(120)
    ]
    return {
        name: (
            float(np.std(own @ data.weights)),
            float(np.std([draw[name] for draw in draws], ddof=1)),
        )
        for name, own in found.items()
    }


@pytest.mark.parametrize("space", sorted({space for space, _ in SUPPORTED}))
def test_the_spread_of_a_metric_is_that_of_its_values_on_drawn_users(
    space: str, spreads: dict[str, tuple[float, float]]
) -> None:
    """A standard deviation of 120 draws is known within 6.5 %, of which three are allowed."""
    names = [space.replace("_", f"_{m.name}_") for at, m in SUPPORTED if at == space]
    assert names
    for name in names:
        own, drawn = spreads[name]
        assert own == pytest.approx(drawn, rel=0.2), name


def test_an_influence_is_the_change_of_the_metric_when_a_user_counts_twice() -> None:
    labels, scores = log(60, 20)
    value = assess(labels, scores).test
    found = Resampling.of(labels, "seed").influences(scores, value)
    doubled = np.ones((60, 60), dtype=int) + np.eye(60, dtype=int)
    more = [assess(*repeated(labels, scores, times)).test for times in doubled]
    assert len(found) == len(SUPPORTED)
    for name, own in found.items():
        changes = np.array([one[name] - value[name] for one in more])
        assert own.sum() == pytest.approx(0, abs=1e-9), name
        if "_ece_" not in name:  # whose bins move with the rows
            assert np.corrcoef(changes, own)[0, 1] > 0.995, name
            assert np.std(changes) == pytest.approx(np.std(own), rel=0.1), name


def test_rows_without_a_group_and_logs_without_groups_are_drawn_row_by_row() -> None:
    labels, _ = log(10, 3)
    assert labels.group is not None
    partly = Resampling.of(replace(labels, group=np.where(labels.group < 4, NO_GROUP, 7)), "seed")
    assert partly.units == 12 + 1
    assert len(set(partly.cluster[12:])) == 1
    without = Resampling.of(replace(labels, group=None), "seed")
    assert (without.units, without.unit) == (30, "rows")
    assert Resampling.of(labels, "seed").units == 10


def test_many_users_are_drawn_together_without_a_change_of_the_spread() -> None:
    labels, scores = log(5000, 3)
    data = Resampling.of(labels, "seed")
    assert (data.units, data.weights.shape) == (5000, (MOST, DRAWS))
    name = "ctr_logloss_impressions"
    spread = np.std(data.influences(scores, [name])[name] @ data.weights)
    seen = ~labels.random
    assert labels.group is not None
    assert labels.click is not None
    assert scores.ctr is not None
    losses = -np.log(np.where(labels.click == 1, scores.ctr, 1 - scores.ctr))[seen]
    sums = np.bincount(labels.group[seen], losses - losses.mean())
    assert spread == pytest.approx(np.square(sums).sum() ** 0.5 / len(losses), rel=0.1)


def test_draws_are_the_same_for_a_dataset_and_others_for_another() -> None:
    labels, _ = log(20, 2)
    first, again, other = (Resampling.of(labels, name).weights for name in ("a", "a", "b"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(first.sum(axis=0), np.zeros(DRAWS))


def test_values_on_draws_come_from_predictions_around_what_is_on_record(tmp_path: Path) -> None:
    labels, scores = log(60, 20)
    data = Resampling.of(labels, "seed")
    fits = {}
    for place in range(2):
        record = tmp_path / f"{place}.json"
        shifted = Scores(scores.cvr ** (1 + place), scores.ctr)
        predictions.write(record, shifted)
        fits[record.with_suffix(predictions.SUFFIX)] = assess(labels, shifted).test
    loss, ks = Metric.parse("cvr_logloss_clicked"), Metric.parse("cvr_ks_clicked")
    drawn = data.values(fits, loss)
    assert drawn is not None
    assert drawn.shape == (2, DRAWS)
    assert drawn.mean(axis=1) == pytest.approx([fit[loss.name] for fit in fits.values()], rel=0.01)
    assert data.values(fits, ks) is None
    clicked = (labels.click == 1) & ~labels.random & (labels.conversion == 1)
    assert labels.group is not None
    assert data.clusters(loss) == len(set(labels.group[clicked]))
    assert resampling.DRAWS == 2000


# --- the table of a dataset whose replicates share their data


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the made-up records of three methods on a log of clicks, with their predictions."""
    root = write_project(tmp_path_factory.mktemp("predicted"), 4, 2)
    path = root / "params.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("confidence:", "reference: m0\n  confidence:"), encoding="utf-8")
    rows, rng = schema(CLICKS).rows["test"], np.random.default_rng(0)
    user = rng.integers(1, 500, rows)
    chance = 0.1 + 0.2 * rng.random(500)[user]
    pl.DataFrame(
        {
            "conversion": (rng.random(rows) < chance).astype(int),
            "policy": ["log"] * rows,
            "group": user.astype(np.uint32),
        }
    ).write_parquet(root / "data/processed" / CLICKS / "test.parquet")
    for record in (root / "results/runs" / CLICKS).rglob("default/*.json"):
        scores = Scores(np.clip(chance + rng.normal(0, 0.05, rows), 0.01, 0.99), None)
        fake_runs.edit(record, predictions=predictions.write(record, scores))
    return root


def test_a_table_says_which_randomness_its_intervals_cover(predicted: Path) -> None:
    simulated, clicks = fake_runs.tables(predicted)
    assert clicks.facts["Intervals cover"] == "weights and test users (or lists)"
    text = " ".join(clicks.notes)
    assert "2,000 bootstrap draws of the 499 test users" in text
    assert "Smallest difference to Plain that is found with 80 % power" in text
    assert simulated.facts["Intervals cover"] == "weights only, as its data are simulated"
    cell = clicks.rows[0].cells[clicks.headline[0]]
    assert cell is not None
    alone = interval(cell.values, 0.95, (0.0, 1.0))
    assert cell.interval.half_width is not None
    assert alone.half_width is not None
    assert cell.interval.half_width > alone.half_width
    assert cell.interval.mean == pytest.approx(alone.mean)
    low, high = plots.headline(clicks).axes[0].get_xlim()
    assert low < cell.interval.low < cell.interval.high < high


def test_without_all_predictions_a_table_covers_the_weights_and_says_so(predicted: Path) -> None:
    path = predicted / "results/runs" / CLICKS / "m1/default/2.parquet"
    content = path.read_bytes()
    try:
        path.write_bytes(content[:-1])
        _, clicks = fake_runs.tables(predicted)
    finally:
        path.write_bytes(content)
    missing = "weights only, as predictions of Weighted² are missing"
    assert clicks.facts["Intervals cover"] == missing
    assert "shows the spread of training, not that of tuning or of the data" in " ".join(
        clicks.notes
    )
