"""Which metrics there are: on which rows, under which names, and why some are not there."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.metrics.evaluation import (
    MEASURES,
    assess,
    curves,
    evaluate,
    evaluate_one,
    why_undefined,
)
from benchmark.metrics.populations import Labels, Scores
from benchmark.metrics.undefined import UndefinedError
from benchmark.reporting import metric as reported

RNG = np.random.default_rng(0)
ROWS = 2000
SCORE = RNG.integers(1, 40, ROWS) / 40.0  # ties on purpose
LABEL = (RNG.random(ROWS) < SCORE).astype(float)
NAN = np.full(ROWS, np.nan)


def labels(**changes: Any) -> Labels:
    click = (RNG.random(ROWS) < 0.3).astype(float)
    given: dict[str, Any] = {
        "conversion": np.where(click == 1, LABEL, np.nan),
        "click": click,
        "random": np.zeros(ROWS, dtype=bool),
        "group": None,
    }
    return Labels(**(given | changes))


def test_names_say_the_population_and_each_population_holds_its_rows() -> None:
    truth = labels()
    assert truth.click is not None
    found = evaluate(truth, Scores(cvr=SCORE, ctr=SCORE))
    clicked = truth.click == 1
    joint = np.where(clicked, LABEL, 0)
    assert found["cvr_auc_clicked"] == pytest.approx(roc_auc_score(LABEL[clicked], SCORE[clicked]))
    assert found["ctr_auc_impressions"] == pytest.approx(roc_auc_score(truth.click, SCORE))
    assert found["ctcvr_auc_impressions"] == pytest.approx(roc_auc_score(joint, SCORE**2))
    assert not [name for name in found if "oracle" in name or "random" in name or "gauc" in name]
    observed = LABEL[clicked].mean()
    assert found["cvr_ieb_impressions"] == pytest.approx(SCORE.mean() - observed)


def test_what_a_method_or_log_lacks_is_not_printed() -> None:
    no_ctr = evaluate(labels(), Scores(cvr=SCORE, ctr=None))
    assert {name.split("_")[0] for name in no_ctr} == {"cvr"}
    clicks_only = evaluate(labels(click=None, conversion=LABEL), Scores(cvr=SCORE, ctr=SCORE))
    assert {name.split("_")[-1] for name in clicks_only} == {"clicked"}
    assert clicks_only["cvr_auc_clicked"] == pytest.approx(roc_auc_score(LABEL, SCORE))
    one_class = evaluate(labels(click=None, conversion=np.zeros(ROWS)), Scores(cvr=SCORE, ctr=None))
    assert "cvr_auc_clicked" not in one_class
    assert "cvr_pcoc_clicked" not in one_class
    assert "cvr_logloss_clicked" in one_class


def test_randomised_rows_are_their_own_population() -> None:
    random = np.arange(ROWS) % 2 == 0
    truth = labels(random=random, click=NAN, conversion=LABEL)
    found = evaluate(truth, Scores(cvr=SCORE, ctr=None))
    assert found["cvr_auc_random"] == pytest.approx(roc_auc_score(LABEL[random], SCORE[random]))
    assert {name.split("_")[-1] for name in found} == {"random"}


def test_the_oracle_scores_every_impression_against_the_truth() -> None:
    truth = labels(oracle_conversion=LABEL, oracle_cvr=SCORE)
    found = evaluate(truth, Scores(cvr=SCORE / 2, ctr=None))
    assert found["cvr_auc_oracle"] == pytest.approx(roc_auc_score(LABEL, SCORE))
    assert found["cvr_bias_oracle"] == pytest.approx(-SCORE.mean() / 2)
    assert found["cvr_pcoc_oracle"] == pytest.approx(0.5)


def test_asking_for_an_unknown_metric_names_those_that_are_defined() -> None:
    truth, scores = labels(), Scores(cvr=SCORE, ctr=None)
    assert evaluate_one("cvr_auc_clicked", truth, scores) == pytest.approx(
        evaluate(truth, scores)["cvr_auc_clicked"]
    )
    for name in ("cvr_auc", "nonsense", "cvr_foo_clicked", "cvr_dcg2_clicked"):
        with pytest.raises(LookupError, match=f"name '{name}'; .* this split: cvr_auc_clicked"):
            evaluate_one(name, truth, scores)
    with pytest.raises(UndefinedError, match="would have led to is unknown"):
        evaluate_one("cvr_auc_oracle", truth, scores)


def everything() -> tuple[Labels, Scores]:
    """Return a world in which every metric is defined."""
    ctr = RNG.uniform(0.1, 0.9, ROWS)
    truth = labels(
        random=np.arange(ROWS) % 4 == 0,
        conversion=LABEL,
        group=RNG.integers(0, 100, ROWS),
        oracle_conversion=LABEL,
        oracle_cvr=SCORE,
        oracle_ctr=ctr,
        estimated_ctr=ctr,
        estimated_cvr=SCORE,
    )
    return truth, Scores(cvr=(SCORE + 0.1 * ctr) / 1.1, ctr=ctr.round(2))


def test_where_all_is_known_every_metric_is_defined_and_finite() -> None:
    values, reasons = assess(*everything())
    assert reasons == {}
    assert len(values) == sum(map(len, MEASURES.values())) > 50
    assert np.isfinite(list(values.values())).all()
    assert all(type(value) is float for value in values.values())
    assert evaluate(*everything()).keys() == values.keys()


def test_rows_shown_at_random_are_in_no_population_of_logged_ones() -> None:
    truth, scores = everything()
    logged = ~truth.random
    assert truth.click is not None
    assert scores.ctr is not None
    found = evaluate(truth, scores)
    expected = roc_auc_score(truth.click[logged], scores.ctr[logged])
    assert found["ctr_auc_impressions"] == pytest.approx(expected)
    clicked = logged & (truth.click == 1)
    expected = roc_auc_score(LABEL[clicked], scores.cvr[clicked])
    assert found["cvr_auc_clicked"] == pytest.approx(expected)


def test_no_metric_depends_on_the_order_of_rows() -> None:
    truth, scores = everything()
    order = RNG.permutation(ROWS)
    shuffled = Labels(*(column[order] for column in vars(truth).values()))
    assert scores.ctr is not None
    found = evaluate(shuffled, Scores(scores.cvr[order], scores.ctr[order]))
    assert found == pytest.approx(evaluate(truth, scores), abs=1e-12)


@pytest.mark.parametrize(
    ("lacking", "population", "reason"),
    [
        ({"random": np.zeros(ROWS, dtype=bool)}, "cvr_random", "no impression was shown at random"),
        ({"oracle_conversion": None}, "cvr_oracle", "would have led to is unknown"),
        ({"click": None}, "ctr_impressions", "no impressions without a click"),
        ({"click": np.zeros(ROWS)}, "cvr_clicked", "no row of this population"),
        ({"group": None}, "cvr_gauc_clicked", "no groups"),
        ({"group": None}, "cvr_ndcg5_random", "no groups"),
        ({"group": np.arange(ROWS)}, "cvr_gauc_random", "no group has both classes"),
        ({"oracle_ctr": None}, "cvr_snipsauc_clicked", "propensities of clicks are unknown"),
        ({"estimated_ctr": None}, "cvr_drlogloss_impressions", "validation split alone"),
        ({"oracle_cvr": None}, "cvr_mse_oracle", "true probabilities are unknown"),
        ({"oracle_conversion": np.zeros(ROWS)}, "cvr_auc_oracle", "all labels are 0"),
    ],
)
def test_what_is_lacking_is_the_reason(
    lacking: dict[str, Any], population: str, reason: str
) -> None:
    truth, scores = everything()
    values, reasons = assess(replace(truth, **lacking), scores)
    assert reason in reasons[population]
    assert population not in values
    explained = [
        name in values or name in reasons or space in reasons
        for space, measures in MEASURES.items()
        for name in (space.replace("_", f"_{measure}_") for measure in measures)
    ]
    assert all(explained)


def test_a_method_without_ctr_is_the_reason_where_one_is_needed() -> None:
    truth, scores = everything()
    reasons = why_undefined(truth, replace(scores, ctr=None))
    needing = {"ctr_impressions", "ctcvr_impressions", "cvr_pip_clicked", "cvr_pippvalue_clicked"}
    assert reasons == dict.fromkeys(needing, "the method predicts no CTR")


def test_clicks_whose_conversion_is_unknown_are_no_impressions_without_one() -> None:
    truth = labels(conversion=np.full(ROWS, np.nan))
    assert truth.click is not None
    some = replace(truth, conversion=np.where((truth.click == 1) & (SCORE > 0.5), LABEL, np.nan))
    rows = (truth.click == 0) | (SCORE > 0.5)
    joint = np.where(truth.click == 1, LABEL, 0)[rows]
    found = evaluate(some, Scores(cvr=SCORE, ctr=SCORE))
    assert found["ctcvr_auc_impressions"] == pytest.approx(roc_auc_score(joint, SCORE[rows]))


def test_selection_bias_by_ctr_is_taken_by_the_true_ctr_or_else_the_predicted() -> None:
    truth, scores = everything()
    right = replace(scores, cvr=SCORE)
    assert evaluate(truth, right)["cvr_ctrbias_oracle"] == pytest.approx(0, abs=1e-12)
    by_true = curves(truth, scores)["ctr_deciles"]["cvr_oracle"]
    by_predicted = curves(replace(truth, oracle_ctr=None), scores)["ctr_deciles"]["cvr_oracle"]
    largest = max(abs(mean - true) for _, _, mean, true in by_true)
    assert evaluate(truth, scores)["cvr_ctrbias_oracle"] == pytest.approx(largest) != 0
    assert by_true != by_predicted


def test_what_a_seed_records_is_small_and_json() -> None:
    values, reasons = assess(*everything())
    pictures = curves(*everything())
    assert len(json.dumps([values, reasons, pictures])) < 10_000
    assert set(pictures["reliability"]) == set(MEASURES) - {"cvr_impressions"}
    assert all(len(bins) == 10 for bins in pictures["reliability"].values())


def test_tables_can_show_every_measure_of_which_better_is_known() -> None:
    unordered = {"ieb", "pippvalue"}
    measured = {measure for measures in MEASURES.values() for measure in measures}
    assert measured - set(reported.MEASURES) == unordered
    assert not set(reported.MEASURES) - measured
    spaces = {f"{task}_{rows}" for task in reported.TASKS for rows in reported.POPULATIONS}
    assert set(MEASURES) <= spaces
