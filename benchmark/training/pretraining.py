r"""What encoders learn from the features of all rows, before any label is looked at.

Both tasks corrupt a share of a row's categorical fields and ask which values they had, or which
fields they are (MAP: Lin et al., "MAP: A Model-agnostic Pretraining Framework for Click-through
Rate Prediction", KDD 2023, arXiv 2308.01737).

Evidence: both tasks, their heads, the 25 negatives, the projection to 32 and the replacement by the
value of a random row verified in the authors' public code.

Differs from the paper: the mask is the id "unknown"; scores are relative to the noise, which spares
its table; optimiser and number of passes are those of the protocol, and numbers stay as they are.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmark.config import Pretraining
from benchmark.schema import Schema
from benchmark.training.batch import Batch, Features
from benchmark.training.blueprint import Backbone
from benchmark.training.method import Method, Phase, Update
from benchmark.training.table import Table

PROJECTION = 32
NEGATIVES = 25


class PretrainingTask(nn.Module, ABC):
    """An encoder, a head of its own, and the loss of a task on a batch's features.

    ``rows`` are what values are drawn from, each as often as it occurs.
    """

    def __init__(self, encoder: Backbone, schema: Schema, rows: Table, rate: float) -> None:
        super().__init__()
        self.encoder, self.rows = encoder, rows
        self.fields = len(schema.categorical)
        self.corrupted = max(1, int(rate * self.fields))

    @abstractmethod
    def forward(self, features: Features) -> Tensor:
        """Return the scalar to minimise."""

    def corrupted_fields(self, ids: Tensor) -> Tensor:
        """Return which fields of each row to corrupt, (B, corrupted), no field twice."""
        noise = torch.rand(ids.shape, device=ids.device)
        return noise.topk(self.corrupted, 1).indices

    def drawn_values(self, fields: Tensor) -> Tensor:
        """Return a value for each of the given fields, that of a random row."""
        rows, ids = (
            torch.randint(len(self.rows), fields.shape, device=fields.device),
            self.rows.sparse,
        )
        return ids[rows.to(ids.device), fields.to(ids.device)].to(fields.device)


class MaskedFeatures(PretrainingTask):
    r"""Tell the true values of masked fields from drawn ones (noise contrastive estimation).

    With a projection :math:`q_f` of the encoding per field, a vector :math:`u_v` per value, K drawn
    values per masked field, and scores :math:`s_v = q_f \cdot u_v - \log K`, which estimate
    :math:`\log p(v | \text{rest}) - \log K p(v)`:

    .. math:: L = \mathrm{mean}_{\text{masked}} \Big(-\log \sigma(s_{true})
              - \sum_{k=1}^K \log \sigma(-s_k)\Big)
    """

    starts: Tensor

    def __init__(self, encoder: Backbone, schema: Schema, rows: Table, rate: float) -> None:
        super().__init__(encoder, schema, rows, rate)
        starts = torch.tensor([0, *(field.size for field in schema.categorical)]).cumsum(0)
        self.register_buffer("starts", starts[:-1], persistent=False)
        self.project = nn.Linear(encoder.width, self.fields * PROJECTION)
        self.values = nn.Embedding(int(starts[-1]), PROJECTION)
        nn.init.normal_(self.values.weight, std=0.01)

    def forward(self, features: Features) -> Tensor:
        """Return the loss."""
        fields = self.corrupted_fields(features.sparse)
        masked = replace(features, sparse=features.sparse.scatter(1, fields, 0))
        queries = self.project(self.encoder(masked)).unflatten(1, (self.fields, PROJECTION))
        query = queries.gather(1, fields.unsqueeze(2).expand(-1, -1, PROJECTION))
        true = features.sparse.gather(1, fields).unsqueeze(2)
        false = self.drawn_values(fields.unsqueeze(2).expand(-1, -1, NEGATIVES))
        values = self.values(torch.cat([true, false], 2) + self.starts[fields].unsqueeze(2))
        scores = torch.einsum("bfkp,bfp->bfk", values, query) - math.log(NEGATIVES)
        labels = torch.zeros_like(scores)
        labels[:, :, 0] = 1
        return binary_cross_entropy_with_logits(scores, labels, reduction="none").sum(2).mean()


class ReplacedFeatures(PretrainingTask):
    """Tell which fields were replaced; a field that drew its own value was not."""

    def __init__(self, encoder: Backbone, schema: Schema, rows: Table, rate: float) -> None:
        super().__init__(encoder, schema, rows, rate)
        hidden = self.fields * PROJECTION
        self.head = nn.Sequential(
            nn.Linear(encoder.width, hidden), nn.ReLU(), nn.Linear(hidden, self.fields)
        )

    def forward(self, features: Features) -> Tensor:
        """Return the loss, the mean over rows and fields."""
        fields = self.corrupted_fields(features.sparse)
        ids = features.sparse.scatter(1, fields, self.drawn_values(fields))
        logits = self.head(self.encoder(replace(features, sparse=ids)))
        return binary_cross_entropy_with_logits(logits, (ids != features.sparse).to(logits))


TASKS: dict[str, type[PretrainingTask]] = {"masked": MaskedFeatures, "replaced": ReplacedFeatures}


class PretrainingTasks(nn.Module):
    """One pre-training task per encoder of a method; the rest of the method stays as it is."""

    def __init__(self, tasks: Iterable[PretrainingTask]) -> None:
        super().__init__()
        self.tasks = nn.ModuleList(tasks)

    def updates(self, batch: Batch) -> Iterator[Update]:
        """Yield one step per encoder."""
        for task in self.tasks:
            yield Update(task(batch.features), task)


def pretraining(
    method: Method, schema: Schema, rows: Table, params: Pretraining
) -> Sequence[tuple[PretrainingTasks, Phase]]:
    """Return what to train before the method and how: nothing, or one task per encoder.

    Raises:
        ValueError: the dataset has no categorical field.
    """
    encoders = dict.fromkeys(_encoders(method))
    if params.task == "none" or not encoders:
        return ()
    if not schema.categorical:
        raise ValueError(f"pre-training needs categorical fields, which {schema.dataset} lacks")
    kind = TASKS[params.task]
    tasks = PretrainingTasks(kind(encoder, schema, rows, params.rate) for encoder in encoders)
    device = next(method.parameters()).device  # a table's ids may be in host memory
    return ((tasks.to(device), Phase(params.epochs, tasks.updates)),)


def _encoders(module: nn.Module) -> Iterator[Backbone]:
    """Yield the encoders in a module, but none that is a part of another."""
    for child in module.children():
        if isinstance(child, Backbone):
            yield child
        else:
            yield from _encoders(child)
