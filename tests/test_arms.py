"""Randomised arms: statistics in simulations of known truth, and the report from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import expit

from benchmark.reporting.studies.arms import measure
from benchmark.reporting.studies.arms.measure import Counts
from benchmark.reporting.studies.arms.report import Method, Study, markdown, write
from benchmark.reporting.studies.arms.rows import Predicted, Rows, read
from benchmark.schema import Field, Schema
from benchmark.studies import Arms

ROWS = 40_000
ASKED = Arms(field="arm", values=("none", "mail"), control="none", strata=("region",))


class World:
    """Rows with a hidden taste that raises clicks and conversions; the mail raises clicks alone.

    The effect of the mail on the conversion given a click is 0 for everybody, yet the CVR among
    clicks differs between the arms, since the mail's clicks have less taste.
    """

    def __init__(self, seed: int, rows: int = ROWS) -> None:
        rng = np.random.default_rng(seed)
        self.arm, self.region = rng.integers(0, 2, rows), rng.integers(0, 3, rows)
        taste = rng.normal(size=rows) + self.region
        self.ctr = expit(taste - 3 + 1.5 * self.arm)
        self.cvr = expit(taste - 2)
        drawn = rng.random(rows)  # one draw per row: the mail makes nobody stay away
        self.click = (drawn < self.ctr).astype(float)
        self.conversion = self.click * (rng.random(rows) < self.cvr)

    @property
    def rows(self) -> Rows:
        return Rows(self.arm, {"region": self.region}, self.click, self.conversion)

    def counts(self) -> tuple[Counts, Counts]:
        return self.rows.counts(1), self.rows.counts(0)


WORLDS = [World(seed) for seed in range(40)]


def covered(inside: list[bool]) -> bool:
    """Whether 95 % intervals cover about as often as they should, in 40 draws."""
    return sum(inside) >= 34


def test_intervals_of_effects_cover_the_true_effect_on_clicks() -> None:
    truth = np.mean([(w.ctr[w.arm == 1].mean() - w.ctr[w.arm == 0].mean()) for w in WORLDS])
    inside = []
    for world in WORLDS:
        treated, control = world.counts()
        found = measure.difference(treated.clicks, treated.rows, control.clicks, control.rows, 0.95)
        inside.append(abs(found.value - truth) <= found.half_width)
    assert covered(inside)


def test_the_interval_of_a_difference_has_the_variance_of_both_shares() -> None:
    found = measure.difference(20, 100, 10, 50, 0.95)
    assert found.value == pytest.approx(0)
    assert found.half_width == pytest.approx(1.96 * (0.16 / 100 + 0.16 / 50) ** 0.5, rel=1e-4)


def test_selection_by_the_click_shows_where_the_arm_has_no_effect_on_conversions() -> None:
    plain, given, bounds = [], [], []
    for world in WORLDS:
        treated, control = world.counts()
        plain.append(treated.cvr - control.cvr)
        cells = [[world.rows.counts(a, world.region == r) for r in range(3)] for a in (1, 0)]
        clicks = np.array([[cell.clicks for cell in side] for side in cells], dtype=float)
        sold = np.array([[cell.conversions for cell in side] for side in cells], dtype=float)
        found = measure.standardised(clicks, sold, np.bincount(world.region).astype(float), 0.95)
        assert found is not None
        given.append(found.value)
        bounds.append(measure.always_clicked(treated, control, 0.95))
    assert np.mean(plain) < -0.04
    assert np.mean(plain) < np.mean(given) < -0.01  # the region explains a part, the taste the rest
    assert covered([found.low <= 0 <= found.high for found in bounds])
    assert all(found.low <= found.lower < found.upper <= found.high for found in bounds)


def test_bounds_are_those_of_trimming_by_hand() -> None:
    treated, control = Counts(100, 50, 20), Counts(100, 40, 10)
    found = measure.always_clicked(treated, control, 0.95)
    assert (found.lower, found.upper) == pytest.approx((10 / 40 - 0.25, 20 / 40 - 0.25))
    turned = measure.always_clicked(control, treated, 0.95)
    assert (turned.lower, turned.upper) == pytest.approx((-found.upper, -found.lower))


def test_a_difference_standardised_by_strata_is_the_weighted_mean_of_theirs() -> None:
    clicks, sold = np.array([[10.0, 20.0], [40.0, 10.0]]), np.array([[5.0, 2.0], [10.0, 1.0]])
    found = measure.standardised(clicks, sold, np.array([3.0, 1.0]), 0.95)
    assert found is not None
    assert found.value == pytest.approx(0.75 * (0.5 - 0.25) + 0.25 * (0.1 - 0.1))
    assert measure.standardised(clicks * [[0, 1], [1, 1]], sold, np.ones(2), 0.95) is None


def test_true_predictions_are_calibrated_and_false_ones_are_not() -> None:
    right, wrong = [], []
    for world in WORLDS:
        cell = 3 * world.arm + world.region
        joint = world.ctr * world.cvr
        right.append(measure.calibration(world.conversion, joint, cell)[2])
        wrong.append(measure.calibration(world.conversion, 1.2 * joint, cell)[2])
    assert covered([p > 0.05 for p in right])
    assert 0.3 < np.mean(right) < 0.7
    assert max(wrong) < 0.001


def test_cells_with_few_expected_positives_are_taken_together() -> None:
    label, predicted = np.array([1.0] * 8 + [0.0] * 92), np.full(100, 0.1)
    cell = np.array([0] * 60 + [1] * 30 + [2] * 10)
    statistic, freedom, _ = measure.calibration(label, predicted, cell)
    assert freedom == 2
    assert statistic == pytest.approx((8 - 6) ** 2 / 5.4 + (0 - 4) ** 2 / 3.6)


@pytest.mark.parametrize(("factor", "error"), [(1.0, 0.0), (1.5, 0.5)])
def test_errors_of_predicted_rates_and_uplifts_are_found(factor: float, error: float) -> None:
    inside = []
    for world in WORLDS:
        sides = [
            (world.conversion[world.arm == a], factor * (world.ctr * world.cvr)[world.arm == a])
            for a in (1, 0)
        ]
        base = [predicted.mean() / factor for _, predicted in sides]
        rate = measure.rate_error(*sides[0], 0.95)
        uplift = measure.uplift_error(sides[0], sides[1], 0.95)
        inside += [
            abs(rate.value - error * base[0]) <= rate.half_width,
            abs(uplift.value - error * (base[0] - base[1])) <= uplift.half_width,
        ]
    assert sum(inside) >= 70  # of 80


def test_intervals_do_not_shrink_with_replicates_that_share_their_rows() -> None:
    same = [measure.Estimate(0.1, 0.02)] * 10
    found = measure.averaged(same, 0.95)
    assert (found.value, found.half_width) == pytest.approx((0.1, 0.02))
    apart = [measure.Estimate(0.1, 0.02), measure.Estimate(0.3, 0.02)]
    student = 12.706 * 0.1  # of two values, one degree of freedom
    assert measure.averaged(apart, 0.95).half_width == pytest.approx(
        np.hypot(0.02, student), rel=1e-3
    )


def study(world: World, cvr_bias: float = 1.0) -> Study:
    scores = Predicted(world.ctr, np.minimum(cvr_bias * world.cvr, 1))
    return Study(
        "Mails", "Claims.", ASKED, world.rows, world.rows, [Method("Oracle", [scores])], 0.95
    )


def test_the_report_marks_what_is_miscalibrated_and_nothing_else(tmp_path: Path) -> None:
    write(study(WORLDS[0]), tmp_path)
    right = (tmp_path / "arms.md").read_text(encoding="utf-8")
    calibrated = right.split("## Calibration by arm\n")[1].split("## Predicted uplift")[0]
    assert "**" not in next(line for line in calibrated.splitlines() if line.startswith("| Oracle"))
    wrong = markdown_of(study(WORLDS[0], cvr_bias=1.3))
    biased = wrong.split("## Calibration by arm\n")[1].split("## Predicted uplift")[0]
    row = next(line for line in biased.splitlines() if line.startswith("| Oracle"))
    assert row.count("**") == 2 * 4  # both arms, in CTCVR and CVR
    table = pl.read_csv(tmp_path / "arms.csv")
    treated, control = WORLDS[0].counts()
    effect = table.filter(section="effect", quantity="CTCVR")["value"].item()
    assert effect == pytest.approx(treated.ctcvr - control.ctcvr, rel=1e-4)


def markdown_of(found: Study) -> str:
    from benchmark.reporting.studies.arms.report import _checked, _shown  # noqa: PLC0415

    return markdown(found, [*_shown(found), *_checked(found)])


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """Return processed splits, whose ids follow the sorted values: mail 1, none 2."""
    frame = pl.DataFrame(
        {
            "arm": [1, 2, 2, 1],
            "region": [1, 1, 1, 1],
            "click": pl.Series([1, 0, 1, 1], dtype=pl.Int8),
            "conversion": pl.Series([1, None, 0, 1], dtype=pl.Int8),
            "policy": ["log", "log", "log", "random"],
        }
    )
    for split in ("train", "valid", "test"):
        frame.write_parquet(tmp_path / f"{split}.parquet")
    return tmp_path


def schema(arms: int) -> Schema:
    fields = (
        Field(name="arm", kind="categorical", size=1 + arms),
        Field(name="region", kind="categorical", size=2),
    )
    return Schema.model_construct(title="Mails", fields=fields)


def test_arms_are_named_by_the_sorted_values_whatever_their_order(
    splits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Schema, "read", lambda _: schema(2))
    rows = read(splits, ASKED, ("test",))
    assert rows.counts(ASKED.values.index("mail")) == Counts(1, 1, 1)
    assert rows.counts(ASKED.values.index("none")) == Counts(2, 1, 0)
    assert len(read(splits, ASKED).arm) == 9


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (ASKED.model_copy(update={"field": "segment"}), "no categorical field 'segment'"),
        (ASKED.model_copy(update={"values": ("a", "b", "c")}), "names 3 arms; Mails has 2 values"),
    ],
)
def test_a_section_that_does_not_fit_the_dataset_is_refused(
    splits: Path, monkeypatch: pytest.MonkeyPatch, asked: Arms, words: str
) -> None:
    monkeypatch.setattr(Schema, "read", lambda _: schema(2))
    with pytest.raises(LookupError, match=words):
        read(splits, asked)


def test_the_control_must_be_an_arm() -> None:
    with pytest.raises(ValueError, match="control 'letter' must be one of the values none, mail"):
        Arms(field="arm", values=("none", "mail"), control="letter")
