"""Tiny logs whose rows have a history."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmark.schema import Field, Schema
from benchmark.training.batch import Batch, Features

LENGTH = 6


def with_history(schema: Schema, length: int = LENGTH) -> Schema:
    """Add a history of the last categorical field."""
    of = schema.categorical[-1]
    seen = Field(name="seen", kind="sequence", size=of.size, of=of.name, length=length)
    return schema.model_copy(update={"fields": (*schema.fields, seen)})


def remembering(features: Features, schema: Schema, seed: int = 0) -> Features:
    """Add histories of every length from 0 up; ids inside of them may be unknown too."""
    generator = torch.Generator().manual_seed(seed)
    rows, length = len(features.sparse), max(field.length for field in schema.sequences)
    shape = (rows, len(schema.sequences), length)
    ids = torch.stack(
        [torch.randint(f.size, (rows, length), generator=generator) for f in schema.sequences], 1
    )
    missing = (length - torch.arange(rows) % (length + 1)).view(-1, 1, 1)
    padded = torch.where(torch.arange(length) < missing, 0, ids)
    assert padded.shape == shape
    return replace(features, sequences=padded.int())


def remembering_funnel(batch: Batch, schema: Schema) -> Batch:
    """Add histories to the rows of a batch."""
    return replace(batch, features=remembering(batch.features, schema))
