"""Raw files of the layouts that adapters document, and slow readers of them to compare with.

To register an adapter, add ``tests/helpers/layouts/<adapter>.py`` and nothing else. It defines
``write(folder)``, which writes small raw files of hand, with rows in every split, and
``read(folder)``, an independent slow reader of them: one ``Row`` per row of the table, with all
declared columns. Without ``read`` the adapter is tested without a comparison. An adapter on the
raw files of another (its ``base``) uses the layout of that one.

Tests of what a real sample holds take the fixture ``real``, the folder of CVR_REAL_DATA.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
from polars.testing import assert_frame_equal

from benchmark import plugin_folders, registry
from benchmark.data.dataset import Dataset, kept
from benchmark.schema import LABELS, PROPENSITY, TIMES
from helpers import layouts

Row = dict[str, Any]
layouts.__path__ = [
    *layouts.__path__,
    *(str(folder / "layouts") for folder in plugin_folders.added()),
]


def load(name: str) -> type[Dataset]:
    return registry.load("datasets", name, Dataset)


def layout(name: str) -> ModuleType:
    """Return the module that writes (and reads) the raw files of an adapter.

    That of an adapter in a folder of ``plugins`` lies in ``layouts/`` there.
    """
    return importlib.import_module(f"helpers.layouts.{load(name)().base or name}")


def laid_out() -> list[str]:
    """Return the names of all layouts."""
    return sorted(path.stem for folder in layouts.__path__ for path in Path(folder).glob("*.py"))


def comparable() -> list[str]:
    """Return the adapters that have a slow reader."""
    return [name for name in laid_out() if hasattr(layout(name), "read")]


def in_share(key: str, share: float) -> bool:
    """Whether the hash of a key lies in the first part of [0, 1)."""
    digest = blake2b(key.encode(), digest_size=8).hexdigest()
    return int(digest, 16) < share * 2**64


def same(dataset: Dataset, raw: Path, reader: Callable[[Path], Iterator[Row]]) -> pl.DataFrame:
    """Compare the adapter's table with the slow reader's, row by row, in any order."""
    slow = pl.DataFrame(list(reader(raw)), infer_schema_length=None)
    fast = kept(dataset.table(raw)).collect()
    declared = {*dataset.categorical, *dataset.numeric, *dataset.sequences, "split"}
    labels = {*dataset.stages} & {*LABELS} - {"click"}
    optional = {*TIMES, *PROPENSITY, "policy", "group", "click"} & {*fast.columns}
    assert declared | labels | optional <= set(slow.columns)
    fast = fast.select(slow.columns).cast({name: slow[name].dtype for name in slow.columns})
    flat = [column for column, kind in slow.schema.items() if not kind.is_nested()]
    order = sorted(flat, key=lambda column: slow.schema[column].is_float())  # these may round
    assert_frame_equal(fast.sort(order), slow.sort(order))
    return fast
