"""Measure how fast, and in how much memory, raw files of Ali-CCP become processed splits.

Run: python speed/preprocess_aliccp.py [--rows 1000000]

Raw files are generated in Ali-CCP's layout: 58 samples per user's state, each with about a
thousand features, and a fifth as many samples for test. The larger the file the longer, but the
memory must not grow with it; a size that pandas survives is done in pandas as well, and must come
out the same.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
from measured import Layout
from numpy.random import Generator
from numpy.typing import NDArray

SAMPLES_PER_STATE, CHUNK, POOL = 58, 200_000, 500
USER = {"101": 400_000, "121": 98, "122": 14, "124": 3, "125": 8, "126": 4, "127": 4, "128": 3,
        "129": 5}  # fmt: skip
HISTORIES = {"109_14": 9_000, "110_14": 1_000_000, "127_14": 300_000, "150_14": 80_000}
ITEM = {"205": 4_000_000, "206": 9_000, "207": 1_000_000, "216": 300_000, "301": 4}
CROSSES = {"508": 9_000, "509": 200_000, "702": 100_000, "853": 80_000}
FIRST = {
    field: 1 + 5_000_000 * index
    for index, field in enumerate((*USER, *HISTORIES, *ITEM, *CROSSES, "210"))
}
MIN_COUNT = 11


def generate(raw: Path, part: str, rows: int, seed: int) -> None:
    """Write the two files of the train or test part."""
    rng = np.random.default_rng(seed)
    states = max(1, rows // SAMPLES_PER_STATE)
    index = pl.Series([f"{number:016x}" for number in rng.integers(2**63, size=states)])
    with (raw / f"common_features_{part}.csv").open("wb") as file:
        executor = pl.Series([_history(rng) for _ in range(min(POOL, states))])
        for start in range(0, states, POOL):
            file.write(_states(rng, index[start : start + POOL], executor))
    with (raw / f"sample_skeleton_{part}.csv").open("wb") as file:
        for start in range(0, rows, CHUNK):
            file.write(_samples(rng, start, min(CHUNK, rows - start), index))


def _ids(rng: Generator, field: str, size: int, rows: int) -> NDArray[np.int64]:
    return FIRST[field] + (size * rng.random(rows) ** 3).astype(np.int64)


def _feature(rng: Generator, field: str, size: int, rows: int) -> pl.Expr:
    return pl.format(f"{field}\x02{{}}\x031.0", pl.lit(pl.Series(_ids(rng, field, size, rows))))


def _history(rng: Generator) -> str:
    features = [
        f"{field}\x02{number}\x03{weight}"
        for field, size in HISTORIES.items()
        for number, weight in zip(
            _ids(rng, field, size, 250), rng.choice(["0.69315", "1.09861", "2.07944"], 250),
            strict=True,
        )
    ]  # fmt: skip
    return "\x01".join(features)


def _states(rng: Generator, index: pl.Series, executor: pl.Series) -> bytes:
    rows = len(index)
    known = [_feature(rng, field, size, rows) for field, size in USER.items()]
    history = pl.lit(executor.gather(rng.integers(len(executor), size=rows)))
    features = pl.concat_str(*known, history, separator="\x01")
    return _lines(pl.lit(index), pl.lit(len(USER) + 1000), features)


def _samples(rng: Generator, start: int, rows: int, index: pl.Series) -> bytes:
    click = rng.random(rows) < 0.04
    bought = np.where(click, rng.random(rows) < 0.05, rng.random(rows) < 1e-5)
    features = [_feature(rng, field, size, rows) for field, size in ITEM.items()]
    count = np.full(rows, len(features))
    crosses = {**CROSSES, **dict.fromkeys(["210", "210 ", "210  "], 80_000)}
    for field, size in crosses.items():
        there = rng.random(rows) < 0.7
        count += there
        features.append(
            pl.when(pl.lit(pl.Series(there))).then(_feature(rng, field.strip(), size, rows))
        )
    return _lines(
        pl.lit(pl.Series(np.arange(start, start + rows))),
        pl.lit(pl.Series(click.astype(int))),
        pl.lit(pl.Series(bought.astype(int))),
        pl.lit(index.gather(rng.integers(len(index), size=rows))),
        pl.lit(pl.Series(count)),
        pl.concat_str(features, separator="\x01", ignore_nulls=True),
    )


def _lines(*cells: pl.Expr) -> bytes:
    lines = pl.select(pl.concat_str(cells, separator=",")).to_series()
    text: str = lines.str.join("\n").item()
    return text.encode() + b"\n"


def in_pandas(raw: Path) -> dict[str, pd.DataFrame]:
    """Return the encoded splits, made as one does in pandas."""
    parts = {part: _joined(raw, part) for part in ("train", "test")}
    own = parts["train"]["101"].map(_is_train)
    splits = {"train": parts["train"][own], "valid": parts["train"][~own], "test": parts["test"]}
    fields = [*USER, *ITEM, *CROSSES]
    vocabularies = {}
    for field in fields:
        counts = splits["train"][field].value_counts()
        known = np.sort(counts.index[counts >= MIN_COUNT])
        vocabularies[field] = pd.Series(np.arange(1, len(known) + 1), index=known)
    return {split: _encoded(rows, vocabularies) for split, rows in splits.items()}


def _joined(raw: Path, part: str) -> pd.DataFrame:
    columns = ["index", "count", "features"]
    users = _read(raw / f"common_features_{part}.csv", columns)
    samples = _read(raw / f"sample_skeleton_{part}.csv", ["id", "click", "conversion", *columns])
    users = pd.concat([users["index"], _parsed(users, tuple(USER))], axis=1)
    labels = samples[["click", "conversion", "index"]]
    rows = pd.concat([labels, _parsed(samples, (*ITEM, *CROSSES))], axis=1)
    rows = rows[~((rows["click"] == 0) & (rows["conversion"] == 1))]
    return rows.merge(users, on="index", how="left")


def _read(path: Path, names: list[str]) -> pd.DataFrame:
    return pd.read_csv(path, names=names, header=None, quoting=csv.QUOTE_NONE)


def _parsed(rows: pd.DataFrame, fields: tuple[str, ...]) -> pd.DataFrame:
    """Return the fields' ids, after the checks that the adapter makes."""
    records = []
    for text, count in zip(rows["features"], rows["count"], strict=True):
        record: dict[str, int] = {}
        features = text.split("\x01")
        for feature in features:
            field, rest = feature.split("\x02")
            number, value = rest.split("\x03")
            if field not in FIRST or not number.isdigit() or float(value) < 0:
                raise ValueError(feature)
            if field in fields:
                record.setdefault(field, int(number))
        if len(features) != count:
            raise ValueError(text)
        records.append(record)
    return pd.DataFrame(records, columns=list(fields), index=rows.index)


def _is_train(user: int) -> bool:
    digest = hashlib.blake2b(str(user).encode(), digest_size=8).hexdigest()
    return int(digest, 16) < 0.9 * 2**64


def _encoded(rows: pd.DataFrame, vocabularies: dict[str, pd.Series]) -> pd.DataFrame:
    ids = {
        field: rows[field].map(known).fillna(0).astype(np.uint32)
        for field, known in vocabularies.items()
    }
    frame = pd.DataFrame(ids)
    frame["click"] = rows["click"].astype(np.int8)
    frame["conversion"] = rows["conversion"].where(rows["click"] == 1)
    frame["group"] = rows["101"].rank(method="dense").astype(np.uint32)
    return frame.reset_index(drop=True)


def check(split: Path, frame: pd.DataFrame) -> None:
    """Assert that a processed split is what pandas made."""
    names = [str(name) for name in frame]
    ours = pl.read_parquet(split, columns=names)
    columns = {name: pl.Series(frame[name].to_numpy(), nan_to_null=True) for name in names}
    theirs = pl.DataFrame(columns, schema_overrides=ours.schema)
    assert ours.equals(theirs)


def write(raw: Path, rows: int) -> None:
    """Write so many rows of train, and a part as many of test."""
    generate(raw, "train", rows, seed=1)
    generate(raw, "test", rows // 5, seed=2)


if __name__ == "__main__":
    Layout("aliccp", write, in_pandas, check).main(
        "Measure the preprocessing of Ali-CCP.", 1_000_000
    )
