"""``python -m benchmark new-dataset``: which columns of a CSV file play which role."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmark.scaffold.columns import match


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("user,item,buy\n1,2,0\n", "no column is named as the click, such as click, clicked"),
        ("user,item,click\n1,2,0\n", "no column is named as the conversion"),
        ("click,buy\n1,1\n", "no column is named as a user or an item"),
        ("user,click,buy,order\n1,1,1,1\n", "buy and order may each be the conversion; choose"),
        ("user,click,buy\n1,2,0\n", "column click holds 2; it must hold 0 and 1, or true and"),
        ("user,click,buy\n1,1,no\n", "column buy holds 'no'; it must hold 0 and 1"),
        ("user,click,buy\n1,0.5,0\n", "column click holds 0.5; it must hold 0 and 1"),
        ("user,click,buy\n1,1,\n2,0,\n", "column buy is empty in the first 2 rows; fill it, or"),
        ("user,user,click,buy\n1,2,1,0\n", "the header has 2 columns 'user'; rename all but one"),
        ('user,click,buy,"a\nb"\n1,1,0,x\n', r"the column name 'a\\nb' holds a quote, a line"),
        ('user,click,buy,"a ""b"""\n1,1,0,x\n', "the column name 'a \"b\"' holds a quote"),
        ("user,click,buy\n", "holds no rows below its header"),
        ("", "cannot be read as a CSV file"),
    ],
)
def test_an_unusable_file_is_reported_in_one_sentence(
    tmp_path: Path, text: str, sentence: str
) -> None:
    path = tmp_path / "given.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=sentence) as error:
        match(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("assigned", "sentence"),
    [
        ("person=u", "--column person=u: it must be ROLE=NAME, where ROLE is one of user, item,"),
        ("user", "--column user: it must be ROLE=NAME"),
        ("user=Kundin", "has no column 'Kundin'; did you mean 'Kunde'?"),
    ],
)
def test_what_is_assigned_must_be_a_role_and_a_column(
    tmp_path: Path, assigned: str, sentence: str
) -> None:
    path = tmp_path / "given.csv"
    path.write_text("Kunde,item,click,buy\n1,2,1,0\n", encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(sentence)):
        match(path, [assigned])


def test_an_assigned_column_decides_between_two(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_text("user,click,buy,order\n1,1,1,0\n", encoding="utf-8")
    matched = match(path, ["conversion=order"])
    assert matched.roles == {"user": "user", "click": "click", "conversion": "order"}
    assert matched.others == ("buy",)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("USER_ID", "user"), ("Visitor Id", "user"), ("uid", "user"), ("product-id", "item"),
        ("iid", "item"), ("SKU", "item"), ("Event Time", "time"), ("ts", "time"),
        ("is_click", "click"), ("Clicked?", "click"), ("isConverted", "conversion"),
        ("bought", "conversion"), ("has_purchased", "conversion"),
    ],
)  # fmt: skip
def test_case_and_separators_do_not_matter(tmp_path: Path, name: str, role: str) -> None:
    plain = {"user": "user", "item": "item", "time": "time", "click": "click", "conversion": "buy"}
    header = [*(plain | {role: name}).values(), "other"]
    path = tmp_path / "given.csv"
    path.write_text(",".join(header) + "\n1,2,3,1,0,x\n", encoding="utf-8")
    columns = match(path)
    assert columns.roles[role] == name
    assert columns.others == ("other",)


def test_a_time_in_an_unknown_format_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_text("user,click,buy,date\n1,1,0,first of May\n", encoding="utf-8")
    columns = match(path)
    assert "time" not in columns.roles
    unread = "date is in no known format of a time: 'first of May'"
    assert [sentence for sentence in columns.missing if "time" in sentence] == [unread]


def test_a_file_in_another_encoding_is_reported_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "given.csv"
    path.write_text("user,click,buy\n1,1,0\n", encoding="utf-16")
    with pytest.raises(ValueError, match=r"given\.csv is no text in UTF-8: save it as UTF-8, or"):
        match(path)
