"""Logs with a random slice: what is learned from, what is tested on, and that they do not touch."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from helpers.layouts import open_bandit
from helpers.layouts.coat import write as write_ratings
from helpers.layouts.kuairand import read as read_feed
from helpers.layouts.kuairand import write as write_feed
from helpers.layouts.yahoo_r3 import SONGS
from helpers.layouts.yahoo_r3 import read as read_songs
from helpers.layouts.yahoo_r3 import write as write_songs
from helpers.raw_logs import load, same
from scipy.stats import chisquare

from benchmark import registry
from benchmark.data.dataset import DataError
from benchmark.data.fetching.archive import unpack
from benchmark.data.fetching.raw import find
from benchmark.data.preprocess import preprocess
from benchmark.data.reading.readers import locate_read_errors
from benchmark.metrics.ranking import Lists, dcg, hits
from benchmark.training.method import Method

RANDOM, CELL = pl.col("policy") == "random", ["user_id", "item_id"]


def test_songs_are_read_as_the_slow_reader_reads_them(tmp_path: Path) -> None:
    write_songs(tmp_path)
    table = same(load("yahoo_r3")(), tmp_path, read_songs)
    drawn, logged = table.filter(RANDOM), table.filter(~RANDOM)
    assert len(drawn) == 20 * 10
    assert len(logged) == 40 * 30 - len(drawn)
    assert logged.join(drawn, on=CELL).is_empty()
    other = load("yahoo_r3")(positive_rating=3, drawn_cells="in_train", unrated_per_rating=0.5)
    reader = partial(read_songs, positive=3, held_out=False, unrated=0.5)
    table = same(other, tmp_path, reader)
    logged = table.filter(~RANDOM)
    assert logged["click"].sum() == 40 * 10
    assert 0.3 < (logged["click"] == 0).sum() / (40 * 10) < 0.7


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1\t2\t6", r"line 2: .*; user, song and rating must be integers from 1 up"),
        ("1\tx\t5", r"line 2: .*; user, song and rating must be integers from 1 up"),
        ("1\t2\t", r"line 2: .*; user, song and rating must be integers from 1 up"),
        ("1\t1\t5", "user 1 rates song 1 twice"),
    ],
)
def test_damaged_songs_are_shown(tmp_path: Path, line: str, says: str) -> None:
    write_songs(tmp_path)
    next(tmp_path.rglob(f"{SONGS}-test.txt")).write_text(f"1\t1\t5\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=says), locate_read_errors("the ratings"):
        load("yahoo_r3")().table(tmp_path)


def test_songs_between_other_separators_are_refused(tmp_path: Path) -> None:
    write_songs(tmp_path)
    next(tmp_path.rglob(f"{SONGS}-test.txt")).write_text("1,1,5\n2,1,5\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 1: 1 cells, expected 3: user_id, item_id"):
        load("yahoo_r3")().table(tmp_path)


def test_the_feed_is_read_as_the_slow_reader_reads_it(tmp_path: Path) -> None:
    write_feed(tmp_path / "pure")
    table = same(load("kuairand")(), tmp_path / "pure", read_feed)
    assert set(table.filter(RANDOM)["split"]) == {"test"}
    assert dict(table.group_by("split").len().rows()) == {
        "train": 12 * 4 * 2, "valid": 12 * 2 * 2, "test": 12 * 5 * 2
    }  # fmt: skip
    write_feed(tmp_path / "small", "1k")
    dataset = load("kuairand")(version="1k", conversion="long_view", history=3)
    reader = partial(read_feed, version="1k", label="long_view", length=3)
    table = same(dataset, tmp_path / "small", reader)
    assert table["clicked_videos"].list.len().max() == 3
    assert "1K" in dataset.sources[0].file


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        (5, "2", "is_click must be 0 or 1"),
        (6, "", "is_like must be 0 or 1"),
        (17, "1", "is_rand must be 0 in this file"),
        (13, "-1", "duration_ms must be an integer from 0 up"),
        (3, "noon", "hourmin is 'noon'; it must be a whole number"),
        (0, "u7", "user_id is 'u7'; it must be a whole number"),
    ],
)
def test_a_damaged_line_of_the_feed_is_shown(
    tmp_path: Path, column: int, value: str, says: str
) -> None:
    write_feed(tmp_path)
    path = next(tmp_path.rglob("log_standard_4_22*"))
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = lines[3].split(",")
    lines[3] = ",".join([*cells[:column], value, *cells[column + 1 :]])
    path.write_text("\n".join(lines), encoding="utf-8")
    with (
        pytest.raises(DataError, match=rf"4_22_to_5_08_pure\.csv, line 4: .*{says}"),
        locate_read_errors("x"),
    ):
        load("kuairand")().table(tmp_path).collect()


def test_likes_without_a_click_are_no_labels_and_statistics_no_features(tmp_path: Path) -> None:
    write_feed(tmp_path)
    table = load("kuairand")().table(tmp_path).collect()
    unclicked = table.filter(pl.col("click") == 0)
    assert unclicked["is_like"].sum() > 0
    assert unclicked["conversion"].null_count() == len(unclicked)
    later = {"play_time_ms", "long_view", "is_like", "profile_stay_time", "comment_stay_time"}
    dataset = load("kuairand")()
    assert not later & {*dataset.categorical, *dataset.numeric}


def test_drawn_ratings_may_stand_in_train_too(tmp_path: Path) -> None:
    write_ratings(tmp_path)
    out = load("coat")(features="ids").table(tmp_path).collect()
    inside = load("coat")(drawn_cells="in_train").table(tmp_path).collect()
    assert inside.filter(RANDOM).equals(out.filter(RANDOM))
    logged = inside.filter(~RANDOM)
    assert len(logged) == 30 * 40
    both = logged.join(out.filter(RANDOM), on=CELL, suffix="_test").filter(pl.col("click") == 1)
    assert len(both) > 10
    assert both["conversion"].equals(both["conversion_test"])
    again = logged.join(out.filter(RANDOM), on=CELL, how="anti")
    assert again.equals(out.filter(~RANDOM))


def test_thinning_keeps_every_rating_and_about_as_many_others(tmp_path: Path) -> None:
    write_ratings(tmp_path)
    whole = load("coat")().table(tmp_path).collect().filter(~RANDOM)
    thin = load("coat")(unrated_per_rating=0.3).table(tmp_path).collect().filter(~RANDOM)
    clicked = pl.col("click") == 1
    assert thin.filter(clicked).equals(whole.filter(clicked))
    ratio = len(thin.filter(~clicked)) / len(thin.filter(clicked))
    assert ratio == pytest.approx(0.3, rel=0.15)
    assert thin.join(whole, on=CELL).height == thin.height
    more = load("coat")(unrated_per_rating=0.3, drawn_cells="in_train").table(tmp_path).collect()
    assert more.filter(~RANDOM).join(more.filter(RANDOM), on=CELL, how="anti").equals(thin)


@pytest.fixture(scope="module")
def real() -> pl.DataFrame:
    """Every cell of the real ratings, as if none were held out."""
    if not (folder := os.environ.get("CVR_REAL_DATA")):
        pytest.skip("CVR_REAL_DATA names no folder of real samples")
    dataset = load("coat")(drawn_cells="in_train")
    return dataset.table(Path(folder) / "coat").collect()


def top(drawn: pl.DataFrame, score: pl.Series) -> list[float]:
    """DCG and hits at 2, 4 and 6, as docs/explanation/reproduction.md has them."""
    lists = Lists.ranked(
        drawn["conversion"].cast(pl.Float64).to_numpy(),
        score.cast(pl.Float64).to_numpy(),
        drawn["group"].to_numpy(),
    )
    assert len(lists.positives) == 237
    return [round(measure(lists, k), 3) for measure in (dcg, hits) for k in (2, 4, 6)]


def test_top_k_on_the_real_ratings_lies_between_chance_and_the_best(real: pl.DataFrame) -> None:
    """237 of the 290 users like one of their 16 items; the papers' means are over these alone."""
    drawn = real.filter(RANDOM)
    chance, best = pl.zeros(len(drawn), eager=True), drawn["conversion"]
    assert top(drawn, chance) == [0.370, 0.581, 0.749, 0.454, 0.907, 1.361]
    assert top(drawn, best) == [1.482, 1.918, 2.095, 1.764, 2.688, 3.160]


def test_answers_in_train_are_worth_more_than_methods_differ_by(real: pl.DataFrame) -> None:
    drawn, chosen = real.filter(RANDOM), real.filter(pl.col("click") == 1)
    known = drawn.join(chosen, on=CELL, how="left", suffix="_seen", maintain_order="left")
    assert known["conversion_seen"].count() == 366
    elsewhere = chosen.join(drawn, on=CELL, how="anti")
    likes = elsewhere.group_by("item_id").agg(
        share=(pl.col("conversion").sum() + 1) / (pl.len() + 1 / 0.27)
    )
    items = known.join(likes, on="item_id", how="left", maintain_order="left")
    share = items["share"].fill_null(0.27)
    assert top(drawn, share) == [0.615, 0.883, 1.077, 0.753, 1.327, 1.850]
    remembered = items["conversion_seen"].replace_strict({0: -9, 1: 9}, default=0)
    assert top(drawn, remembered) == [0.634, 0.841, 1.005, 0.724, 1.168, 1.609]
    assert top(drawn, share + remembered) == [0.806, 1.060, 1.253, 0.947, 1.485, 2.008]


# --- impressions with propensities, and nothing after the click


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({3: "2"}, "click must be 0 or 1"),
        ({4: "0.0"}, "propensity_score must be above 0, at most 1"),
        ({4: "1.5"}, "propensity_score must be above 0, at most 1"),
        ({0: "yesterday"}, "timestamp must be like 2019-11-24 00:00:06"),
    ],
)
def test_an_impression_that_cannot_be_is_shown(
    tmp_path: Path, cells: dict[int, str], says: str
) -> None:
    raw = tmp_path / "open_bandit"
    open_bandit.write(raw)
    path = next(raw.rglob("bts/all/all.csv"))
    row = path.read_text("utf-8").splitlines()[-1].split(",")[1:]
    line = ",".join(["200", *(cells.get(place, cell) for place, cell in enumerate(row))])
    path.write_text(path.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(DataError, match=rf"all\.csv, line 202: .*{says}"):
        preprocess(load("open_bandit")(), "open_bandit", raw, tmp_path / "o", verified=False)


def test_a_log_without_conversions_keeps_its_propensities_and_skips_every_method(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "open_bandit"
    open_bandit.write(raw, campaign="men")
    schema = preprocess(
        load("open_bandit")(campaign="men"), "open_bandit", raw, tmp_path / "o", verified=False
    )
    assert schema.has_propensity
    assert schema.stages == ("impression", "click")
    for name in registry.names("methods"):
        reason = registry.load("methods", name, Method).missing(schema)
        assert "conversion" in (reason or "")
    test = pl.read_parquet(tmp_path / "o" / "test.parquet")
    drawn = test.filter(policy="random")
    assert 0 < len(drawn) < len(test)
    assert drawn["propensity"].unique().to_list() == [1 / 80]
    assert "conversion" not in test.columns


# --- the whole sample of the publisher's package, which needs no consent

WHEEL = "obp-0.4.1-py3-none-any.whl"
SHA256 = "87dec9caf4283c25ab13036532e0a24566f1c7bdcad1653a8ded43b2f5ef8208"
CLICKS = {"all": (80, 42, 38), "men": (34, 69, 46), "women": (46, 46, 46)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the sample of Open Bandit, out of a wheel that is here or can be downloaded."""
    folders = [Path(os.environ.get("CVR_REAL_DATA", "nowhere")), cache()]
    found = next((path for folder in folders if (path := folder / WHEEL).is_file()), None)
    path = found or downloaded(cache() / WHEEL)
    assert sha256(path.read_bytes()).hexdigest() == SHA256
    folder = tmp_path_factory.mktemp("obp")
    unpack(Path(shutil.copy(path, folder)))
    return folder


def cache() -> Path:
    """Return the folder of what tests downloaded once."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "cvr-debiasing-benchmark"


def downloaded(path: Path) -> Path:
    """Download the wheel once; skip where there is no way to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary=:all:", "--timeout=5", "--retries=0", "--quiet"]
    with TemporaryDirectory(dir=path.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", *options, "-d", folder, "obp==0.4.1"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"{WHEEL} is neither in CVR_REAL_DATA nor downloaded within 30 seconds")
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
            pytest.skip(f"{WHEEL} is not in CVR_REAL_DATA and cannot be downloaded: {reason}")
        (Path(folder) / WHEEL).replace(path)
    return path


@pytest.mark.parametrize("campaign", CLICKS)
def test_a_real_random_policy_draws_uniformly_and_weighs_to_what_it_saw(
    wheel: Path, campaign: str
) -> None:
    items, of_log, of_random = CLICKS[campaign]
    table = load("open_bandit")(campaign=campaign).table(wheel).collect()
    log, drawn = table.filter(~RANDOM), table.filter(RANDOM)
    assert (len(log), log["click"].sum()) == (10_000, of_log)
    assert (len(drawn), drawn["click"].sum()) == (10_000, of_random)
    assert drawn["propensity"].unique().to_list() == [pytest.approx(1 / items)]
    shown = drawn.group_by("item_id").len()["len"]
    assert len(shown) == items
    assert chisquare(shown).pvalue > 0.01
    value, error = weighted(drawn, items)
    assert value == pytest.approx(drawn["click"].mean(), rel=1e-9)
    from_log, its_error = weighted(log, items)
    assert abs(from_log - value) < 3 * (error**2 + its_error**2) ** 0.5


def weighted(rows: pl.DataFrame, items: int) -> tuple[float, float]:
    """Estimate the click rate of a uniform draw by IPS, with its standard error."""
    terms = rows["click"] / (items * rows["propensity"])
    mean, spread = terms.mean(), terms.std()
    assert isinstance(mean, float)
    assert isinstance(spread, float)
    return mean, spread / len(terms) ** 0.5


def test_hashes_of_users_agree_between_real_policies_and_those_of_items_do_not(
    wheel: Path,
) -> None:
    table = load("open_bandit")().table(wheel).collect()
    for field in ("user_feature_0", "user_feature_1"):
        values = [set(part[field]) for part in (table.filter(RANDOM), table.filter(~RANDOM))]
        assert values[0] == values[1]
    contexts = [
        pl.read_csv(find(wheel, f"obd/{policy}/all/item_context.csv"))
        for policy in ("bts", "random")
    ]
    assert contexts[0]["item_feature_0"].equals(contexts[1]["item_feature_0"])
    assert not set(contexts[0]["item_feature_1"]) & set(contexts[1]["item_feature_1"])
