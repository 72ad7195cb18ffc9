"""Which metrics there are: on which rows, under which names, and why some are not there."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.metrics import ranking
from benchmark.metrics.calibration import log_loss
from benchmark.metrics.diagnostics import ctr_deciles
from benchmark.metrics.directions import ONE
from benchmark.metrics.discrimination import Classes, auc, average_precision, gauc
from benchmark.metrics.evaluation import assess, evaluate, evaluate_one
from benchmark.metrics.measures import BY_SPACE, MEASURES
from benchmark.metrics.ordering import Order
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


def test_the_oracle_metrics_take_the_true_probabilities_and_not_the_sampled_outcomes() -> None:
    truth = labels(oracle_conversion=LABEL, oracle_cvr=SCORE, group=np.arange(ROWS) % 50)
    score = np.sqrt(SCORE) * RNG.uniform(0.5, 1, ROWS)
    found = evaluate(truth, Scores(cvr=score, ctr=None))
    classes = Classes.at(SCORE, Order.of(score))
    assert found["cvr_auc_oracle"] == auc(classes)
    assert found["cvr_gauc_oracle"] == gauc(SCORE, score, truth.group)
    assert found["cvr_prauc_oracle"] == average_precision(classes)
    assert found["cvr_logloss_oracle"] == log_loss(SCORE, score)
    assert found["cvr_bias_oracle"] == pytest.approx(score.mean() - SCORE.mean())
    assert found["cvr_pcoc_oracle"] == pytest.approx(score.sum() / SCORE.sum())
    assert found["cvr_brier_oracle"] == pytest.approx(np.square(score - SCORE).mean())
    resampled = replace(truth, oracle_conversion=1 - LABEL)
    assert evaluate(resampled, Scores(cvr=score, ctr=None)) == found


def test_without_true_probabilities_the_oracle_takes_the_outcomes() -> None:
    truth = labels(oracle_conversion=LABEL)
    found = evaluate(truth, Scores(cvr=SCORE, ctr=None))
    assert found["cvr_auc_oracle"] == pytest.approx(roc_auc_score(LABEL, SCORE))


def test_rows_and_positives_of_every_population_are_counted() -> None:
    truth, scores = everything()
    counts = assess(truth, scores).counts
    logged = ~truth.random
    assert truth.click is not None
    clicked = logged & (truth.click == 1)
    assert counts.keys() == BY_SPACE.keys()
    assert counts["cvr_clicked"] == {"rows": clicked.sum(), "positives": LABEL[clicked].sum()}
    assert counts["cvr_random"]["positives"] == LABEL[truth.random].sum()
    assert counts["ctr_impressions"]["positives"] == clicked.sum()
    assert counts["cvr_oracle"] == {"rows": ROWS, "positives": pytest.approx(SCORE.sum())}
    assert "cvr_oracle" not in assess(labels(), scores).counts


def test_metrics_have_the_names_and_bounds_of_their_definitions() -> None:
    common = "auc gauc prauc ks logloss pcoc ece bias"
    lists = "dcg2 dcg4 dcg6 hits2 hits4 hits6 recall2 recall4 recall6 ndcg5 ndcg10"
    assert {space: " ".join(m.name for m in measures) for space, measures in BY_SPACE.items()} == {
        "cvr_clicked": f"{common} snipsauc snipslogloss pip",
        "cvr_random": f"{common} {lists}",
        "cvr_oracle": f"{common} brier ctrbias",
        "cvr_impressions": "drlogloss",
        "ctr_impressions": common,
        "ctcvr_impressions": common,
    }
    unit = "auc gauc prauc ks ece snipsauc brier ctrbias recall2 recall4 recall6 ndcg5 ndcg10"
    upward = "logloss pcoc snipslogloss dcg2 dcg4 dcg6"
    assert {name: measure.bounds for name, measure in MEASURES.items()} == {
        **dict.fromkeys(unit.split(), (0, 1)),
        **dict.fromkeys(upward.split(), (0, None)),
        **{"bias": (-1, 1), "pip": (-1, 1), "drlogloss": (None, None)},
        **{f"hits{k}": (0, k) for k in (2, 4, 6)},
    }


def test_asking_for_an_unknown_metric_names_those_that_are_defined() -> None:
    truth, scores = labels(), Scores(cvr=SCORE, ctr=None)
    assert evaluate_one("cvr_auc_clicked", truth, scores) == pytest.approx(
        evaluate(truth, scores)["cvr_auc_clicked"]
    )
    for name in ("cvr_auc", "nonsense", "cvr_foo_clicked", "cvr_dcg2_clicked", "cvr_auc_clicked_x"):
        with pytest.raises(LookupError, match=f"name '{name}'; .* this split: cvr_auc_clicked"):
            evaluate_one(name, truth, scores)
    with pytest.raises(UndefinedError, match="would have led to is unknown"):
        evaluate_one("cvr_auc_oracle", truth, scores)


def test_a_ratio_is_as_far_from_one_as_its_inverse_and_never_infinitely_far() -> None:
    half, double, right, none = ONE.cost(np.array([0.5, 2.0, 1.0, 0.0]))
    assert half == pytest.approx(double) == pytest.approx(np.log(2))
    assert right == 0
    assert double < none < np.inf


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_metrics_of_lists_are_expectations_over_all_orders_of_ties(k: int, kind: type) -> None:
    rows = [  # group, score, label; the last group has no positive
        *((0, s, y) for s, y in ((0.0, 1), (0.5, 0), (0.5, 1), (0.0, 0))),
        *((5, s, y) for s, y in ((0.9, 0), (0.9, 1), (0.9, 1), (0.2, 0), (0.1, 1))),
        *((8, s, y) for s, y in ((0.0, 0), (1.0, 0), (0.3, 1))),
        *((9, s, 0) for s in (0.7, 0.8)),
    ]
    expected = {}
    for group in (0, 5, 8):
        own = [(score, label) for g, score, label in rows if g == group]
        positives = sum(label for _, label in own)
        orders = [o for o in permutations(own) if sorted(o, key=lambda row: -row[0]) == [*o]]
        gains = [[label for _, label in order[:k]] for order in orders]
        hits = np.mean([sum(gain) for gain in gains])
        dcg = np.mean([sum(y / np.log2(j + 2) for j, y in enumerate(gain)) for gain in gains])
        best = sum(1 / np.log2(j + 2) for j in range(min(k, positives)))
        expected[group] = [hits, dcg, hits / positives, dcg / best]
    group, score, label = np.array(rows)[np.random.default_rng(0).permutation(len(rows))].T
    lists = ranking.Lists.ranked(label, score.astype(kind), group.astype(int))
    found = [f(lists, k) for f in (ranking.hits, ranking.dcg, ranking.recall, ranking.ndcg)]
    assert found == pytest.approx(np.mean([*expected.values()], axis=0), abs=1e-12)


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
    found = assess(*everything())
    values = found.test
    assert found.undefined == {}
    assert len(values) == sum(map(len, BY_SPACE.values())) > 50
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
        ({"oracle_cvr": None}, "cvr_brier_oracle", "true probabilities are unknown"),
        ({"oracle_cvr": np.zeros(ROWS)}, "cvr_auc_oracle", "all labels are 0"),
    ],
)
def test_what_is_lacking_is_the_reason(
    lacking: dict[str, Any], population: str, reason: str
) -> None:
    truth, scores = everything()
    found = assess(replace(truth, **lacking), scores)
    values, reasons = found.test, found.undefined
    assert reason in reasons[population]
    assert population not in values
    explained = [
        name in values or name in reasons or space in reasons
        for space, measures in BY_SPACE.items()
        for name in (space.replace("_", f"_{measure.name}_") for measure in measures)
    ]
    assert all(explained)


def test_a_method_without_ctr_is_the_reason_where_one_is_needed() -> None:
    truth, scores = everything()
    reasons = assess(truth, replace(scores, ctr=None)).undefined
    needing = {"ctr_impressions", "ctcvr_impressions", "cvr_pip_clicked"}
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
    assert truth.oracle_ctr is not None
    assert scores.ctr is not None
    unknown = replace(truth, oracle_ctr=None)
    for known, ctr in ((truth, truth.oracle_ctr), (unknown, scores.ctr)):
        deciles = ctr_deciles(SCORE, scores.cvr, ctr)
        largest = max(abs(mean - true) for _, _, mean, true in deciles)
        assert evaluate(known, scores)["cvr_ctrbias_oracle"] == pytest.approx(largest) != 0


def test_what_a_record_holds_of_a_test_split_is_small_and_json() -> None:
    found = assess(*everything())
    assert len(json.dumps(vars(found))) < 10_000
    assert set(found.reliability) == set(BY_SPACE) - {"cvr_impressions"}
    assert all(len(bins) == 10 for bins in found.reliability.values())


def test_every_metric_can_be_shown_and_named() -> None:
    spaces = {f"{task}_{rows}" for task in reported.TASKS for rows in reported.POPULATIONS}
    assert set(BY_SPACE) <= spaces
    for name in assess(*everything()).test:
        assert reported.Metric.parse(name).name == name
