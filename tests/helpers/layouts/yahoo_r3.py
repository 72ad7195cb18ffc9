"""Yahoo! R3: two lists of ratings."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from helpers.raw_logs import Row, in_share

SONGS = "ydata-ymusic-rating-study-v1_0"


def write(folder: Path, users: int = 40, songs: int = 30) -> None:
    rng = random.Random(5)
    (folder / "Webscope_R3").mkdir(parents=True)
    chosen = {
        (user, song): rng.randint(1, 5)
        for user in range(1, users + 1)
        for song in rng.sample(range(1, songs + 1), 10)
    }
    drawn = {
        (user, song): chosen.get((user, song)) or rng.randint(1, 5)
        for user in range(1, users // 2 + 1)
        for song in rng.sample(range(1, songs + 1), 10)
    }
    for part, ratings in {"train": chosen, "test": drawn}.items():
        lines = [f"{user}\t{song}\t{rating}\n" for (user, song), rating in ratings.items()]
        (folder / "Webscope_R3" / f"{SONGS}-{part}.txt").write_text("".join(lines), "utf-8")


def read(
    folder: Path, positive: int = 4, *, held_out: bool = True, unrated: float | None = None
) -> Iterator[Row]:
    def ratings(part: str) -> dict[tuple[int, int], int]:
        text = next(folder.rglob(f"{SONGS}-{part}.txt")).read_text("utf-8")
        triples = (map(int, line.split()) for line in text.splitlines())
        return {(user, song): rating for user, song, rating in triples}

    chosen, drawn = ratings("train"), ratings("test")
    users, songs = ({pair[i] for pair in (*chosen, *drawn)} for i in (0, 1))
    cells = [(user, song) for user in users for song in songs]
    logged = [cell for cell in cells if not (held_out and cell in drawn)]
    for user, song in logged:
        rating, key = chosen.get((user, song)), f"yahoo {user} {song}"
        if not rating and unrated is not None:
            share = unrated * len(chosen) / (len(cells) - len(chosen))
            if not in_share(f"unrated {key}", share):
                continue
        yield {
            "user_id": user, "item_id": song, "group": user, "policy": "log",
            "split": "train" if in_share(key, 0.9) else "valid",
            "click": int(rating is not None),
            "conversion": int(rating >= positive) if rating else None,
        }  # fmt: skip
    for (user, song), rating in drawn.items():
        yield {
            "user_id": user, "item_id": song, "group": user, "policy": "random",
            "split": "test", "click": None, "conversion": int(rating >= positive),
        }  # fmt: skip
