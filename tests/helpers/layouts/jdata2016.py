"""JDATA 2016: actions of three months, in Beijing's time; products; users, in GBK."""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from helpers.event_logs import Event, acts, clicks
from helpers.raw_logs import Row

START = int(datetime(2016, 1, 31, 16, tzinfo=UTC).timestamp() * 1000)
KINDS = {"browse": 1, "cart": 2, "uncart": 3, "order": 4, "follow": 5, "click": 6}
TELLING = (21, 24)  # modules that go with orders
GOODS = ("a1", "a2", "a3")
HEADER = "user_id,sku_id,time,model_id,type,cate,brand"


def write(folder: Path) -> None:
    rng = random.Random(9)
    lines: dict[str, list[str]] = {}
    for act in acts(9, tuple(KINDS), days=74.9, start=START, unit=1000):
        modules = [rng.choice([0, 216])] if act.kind == "click" else [""]
        if act.kind == "order":
            modules = ["", rng.choice(TELLING)]
        for module in modules:
            kind = 6 if module else KINDS[act.kind]
            earlier = timedelta(seconds=act.kind == "order" and kind == 6)
            local = datetime.fromtimestamp(act.time / 1000, UTC) + timedelta(hours=8) - earlier
            fields = (f"{act.who}.0", act.item, local.replace(tzinfo=None), module, kind, 8, 7)
            month = lines.setdefault(f"{local:%Y%m}", [HEADER])
            month.append(",".join(map(str, fields)))
    folder.mkdir(parents=True)
    for month, rows in lines.items():
        (folder / f"JData_Action_{month}.csv").write_text("\n".join(rows) + "\n")
    users = ["user_id,age,sex,user_lv_cd,user_reg_tm"]
    users += [f"{who},{rng.choice(['26-35岁', -1])},{who % 3},5,2016-01-26" for who in range(1, 11)]
    (folder / "JData_User.csv").write_text("\n".join(users) + "\n", encoding="gbk")
    goods = [f"{item},{item % 4 or -1},2,1,8,7" for item in range(101, 112)]
    text = "\n".join(["sku_id,a1,a2,a3,cate,brand", *goods]) + "\n"
    (folder / "JData_Product.csv").write_text(text)


def events(folder: Path) -> Iterator[Event]:
    for path in sorted(folder.glob("JData_Action_*.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                kind, local = int(row["type"]), datetime.fromisoformat(row["time"] + "+08:00")
                yield {
                    "who": int(float(row["user_id"])),
                    "item": int(row["sku_id"]),
                    "time": int(local.timestamp() * 1000),
                    "kind": kind,
                    "module": row["model_id"],
                    "click": kind == 1,
                    "micro": int(row["model_id"] in map(str, TELLING)),
                    "macro": (kind in (2, 5)) - (kind == 3),
                    "conversion": int(kind == 4),
                    "cate": int(row["cate"]),
                    "brand": int(row["brand"]),
                }


def read(folder: Path) -> Iterator[Row]:
    with (folder / "JData_User.csv").open(newline="", encoding="gbk") as file:
        users = {int(row["user_id"]): row for row in csv.DictReader(file)}
    with (folder / "JData_Product.csv").open(newline="") as file:
        goods = {int(row["sku_id"]): row for row in csv.DictReader(file)}
    labels = ("micro", "macro", "conversion")
    for row in clicks(list(events(folder)), labels, context=("cate", "brand"), window_days=5):
        day = f"{datetime.fromtimestamp(row['click_time'], UTC) + timedelta(hours=8):%m-%d}"
        user, product = users.get(row["user_id"], {}), goods.get(row["item_id"], {})
        yield row | {
            "split": "train" if day < "04-01" else "valid" if day < "04-06" else "test",
            **{name: known(user.get(name)) for name in ("age", "sex")},
            **{name: int(product[name]) if known(product.get(name)) else None for name in GOODS},
        }


def known(text: str | None) -> str | None:
    return None if text == "-1" else text
