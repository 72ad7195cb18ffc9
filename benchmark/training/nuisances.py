"""The propensity and the CVR of validation rows, estimated on the train split: for selection only.

They are the same for every method, and no method sees them. Trees of a fixed size learn them from
ids and numbers, without histories, on at most :data:`ROWS` rows drawn from the train split.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from benchmark.metrics.populations import Array
from benchmark.schema import Schema
from benchmark.training.batch import Features
from benchmark.training.modules.trees import BoostedTrees, rows_of
from benchmark.training.table import Table
from benchmark.training.trainer import Data, chunks

ROWS = 300_000
TREES, LEAVES = 100, 7  # small trees: a probability too extreme harms more than one too tame
FLOOR = 0.1  # of the CTR, the least propensity
SEED = 0


def with_estimates(data: Data) -> Data:
    """Return the data with estimates beside the validation labels; the dataset has impressions."""
    train = data.train.whole()
    clicked = train.clicked.nonzero().squeeze(1)
    everywhere = torch.arange(len(train.clicked), device=clicked.device)
    propensity = _fitted(data.schema, train.features, train.clicked, everywhere)
    conversion = _fitted(data.schema, train.features, train.conversion, clicked)
    floor = FLOOR * float(train.clicked.mean())
    ctr, cvr = _predicted(propensity, data.valid.table), _predicted(conversion, data.valid.table)
    labels = replace(data.valid.labels, estimated_ctr=ctr.clip(floor), estimated_cvr=cvr)
    return replace(data, valid=replace(data.valid, labels=labels))


def _fitted(schema: Schema, features: Features, label: Tensor, rows: Tensor) -> BoostedTrees:
    """Return trees fitted on the given rows (n,) of the train split, or on some of them."""
    generator = torch.Generator().manual_seed(SEED)
    drawn = rows[torch.randperm(len(rows), generator=generator)[:ROWS].to(rows.device)]
    trees = BoostedTrees(schema, num_leaves=LEAVES)
    trees.grow(TREES, rows_of(features, drawn), label[drawn], SEED)
    return trees


def _predicted(trees: BoostedTrees, table: Table) -> Array:
    parts = [trees(table.features(rows)) for rows in chunks(trees, table)]
    return torch.cat(parts).double().sigmoid().cpu().numpy()
