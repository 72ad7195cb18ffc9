"""Effects by setting: the mixed model, its shrinkage and the coverage of its intervals."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame

from benchmark.reporting.shrinkage import moderated, shrunken

REPETITIONS = 1000
SPREAD = 0.012  # of a paired difference between replicates
EQUAL = np.ones(20)
UNEQUAL = np.r_[np.full(16, 0.7), np.full(4, 2.0)]  # noise relative to that, by setting


def draw_effects(
    rng: np.random.Generator, variance: float, noise: np.ndarray = EQUAL, replicates: int = 5
) -> tuple[np.ndarray, np.ndarray]:
    true = rng.normal(0.004, variance**0.5, len(noise))
    off = rng.normal(0, 1, (len(noise), replicates)) * SPREAD * noise[:, None]
    return true, true[:, None] + off


def same_noise(gains: np.ndarray) -> np.ndarray:
    """Return gains with the same means, and the same spread of replicates in each setting."""
    means = gains.mean(axis=1, keepdims=True)
    return means + (gains - means) / gains.std(axis=1, keepdims=True) * SPREAD


@pytest.mark.parametrize("noise", [EQUAL, UNEQUAL])
@pytest.mark.parametrize("ratio", [0.2, 1.0, 5.0])
def test_intervals_of_shrunken_effects_cover_and_their_errors_are_smaller_than_raw_ones(
    ratio: float, noise: np.ndarray
) -> None:
    rng, covered, gain = np.random.default_rng(12), [], []
    for _ in range(REPETITIONS):
        true, gains = draw_effects(rng, ratio * SPREAD**2 / 5, noise)
        found = shrunken(gains, 0.95)
        covered.append((found.low <= true) & (true <= found.high))
        raw, own = (np.square(e - true).mean() for e in (gains.mean(axis=1), found.effects))
        gain.append(raw - own)
    by_setting = np.mean(covered, axis=0)
    assert 0.935 < by_setting.mean() < 0.975
    assert by_setting.min() > (0.92 if noise is EQUAL else 0.85)
    assert np.mean(gain) > 0


@pytest.mark.filterwarnings("ignore:The MLE may be on the boundary")
def test_with_equal_noise_the_mixed_model_is_the_fit_of_a_library() -> None:
    gains = same_noise(draw_effects(np.random.default_rng(13), 1e-3)[1])
    long = [(s, y) for s, row in enumerate(gains) for y in row]
    frame = DataFrame(long, columns=["setting", "gain"])
    fit = smf.mixedlm("gain ~ 1", frame, groups=frame["setting"]).fit(reml=True)
    found = shrunken(gains, 0.95)
    assert found.mean == pytest.approx(fit.params["Intercept"], rel=1e-6)
    assert found.variance == pytest.approx(float(fit.cov_re.iloc[0, 0]), rel=1e-3)
    library = fit.params["Intercept"] + np.array([v.iloc[0] for v in fit.random_effects.values()])
    assert found.effects == pytest.approx(library, abs=0.15 * np.abs(library - found.mean).max())


def test_noisy_settings_shrink_more_and_weigh_less() -> None:
    rng = np.random.default_rng(14)
    off = same_noise(rng.normal(0, SPREAD, (20, 5))) * UNEQUAL[:, None]
    off -= off.mean(axis=1, keepdims=True)
    true = np.r_[np.tile([0.0, 0.02], 8), np.full(4, 0.08)]
    found = shrunken(true[:, None] + off, 0.95)
    assert len(np.unique(found.retained.round(9))) == 2
    assert found.retained[:16].min() > found.retained[16:].max() > 0
    assert found.mean < true.mean()
    assert (found.high - found.low)[16:].min() > (found.high - found.low)[:16].max()


def test_effects_without_variance_among_settings_shrink_to_their_mean() -> None:
    gains = np.tile([0.0, 0.01, 0.02], (6, 1))
    found = shrunken(gains, 0.95)
    assert found.variance == 0
    assert found.retained == pytest.approx(np.full(6, 1 - 3 / 5))
    assert found.effects == pytest.approx(np.full(6, 0.01))
    with pytest.raises(ValueError, match="3 settings of 3 replicates"):
        shrunken(gains[:3], 0.95)


def test_effects_without_noise_are_kept_as_they_are() -> None:
    gains = np.arange(5.0)[:, None].repeat(3, axis=1)
    found = shrunken(gains, 0.95)
    assert found.effects == pytest.approx(np.arange(5.0))
    assert found.low == pytest.approx(found.high)
    same = shrunken(np.full((5, 3), 0.5), 0.95)
    assert same.low == pytest.approx(np.full(5, 0.5))


def test_variances_are_those_of_a_common_prior_where_they_spread_more_than_by_chance() -> None:
    """A scaled inverse chi-square of 8 degrees of freedom is found again."""
    rng = np.random.default_rng(15)
    true = 3.0 * 8 / rng.chisquare(8, 20_000)
    seen = true * rng.chisquare(4, len(true)) / 4
    better, freedom = moderated(seen, 4)
    assert freedom == pytest.approx(12, rel=0.05)
    slope, level = np.polyfit(seen, better, 1)
    assert (slope, level / (1 - slope)) == pytest.approx((4 / 12, 3.0), rel=0.05)
    assert np.square(better - true).mean() < np.square(seen - true).mean()


def test_equal_variances_are_pooled() -> None:
    seen = np.random.default_rng(16).chisquare(4, 6)
    seen = seen.mean() + 0.1 * (seen - seen.mean())
    better, freedom = moderated(seen, 4)
    assert better == pytest.approx(np.full(6, seen.mean()))
    assert freedom == 24
