"""Each factor of the simulator does what it says, and the default setting stays as it was."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from itertools import product
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from scipy.sparse.linalg import lsqr

from benchmark import registry
from benchmark.data.dataset import Dataset
from benchmark.data.simulation.generator import LogOddsEffect, Rows, funnel
from benchmark.errors import ConfigError
from benchmark.schema import ORACLE

KIND = registry.load("datasets", "oracle_funnel", Dataset)
ROWS = 60_000
Array = NDArray[np.float64]


@lru_cache
def table(**options: Any) -> pl.DataFrame:
    return KIND(**{"rows": ROWS, **options}).table(Path()).collect()


def oracle(**options: Any) -> tuple[Array, Array]:
    frame = table(**options)
    return frame["oracle_ctr"].to_numpy(), frame["oracle_cvr"].to_numpy()


def gap(weights: Array, cvr: Array) -> float:
    """Return how far the weighted mean CVR exceeds that of all impressions, relatively."""
    return float(np.average(cvr, weights=weights) / cvr.mean() - 1)


def clicks(**options: Any) -> pl.DataFrame:
    return table(**options).filter(pl.col("click") == 1)


def propensity(frame: pl.DataFrame) -> Array:
    """Return P(click | features), without the hidden cause, from what the simulator documents.

    The click's log odds are linear in dummies of users, items, pairs of segment and category,
    hours and the position, plus a normal noise that no feature tells.
    """
    rows, ctr = frame.height, frame["oracle_ctr"].to_numpy()
    pair = frame["user_segment"].to_numpy() * 1000 + frame["category"].to_numpy()
    dummies = [_dummies(values) for values in (frame["user_id"], frame["item_id"], frame["hour"])]
    position = csr_array(frame["position"].to_numpy().reshape(rows, 1).astype(float))
    logit = np.log(ctr / (1 - ctr))
    design = hstack([*dummies, _dummies(pl.Series(pair)), position]).tocsr()
    explained = design @ lsqr(design, logit, atol=1e-5, btol=1e-5)[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(15)
    shifted = explained[:, None] + (logit - explained).std() * nodes
    return np.asarray(1 / (1 + np.exp(-shifted)) @ (weights / weights.sum()))


@lru_cache
def left(**options: float) -> float:
    """Return the gap that remains after weighting clicks by that propensity."""
    ctr, cvr = oracle(**options)
    return gap(ctr / propensity(table(**options)), cvr)


def _dummies(values: pl.Series) -> csr_array:
    codes = values.rank("dense").to_numpy() - 1
    return csr_array((np.ones(len(codes)), (np.arange(len(codes)), codes)))


def information(frame: pl.DataFrame, one: str, other: str) -> float:
    """Return the mutual information of two labels, in nats."""
    joint = frame.group_by(one, other).len().with_columns(p=pl.col("len") / frame.height)
    marginal = [pl.col("p").sum().over(label) for label in (one, other)]
    return float(
        joint.select(pl.col("p").dot((pl.col("p") / marginal[0] / marginal[1]).log())).item()
    )


def odds_ratio(frame: pl.DataFrame, macro: int) -> float:
    """Return the log odds ratio of micro and conversion among rows of one macro state."""
    part = frame.filter(pl.col("macro") == macro)
    count = dict.fromkeys(product((0, 1), (0, 1)), 0)
    for *cell, rows in part.group_by("micro", "conversion").len().iter_rows():
        count[tuple(cell)] = rows
    return log(count[1, 1] * count[0, 0] / count[1, 0] / count[0, 1])


def fingerprint(frame: pl.DataFrame) -> str:
    """Hash all but the probabilities, whose last bits may differ between machines."""
    return sha256(frame.select(pl.exclude(pl.Float64)).write_csv().encode()).hexdigest()[:16]


# Fingerprints and sums of the oracle's probabilities, of settings made before there were factors.
BEFORE: list[tuple[dict[str, Any], str, float, float]] = [
    ({}, "eafdd4cba58eec44", 12000.0, 4266.418438133),
    (
        {"selection_strength": 0.5, "rates": "published", "seed": 3},
        "e86b3073c7e70255", 1752.0, 1199.437094655,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("options", "made", "ctr", "cvr"), BEFORE)
def test_knobs_left_alone_change_nothing(
    options: dict[str, Any], made: str, ctr: float, cvr: float
) -> None:
    frame = table(**options)
    assert fingerprint(frame) == made
    assert frame.select(ORACLE[:2]).sum().row(0) == pytest.approx((ctr, cvr), rel=1e-11)


@pytest.mark.parametrize(
    "factor", ["unobserved_confounding", "overlap", "sparsity", "markov_violation"]
)
def test_no_factor_changes_the_impressions(factor: str) -> None:
    features = [*KIND.categorical, *KIND.numeric]
    assert table(**{factor: 2}).select(features).equals(table().select(features))
    assert not table(**{factor: 2}).select(ORACLE).equals(table().select(ORACLE))


def test_selection_by_features_is_removed_by_their_propensity() -> None:
    settings = [
        {"selection_strength": strength, "unobserved_confounding": 0} for strength in (0, 1, 2)
    ]
    naive = [gap(*oracle(**setting)) for setting in settings]
    assert naive[0] == pytest.approx(0, abs=0.005)
    assert (np.diff(naive) > 0.1).all()
    assert [left(**setting) for setting in settings] == pytest.approx([0, 0, 0], abs=0.005)


def test_unobserved_confounding_is_left_by_every_propensity_of_features() -> None:
    settings = [{"selection_strength": 1, "unobserved_confounding": beyond} for beyond in (0, 1, 2)]
    naive = [gap(*oracle(**setting)) for setting in settings]
    remaining = [left(**setting) for setting in settings]
    assert (np.diff(naive) > 0.03).all()
    assert remaining[0] == pytest.approx(0, abs=0.005)
    assert remaining[1] > 0.1
    assert (np.diff(remaining) > 0.03).all()


def test_unobserved_confounding_follows_selection_unless_set() -> None:
    assert table(unobserved_confounding=0.5, selection_strength=0.5).equals(
        table(selection_strength=0.5)
    )
    ctr, cvr = oracle(selection_strength=0, unobserved_confounding=1)
    assert 0.1 < gap(ctr, cvr) < gap(*oracle()) - 0.1


def test_propensities_get_small_as_overlap_falls() -> None:
    overlaps = (4, 2, 1, 0.5, 0.25)
    ctrs = [oracle(overlap=overlap)[0] for overlap in overlaps]
    assert [ctr.mean() for ctr in ctrs] == pytest.approx([0.2] * len(overlaps))
    least = np.quantile(ctrs, 0.01, axis=1)
    assert (least[:-1] > 1.5 * least[1:]).all()
    assert least[0] > 0.1
    assert least[-1] < 1e-5
    wasted = [ctr.mean() * (1 / ctr).mean() for ctr in ctrs]  # variance of IPS weights on clicks
    assert (np.diff(wasted) > 0).all()


@pytest.mark.parametrize("sparsity", [1, 4, 16])
def test_sparsity_divides_conversions_among_clicks_alone(sparsity: float) -> None:
    ctr, cvr = oracle(sparsity=sparsity)
    assert np.average(cvr, weights=ctr) == pytest.approx(0.12 / sparsity)
    labels = ["click", "micro", "macro"]
    assert table(sparsity=sparsity).select(labels).equals(table().select(labels))


@pytest.mark.parametrize(
    ("factor", "before"), [("micro_informativeness", "micro"), ("macro_informativeness", "macro")]
)
def test_a_behaviour_tells_more_about_conversion(factor: str, before: str) -> None:
    parts = [clicks(**{factor: lift}) for lift in (0, 1, 2.5, 4)]
    told = [information(part, before, "conversion") for part in parts]
    assert (np.diff(told) > 0.005).all()
    assert told[0] < 0.012
    for part in parts:
        found = part.select("micro", "macro", "conversion").mean().row(0)
        assert found == pytest.approx((0.35, 0.25, 0.12), abs=0.012)


def chain(direct: float, logits: dict[str, Array]) -> pl.DataFrame:
    lifts = {
        "micro": LogOddsEffect(),
        "macro": LogOddsEffect(1.5),
        "conversion": LogOddsEffect(2.5, direct),
    }
    rows = Rows.seeded(1, len(logits["click"]))
    return pl.DataFrame(funnel(rows, logits, lifts, (0.3, 0.4, 0.3, 0.2)))


@pytest.mark.parametrize("direct", [0, 2])
def test_micro_tells_of_conversion_besides_macro_only_under_violation(direct: float) -> None:
    """With equal rows, nothing but the graph ties the behaviours to each other."""
    frame = chain(direct, dict.fromkeys(("click", "micro", "macro", "conversion"), np.zeros(2**18)))
    assert [odds_ratio(frame, macro) for macro in (0, 1)] == pytest.approx([direct] * 2, abs=0.06)
    np.testing.assert_allclose(frame["oracle_cvr"].to_numpy(), 0.2, rtol=1e-6)


@pytest.mark.parametrize("direct", [0, 2])
def test_the_oracle_accounts_for_the_violation(direct: float) -> None:
    rng = np.random.default_rng(2)
    labels = ("click", "micro", "macro", "conversion")
    frame = chain(direct, {label: rng.normal(size=100_000) for label in labels})
    weights, cvr = frame["oracle_ctr"].to_numpy(), frame["oracle_cvr"].to_numpy()
    assert np.average(cvr, weights=weights) == pytest.approx(0.2)
    for _, part in frame.group_by(pl.col("oracle_cvr").rank("ordinal") * 10 // 100_001):
        expected = part["oracle_cvr"].to_numpy().mean()
        error = sqrt(expected * (1 - expected) / part.height)
        assert abs(part["oracle_conversion"].to_numpy().mean() - expected) < 4 * error


def test_violation_adds_to_what_the_hidden_cause_makes_micro_tell() -> None:
    ratios = [
        [odds_ratio(clicks(markov_violation=d), macro) for d in (0, 1, 2)] for macro in (0, 1)
    ]
    assert (np.diff(ratios) > 0.6).all()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("unobserved_confounding", -1),
        ("overlap", 0.1),
        ("overlap", float("inf")),
        ("sparsity", 0.5),
        ("micro_informativeness", True),
        ("macro_informativeness", "2"),
        ("markov_violation", 11),
    ],
)
def test_bad_knobs_are_refused_by_name(option: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"\.{option} is {value!r}; it must be a number"):
        KIND(**{option: value})
