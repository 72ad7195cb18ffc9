"""Metrics, probabilities and keys, for any input that hypothesis finds."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from benchmark.files import fingerprint
from benchmark.metrics.discrimination import Classes, auc, gauc
from benchmark.metrics.ordering import Order
from benchmark.sealing import digest, is_sealed
from benchmark.training.batch import Probability

small = settings(max_examples=50, deadline=None, database=None)

# --- metrics

SCORES = st.sampled_from([-1.0, 0.1, np.nextafter(0.1, 1), 0.5, 3.0]) | st.floats(-1e9, 1e9)
ROWS = st.lists(st.tuples(st.booleans(), SCORES, st.integers(0, 2)), min_size=2, max_size=25)


def columns(rows: list[tuple[bool, float, int]]) -> tuple[Any, Any, Any]:
    label, score, group = zip(*rows, strict=True)
    return np.array(label, float), np.array(score), np.array(group)


def pairwise(label: Any, score: Any) -> float | None:
    """Return the share of pairs that are in order, by the definition; None without a pair."""
    wins = [
        1.0 if positive > negative else 0.5 * (positive == negative)
        for positive, negative in product(score[label == 1], score[label == 0])
    ]
    return float(np.mean(wins)) if wins else None


@small
@given(ROWS, st.randoms(use_true_random=False))
def test_the_auc_is_the_share_of_pairs_in_order_however_rows_lie(
    rows: list[tuple[bool, float, int]], random: Any
) -> None:
    label, score, _ = columns(rows)
    expected = pairwise(label, score)
    assume(expected is not None)
    random.shuffle(rows)
    shuffled, moved, _ = columns(rows)
    for one, other, result in (
        (label, score, expected),
        (shuffled, moved, expected),
        (1 - label, -score, expected),
    ):
        assert auc(Classes.at(one, Order.of(other))) == pytest.approx(result, abs=1e-12)


@small
@given(ROWS)
def test_the_gauc_is_the_mean_over_groups_of_both_classes(
    rows: list[tuple[bool, float, int]],
) -> None:
    label, score, group = columns(rows)
    within = {one: pairwise(label[group == one], score[group == one]) for one in set(group)}
    known = {one: value for one, value in within.items() if value is not None}
    assume(known)
    weights = [(group == one).sum() for one in known]
    expected = np.average(list(known.values()), weights=weights)
    assert gauc(label, score, group) == pytest.approx(expected, abs=1e-12)


# --- probabilities

LOGITS = st.lists(st.floats(-60, 60), min_size=3, max_size=3)


@small
@given(LOGITS)
def test_probabilities_and_their_complements_make_up_one(logits: list[float]) -> None:
    a, b, c = (Probability.from_logit(torch.tensor([x], dtype=torch.float64)) for x in logits)
    for made in (a, a & b, a.mix(b, c), (a & b) & c):
        assert (made.log.exp() + made.log_not.exp()).item() == pytest.approx(1, abs=1e-12)
    assert (a & b).log.item() == pytest.approx((b & a).log.item(), rel=1e-12)
    assert (a & b).log_not.item() == pytest.approx((b & a).log_not.item(), rel=1e-9)
    assert a.mix(b, b).log.item() == pytest.approx(b.log.item(), rel=1e-9)
    assume(b.log.item() < -1e-5)  # else it is cut
    assert (a & b).given(a).log.item() == pytest.approx(b.log.item(), rel=1e-9, abs=1e-12)


# --- keys

PARTS = st.lists(st.text("ab:=1", max_size=4), max_size=4)
RECORDS = st.dictionaries(
    st.text("abc", min_size=1, max_size=2),
    st.integers(-3, 3) | st.floats(allow_nan=False) | st.text("ab", max_size=2) | st.none(),
    max_size=4,
)


@small
@given(PARTS, PARTS)
def test_other_parts_have_another_fingerprint_wherever_they_are_cut(
    one: list[str], other: list[str]
) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (one == other)


@small
@given(RECORDS, RECORDS)
def test_a_record_has_the_digest_of_its_content_alone(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert digest(dict(reversed(one.items()))) == digest(one)
    assert is_sealed(one | {"digest": digest(one)})
    same = repr(sorted(one.items())) == repr(sorted(other.items()))  # 1 is not 1.0
    assert is_sealed(other | {"digest": digest(one)}) == same
