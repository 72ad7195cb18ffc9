"""Products of a pair of fields beside an MLP: what each part sees, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.worlds import make_batch, schema

from benchmark.config import BackboneParams
from benchmark.training.backbones import blueprint
from benchmark.training.backbones.neumf import NeuMF
from benchmark.training.batch import Features


def encoder(hidden: tuple[int, ...] = (5,), **options: Any) -> NeuMF:
    torch.manual_seed(0)
    params = BackboneParams(
        name="NeuMF", embedding_size=4, hidden=hidden, tower=(), dropout=0.0, options=options
    )
    backbone = blueprint(schema(), params).backbone()
    assert isinstance(backbone, NeuMF)
    return backbone


PAIR = {"pair": ["item", "user"]}


def test_the_encoding_is_the_product_and_the_mlp() -> None:
    backbone, features = encoder(**PAIR), make_batch(schema(), 6).features
    user, item = features.sparse[:, 0], features.sparse[:, 1] + 7  # after the seven users
    product = backbone.factors.weight[user] * backbone.factors.weight[item]
    seen = torch.cat([backbone.table.weight[user], backbone.table.weight[item], features.dense], 1)
    linear: Any = backbone.mlp[1]
    expected = torch.cat([product, torch.relu(linear(seen))], 1)
    torch.testing.assert_close(backbone(features), expected)
    assert backbone.width == 4 + 5 == expected.shape[1]


def test_numbers_are_for_the_mlp_alone_and_without_layers_for_the_head() -> None:
    features = make_batch(schema(), 6).features
    changed = Features(features.sparse, features.dense + 1)
    backbone = encoder(hidden=(), **PAIR)
    before, after = backbone(features), backbone(changed)
    assert torch.equal(before[:, :-1], after[:, :-1])
    assert (before[:, -1] != after[:, -1]).all()
    assert backbone.width == 4 + 2 * 4 + 1


def test_dropout_is_for_training() -> None:
    backbone, features = encoder(dropout=0.5, **PAIR), make_batch(schema(), 6).features
    assert not torch.equal(backbone(features), backbone(features))
    backbone.eval()
    assert torch.equal(backbone(features), backbone(features))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "option 'pair' of the backbone NeuMF: Field required; known: pair, dropout"),
        ({"pair": ["user", "price"]}, "'price', which is no categorical field of tiny; known: u"),
        ({"pair": ["user"]}, "'pair"),
        ({**PAIR, "dropout": 1.0}, "option 'dropout' of the backbone NeuMF: Input should be less"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        encoder(**options)
