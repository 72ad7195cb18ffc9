"""A known policy over cells whose outcomes are known: what it promises, and both logs of it."""

from __future__ import annotations

import csv
import os
from collections import Counter
from math import log1p
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from helpers.layouts import coat, kuairec
from helpers.raw_logs import in_share, load
from numpy.typing import NDArray

from benchmark.data.dataset import DataError
from benchmark.data.preprocess import preprocess
from benchmark.data.reading.readers import locate_read_errors
from benchmark.data.simulation.logging_policy import LoggingPolicy, PolicyOptions
from benchmark.errors import ConfigError
from benchmark.schema import ORACLE, Schema

Array = NDArray[np.float64]
CELLS = 20_000
rng = np.random.default_rng(5)
ITEM = rng.integers(50, size=CELLS)
POPULARITY = rng.normal(size=50)[ITEM]
RATING = np.clip(np.round(3 + 0.5 * POPULARITY + rng.normal(size=CELLS)), 1, 5)


def logged(strength: float = 1.0, hidden: float = 0.5, rate: float = 0.2) -> pl.DataFrame:
    options = {"click_rate": rate, "selection_strength": strength, "seed": 1}
    policy = LoggingPolicy(PolicyOptions(unobserved_confounding=hidden, **options))
    conversion = (RATING >= 4).astype(np.int8)
    logit = {"covariate": POPULARITY, "confounder": RATING}
    columns = {"item": ITEM, **logit, "conversion": conversion}
    return policy.logged(pl.DataFrame(columns))


def gap(frame: pl.DataFrame, weights: Array) -> float:
    """Return how far the weighted conversion rate exceeds that of all cells, relatively."""
    truth = frame["oracle_cvr"].to_numpy()
    return float(np.average(truth, weights=weights) / truth.mean() - 1)


def by_item(frame: pl.DataFrame) -> Array:
    return frame.select(pl.col("oracle_ctr").mean().over("item"))["oracle_ctr"].to_numpy()


@pytest.mark.parametrize("rate", [0.02, 0.2, 0.9])
def test_clicks_have_the_rate_and_reveal_the_outcome(rate: float) -> None:
    frame = logged(rate=rate)
    click = frame["click"].to_numpy()
    assert frame["oracle_ctr"].to_numpy().mean() == pytest.approx(rate)
    assert click.mean() == pytest.approx(rate, abs=4 * (rate * (1 - rate) / CELLS) ** 0.5)
    assert frame["conversion"].is_null().to_numpy().tolist() == (click == 0).tolist()
    clicked = frame.filter(click=1)
    assert clicked["conversion"].equals(clicked["oracle_conversion"], check_names=False)
    assert frame["oracle_cvr"].equals(
        frame["oracle_conversion"].cast(pl.Float64), check_names=False
    )


def test_log_odds_are_what_the_policy_says() -> None:
    ctr = logged(strength=0.7, hidden=1.3)["oracle_ctr"].to_numpy()
    design = np.column_stack([POPULARITY / POPULARITY.std(), RATING / RATING.std(), np.ones(CELLS)])
    found, *_ = np.linalg.lstsq(design, np.log(ctr / (1 - ctr)))
    assert found[:2] == pytest.approx([0.7, 1.3])


def test_a_policy_of_nothing_clicks_at_random() -> None:
    frame = logged(strength=0, hidden=0)
    np.testing.assert_allclose(frame["oracle_ctr"].to_numpy(), 0.2, rtol=1e-6)
    assert gap(frame, frame["click"].to_numpy()) == pytest.approx(0, abs=0.05)


def test_what_the_item_tells_is_removed_by_its_propensity_and_the_rating_is_not() -> None:
    naive, left = [], []
    for hidden in (0, 0.5, 1):
        frame = logged(hidden=hidden)
        ctr = frame["oracle_ctr"].to_numpy()
        naive.append(gap(frame, ctr))
        left.append(gap(frame, ctr / by_item(frame)))
    assert naive[0] > 0.2
    assert left[0] == pytest.approx(0, abs=1e-9)
    assert (np.diff(naive) > 0.1).all()
    assert (np.diff(left) > 0.1).all()


def test_selection_grows_with_its_strength() -> None:
    frames = [logged(strength=strength, hidden=0) for strength in (0, 0.5, 1, 2)]
    assert (np.diff([gap(frame, frame["oracle_ctr"].to_numpy()) for frame in frames]) > 0.05).all()


def test_observed_ratings_become_a_log(tmp_path: Path) -> None:
    coat.write(tmp_path)
    base = load("coat")().table(tmp_path).collect().filter(policy="random")
    frame = load("coat_observed")().table(tmp_path).collect()
    keys = ["user_id", "item_id"]
    assert frame.select(keys).equals(base.select(keys))
    assert frame["oracle_conversion"].equals(base["conversion"], check_names=False)
    assert "policy" not in frame.columns
    chosen = load("coat")().table(tmp_path).filter(pl.col("chosen") > 0).collect()
    counts = Counter(chosen["item_id"].to_list())
    assert frame["covariate"].to_list() == [counts[item] for item in frame["item_id"]]


def read_videos(folder: Path) -> list[dict[str, object]]:
    def table(name: str) -> list[dict[str, str]]:
        with (folder / f"{name}.csv").open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    users = {row["user_id"]: row for row in table("user_features")}
    tags = {row["video_id"]: row["feat"] for row in table("item_categories")}
    views = Counter(row["video_id"] for row in table("big_matrix"))
    return [
        users[row["user_id"]]
        | {
            "user_id": int(row["user_id"]),
            "video_id": int(row["video_id"]),
            "tags": tags.get(row["video_id"]),
            "log_video_duration": log1p(float(row["video_duration"])),
            "oracle_conversion": int(float(row["watch_ratio"]) >= 2),
            "covariate": log1p(views[row["video_id"]]),
            "confounder": log1p(float(row["watch_ratio"])),
            "train": in_share(f"kuairec {row['user_id']} {row['video_id']}", 0.7),
        }
        for row in table("small_matrix")
    ]


def test_a_fully_observed_matrix_is_read_as_a_slow_reader_does(tmp_path: Path) -> None:
    kuairec.write(tmp_path / "kuairec")
    dataset = load("kuairec")()
    slow = pl.DataFrame(read_videos(tmp_path / "kuairec"), infer_schema_length=None)
    fast = (
        dataset.table(tmp_path / "kuairec").collect().with_columns(train=pl.col("split") == "train")
    )
    floats = ["log_video_duration", "covariate", "confounder"]
    exact = [name for name in slow.columns if name not in floats]
    assert set(dataset.categorical) | set(dataset.numeric) <= set(slow.columns)
    assert fast.select(exact).cast({"oracle_conversion": pl.Int64}).equals(slow.select(exact))
    assert np.allclose(fast.select(floats).to_numpy(), slow.select(floats).to_numpy(), rtol=1e-12)
    assert fast["group"].equals(fast["user_id"], check_names=False)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("", "watch_ratio is None; watch_ratio must be a number from 0 up"),
        ("-1", "watch_ratio is -1.0; watch_ratio must be a number from 0 up"),
        ("x", "watch_ratio is 'x'; it must be a number"),
    ],
)
def test_a_ratio_that_is_none_is_shown(tmp_path: Path, value: str, told: str) -> None:
    kuairec.write(tmp_path / "kuairec")
    path = tmp_path / "kuairec" / "small_matrix.csv"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[6] = lines[6].rsplit(",", 1)[0] + "," + value
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    says = rf"small_matrix\.csv, line 7: {told}"
    with pytest.raises(DataError, match=says), locate_read_errors("the log"):
        load("kuairec")().table(tmp_path / "kuairec")


@pytest.mark.parametrize("name", ["coat_observed", "kuairec"])
@pytest.mark.parametrize(
    ("option", "value"),
    [("click_rate", 0), ("click_rate", 1), ("unobserved_confounding", -1), ("seed", 1.5)],
)
def test_bad_policies_are_refused_by_name(name: str, option: str, value: object) -> None:
    with pytest.raises(
        ConfigError, match=rf"options\.{name}\.{option} is {value!r}; it must be a "
    ):
        load(name)(**{option: value})


def test_random_cells_of_the_real_matrix_are_a_world_with_truth(tmp_path: Path) -> None:
    if not (folder := os.environ.get("CVR_REAL_DATA")):
        pytest.skip("CVR_REAL_DATA names no folder of real samples")
    raw = Path(folder) / "coat"
    dataset = load("coat_observed")()
    frame = dataset.table(raw).collect().with_columns(item=pl.col("item_id"))
    assert frame.height == 4640
    assert frame["oracle_conversion"].sum() == 641 + 219
    schema = preprocess(dataset, "coat_observed", raw, tmp_path / "processed", verified=False)
    assert Schema.read(tmp_path / "processed") == schema
    assert schema.has_oracle
    assert sum(schema.rows.values()) == 4640
    assert pl.read_parquet(tmp_path / "processed" / "test.oracle.parquet").columns == list(ORACLE)
    apart = (
        load("coat_observed")(unobserved_confounding=0)
        .table(raw)
        .collect()
        .with_columns(item=pl.col("item_id"))
    )
    naive, left = [], []
    for world in (apart, frame):
        ctr = world["oracle_ctr"].to_numpy()
        naive.append(gap(world, ctr))
        left.append(gap(world, ctr / by_item(world)))
    assert naive == pytest.approx([0.125, 0.718], abs=0.001)
    assert left == pytest.approx([0, 0.605], abs=0.001)
