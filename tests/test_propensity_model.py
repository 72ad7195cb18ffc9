"""Calibration of propensities: one pass over the data, close to maximum likelihood."""

from __future__ import annotations

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from worlds import batch, blueprint, schema, simulate

from benchmark.training.funnel import Features, Funnel
from benchmark.training.metrics.evaluation import ece
from benchmark.training.parts.doubly_robust import PropensityModel


class Steep(nn.Module):
    """Stands in for a network: the world's logit times three, and shifted."""

    def forward(self, features: Features) -> Tensor:
        return 4.5 * features.numbers.squeeze(1) + 1


@pytest.fixture
def model() -> PropensityModel:
    made = PropensityModel(blueprint(schema())).double()
    made.network = Steep()  # type: ignore[assignment]
    return made


def error(model: PropensityModel, funnel: Funnel) -> float:
    return ece(funnel.clicked.numpy(), model(funnel.features).value().numpy())


def test_one_pass_comes_close_to_maximum_likelihood(model: PropensityModel) -> None:
    fresh, funnels = simulate(50_000, seed=99)[1], [simulate(1_000, seed)[1] for seed in range(60)]
    assert error(model, fresh) > 0.1
    for funnel in funnels:
        model.calibrate(funnel)
    assert error(model, fresh) < 0.01
    logit = torch.cat([model.network(funnel.features) for funnel in funnels])
    clicked = torch.cat([funnel.clicked for funnel in funnels])
    fit = LogisticRegression(C=1e6).fit(logit.unsqueeze(1).numpy(), clicked.numpy())
    expected = torch.tensor([fit.coef_.item(), fit.intercept_.item()], dtype=torch.float64)
    torch.testing.assert_close(model.platt, expected, rtol=0.02, atol=0.02)


def test_calibration_moves_two_numbers_and_no_network() -> None:
    model = PropensityModel(blueprint(schema()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.calibrate(batch(schema(), 64))
    changed = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == {"platt", "information"}


@pytest.mark.parametrize("click", [0.0, 1.0, None])
@pytest.mark.parametrize("rows", [1, 64])
def test_calibration_stays_finite(model: PropensityModel, rows: int, click: float | None) -> None:
    funnel = batch(schema(), rows, click=click)
    funnel.features.numbers.mul_(50)
    model.float()
    for _ in range(3):
        model.calibrate(funnel)
    propensity = model(funnel.features)
    assert propensity.log.isfinite().all()
    assert propensity.log_not.isfinite().all()
