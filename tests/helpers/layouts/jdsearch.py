"""JDsearch: users and products in two tables with tabs, lists of one user joined by _."""

import random
from collections.abc import Iterator
from math import log, log1p
from pathlib import Path

from helpers.raw_logs import Row, in_share

USERS = (
    "query\tcandidate_wid_list\tcandidate_label_list\thistory_qry_list\thistory_wid_list\t"
    "history_type_list\thistory_time_list"
)
PRODUCTS = (
    "wid\tname\tbrand_id\tbrand_name\tcate_id_1\tcate_name_1\tcate_id_2\tcate_name_2\t"
    "cate_id_3\tcate_name_3\tcate_id_4\tcate_name_4\tshop_id"
)


def write(folder: Path, users: int = 80, *, header: bool = True) -> None:
    rng = random.Random(8)
    folder.mkdir(parents=True)
    lines = [one_user(rng) for _ in range(users)]
    (folder / "user_behavior_data.txt").write_text(joined(USERS, lines, header=header))
    goods = [
        [wid, '7"\x187', rng.randint(1, 5), "7", 1, "7", rng.randint(1, 3), "7", wid % 4, "7",
         rng.choice(["", 9]), "7", rng.randint(1, 9)]
        for wid in range(1, 38)
    ]  # fmt: skip
    (folder / "product_meta_data.txt").write_text(joined(PRODUCTS, goods, header=header))


def joined(names: str, lines: list[list[object]], *, header: bool) -> str:
    rows = ["\t".join(map(str, line)) for line in lines]
    return "\n".join([names, *rows] if header else rows) + "\n"


def one_user(rng: random.Random) -> list[object]:
    query = "\x18".join(str(rng.randint(1, 9)) for _ in range(rng.randint(1, 3)))
    shown = rng.sample(range(1, 41), rng.randint(3, 20))
    labels = sorted(rng.choices([0.0, 0.0, 0.0, 1.0, 2.0, 3.0], k=len(shown)), reverse=True)
    past = rng.choices(range(1, 41), k=rng.choice([0, 1, 5, 40]))
    kinds = rng.choices(["ORD", "CLICK", "CART", "FLW"], k=len(past))
    waits = [0, *(rng.randint(0, 10**6) for _ in past)]
    lists = (shown, labels, ["-1"] * len(past), past, kinds, waits)
    return [query, *("_".join(map(str, one)) for one in lists)]


def lines(folder: Path, pattern: str) -> Iterator[list[str]]:
    text = next(folder.rglob(pattern)).read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith(("query", "wid")):
            yield line.split("\t")


def read(folder: Path) -> Iterator[Row]:
    products = {line[0]: line for line in lines(folder, "product_meta_data*.txt")}
    for group, user in enumerate(lines(folder, "user_behavior_data*.txt")):
        query, shown, labels, _, history, _, waits = user
        key, past = query + shown + history, history.split("_") if history else []
        terms = query.split("\x18")
        known = [products[wid][8] for wid in past[-20:] if wid in products]
        for wid, label in zip(shown.split("_"), labels.split("_"), strict=True):
            product = [cell or None for cell in products.get(wid, [""] * 13)]
            clicked = label != "0.0"
            yield {
                "split": "train"
                if in_share(key, 0.8)
                else "valid"
                if in_share(key, 0.9)
                else "test",
                "group": group,
                "query": query,
                "query_head": terms[-1],
                "item_id": wid,
                "brand_id": product[2],
                **{f"cate_id_{level}": product[2 + 2 * level] for level in range(1, 5)},
                "shop_id": product[12],
                "dealt_before": int(wid in past[-20:]),
                "log_query_terms": log(len(terms)),
                "log_history": log1p(len(past)),
                "log_seconds_since": log1p(int(waits.split("_")[-1])),
                "recent_items": past[-20:],
                "recent_categories": known,
                "click": int(clicked),
                "macro": int(label in ("2.0", "3.0")) if clicked else None,
                "conversion": int(label == "3.0") if clicked else None,
            }
