"""Ali-CCP's layout: samples, and apart from them what is known of their users."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from helpers.raw_logs import Row, in_share

USER = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
ITEM = ("205", "206", "207", "216", "301", "508", "509", "702", "853")
PAST = ("109_14", "110_14", "127_14", "150_14")
STATES, SAMPLES = 40, 400


def write(folder: Path) -> None:
    rng = random.Random(5)
    for part in ("train", "test"):
        (folder / f"sample_{part}").mkdir(parents=True)
        states = [f"{rng.getrandbits(64):016x}" for _ in range(STATES)]
        users = [
            line(
                state,
                _feature(rng, USER, 0.9),
                _feature(rng, PAST, 4),
            )
            for state in states
        ]
        samples = [
            line(
                f"{number},{labels},{rng.choice(states)}",
                _feature(rng, ITEM, 0.9),
                _feature(rng, ("853", "210"), 2),
            )
            for number, labels in enumerate(rng.choices(["0,0", "1,0", "1,1", "0,1"], k=SAMPLES))
        ]
        for name, lines in {"common_features": users, "sample_skeleton": samples}.items():
            path = folder / f"sample_{part}" / f"{name}_{part}.csv"
            path.write_text("".join(lines), encoding="utf-8")


def line(key: str, *features: list[str]) -> str:
    """Return a line of either file: a key, the number of features and the features."""
    known = [feature for some in features for feature in some]
    return f"{key},{len(known)}," + "\x01".join(known) + "\n"


def _feature(rng: random.Random, fields: tuple[str, ...], often: float) -> list[str]:
    """Return features of some fields, each there with a probability, or up to some times."""
    times = [rng.randint(0, int(often)) if often > 1 else rng.random() < often for _ in fields]
    return [
        f"{field}\x02{rng.randint(1, 30)}{field.split('_')[0]}\x03{rng.choice(['1.0', '0.69315'])}"
        for field, count in zip(fields, times, strict=True)
        for _ in range(count)
    ] or ["301\x021\x031.0"]


def read(folder: Path, histories: int = 0, intentions: int = 0) -> Iterator[Row]:
    for part in ("train", "test"):
        texts = {
            name: next(folder.rglob(f"{name}_{part}.csv")).read_text(encoding="utf-8")
            for name in ("common_features", "sample_skeleton")
        }
        users = {}
        for text in texts["common_features"].splitlines():
            state, _, features = text.split(",")
            past = PAST if histories else ()
            users[state] = _ids(features, USER) | _lists(features, past, histories)
        for text in texts["sample_skeleton"].splitlines():
            _, click, bought, state, _, features = text.split(",")
            if (click, bought) == ("0", "1"):
                continue
            user = users[state]["101"]
            known = in_share(state if user is None else str(user), 0.9)
            cell = "train" if known else "valid"
            yield {
                **users[state],
                **_ids(features, ITEM),
                **_lists(features, ("210",) if intentions else (), intentions),
                "group": users[state]["101"],
                "split": cell if part == "train" else part,
                "click": int(click),
                "conversion": int(bought) if click == "1" else None,
            }


def _ids(features: str, fields: tuple[str, ...]) -> Row:
    ids: Row = dict.fromkeys(fields)
    for feature in features.split("\x01"):
        field, rest = feature.split("\x02")
        if field in ids and ids[field] is None:
            ids[field] = int(rest.split("\x03")[0])
    return ids


def _lists(features: str, fields: tuple[str, ...], length: int) -> Row:
    """Return the ids of fields that may have several, by their values, the largest last."""
    found: Row = {}
    for field in fields:
        own = [x for x in features.split("\x01") if x.startswith(f"{field}\x02")]
        own.sort(key=lambda x: float(x.split("\x03")[1]))
        ids = [int(x.split("\x02")[1].split("\x03")[0]) for x in own][-length:]
        found |= {field: ids[-1] if ids else None, f"{field}_all": ids}
    return found
