"""Calibration of propensities: one pass over the data, close to maximum likelihood."""

from __future__ import annotations

import pytest
import torch
from helpers.worlds import blueprint, make_batch, schema, simulate
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from benchmark.metrics.calibration import ece, tenths
from benchmark.metrics.ordering import Order
from benchmark.training.batch import Batch, Features
from benchmark.training.modules.doubly_robust import PropensityModel


class Steep(nn.Module):
    """Stands in for a network: the world's logit times three, and shifted."""

    def forward(self, features: Features) -> Tensor:
        return 4.5 * features.dense.squeeze(1) + 1


@pytest.fixture
def model() -> PropensityModel:
    made = PropensityModel(blueprint(schema())).double()
    made.network = Steep()  # type: ignore[assignment]
    return made


def error(model: PropensityModel, batch: Batch) -> float:
    return ece(tenths(Order.of(model(batch.features).value().numpy()), batch.clicked.numpy()))


def test_one_pass_comes_close_to_maximum_likelihood(model: PropensityModel) -> None:
    fresh, funnels = simulate(50_000, seed=99)[1], [simulate(1_000, seed)[1] for seed in range(60)]
    assert error(model, fresh) > 0.1
    for batch in funnels:
        model.calibrate(batch)
    assert error(model, fresh) < 0.01
    logit = torch.cat([model.network(batch.features) for batch in funnels])
    clicked = torch.cat([batch.clicked for batch in funnels])
    fit = LogisticRegression(C=1e6).fit(logit.unsqueeze(1).numpy(), clicked.numpy())
    expected = torch.tensor([fit.coef_.item(), fit.intercept_.item()], dtype=torch.float64)
    torch.testing.assert_close(model.platt, expected, rtol=0.02, atol=0.02)


def test_calibration_moves_two_numbers_and_no_network() -> None:
    model = PropensityModel(blueprint(schema()))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.calibrate(make_batch(schema(), 64))
    changed = {name for name, value in model.state_dict().items() if not value.equal(before[name])}
    assert changed == {"platt", "information"}


@pytest.mark.parametrize("click", [0.0, 1.0, None])
@pytest.mark.parametrize("rows", [1, 64])
def test_calibration_stays_finite(model: PropensityModel, rows: int, click: float | None) -> None:
    batch = make_batch(schema(), rows, click=click)
    batch.features.dense.mul_(50)
    model.float()
    for _ in range(3):
        model.calibrate(batch)
    propensity = model(batch.features)
    assert propensity.log.isfinite().all()
    assert propensity.log_not.isfinite().all()
