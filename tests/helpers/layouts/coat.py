"""Coat: two matrices of ratings, one-hot features of users and of items, and what these mean."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from helpers.raw_logs import Row, in_share


def write(folder: Path, users: int = 30, items: int = 40) -> None:
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


def read(folder: Path, positive: int = 4) -> Iterator[Row]:
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
