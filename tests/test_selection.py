"""Selection: what a criterion may read, which values it prefers, whether its risk is right."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from helpers.fake_runs import write_project
from helpers.plugins import methods_that_load
from helpers.projects import without_pictures
from helpers.runs import run
from helpers.seals import seal
from helpers.worlds import schema

from benchmark.cli import main
from benchmark.config import Protocol
from benchmark.files import read_json
from benchmark.metrics.calibration import cross_entropy
from benchmark.metrics.criteria import (
    CRITERIA,
    ESTIMATED,
    best,
    check,
    direction,
)
from benchmark.metrics.directions import HIGHER, LOWER
from benchmark.metrics.evaluation import evaluate_one
from benchmark.metrics.populations import Scores
from benchmark.metrics.risks import dr_log_loss, snips_log_loss
from benchmark.metrics.undefined import UndefinedError
from benchmark.reporting.facts import selected
from benchmark.training import nuisances
from benchmark.training.backbones import blueprint
from benchmark.training.nuisances import with_estimates
from benchmark.training.search import defaults, sample, search_space, tune
from benchmark.training.trainer import Data, fit

CPU = torch.device("cpu")
HYPER = {"learning_rate": 0.01, "weight_decay": 0.0}
KINDS = methods_that_load()
PLAIN = next(n for n, k in KINDS.items() if not k.search_space and k.requires == {"click"})
Array = np.ndarray[Any, np.dtype[np.float64]]


def by(metric: str, protocol: Protocol) -> Protocol:
    return protocol.model_copy(update={"selection_metric": metric})


# --- which criteria there are


def test_every_criterion_is_defined_where_its_rows_are(processed: Path) -> None:
    data = with_estimates(Data.read(processed, CPU))
    half = np.arange(len(data.valid.labels.random)) % 2 == 0
    truth = replace(data.valid.labels, random=half)
    score = np.random.default_rng(0).uniform(0.1, 0.9, len(half))
    for criterion in CRITERIA:
        check(criterion, data.schema)
        assert direction(criterion) in (HIGHER, LOWER)
        assert np.isfinite(evaluate_one(criterion, truth, Scores(score, score)))


@pytest.mark.parametrize("metric", ["cvr_auc_oracle", "cvr_logloss_oracle", "cvr_snipsauc_clicked"])
def test_the_oracle_selects_in_no_ordinary_run(
    metric: str, processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    with pytest.raises(LookupError, match="reads the oracle, which is for tests alone; choose"):
        run(tmp_path / "run", processed, PLAIN, by(metric, protocol))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("metric", ["cvr_auk_clicked", "cvr_bias_clicked", ""])
def test_a_wrong_name_is_answered_with_the_known_ones(metric: str) -> None:
    with pytest.raises(LookupError, match="is no criterion") as error:
        check(metric, schema())
    (sentence,) = error.value.args
    assert all(criterion in sentence for criterion in CRITERIA)
    assert "\n" not in sentence


@pytest.mark.parametrize("metric", [*ESTIMATED, "ctcvr_auc_impressions"])
def test_a_log_of_clicks_refuses_what_needs_impressions(metric: str) -> None:
    check("cvr_auc_clicked", schema("clicks"))
    with pytest.raises(
        UndefinedError, match=r"needs impressions without a click, which tiny lacks"
    ):
        check(metric, schema("clicks"))


@pytest.mark.parametrize("trials", [5, 0])
def test_a_method_that_a_criterion_cannot_judge_is_left_out_with_the_reason(
    trials: int, processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    tuning = protocol.tuning.model_copy(update={"trials": trials})
    own = by("ctcvr_auc_impressions", protocol).model_copy(update={"tuning": tuning})
    run(tmp_path, processed, PLAIN, own)
    reason = "cannot be selected by ctcvr_auc_impressions: the method predicts no CTR"
    assert read_json(tmp_path / "skipped.json")["reason"] == reason


# --- which values are better


def test_best_is_the_highest_or_the_lowest_and_the_first_of_equals() -> None:
    assert best("cvr_auc_clicked", [0.6, 0.7, 0.7, 0.5]) == 1
    assert best("cvr_drlogloss_impressions", [0.6, 0.5, 0.7, 0.5]) == 1
    assert best("cvr_drlogloss_impressions", [0.1, -0.2]) == 1  # such a risk can be negative


@pytest.mark.parametrize(("metric", "place"), [("cvr_auc_clicked", 3), ("cvr_logloss_clicked", 1)])
def test_early_stopping_goes_in_the_direction_of_the_criterion(
    metric: str, place: int, processed: Path, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, values = Data.read(processed, CPU), iter([0.5, 0.3, 0.4, 0.6])
    monkeypatch.setattr("benchmark.training.trainer.evaluate_one", lambda *_: next(values))
    method = KINDS[PLAIN](blueprint(data.schema, protocol.backbone))
    patient = by(metric, protocol).model_copy(update={"max_epochs": 4, "patience": 3})
    assert fit(method, data, patient, HYPER, seed=0).best_epoch == place


@pytest.mark.parametrize("metric", ["cvr_auc_clicked", "cvr_snipslogloss_clicked"])
def test_the_search_goes_in_the_direction_of_the_criterion(metric: str, protocol: Protocol) -> None:
    asked: list[dict[str, Any]] = []

    def rate(_: int, batch: Sequence[dict[str, Any]]) -> list[float | None]:
        asked.extend(batch)
        return [point["learning_rate"] for point in batch]

    found = tune(KINDS[PLAIN], by(metric, protocol), rate)["learning_rate"]
    rates = [point["learning_rate"] for point in asked]
    assert found == (max(rates) if metric == "cvr_auc_clicked" else min(rates))


def test_candidates_are_the_defaults_and_random_points_of_the_search_space(
    protocol: Protocol,
) -> None:
    kind = max(KINDS.values(), key=lambda method: len(method.search_space))
    points = sample(kind, protocol, 6, seed=3)
    assert points == sample(kind, protocol, 6, seed=3) != sample(kind, protocol, 6, seed=4)
    assert points[0] == defaults(kind, protocol)
    space = search_space(kind, protocol)
    for point in points[1:]:
        assert all(
            space[name]._contains(space[name].to_internal_repr(point[name])) for name in space
        )


# --- whether the risks are right


def draw(seed: int, rows: int = 2000) -> tuple[Array, ...]:
    """Return conversions (NaN without a click), predictions, true propensities and true CVRs."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, rows)
    propensity, cvr, score = (1 / (1 + np.exp(-z)) for z in (1.5 * x - 0.5, 1.2 * x - 1, -0.5 * x))
    click, conversion = rng.random(rows) < propensity, rng.random(rows) < cvr
    return np.where(click, conversion, np.nan), score, propensity, cvr


def errors(risk: Callable[[Array, Array, Array, Array], float]) -> float:
    """Return the bias of a risk in standard errors of the Monte Carlo mean, over 300 draws."""
    found = []
    for seed in range(300):
        conversion, score, propensity, cvr = draw(seed)
        right = cross_entropy(cvr, score).mean()
        found.append(risk(conversion, score, propensity, cvr) - right)
    return float(np.mean(found) / (np.std(found) / len(found) ** 0.5))


def snips(conversion: Array, score: Array, propensity: Array) -> float:
    clicked = ~np.isnan(conversion)
    return snips_log_loss(conversion[clicked], score[clicked], propensity[clicked])


def test_weighted_risks_are_those_of_all_impressions_and_that_of_clicks_is_not() -> None:
    assert abs(errors(lambda r, s, p, _: snips(r, s, p))) < 3
    assert abs(errors(lambda r, s, p, _: snips(r, s, np.ones_like(p)))) > 30
    assert snips(*draw(0)[:2], np.full(2000, 0.3)) == pytest.approx(
        snips(*draw(0)[:2], np.ones(2000))
    )


def test_the_doubly_robust_risk_is_right_if_either_estimate_is() -> None:
    wrong = np.full(2000, 0.3)
    assert abs(errors(dr_log_loss)) < 3
    assert abs(errors(lambda r, s, p, _: dr_log_loss(r, s, p, wrong))) < 3
    assert abs(errors(lambda r, s, _, q: dr_log_loss(r, s, wrong, q))) < 3
    assert abs(errors(lambda r, s, _, __: dr_log_loss(r, s, wrong, wrong))) > 30


# --- estimates


def test_estimates_are_of_train_alone_and_the_same_at_every_call(processed: Path) -> None:
    data = Data.read(processed, CPU)
    found = with_estimates(data).valid.labels
    other = replace(data.valid.labels, conversion=1 - data.valid.labels.conversion, click=None)
    poisoned = replace(data, valid=replace(data.valid, labels=other), test=data.valid)
    again = with_estimates(poisoned).valid.labels
    flipped = replace(data, train=replace(data.train, labels=1 - data.train.labels))
    for name in ("estimated_ctr", "estimated_cvr"):
        assert np.array_equal(getattr(found, name), getattr(again, name))
        assert not np.array_equal(
            getattr(found, name), getattr(with_estimates(flipped).valid.labels, name)
        )


def test_estimates_tell_clicks_apart_and_are_kept_from_zero(
    processed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Data.read(processed, CPU)
    found = with_estimates(data).valid.labels
    assert found.click is not None
    assert found.estimated_ctr is not None
    assert found.estimated_ctr.mean() == pytest.approx(found.click.mean(), abs=0.05)
    assert (
        evaluate_one("ctr_auc_impressions", found, Scores(found.click, found.estimated_ctr)) > 0.6
    )
    monkeypatch.setattr(nuisances, "FLOOR", 1.0)
    floored = with_estimates(data).valid.labels.estimated_ctr
    assert floored is not None
    assert floored.min() == pytest.approx(float(data.train.whole().clicked.mean()))


def test_estimates_cost_no_more_than_their_rows(
    processed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    grow = nuisances.BoostedTrees.grow

    def counted(self: Any, trees: int, features: Any, label: Any, seed: int) -> int:
        seen.append(len(label))
        return grow(self, trees, features, label, seed)

    monkeypatch.setattr(nuisances.BoostedTrees, "grow", counted)
    monkeypatch.setattr(nuisances, "ROWS", 500)
    with_estimates(Data.read(processed, CPU))
    assert seen == [500, 500]


def test_a_run_selected_by_an_estimated_risk_ignores_test_rows(
    processed: Path, protocol: Protocol, tmp_path: Path
) -> None:
    small = by("cvr_drlogloss_impressions", protocol)
    poisoned = tmp_path / "poisoned"
    shutil.copytree(processed, poisoned)
    frame = pl.read_parquet(processed / "test.parquet")
    none = pl.lit(0, dtype=pl.Int8)
    frame.with_columns(click=none, conversion=none).write_parquet(poisoned / "test.parquet")
    seal(poisoned)
    run(tmp_path / "clean", processed, PLAIN, small, 1)
    run(tmp_path / "dirty", poisoned, PLAIN, small, 1)
    clean, dirty = (read_json(tmp_path / name / "default/0.json") for name in ("clean", "dirty"))
    assert clean["history"] == dirty["history"]
    assert clean["hyperparameters"] == dirty["hyperparameters"]
    assert clean["value"] == min(clean["history"]) == clean["valid"]["cvr_drlogloss_impressions"]
    assert clean["test"] != dirty["test"]


# --- what readers are told


def test_the_sentence_on_selection_says_what_was_chosen_by_what(protocol: Protocol) -> None:
    assert selected(protocol) == (
        "Selected by the highest CVR AUC, clicked impressions, on the validation split: "
        "hyper-parameters and epochs."
    )
    untuned = protocol.tuning.model_copy(update={"trials": 0})
    lowest = by("cvr_drlogloss_impressions", protocol).model_copy(update={"tuning": untuned})
    assert "lowest CVR doubly robust log loss, all logged" in selected(lowest)
    assert selected(lowest).endswith(": epochs.")
    nothing = lowest.model_copy(update={"kept_epoch": "last"})
    assert selected(nothing) == "Nothing is selected: the methods' defaults, after the last epoch."


def test_tables_and_page_state_the_criterion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_project(tmp_path, 2, 3))
    without_pictures(monkeypatch)
    assert main(["report"]) == 0
    for name in ("leaderboard.md", "leaderboard.tex", "index.html"):
        text = (tmp_path / "results" / name).read_text(encoding="utf-8")
        assert "Selected by the highest CVR AUC, clicked impressions, on the validation" in text
