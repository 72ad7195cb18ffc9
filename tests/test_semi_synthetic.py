"""Outcomes drawn from a teacher: learned without cheating, calibrated, and honest about it."""

from __future__ import annotations

import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from helpers.layouts import aliexpress, coat
from helpers.raw_logs import load
from numpy.typing import NDArray

from benchmark import cli as commands
from benchmark.data.dataset import DataError
from benchmark.data.preprocess import preprocess
from benchmark.data.simulation.derived import sampled
from benchmark.data.simulation.generator import standardised
from benchmark.data.simulation.teacher import TEACHERS, Inputs, cross_fitted
from benchmark.errors import ConfigError
from benchmark.registry import ROOT
from benchmark.schema import ORACLE
from benchmark.studies import Workspace

Array = NDArray[np.float64]
KIND = load("semi_synthetic")
COAT = load("coat")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "ratings"
    coat.write(folder, users=60, items=40)
    return folder


def redrawn(raw: Path, **options: Any) -> pl.DataFrame:
    return KIND(**options).table(raw).collect()


drawn = lru_cache(redrawn)  # a teacher takes seconds, and several tests look at the same draw


def log_odds(frame: pl.DataFrame, column: str) -> Array:
    p = frame[column].to_numpy()
    return np.asarray(np.log(p / (1 - p)))


def gap(frame: pl.DataFrame) -> float:
    """Return the expected CVR of clicks relative to that of all rows, minus 1."""
    ctr, cvr = frame["oracle_ctr"].to_numpy(), frame["oracle_cvr"].to_numpy()
    return float(np.average(cvr, weights=ctr) / cvr.mean() - 1)


# --- the teacher


def lesson(rows: int = 4000) -> tuple[pl.DataFrame, Array, Array]:
    """Return features, the true log odds, and a label that a third of the rows lacks."""
    rng = np.random.default_rng(0)
    user, item, price = (
        rng.integers(30, size=rows),
        rng.integers(20, size=rows),
        rng.normal(size=rows),
    )
    logit = rng.normal(size=30)[user] + rng.normal(size=20)[item] + price
    label = (rng.random(rows) < 1 / (1 + np.exp(-logit))).astype(float)
    label[rng.random(rows) < 1 / 3] = np.nan
    frame = pl.DataFrame({"user": user, "item": item, "price": price})
    return frame, logit, label


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_teacher_learns_and_never_sees_the_row_that_it_is_asked_about(kind: str) -> None:
    frame, logit, label = lesson()
    teacher = TEACHERS[kind](Inputs.of(frame, ("user", "item"), ("price",)), seed=1)
    found = cross_fitted(teacher, label)
    assert np.corrcoef(found, logit)[0, 1] > 0.65
    fold = np.random.default_rng(1).permutation(len(label)) % 5
    row = int(np.flatnonzero(~np.isnan(label))[0])
    label[fold == fold[row]] = 1 - label[fold == fold[row]]
    again = cross_fitted(teacher, label)
    assert (found == again)[fold == fold[row]].all()
    assert (found != again)[fold != fold[row]].mean() > 0.9


@pytest.mark.parametrize("kind", TEACHERS)
def test_a_teacher_of_noise_is_not_sure_of_itself(kind: str) -> None:
    frame, _, _ = lesson()
    label = np.random.default_rng(2).integers(2, size=frame.height).astype(float)
    teacher = TEACHERS[kind](Inputs.of(frame, ("user", "item"), ("price",)), seed=1)
    assert abs(np.corrcoef(cross_fitted(teacher, label), label)[0, 1]) < 0.06


def test_rare_and_missing_values_are_one_and_numbers_are_scaled() -> None:
    frame = pl.DataFrame({
        "id": ["a"] * 5 + [None] + [f"rare {number}" for number in range(300)],
        "number": [None, float("nan"), *range(304)],
    }, strict=False)  # fmt: skip
    inputs = Inputs.of(frame, ("id",), ("number",))
    ids = inputs.ids[:, 0]
    assert ids[:6].tolist() == [1, 1, 1, 1, 1, 0]
    assert (ids == 0).sum() == 1 + 300 - 249
    assert len(set(ids)) == 251
    assert inputs.numbers[:2, 0].tolist() == [0, 0]
    assert inputs.numbers[2:].std(ddof=1) == pytest.approx(1)


def test_too_few_rows_of_a_label_are_counted() -> None:
    frame, _, label = lesson()
    label[np.flatnonzero(label == 1)[7:]] = 0
    teacher = TEACHERS["trees"](Inputs.of(frame, ("user",), ()), seed=1)
    with pytest.raises(DataError, match="7 rows of label 1 are too few to fit on: 20 needed"):
        cross_fitted(teacher, label)


# --- the log


@pytest.mark.parametrize("teacher", TEACHERS)
@pytest.mark.parametrize("knobs", [{}, {"selection_strength": 1.0, "unobserved_confounding": 1.0}])
def test_outcomes_have_the_rates_of_the_log(
    raw: Path, teacher: str, knobs: dict[str, float]
) -> None:
    log = COAT().table(raw).collect().filter(policy="log")
    cvr = log.filter(click=1)["conversion"].to_numpy().mean()
    frame = drawn(raw, teacher=teacher, **knobs)
    ctr = frame["oracle_ctr"].to_numpy()
    assert ctr.mean() == pytest.approx(log["click"].to_numpy().mean())
    assert np.average(frame["oracle_cvr"].to_numpy(), weights=ctr) == pytest.approx(cvr)
    for outcome, chance in (("click", "oracle_ctr"), ("oracle_conversion", "oracle_cvr")):
        p = frame[chance].to_numpy()
        error = np.sqrt((p * (1 - p)).sum())
        assert abs(frame[outcome].sum() - p.sum()) < 4 * error


def test_rows_features_and_splits_stay_and_conversions_show_on_clicks(raw: Path) -> None:
    base, frame = COAT().table(raw).collect(), drawn(raw, teacher="deep")  # the quicker one
    kept = [*COAT.categorical, "split", "group"]
    assert frame.select(kept).equals(base.select(kept))
    assert "policy" not in frame.columns
    assert frame["conversion"].is_not_null().equals(frame["click"] == 1)
    clicked = frame.filter(click=1)
    assert clicked["conversion"].equals(clicked["oracle_conversion"], check_names=False)
    assert frame.equals(redrawn(raw, teacher="deep"))
    assert not frame.select(ORACLE).equals(drawn(raw, teacher="deep", seed=1).select(ORACLE))


def test_planted_selection_adds_the_teachers_cvr_to_the_click(raw: Path) -> None:
    plain, planted = (
        drawn(raw, teacher="trees", **more) for more in ({}, {"selection_strength": 1.0})
    )
    assert gap(planted) > gap(plain) + 0.1
    added = log_odds(planted, "oracle_ctr") - log_odds(plain, "oracle_ctr")
    cvr = log_odds(plain, "oracle_cvr")
    np.testing.assert_allclose(standardised(added), standardised(cvr), rtol=1e-6, atol=1e-6)
    assert added.std() == pytest.approx(1, rel=1e-6)


def test_a_hidden_cause_moves_click_and_conversion_alike(raw: Path) -> None:
    plain, hidden = (
        drawn(raw, teacher="deep", **more) for more in ({}, {"unobserved_confounding": 1.0})
    )
    assert gap(hidden) > gap(plain) + 0.1
    moved = [log_odds(hidden, name) - log_odds(plain, name) for name in ORACLE[:2]]
    assert np.ptp(moved[0] - moved[1]) < 1e-6
    assert moved[0].std() == pytest.approx(1, abs=0.05)
    features = hidden["user_id"].to_numpy(), hidden["item_id"].to_numpy()
    assert all(abs(np.corrcoef(values, moved[0])[0, 1]) < 0.08 for values in features)


@pytest.mark.parametrize("teacher", TEACHERS)
def test_a_base_with_numbers_becomes_ready(tmp_path: Path, teacher: str) -> None:
    aliexpress.write(tmp_path / "raw", country="es", searches=150)
    dataset = KIND(base="aliexpress", base_options={"country": "ES"}, teacher=teacher)
    schema = preprocess(dataset, "x", tmp_path / "raw", tmp_path / "processed", verified=False)
    assert schema.has_oracle
    assert schema.has_groups
    assert [field.name for field in schema.numeric] == list(load("aliexpress").numeric)
    truth = pl.read_parquet(tmp_path / "processed" / "test.oracle.parquet")
    assert truth.height == schema.rows["test"] > 0


def test_it_says_that_it_is_semi_synthetic_and_of_what() -> None:
    for name in ("coat", "aliexpress"):
        dataset, base = KIND(base=name, teacher="deep"), load(name)
        assert dataset.title == f"Semi-synthetic {base.title} (deep)"
        assert dataset.claims.startswith("Semi-synthetic: rows, features and splits are those of ")
        assert base.title in dataset.claims
        assert (dataset.base, dataset.sources) == (name, base.sources)
        assert (dataset.licence, dataset.citation) == (base.licence, base().citation)


@pytest.mark.parametrize(
    ("base", "why"),
    [
        ("jd_micro", "has clicks only"),
        ("open_bandit", "has no conversions"),
        ("oracle_funnel", "is no real log itself"),
        ("semi_synthetic", "is no real log itself"),
        ("cota", "did you mean 'coat'"),
    ],
)
def test_a_base_that_cannot_be_is_refused(base: str, why: str) -> None:
    sentence = (
        rf"^params\.yaml: options\.semi_synthetic\.base is '{base}'; "
        f"it must be a log of impressions, clicks and conversions: .*{why}"
    )
    with pytest.raises(ConfigError, match=sentence):
        KIND(base=base)


def test_its_data_follow_from_its_own_adapter_and_that_of_its_base() -> None:
    assert COAT().depends_on == ("coat",)
    assert KIND().depends_on == ("semi_synthetic", "coat")
    assert KIND(base="aliexpress").depends_on == ("semi_synthetic", "aliexpress")
    assert load("coat_observed")().depends_on == ("coat_observed", "coat")


def test_options_of_the_base_are_the_bases_to_check() -> None:
    where = r"^params\.yaml: options\.semi_synthetic\.base_options\."
    with pytest.raises(ConfigError, match=f"{where}colour is no key; known: positive_rating"):
        KIND(base_options={"colour": "red"})
    with pytest.raises(ConfigError, match=f"{where}country is 'XX'; it must be one of NL, ES"):
        KIND(base="aliexpress", base_options={"country": "XX"})


def test_a_sample_keeps_groups_whole() -> None:
    frame = pl.LazyFrame({"row": range(10_000)}).with_columns(group=pl.col("row") // 10)
    part = sampled(frame, 3000, seed=1)
    assert part.height == pytest.approx(3000, rel=0.15)
    assert part["group"].value_counts()["count"].unique().to_list() == [10]
    assert not part.equals(sampled(frame, 3000, seed=2))
    assert sampled(frame.drop("group"), 3000, seed=1).height == pytest.approx(3000, rel=0.1)
    assert sampled(frame, 10_000, seed=1).height == 10_000


# --- its raw files


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose params.yaml names a base that a person must get by hand."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["options"]["semi_synthetic"] = {"base": "aliexpress", "teacher": "deep"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_files_of_the_base_are_taken_from_where_it_has_them(project: Path) -> None:
    with pytest.raises(DataError, match=r"semi_synthetic cannot be.*data/manual/aliexpress/"):
        commands.download("semi_synthetic", Workspace())
    with pytest.raises(
        FileNotFoundError, match="run `python -m benchmark download semi_synthetic`"
    ):
        commands.preprocess("semi_synthetic", Workspace())
    aliexpress.write(project / "searches", searches=150)
    (project / "data" / "manual").mkdir(parents=True)
    shutil.copytree(project / "searches", project / "data" / "manual" / "aliexpress")
    commands.download("semi_synthetic", Workspace())
    commands.preprocess("semi_synthetic", Workspace())
    assert (project / "data" / "processed" / "semi_synthetic" / "0" / "schema.json").is_file()


def test_a_real_log_gives_a_world_with_its_rates() -> None:
    if not (folder := os.environ.get("CVR_REAL_DATA")):
        pytest.skip("CVR_REAL_DATA names no folder of real samples")
    frame = drawn(Path(folder) / "coat", rows=20_000)
    log = COAT().table(Path(folder) / "coat").collect().filter(policy="log")
    users = frame["user_id"].unique()
    seen = log.filter(pl.col("user_id").is_in(users.implode()))
    assert frame.height == 300 * len(users)
    assert frame["oracle_ctr"].to_numpy().mean() == pytest.approx(seen["click"].to_numpy().mean())
    assert 0 < gap(frame) < 1
    likes = seen.filter(click=1)["conversion"].to_numpy().mean()
    weights = frame["oracle_ctr"].to_numpy()
    assert np.average(frame["oracle_cvr"].to_numpy(), weights=weights) == pytest.approx(likes)
