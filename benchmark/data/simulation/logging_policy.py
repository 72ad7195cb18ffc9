"""A known policy that decides which cells of a fully observed matrix are clicked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from pydantic import Field

from benchmark.data.options import Seed, SimulatedOptions, Strength
from benchmark.data.simulation.generator import (
    Array,
    LogOddsEffect,
    Past,
    calibrated,
    standardised,
)


class PolicyOptions(SimulatedOptions):
    """The options of a simulated logging policy."""

    click_rate: float = Field(0.2, ge=0.001, le=0.999)
    """The mean probability of a click."""
    selection_strength: Strength = 1.0
    """How much the log odds of a click grow with what features tell, per standard deviation."""
    unobserved_confounding: Strength = 0.5
    """How much they grow with the outcome itself, which no propensity of features removes."""
    seed: Seed = 2021


@dataclass(frozen=True)
class LoggingPolicy:
    r"""Click each cell with a known probability.

    With x what features tell (such as the item's popularity) and y what the user thought of it
    (such as the rating), both standardised over the cells, the log odds of a click are
    :math:`s x + h y + b`: s is ``selection_strength``, h ``unobserved_confounding``, and b makes
    the mean probability ``click_rate``. With h above 0, ratings are missing not at random.
    """

    options: PolicyOptions

    def logged(self, cells: pl.DataFrame) -> pl.DataFrame:
        """Return the cells as a log: ``conversion``, known everywhere, stays on clicks alone.

        The columns ``covariate`` and ``confounder`` are x and y. The oracle's conversion is the
        observed one. Its probability given the features is unknown: the outcome itself takes its
        place.
        """
        ctr = self.propensity(*(cells[name].to_numpy() for name in ("covariate", "confounder")))
        click = pl.Series(np.random.default_rng(self.options.seed).random(len(ctr)) < ctr)
        outcome = pl.col("conversion")
        return cells.with_columns(
            oracle_ctr=ctr,
            oracle_cvr=outcome.cast(pl.Float64),
            oracle_conversion=outcome,
            click=click.cast(pl.Int8),
            conversion=pl.when(click).then(outcome),
        )

    def propensity(self, covariate: Array, confounder: Array) -> Array:
        """Return the probability of a click, (cells,)."""
        options = self.options
        logit = options.selection_strength * standardised(covariate)
        logit += options.unobserved_confounding * standardised(confounder)
        everyone = Past(np.ones(len(logit)))
        step = calibrated(logit, LogOddsEffect(), everyone, everyone.previous, options.click_rate)
        return step.rate(everyone)
