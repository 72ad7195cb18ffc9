"""Tiny schemas, batches and blueprints, and a world in which the truth is known."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.schema import Field, Need, Schema, Stage
from benchmark.training.batch import Batch, Features, Prediction, Probability
from benchmark.training.blueprint import Blueprint, Embeddings
from benchmark.training.delays.schedule import Clicks

torch.set_num_threads(1)  # on tensors this small, threads only wait for one another

SPACES: dict[str, tuple[Stage, ...]] = {
    "funnel": ("impression", "click", "micro", "macro", "conversion"),
    "impressions": ("impression", "click", "conversion"),
    "clicks": ("click", "conversion"),
    "clicks with behaviours": ("click", "micro", "macro", "conversion"),
}


def schema(space: str = "funnel") -> Schema:
    """Return a log with two categorical and one numeric field, and the stages of a space."""
    return Schema(
        dataset="tiny",
        title="Tiny",
        options={},
        stages=SPACES[space],
        fields=(
            Field(name="user", kind="categorical", size=7),
            Field(name="item", kind="categorical", size=5),
            Field(name="price", kind="numeric", size=1),
        ),
        rows={"train": 0, "valid": 0, "test": 0},
        has_oracle=False,
        has_groups=False,
        verified=True,
        licence="MIT",
        citation="",
        claims="",
        fingerprint="",
        attribution_window=30.0,
    )


def without(need: Need) -> Schema:
    """Return the full funnel's schema less one stage, or less its times."""
    full = schema()
    if need == "delay":
        return full.model_copy(update={"attribution_window": None})
    return full.model_copy(update={"stages": tuple(s for s in full.stages if s != need)})


def make_batch(schema: Schema, rows: int, seed: int = 0, click: float | None = None) -> Batch:
    """Return rows of which a part is clicked, the first four so that every label occurs.

    With ``click`` 0 or 1, none or all of the rows are clicked.
    """
    generator = torch.Generator().manual_seed(seed)
    ids = [torch.randint(field.size, (rows,), generator=generator) for field in schema.categorical]
    numbers = torch.randn(rows, len(schema.numeric), generator=generator)
    features = Features(torch.stack(ids, 1).int(), numbers)
    chance = torch.full((4, rows), 0.5)
    clicked, micro, macro, conversion = torch.bernoulli(chance, generator=generator).unbind(0)
    clicked[:4] = torch.tensor([0.0, 1.0, 1.0, 0.0])[:rows]
    conversion[:4] = torch.tensor([0.0, 0.0, 1.0, 0.0])[:rows]
    if click is not None or not schema.has_impressions:
        clicked = torch.full((rows,), 1.0 if click is None else click)
    elapsed, share = torch.rand(2, rows, generator=generator).unbind(0)
    delay = torch.where(clicked * conversion > 0, share * (2 * elapsed).clamp_max(1), 2 * elapsed)
    return Batch(
        features,
        click=clicked if schema.has_impressions else None,
        conversion=clicked * conversion,
        micro=clicked * micro if "micro" in schema.stages else None,
        macro=clicked * macro if "macro" in schema.stages else None,
        elapsed=2 * elapsed,
        delay=delay,
    )


def moved(value: Any, device: torch.device) -> Any:
    """Return a dataclass of tensors, and of such dataclasses, on a device."""
    if isinstance(value, Tensor):
        return value.to(device)
    if is_dataclass(value):
        return replace(
            value, **{f.name: moved(getattr(value, f.name), device) for f in fields(value)}
        )
    return value


def clicks() -> Clicks:
    """Return 40 clicks over four attribution windows, every other one with a conversion."""
    time = torch.arange(40) / 10
    return Clicks(time, torch.where(torch.arange(40) % 2 > 0, time / 4, torch.inf))


def rows_of(batch: Batch, rows: Tensor) -> Batch:
    """Return the given rows of a batch, repeated where an index is."""

    def take(label: Tensor | None) -> Tensor | None:
        return None if label is None else label[rows]

    return Batch(
        Features(batch.features.sparse[rows], batch.features.dense[rows]),
        click=take(batch.click),
        conversion=batch.conversion[rows],
        micro=take(batch.micro),
        macro=take(batch.macro),
        elapsed=take(batch.elapsed),
        delay=take(batch.delay),
    )


def doubled(batch: Batch) -> Batch:
    """Return the same batch in double precision."""
    parts = vars(batch).items()
    labels = {key: part.double() for key, part in parts if isinstance(part, Tensor)}
    features = replace(batch.features, dense=batch.features.dense.double())
    return replace(batch, features=features, **labels)


def blueprint(schema: Schema, tower: tuple[int, ...] = (8, 4)) -> Blueprint:
    """Return a blueprint of small parts."""
    return Blueprint(schema, lambda s: Embeddings(s, embedding_size=4, hidden=()), tower)


class FixedLogits(nn.Module):
    """Stands in for towers: returns the given logits, whatever the encoding."""

    def __init__(self, *logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, encoding: Tensor) -> tuple[Tensor, ...]:
        """Return the logits."""
        return self.logits

    def probabilities(self, encoding: Tensor) -> tuple[Probability, ...]:
        """Return their probabilities."""
        return tuple(map(Probability.from_logit, self(encoding)))


def simulate(rows: int, seed: int, slope: float = 1.5) -> tuple[Prediction, Batch, Batch, Tensor]:
    """Return a world of ``rows`` impressions in which clicks and conversions depend on one x.

    In order: a prediction whose CTR is the true propensity and whose CVR is wrong, the funnel as
    logged, the funnel had every row been clicked, and the expected CVR loss of every row.
    """
    generator = torch.Generator().manual_seed(seed)
    x = 4 * torch.rand(rows, dtype=torch.float64, generator=generator) - 2
    propensity, cvr = torch.sigmoid(slope * x - 0.5), torch.sigmoid(1.2 * x - 1)
    click = torch.bernoulli(propensity, generator=generator)
    conversion = torch.bernoulli(cvr, generator=generator)
    predicted = Probability.from_logit(-0.5 * x - 0.3)
    features = Features(torch.empty(rows, 0), x.unsqueeze(1))
    everywhere = Batch(features, click=torch.ones_like(x), conversion=conversion)
    logged = replace(everywhere, click=click, conversion=click * conversion)
    truth = Prediction(cvr=predicted, ctr=Probability.from_logit(slope * x - 0.5))
    return truth, logged, everywhere, predicted.cross_entropy(cvr)
