"""Raw files of the layouts that adapters document, and slow readers of them to compare with."""

from __future__ import annotations

import csv
import random
from collections.abc import Callable, Iterator
from hashlib import blake2b
from math import log1p
from pathlib import Path
from typing import Any

import polars as pl
import raw_logs_random
from polars.testing import assert_frame_equal

from benchmark import registry
from benchmark.data.dataset import Dataset
from benchmark.schema import LABELS

Row = dict[str, Any]


def load(name: str) -> type[Dataset]:
    return registry.load("datasets", name, Dataset)


def in_share(key: str, share: float) -> bool:
    """Whether the hash of a key lies in the first part of [0, 1)."""
    digest = blake2b(key.encode(), digest_size=8).hexdigest()
    return int(digest, 16) < share * 2**64


def write_sessions(folder: Path, sessions: int = 200) -> None:
    rng = random.Random(1)
    lines = []
    for _ in range(sessions):
        tokens = []
        for _ in range(rng.choice([1, 2, 3, 30])):
            sku = rng.randint(1, 50)
            kinds = [rng.randint(1, 5), *rng.choices(range(1, 11), k=rng.randint(0, 4))]
            rest = f"+{sku % 3}+{rng.randint(0, 99)}+{rng.randint(0, 99)}"
            tokens += [f"{sku}+{kind}{rest}" for kind in rng.sample(kinds, len(kinds))]
        lines.append(" ".join(tokens) + "\n")
    for number, part in enumerate((lines[:120], lines[100:])):
        (folder / f"part{number}").mkdir(parents=True)
        (folder / f"part{number}" / "JD_Computers").write_text("".join(part), encoding="utf-8")


def read_sessions(folder: Path) -> Iterator[Row]:
    files = sorted(path for path in folder.rglob("JD_*") if path.is_file())
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(dict.fromkeys(lines)):
        cell = "train" if in_share(line, 0.7) else "valid" if in_share(line, 0.8) else "test"
        yield from read_session(line, {"group": number, "split": cell})


def read_session(line: str, base: Row) -> Iterator[Row]:
    visits: dict[int, Row] = {}
    earlier: list[tuple[int, int, int, int]] = []
    for token in line.split(" "):
        sku, kind, category, seconds, _ = map(int, token.split("+"))
        if sku in visits:
            label = {6: "micro", 7: "micro", 8: "micro", 9: "macro", 10: "conversion"}.get(kind)
            visits[sku] |= {label: 1} if label else {}
        elif kind <= 5:
            seen = len({product for product, *_ in earlier})
            visits[sku] = base | {
                "sku": sku,
                "category": category,
                "arrival": kind,
                "previous_category": earlier[-1][2] if earlier else None,
                "visit": min(seen, 20),
                "same_category_before": int(category in {row[2] for row in earlier}),
                "carted_before": int(any(row[1] == 9 for row in earlier)),
                "log_seconds_before": log1p(sum(row[3] for row in earlier)),
                "log_products_before": log1p(seen),
                **dict.fromkeys(("micro", "macro", "conversion"), 0),
            }
        earlier.append((sku, kind, category, seconds))
    yield from visits.values()


def write_ratings(folder: Path, users: int = 30, items: int = 40) -> None:
    rng = random.Random(2)
    chosen = [[rng.choice([0, 0, 0, 1, 3, 4, 5]) for _ in range(items)] for _ in range(users)]
    drawn = [[0] * items for _ in range(users)]
    for user in range(users):
        for item in rng.sample(range(items), 5):
            drawn[user][item] = chosen[user][item] or rng.randint(1, 5)
    tables = {"train.ascii": chosen, "test.ascii": drawn}
    words = {
        "user": ["gender", "age", "location", "fashioninterest"],
        "item": ["gender", "jackettype", "color", "onfrontpage"],
    }
    for kind, count in {"user": users, "item": items}.items():
        picks = [[rng.randrange(3) for _ in words[kind]] for _ in range(count)]
        tables[f"{kind}_features.ascii"] = [
            [int(pick == value) for pick in row for value in range(3)] for row in picks
        ]
        names = [f"{word}:{word} {value}" for word in words[kind] for value in range(3)]
        (folder / "top" / "deep").mkdir(parents=True, exist_ok=True)
        (folder / "top" / "deep" / f"{kind}_features_map.txt").write_text("\n".join(names))
    for name, table in tables.items():
        lines = [" ".join(map(str, row)) for row in table]
        (folder / "top" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_ratings(folder: Path, positive: int = 4) -> Iterator[Row]:
    def table(name: str) -> list[list[int]]:
        text = next(folder.rglob(name)).read_text(encoding="utf-8")
        return [[int(word) for word in line.split()] for line in text.splitlines()]

    def words(kind: str) -> list[Row]:
        names = next(folder.rglob(f"{kind}_features_map.txt")).read_text().split("\n")
        pairs = [name.strip().split(":") for name in names]
        return [
            {f"{kind}_{word}": value for (word, value), one in zip(pairs, row, strict=True) if one}
            for row in table(f"{kind}_features.ascii")
        ]

    chosen, drawn, users, items = (
        table("train.ascii"), table("test.ascii"), words("user"), words("item")
    )  # fmt: skip
    for user, row in enumerate(chosen):
        for item, rating in enumerate(row):
            base = {"user_id": user, "item_id": item, "group": user, **users[user], **items[item]}
            if test := drawn[user][item]:
                yield base | {
                    "split": "test", "policy": "random", "click": None,
                    "conversion": int(test >= positive),
                }  # fmt: skip
            else:
                yield base | {
                    "split": "train" if in_share(f"coat {user} {item}", 0.9) else "valid",
                    "policy": "log",
                    "click": int(rating > 0),
                    "conversion": int(rating >= positive) if rating else None,
                }


def write_searches(folder: Path, country: str = "nl", searches: int = 60) -> None:
    rng = random.Random(3)
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        ids = [str(1000 + number) for number in range(searches)]
        users = [[one, *(str(rng.randint(0, 9)) for _ in range(32))] for one in ids]
        items = [
            [rng.choice([*ids, "7"]), *(str(rng.randint(0, 999) / 8) for _ in range(47)), label]
            for label in rng.choices("012", weights=(8, 2, 1), k=6 * searches)
        ]
        for kind, rows in {"user": users, "item": items}.items():
            with (folder / f"{country}_{kind}_{part}.csv").open("w", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)


def read_searches(folder: Path, country: str = "nl") -> Iterator[Row]:
    for part in ("train", "test"):
        with (folder / f"{country}_user_{part}.csv").open(newline="") as file:
            users = {row[0]: row for row in csv.reader(file)}
        with (folder / f"{country}_item_{part}.csv").open(newline="") as file:
            for row in csv.reader(file):
                if row[0] in users:
                    cell = "train" if in_share(row[0], 0.9) else "valid"
                    yield read_search(users[row[0]], row) | {
                        "split": cell if part == "train" else part
                    }


def read_search(user: list[str], item: list[str]) -> Row:
    values = {f"user_{i}": value for i, value in enumerate(user, 1)}
    values |= {f"item_{i}": value for i, value in enumerate(item, 1)}
    search, label = values.pop("item_1"), int(values.pop("item_49"))
    del values["user_1"]
    codes = {"user": (*range(2, 9), 32, 33), "item": (19, 34, 35, 36, 40, 41, 42)}
    text = {f"{kind}_{i}" for kind, numbers in codes.items() for i in numbers}
    features = {name: value if name in text else float(value) for name, value in values.items()}
    labels = {"click": int(label > 0), "conversion": int(label == 2) if label else None}
    return {"group": search, **features, **labels}


def write_videos(folder: Path, users: int = 30, videos: int = 40) -> None:
    """Write a KuaiRec of hand, whose columns are in the order of the published notebook."""
    rng = random.Random(4)
    folder.mkdir(parents=True)
    header = "user_id,video_id,play_duration,video_duration,time,date,timestamp,watch_ratio"

    def line(user: int, video: int) -> str:
        length, played = 5000 + 100 * video, rng.randint(0, 30_000)
        time = rng.choice(["2020-07-05 05:27:48.378,20200705.0,1593898068.378", ",,"])
        return f"{user},{video},{played},{length},{time},{played / length}"

    small = [line(user, video) for user in range(users) for video in range(videos)]
    big = [line(rng.randint(0, 99), min(rng.randint(0, 60), 50)) for _ in range(2000)]
    who = (
        "user_id,user_active_degree,is_live_streamer,is_video_author,follow_user_num_range,"
        "fans_user_num_range,friend_user_num_range,register_days_range"
    )
    kinds = ['full_active,1,0,"(10,50]","[1,10)",0,500+', "high_active,0,1,0,0,0,31-60"]
    people = [f"{user},{rng.choice(kinds)}" for user in range(users)]
    tags = [f'{video},"[{rng.randint(0, 9)}, {rng.randint(0, 9)}]"' for video in range(videos - 1)]
    tables = {
        "small_matrix": [header, *small],
        "big_matrix": [header, *big],
        "user_features": [who, *people],
        "item_categories": ["video_id,feat", *tags],
    }
    for name, lines in tables.items():
        (folder / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


WRITERS: dict[str, Callable[[Path], None]] = {
    "jd_micro": write_sessions,
    "coat": write_ratings,
    "aliexpress": write_searches,
    "coat_observed": write_ratings,
    "kuairec": write_videos,
    "semi_synthetic": write_ratings,
    **raw_logs_random.WRITERS,
}
READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    "jd_micro": read_sessions,
    "coat": read_ratings,
    "aliexpress": read_searches,
    **raw_logs_random.READERS,
}


def same(dataset: Dataset, raw: Path, reader: Callable[[Path], Iterator[Row]]) -> pl.DataFrame:
    """Compare the adapter's table with the slow reader's, row by row, in any order."""
    slow = pl.DataFrame(list(reader(raw)), infer_schema_length=None)
    fast = dataset.table(raw).collect()
    declared = {*dataset.categorical, *dataset.numeric, "split", "group"}
    assert declared | (set(dataset.stages) & set(LABELS)) - {"click"} <= set(slow.columns)
    order = [column for column in slow.columns if slow[column].dtype != pl.Float64]
    fast = fast.select(slow.columns).cast({name: slow[name].dtype for name in slow.columns})
    assert_frame_equal(fast.sort(order), slow.sort(order))
    return fast
