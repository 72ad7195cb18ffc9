"""Text logs are read as declared, and what is wrong in one is told with line and value."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from threading import Thread, current_thread, main_thread

import polars as pl
import pytest

from benchmark.data.dataset import DataError
from benchmark.data.reading.layouts import FOLDED, Delimited, Scan, starts_with
from benchmark.data.reading.parquet_files import checked_parquet
from benchmark.data.reading.readers import locate_read_errors, scan_json_lines, scan_table

COLUMNS = {"item": pl.Int64, "name": pl.String, "price": pl.Float64}
ROWS = [(1, "x", 2.5), (2, None, 0.5), (3, "y", None)]
TEXT = "item,name,price\n1,x,2.5\n2,,0.5\n3,y,\n"


def file(folder: Path, content: str | bytes, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def fault(path: Path, **options: object) -> str:
    """Return the sentence that reading a table ends with."""
    with pytest.raises(DataError) as error, locate_read_errors("The log"):
        scan_table(path, COLUMNS, **options).collect()  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (TEXT, {}),
        ("name,more,price,item\nx,?,2.5,1\n,?,0.5,2\ny,?,,3\n", {}),
        (TEXT.split("\n", 1)[1], {"header": False}),
        (TEXT.replace(",", "\t"), {"separator": "\t"}),
        (TEXT.replace("3,y,", "3,y,NULL"), {"null_values": ["NULL"]}),
        (TEXT.replace("\n", "\r\n"), {}),
        ("\ufeff" + TEXT, {}),
        ("\ufeff" + TEXT.split("\n", 1)[1], {"header": False}),
        (TEXT.replace("2,,", '2,"",').replace("3,y,", '3,y,""'), {}),
        (TEXT.replace("2,,", '2,"NULL",'), {"null_values": ["NULL"]}),
        (TEXT.replace("x", '"x"'), {}),
        (TEXT[:-1], {}),
    ],
)
def test_a_table_is_read_as_declared(tmp_path: Path, text: str, options: dict[str, bool]) -> None:
    plain = file(tmp_path, text)
    packed = file(tmp_path, gzip.compress(text.encode()), "log.csv.gz")
    for path in (plain, packed):
        table = scan_table(path, COLUMNS, **options).collect()  # type: ignore[arg-type]
        assert table.schema == pl.Schema(COLUMNS)
        assert table.rows() == ROWS


def test_a_line_break_in_quotes_ends_no_record(tmp_path: Path) -> None:
    path = file(tmp_path, 'item,name,price\n1,x,2\n2,"y\nz",3\n')
    assert scan_table(path, COLUMNS).collect().rows() == [(1, "x", 2.0), (2, "y\nz", 3.0)]


def test_a_path_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "a[b]*?"
    folder.mkdir()
    assert scan_table(file(folder, TEXT), COLUMNS).collect().rows() == ROWS
    path = file(folder, '{"session": 3}\n', "log.jsonl")
    assert scan_json_lines(path, KEYS).collect().rows() == [(3, None)]


def test_without_quotes_they_are_text(tmp_path: Path) -> None:
    path = file(tmp_path, 'item,name,price\n1,"x,2.5\n')
    assert scan_table(path, COLUMNS, quote=None).collect().rows() == [(1, '"x', 2.5)]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "log.csv is empty"),
        ("x" * (1 << 20) + "x", "line 1: it is longer than 1,048,576 bytes"),
        ("item,name\n" + "1,x\n", "lacks price; it has item, name"),
        (
            f"item,{'x' * 5000}\n",
            f"line 1: the header lacks name, price; it has item, {'x' * 994}...",
        ),
        ('"item"\r,name\n1,x\n', "the header lacks item, price; it has '\"item\"\\r'"),
        ("item,name\n1,x\n", "line 1: the header lacks price; it has item, name"),
        ("item,name,price\n1,x,2.5\n2,y\n", "the last line: 2 cells, expected 3"),
        ("item,name,price\n1,x,2.5\n2,y,3,4\n", "line 3: 4 cells, expected 3: item, name, price"),
        ("item,name,price\n1,x,2.5\n2,y,dear\n", "line 3: price is 'dear'; it must be a number"),
        ("item,name,price\n1.5,x,2.5\n", "line 2: item is '1.5'; it must be a whole number"),
        ("item,name,price\n1,x\n2,y,3\n", "line 2: 2 cells, expected 3: item, name, price"),
        ("item,name,price\n1,x,\n\n2,y,3\n", "line 3: it is empty; delete it"),
        ("item,name,price\n1,x,2\n\n", "line 3: it is empty; delete it"),
        ('item,name,price\n1,"x\ny, z",2\n"2",y\n3,"",3\n', "line 4: 2 cells, expected 3"),
        ('item,name,price\n1,"x,2\ny",\n2\n3,"",3\n', "line 4: 1 cells, expected 3"),
        ('item,name,price\n1,x,2\n"', "the last line: its last quote is open; get it again"),
        ("item,name,price\n1,x,2\n2,y,3,", "the last line: 4 cells, expected 3: item, name, price"),
        (b"item,name,price\n1,x,2\n1,\xff,2\n", "line 3: byte 3 is 0xff, which is not UTF-8"),
        ('item,name,price\n1,"x,y",2,3\n', "line 2: 4 cells, expected 3: item, name, price"),
        (
            'item,name,price\n1,"x"y,2\n',
            """line 2: '1,"x"y,2\\n' has an open quote, or one inside""",
        ),
        (
            'item,name,price\n1,x"y,2\n2,z,3\n',
            """line 2: '1,x"y,2\\n2,z,3\\n' has an open quote, or""",
        ),
        ('item,name,price\n1,"x\ny",2\n2,z,dear\n', "line 4: price is 'dear'; it must be a number"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_sentence(
    tmp_path: Path, text: str | bytes, says: str
) -> None:
    assert says in fault(file(tmp_path, text))


def test_an_open_quote_at_the_end_is_told_in_an_archive_and_behind_a_long_cell(
    tmp_path: Path,
) -> None:
    text = f'item,name,price\n1,x,2\n2,{"y" * 100_000},"'
    says = "the last line: its last quote is open; get it again"
    for path in (file(tmp_path, text), file(tmp_path, gzip.compress(text.encode()), "log.csv.gz")):
        assert fault(path) == f"{path}, {says}"
        path.write_bytes(path.read_bytes()[:-20])
        assert says not in fault(path), "an archive or a line that is cut off elsewhere"


def test_cells_behind_an_open_quote_are_counted_in_few_attempts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt for every width that they might have took minutes."""
    attempts, read = list[int](), Delimited._text

    def noted(layout: Delimited, record: bytes, names: list[str]) -> pl.DataFrame:
        attempts.append(len(names))
        return read(layout, record, names)

    monkeypatch.setattr(Delimited, "_text", noted)
    lines = ["item,name,price", *(f"{number},x,1" for number in range(2 * FOLDED)), ""]
    lines[10] = '9,",1'
    assert ", line 11: '9,\",1\\n10,x,1\\n" in fault(file(tmp_path, "\n".join(lines)))
    assert max(attempts) > FOLDED
    assert len(attempts) < 30


def test_cells_may_be_missing_in_the_last_column(tmp_path: Path) -> None:
    text = 'item,name,price\n1,"x\n\ny, z",\n2,y,\n3,"",\n'
    assert scan_table(file(tmp_path, text), COLUMNS).collect()["price"].to_list() == [None] * 3


def test_names_from_a_file_are_told_in_one_line(tmp_path: Path) -> None:
    """A damaged Parquet file may name a column with a line break."""
    path = tmp_path / "log.parquet"
    pl.DataFrame({"item": [1], "na\nme": ["x"]}).write_parquet(path)
    with pytest.raises(DataError) as error:
        checked_parquet(path, ["item", "name"])
    assert str(error.value) == rf"{path} lacks the columns name; it has item, 'na\nme'"


def test_cells_are_counted_when_polars_has_read_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting calls polars, which waited for itself if it was called while it reads."""
    path, readers = file(tmp_path, 'item,name,price\n1,"x,y",2\n2,z,\n3,z,1\n'), list[Thread]()
    count = Scan.first_miscount

    def counted(scan: Scan) -> str | None:
        readers.append(current_thread())
        return count(scan)

    monkeypatch.setattr(Scan, "first_miscount", counted)
    with locate_read_errors("The log"):
        rows = scan_table(path, COLUMNS).collect()
        assert not readers
    assert rows["price"].to_list() == [2, None, 1]
    assert readers == [main_thread()]


def test_cells_are_counted_in_a_file_that_a_killed_process_read(tmp_path: Path) -> None:
    path = file(tmp_path, "item,name,price\n1,x,2\n2,y\n3,z,1\n")
    with (
        pytest.raises(DataError, match="line 3: 2 cells, expected 3"),
        locate_read_errors("The log"),
    ):
        scan_table(path, COLUMNS)


def test_a_short_line_is_told_where_its_columns_are_not_asked_for(tmp_path: Path) -> None:
    lines = ["item,name,price", *(f"{i},x,1" for i in range(10_000)), "7,y", "3,y,1"]
    path = file(tmp_path, "\n".join(lines))
    with (
        pytest.raises(DataError, match="line 10002: 2 cells, expected 3"),
        locate_read_errors("The log"),
    ):
        scan_table(path, COLUMNS).select("item").collect()


@pytest.mark.parametrize("more", [",9", ",", ",9,9"])
@pytest.mark.parametrize("asked", ["item", "price"])
def test_a_long_line_is_told_where_its_columns_are_not_asked_for(
    tmp_path: Path, more: str, asked: str
) -> None:
    lines = ["item,other,name,price", *(f"{i},o,x,1" for i in range(10_000)), f"7,o,y,{more}", ""]
    path, cells = file(tmp_path, "\n".join(lines)), 4 + more.count(",")
    with (
        pytest.raises(DataError, match=f"line 10002: {cells} cells, expected 4: item, other, name"),
        locate_read_errors("The log"),
    ):
        scan_table(path, COLUMNS).select(asked).collect()
    headless = file(tmp_path, "\n".join(lines[1:]), "headless.csv")
    columns = {"item": pl.Int64, "other": pl.String, "name": pl.String, "price": pl.Float64}
    with (
        pytest.raises(DataError, match=f"line 10001: {cells} cells, expected 4"),
        locate_read_errors("The log"),
    ):
        scan_table(headless, columns, header=False).select(asked).collect()


def test_a_fault_behind_records_of_several_lines_is_found_in_its_line(tmp_path: Path) -> None:
    lines = ["item,name,price", *(f'{i},"x\n,\n",1' for i in range(10_000)), "x,y,1"]
    path = file(tmp_path, "\n".join(lines))
    assert fault(path) == f"{path}, line 30002: item is 'x'; it must be a whole number"
    rules = {"prices are 1": pl.col("price") == 1}
    path = file(tmp_path, "\n".join([*lines[:-1], "3,y,2"]))
    assert fault(path, rules=rules) == f"{path}, line 30002: price is 2.0; prices are 1"


def test_a_type_that_ends_early_says_where(tmp_path: Path) -> None:
    path = file(tmp_path, "item,name,price\n1,x,300\n")
    says = "price is '300'; it must be a whole number from -128 to 127"
    with pytest.raises(DataError, match=says), locate_read_errors("The log"):
        scan_table(path, {**COLUMNS, "price": pl.Int8}).collect()


def test_a_fault_far_down_is_found(tmp_path: Path) -> None:
    lines = ["item,name,price", *(f"{i},x,1" for i in range(10_000)), "x,y,1", "3,y,1"]
    path = file(tmp_path, "\n".join(lines))
    assert fault(path) == f"{path}, line 10002: item is 'x'; it must be a whole number"


def test_a_truncated_archive_is_told(tmp_path: Path) -> None:
    lines = "item,name,price\n" + "".join(f"{i},{i * 7919},1\n" for i in range(50_000))
    whole = gzip.compress(lines.encode())
    assert "get it again" in fault(file(tmp_path, whole[: len(whole) // 2], "log.csv.gz"))
    assert "get it again" in fault(file(tmp_path, b"no archive", "log.csv.gz"))


@pytest.mark.parametrize("price", ["-1", ""])
def test_a_broken_rule_is_told_with_its_value(tmp_path: Path, price: str) -> None:
    path = file(tmp_path, f"item,name,price\n1,x,2.5\n2,y,{price}\n")
    rules = {"prices are not negative": pl.col("price") >= 0}
    value = float(price) if price else None
    assert fault(path, rules=rules) == (
        f"{path}, line 3: price is {value}; prices are not negative"
    )


def test_rules_that_hold_change_nothing(tmp_path: Path) -> None:
    rules = {"items are positive": pl.col("item") > 0, "names are short": pl.lit(value=True)}
    assert scan_table(file(tmp_path, TEXT), COLUMNS, rules=rules).collect().rows() == ROWS


def test_rules_hold_for_rows_that_are_left_out_later(tmp_path: Path) -> None:
    scan = {"rules": {"items are positive": pl.col("item") > 0}}
    path = file(tmp_path, TEXT.replace("2,,0.5", "-2,,0.5"))
    with pytest.raises(DataError, match="line 3: item is -2"), locate_read_errors("The log"):
        scan_table(path, COLUMNS, **scan).filter(pl.col("item") > 1).select("price").collect()


def test_an_error_that_no_file_explains_names_the_data(tmp_path: Path) -> None:
    path = file(tmp_path, TEXT)
    with (
        pytest.raises(DataError, match=r"^The log cannot be read: .*colour"),
        locate_read_errors("The log"),
    ):
        scan_table(path, COLUMNS).select("colour").collect()
    with pytest.raises(OSError, match="no space left"), locate_read_errors("The log"):
        raise OSError("no space left on device")


# --- JSON lines

KEYS = {"session": pl.Int64, "events": pl.List(pl.Struct({"item": pl.Int64}))}


def test_json_lines_are_read_as_declared(tmp_path: Path) -> None:
    text = '{"session": 1, "events": [{"item": 2, "more": 0}], "more": 0}\n{"session": 3}\n'
    plain = file(tmp_path, text, "log.jsonl")
    packed = file(tmp_path, gzip.compress(text.encode()), "log.jsonl.gz")
    for path in (plain, packed):
        assert scan_json_lines(path, KEYS).collect().rows() == [(1, [{"item": 2}]), (3, None)]


def test_a_byte_order_mark_is_read_over(tmp_path: Path) -> None:
    text = '\ufeff{"session": 1, "events": [{"item": 2, "more": 0}]}\n\n{"session": 3}\n'
    plain = file(tmp_path, text, "log.jsonl")
    packed = file(tmp_path, gzip.compress(text.encode()), "log.jsonl.gz")
    for path in (plain, packed):
        assert scan_json_lines(path, KEYS).collect().rows() == [(1, [{"item": 2}]), (3, None)]
    path = file(tmp_path, text + '{"session": "one"}\n', "log.jsonl")
    with pytest.raises(DataError, match=r"log\.jsonl, line 4: "), locate_read_errors("The log"):
        scan_json_lines(path, KEYS).collect()
    assert starts_with(plain, '{"session": 1')
    assert not starts_with(plain, "\ufeff")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"session": "one"}', "cannot parse 'one'.*the line must be an object with session, ev"),
        ('{"session": 1', "the line must be an object"),
        ("[1]", "the line must be an object"),
        (b'{"session": 1, "events": "\xff"}', "byte 27 is 0xff, which is not UTF-8"),
        ('{"session": -1}', "session is -1; sessions are positive"),
    ],
)
def test_what_is_wrong_with_json_is_one_sentence(
    tmp_path: Path, line: str | bytes, says: str
) -> None:
    line = line if isinstance(line, bytes) else line.encode()
    path = file(tmp_path, b'{"session": 1}\n' * 5000 + line + b"\n", "log.jsonl")
    rules = {"sessions are positive": pl.col("session") > 0}
    with pytest.raises(DataError) as error, locate_read_errors("The log"):
        scan_json_lines(path, KEYS, rules=rules).collect()
    assert re.fullmatch(f"{re.escape(str(path))}, line 5001: .*{says}.*", str(error.value))
