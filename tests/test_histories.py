"""Histories from raw rows to a backbone: nothing from the future, none where none is."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest
import torch
from helpers.histories import LENGTH, remembering, with_history
from helpers.worlds import make_batch, schema, without

from benchmark import registry
from benchmark.config import BackboneParams
from benchmark.data.atomic_files import export_recbole
from benchmark.data.dataset import DataError, Dataset
from benchmark.data.preprocess import preprocess
from benchmark.data.reading.history import clicked_before
from benchmark.errors import ConfigError
from benchmark.schema import Schema, Stage
from benchmark.training.backbones import blueprint
from benchmark.training.backbones.recbole import isolated
from benchmark.training.blueprint import Embeddings
from benchmark.training.table import Table

CPU = torch.device("cpu")
ORACLE_FUNNEL = registry.load("datasets", "oracle_funnel", Dataset)
BEFORE_HISTORIES = "075c74c9c82eaef0"  # of the default world, when it had no such option


def digest(frame: pl.DataFrame) -> str:
    """Return a hash of a table's values, floats to six decimals."""
    hashed = hashlib.sha256()
    for name in sorted(frame.columns):
        column = frame[name]
        values = "|".join(map(str, column.to_list())).encode()
        if column.dtype.is_float():
            values = (np.round(column.to_numpy(), 6) + 0.0).tobytes()
        hashed.update(name.encode() + b":" + values)
    return hashed.hexdigest()[:16]


# --- the simulator


def world(**options: Any) -> pl.DataFrame:
    return ORACLE_FUNNEL(**{"rows": 2000, **options}).table(Path()).collect()


def test_without_the_option_the_world_is_what_it_was() -> None:
    assert digest(world()) == BEFORE_HISTORIES
    assert world(history=3).drop("recent_items").equals(world())


def test_a_history_holds_the_last_clicks_of_the_user_in_earlier_rows_and_no_others() -> None:
    clicks: dict[int, list[int]] = {}
    lengths = set()
    for row in world(history=3).iter_rows(named=True):
        own = clicks.setdefault(row["user_id"], [])
        assert row["recent_items"] == own[-3:]
        lengths.add(len(row["recent_items"]))
        if row["click"]:
            own.append(row["item_id"])
    assert lengths == {0, 1, 2, 3}


def test_what_comes_later_changes_no_history() -> None:
    rng = np.random.default_rng(0)
    user, item = rng.integers(5, size=200), rng.integers(9, size=200)
    click = rng.random(200) < 0.5
    whole = clicked_before(user, item, click, 4)
    for rows in (1, 2, 77):
        past = clicked_before(user[:rows], item[:rows], click[:rows], 4)
        assert past.to_list() == whole[:rows].to_list()
    changed = click.copy()
    changed[77] = not changed[77]
    assert clicked_before(user, item, changed, 4)[:78].to_list() == whole[:78].to_list()


def test_without_clicks_histories_are_empty() -> None:
    nobody = np.zeros(3, dtype=bool)
    assert clicked_before(np.arange(3), np.arange(3), nobody, 2).to_list() == [[], [], []]


@pytest.mark.parametrize("value", [-1, 2.5])
def test_a_bad_length_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigError, match=r"options\.oracle_funnel\.history is"):
        ORACLE_FUNNEL(history=value)


# --- preparation


class Given(Dataset):
    """Six rows with the histories that a test gives."""

    title = "Given"
    citation = licence = claims = ""
    stages: ClassVar[tuple[Stage, ...]] = ("impression", "click", "conversion")
    categorical = ("city",)
    numeric = ("price",)

    def __init__(self, histories: Any, dtype: Any = None, length: int = 3) -> None:
        super().__init__()
        self.sequences = {"visited": ("city", length)}
        self.histories = pl.Series(histories, dtype=dtype or pl.List(pl.String))

    def table(self, raw: Path) -> pl.LazyFrame:
        columns = {
            "split": ["train"] * 4 + ["valid", "test"],
            "city": ["Rome", "Oslo", "Bonn", "Rome", "Kyiv", "Oslo"],
            "price": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
            "visited": self.histories,
        }
        label = pl.Series([1, 0, 1, 0, 1, 1], dtype=pl.Int8)
        conversion = pl.when(label == 1).then(label).alias("conversion")
        return pl.LazyFrame({**columns, "click": label}).with_columns(conversion)


HISTORIES = [
    [],
    ["Rome"],
    ["Oslo", "Rome"],
    ["Rome", "Oslo", "Oslo", "Bonn"],
    ["Kyiv", None, "Bonn"],
    None,
]
ENCODED = [[0, 0, 0], [0, 0, 3], [0, 2, 3], [2, 2, 1], [0, 0, 1], [0, 0, 0]]


def prepared(folder: Path, dataset: Dataset) -> Schema:
    return preprocess(dataset, "given", folder, folder / "processed", verified=True)


def test_histories_have_the_ids_of_their_field_and_are_filled_from_the_left(tmp_path: Path) -> None:
    made = prepared(tmp_path, Given(HISTORIES))
    splits = ("train", "valid", "test")
    stored = [pl.read_parquet(tmp_path / "processed" / f"{split}.parquet") for split in splits]
    assert [row for part in stored for row in part["visited"].to_list()] == ENCODED
    (field,) = made.sequences
    assert (field.of, field.size, field.length) == ("city", made.categorical[0].size, 3)
    assert Schema.read(tmp_path / "processed") == made


def test_a_history_of_values_that_train_never_has_is_empty(tmp_path: Path) -> None:
    class Rare(Given):
        min_count = 9

    prepared(tmp_path, Rare(HISTORIES))
    assert (
        pl.read_parquet(tmp_path / "processed" / "train.parquet")["visited"].to_list()
        == [[0] * 3] * 4
    )


def test_batches_and_slices_take_the_histories_of_their_rows(tmp_path: Path) -> None:
    made = prepared(tmp_path, Given(HISTORIES))
    table = Table.read(tmp_path / "processed", "train", made)
    assert table.sequences is not None
    assert table.sequences.dtype == torch.int32
    for features in (table.take(torch.tensor([2, 1])).features, table.features(slice(1, 3))):
        assert features.sequences is not None
        assert sorted(features.sequences[:, 0].tolist()) == sorted(ENCODED[1:3])


def test_a_shorter_history_is_read_to_the_right_of_a_longer_one(tmp_path: Path) -> None:
    long, short = with_history(with_history(schema()), length=2).sequences
    histories = long.model_copy(update={"name": "a"}), short.model_copy(update={"name": "b"})
    made = without("delay").model_copy(update={"fields": (*schema().fields, *histories)})
    a, b = np.arange(1, 1 + 3 * LENGTH).reshape(3, -1), np.arange(6).reshape(3, 2)
    columns = {"user": [1] * 3, "item": [2] * 3, "price": [0.5] * 3, "conversion": [1, 0, 1]}
    pl.DataFrame({**columns, "a": a, "b": b}).write_parquet(tmp_path / "train.parquet")
    table = Table.read(tmp_path, "train", made)
    assert table.sequences is not None
    assert table.sequences[:, 0].tolist() == a.tolist()
    assert table.sequences[:, 1].tolist() == np.pad(b, ((0, 0), (LENGTH - 2, 0))).tolist()


@pytest.mark.parametrize(
    ("dataset", "says"),
    [
        (Given([[1]] * 6, pl.List(pl.Int64)), r"visited is List\(Int64\).* must be List\(String\)"),
        (Given(["Rome"] * 6, pl.String), r"visited is String.* must be List\(String\)"),
        (Given(HISTORIES, length=0), "visited has 0 values of 'city'"),
    ],
)
def test_what_is_no_history_is_refused_in_one_sentence(
    tmp_path: Path, dataset: Dataset, says: str
) -> None:
    with pytest.raises(DataError, match=says):
        prepared(tmp_path, dataset)


def test_without_histories_nothing_is_stored_or_taken(processed: Path) -> None:
    made = Schema.read(processed)
    assert made.sequences == ()
    assert '"length"' not in (processed / "schema.json").read_text(encoding="utf-8")
    table = Table.read(processed, "train", made)
    assert table.sequences is None
    assert table.take(torch.arange(4)).features.sequences is None
    assert table.features(slice(0, 4)).sequences is None


# --- what reads them


def test_the_plain_backbone_adds_their_mean_from_the_table_of_the_field() -> None:
    made = with_history(schema())
    features = remembering(make_batch(made, 20).features, made)
    backbone = Embeddings(made, embedding_size=4, hidden=())
    encoding, plain = backbone(features), Embeddings(schema(), embedding_size=4, hidden=())
    plain.load_state_dict(backbone.state_dict())
    assert features.sequences is not None
    start = made.categorical[0].size  # of the items, which come second
    for row, ids in enumerate(features.sequences[:, 0]):
        rows = [backbone.table.weight[start + int(i)] for i in ids if i > 0]
        mean = torch.stack(rows).mean(0) if rows else torch.zeros(4)
        torch.testing.assert_close(encoding[row, 8:12], mean)
    torch.testing.assert_close(encoding[:, [*range(8), 12]], plain(features))


def test_padding_learns_nothing() -> None:
    made = with_history(schema())
    features = remembering(make_batch(made, 20).features, made)
    backbone = Embeddings(made, embedding_size=4, hidden=())
    backbone(features)[:, 8:12].sum().backward()
    assert backbone.table.weight.grad is not None
    learned = backbone.table.weight.grad.any(1).nonzero().flatten().tolist()
    assert learned == [8, 9, 10, 11]  # items 1 to 4: not 0, and no users


def test_histories_of_several_lengths_fit_one_batch() -> None:
    made = with_history(with_history(schema()), length=2)
    features = remembering(make_batch(made, 20).features, made)
    assert features.sequences is not None
    shorter = Embeddings(made, embedding_size=4, hidden=())
    before = shorter(features)
    features.sequences[:, 1, : LENGTH - 2] = 1
    torch.testing.assert_close(shorter(features), before)


def test_recbole_refuses_a_log_with_a_history() -> None:
    params = BackboneParams(name="DeepFM", embedding_size=4, hidden=(), tower=(), dropout=0)
    with pytest.raises(ValueError, match="DeepFM of RecBole reads no histories, and tiny has one"):
        blueprint(with_history(schema()), params).backbone()


@pytest.mark.filterwarnings("ignore")  # of RecBole's use of pandas
def test_stock_recbole_reads_the_exported_histories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recbole.config import Config  # noqa: PLC0415
    from recbole.data import create_dataset  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    prepared(tmp_path, Given(HISTORIES))
    folder = tmp_path / "recbole" / "given"
    export_recbole(tmp_path / "processed", folder)
    lines = (folder / "given.train.inter").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t")[:3] == ["city:token", "price:float", "visited:token_seq"]
    assert [line.split("\t")[2] for line in lines[1:]] == ["", "3", "2 3", "2 2 1"]
    with isolated():
        dataset = create_dataset(
            Config("DeepFM", "given", [str(folder / "recbole.yaml")], {"gpu_id": ""})
        )
    tokens = dataset.field2id_token["visited"]
    found = [[int(tokens[i]) for i in ids if i > 0] for ids in dataset.inter_feat["visited"]]
    assert found == [[i for i in ids if i > 0] for ids in ENCODED]
    shutil.rmtree(folder)
