"""``python -m benchmark new-dataset``: an adapter that passes the contract, from a CSV file."""

from __future__ import annotations

import re
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest
from helpers.projects import add_and_test, copy_project, name_in_params, python

from benchmark.scaffold.columns import match

PARTS = (
    "benchmark", "datasets", "methods", "tests", "docs", "params.yaml", "pyproject.toml",
)  # fmt: skip
ASSIGNED = {"worded_shop": ["--column", "user=Besucher"]}
KEPT = ("oracle_funnel", "coat", "jd_micro")  # the last two are imported by tests of all
FILES = {
    "numbered_shop": ("impressions.csv", """\
User-ID,Item_Id,Timestamp,Is Clicked,Purchased,price,Device
7,a,1600000000,1,0,2.5,phone
8,b,1600000060,0,,3.5,desk
"""),
    "worded_shop": ("rows.csv", """\
Besucher;SKU;time;clicked;conversion
u1;9;2024-03-01 10:00:00;true;false
u2;9;2024-03-01 10:01:00;false;false
"""),
    "bare_shop": ("bare.csv", "productid\tCLICK\tBought\tday\n1\t1\t1.0\tMon\n2\t0\t\tTue\n"),
}  # fmt: skip


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A copy of the project with new datasets, whose tests pass, and what was printed for each."""
    folder = tmp_path_factory.mktemp("project")
    copy_project(folder, PARTS)
    for part in ("datasets", "tests/helpers/layouts"):
        for path in (folder / part).glob("*.py"):
            if path.stem not in KEPT:
                path.unlink()  # so that nothing of theirs is drawn or read
    steps = []
    for name, (file, text) in FILES.items():
        given = folder / "data" / "manual" / name / file
        given.parent.mkdir(parents=True)
        given.write_text(text, encoding="utf-8")
        steps.append(["new-dataset", name, str(given), *ASSIGNED.get(name, ())])
    name_in_params(folder, "datasets", *FILES)
    said = add_and_test(folder, [*steps, ["cards"]], ("test_datasets", "test_data_cards"), *FILES)
    return folder, dict(zip(FILES, said.split("wrote datasets/")[1:], strict=True))


def test_new_files_are_clean(printed: tuple[Path, dict[str, str]]) -> None:
    paths = [
        f"{place}/{name}.py" for place in ("datasets", "tests/helpers/layouts") for name in FILES
    ]
    python(printed[0], "ruff", "check", "--no-cache", *paths)
    python(printed[0], "ruff", "format", "--no-cache", "--check", *paths)


def test_new_adapters_pass_the_contract_and_read_the_file_itself(
    printed: tuple[Path, dict[str, str]],
) -> None:
    code = (
        "from pathlib import Path; from benchmark import registry;"
        "from benchmark.data.dataset import Dataset;"
        f"names = {list(FILES)};"
        "kinds = {name: registry.load('datasets', name, Dataset) for name in names};"
        "print([kind().table(Path('data/manual', name)).sort('item_id', 'click').select("
        "'item_id', 'click', 'conversion').collect().rows() for name, kind in kinds.items()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=printed[0], capture_output=True, text=True, check=True
    )
    rows = {"numbered_shop": [("a", 1, 0), ("b", 0, None)]}
    rows["worded_shop"] = [("9", 0, None), ("9", 1, 0)]
    rows["bare_shop"] = [("1", 1, 1), ("2", 0, None)]
    assert dict(zip(FILES, literal_eval(done.stdout), strict=True)) == rows


def test_what_could_not_be_matched_is_listed(printed: tuple[Path, dict[str, str]]) -> None:
    first, bare = printed[1]["numbered_shop"], printed[1]["bare_shop"]
    for line in (
        "matched: User-ID is the user",
        "matched: Is Clicked is the click",
        "matched: Purchased is the conversion",
        "not used: price",
        "not used: Device",
    ):
        assert f"  {line}\n" in first
    assert "not matched" not in first
    assert "not matched: no column is named as the user, such as user" in bare
    assert "not matched: no column is named as the time, such as time" in bare
    assert "not used: day" in bare
    assert "matched: Besucher is the user" in printed[1]["worded_shop"]
    assert "split: by time" in first
    assert "split: rows at random, as no column is the time" in bare
    adapter = (printed[0] / "datasets" / "numbered_shop.py").read_text(encoding="utf-8")
    todo = "# TODO add to TYPES, table and features what is known before the click:"
    assert f"    {todo}\n    # - price, as numeric\n    # - Device, as categorical\n" in adapter


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
