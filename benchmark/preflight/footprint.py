"""How much memory fits and simulations take, from the sizes that the params ask for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from benchmark import registry
from benchmark.config import BackboneParams, Protocol
from benchmark.data.dataset import Dataset
from benchmark.execution.executors.local import cores
from benchmark.preflight.standing import Standing, known_schema
from benchmark.registry import PluginError
from benchmark.schema import Field, Schema
from benchmark.studies import Setting, Workspace

PER_WEIGHT = 16  # bytes: the weight, its gradient and Adam's two moments
PER_DRAWN_ROW = 450  # bytes of memory: a draw of 400,000 rows was seen to take 440 of each
PER_WRITTEN_ROW = 40  # bytes on the disk: 18 in the splits, and as many in the scratch folder
TOWERS = 2  # most methods have one for the CTR and one for the CVR


def drawing(workspace: Workspace, standing: Standing) -> tuple[int, int]:
    """Return the bytes of memory and of disk that the draws take which are to be simulated."""
    rows = [count for setting in workspace.sources() for count in _to_draw(setting, standing)]
    side_by_side = sorted(rows)[-cores() :]
    return PER_DRAWN_ROW * sum(side_by_side), PER_WRITTEN_ROW * sum(rows)


def fitting(workspace: Workspace) -> int:
    """Return the bytes of memory that the largest fit takes."""
    return max(
        (
            bytes_of_fit(schema, workspace.params_of(setting).protocol)
            for setting in workspace.settings()
            if (schema := shape(setting))
        ),
        default=0,
    )


def shape(setting: Setting) -> Schema | None:
    """Return the schema of a setting's data; of data that are not there, as far as it is known.

    It is None where the adapter cannot be imported either.
    """
    schema, dataset = known_schema(setting), _adapter(setting)
    if dataset is None:
        return schema
    if schema is None:
        return _expected(dataset)
    rows = _drawn_rows(dataset)
    return schema.model_copy(update={"rows": {"train": rows}}) if rows else schema


def _adapter(setting: Setting) -> Dataset | None:
    try:
        return registry.load("datasets", setting.dataset, Dataset)(**setting.changed)
    except (LookupError, PluginError):
        return None


def _to_draw(setting: Setting, standing: Standing) -> Iterator[int]:
    """Yield how many rows each draw of a setting has that is to be simulated."""
    dataset = _adapter(setting)
    if dataset is not None and (rows := _drawn_rows(dataset)):
        yield from (rows for _ in standing.pending(setting))


def _drawn_rows(dataset: Dataset) -> int:
    """Return how many rows are simulated, 0 for a dataset that is read from files."""
    options = dataset.options.model_dump()
    counts = (options.get(name, 0) for name in ("rows", "test_rows"))
    return 0 if dataset.sources else sum(int(count) for count in counts)


def _expected(dataset: Dataset) -> Schema:
    """Return the schema of data that are not there yet, as far as their adapter tells it.

    Fields have the smallest size, and there are no rows but those that are simulated.
    """
    kinds: dict[Literal["categorical", "numeric"], Sequence[str]] = {
        "categorical": dataset.categorical,
        "numeric": dataset.numeric,
    }
    fields = [Field(name=name, kind=kind, size=1) for kind in kinds for name in kinds[kind]]
    fields += [
        Field(name=name, kind="sequence", size=1, of=of, length=length)
        for name, (of, length) in dataset.sequences.items()
    ]
    rows = {"train": _drawn_rows(dataset)}
    return Schema.model_construct(
        dataset=dataset.name, stages=dataset.stages, fields=tuple(fields), rows=rows
    )


def bytes_of_fit(schema: Schema, protocol: Protocol) -> int:
    """Return about how many bytes a fit holds: the table, the weights and a batch.

    Of the weights, those of the embeddings, the hidden layers and the towers are counted.
    """
    rows, backbone = sum(schema.rows.values()), protocol.backbone
    batch = min(protocol.batch_size, rows)
    width = sum(max(field.length, 1) for field in schema.fields)
    weights = sum(field.size for field in schema.fields) * backbone.embedding_size
    layers = _layers(schema, backbone)
    weights += sum(one * other + other for one, other in layers)
    units = len(schema.fields) * backbone.embedding_size + sum(outputs for _, outputs in layers)
    return rows * (width * 4 + 16) + weights * PER_WEIGHT + batch * units * 4


def _layers(schema: Schema, backbone: BackboneParams) -> list[tuple[int, int]]:
    """Return the inputs and outputs of every linear layer of the encoder and of the towers."""
    vectors = len(schema.categorical) + len(schema.sequences)
    inputs = vectors * backbone.embedding_size + len(schema.numeric)
    encoder = [inputs, *backbone.hidden]
    tower = [encoder[-1], *backbone.tower, 1]
    return [*pairwise(encoder), *TOWERS * list(pairwise(tower))]
