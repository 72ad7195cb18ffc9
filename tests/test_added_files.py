"""A method, datasets and a group's own files, added as the docs say, pass every test.

They do before a line of them is written, in one copy of the project and one process, since copying,
importing and collecting are most of the time.
"""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from helpers import groups
from helpers.projects import add_and_test, copy_project, name_in_params, python

from benchmark import bibliography
from benchmark.data.dataset import Dataset

METHOD = "fresh_start_2"
PARTS = (
    "benchmark", "datasets", "methods", "studies", "tests", "docs", "params.yaml", "pyproject.toml",
)  # fmt: skip
KEPT = ("oracle_funnel", "coat", "jd_micro")  # the last two are imported by tests of all
TESTS = (
    "test_method_files", "test_catalogue", "test_methods", "test_optimizer", "test_device",
    "test_datasets", "test_data_cards",
)  # fmt: skip
OF_FOLDER = ("TestFolder", "test_catalogue")  # they concern all methods together
ASSIGNED = {"worded_shop": ["--column", "user=Besucher"]}
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
def added(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the project with all of them, whose tests pass, and what was printed."""
    folder = tmp_path_factory.mktemp("added")
    groups.written(folder / "group")
    project = folder / "project"
    project.mkdir()
    copy_project(project, PARTS)
    for part in ("datasets", "tests/helpers/layouts"):
        for path in (project / part).glob("*.py"):
            if path.stem not in KEPT:
                path.unlink()  # so that nothing of theirs is drawn or read
    name_in_params(project, "methods", METHOD, groups.METHOD)
    name_in_params(project, "datasets", *FILES)
    params = project / "params.yaml"
    text = params.read_text(encoding="utf-8")
    params.write_text(f"plugins: [../group]\n{text}", encoding="utf-8")
    made = [step_for(project, name) for name in FILES]
    steps = [["new-method", METHOD], *made, ["methods"], ["cards"]]
    words = (METHOD, groups.METHOD, groups.DATASET, *FILES, *OF_FOLDER)
    return project, add_and_test(project, steps, TESTS, *words)


def step_for(project: Path, name: str) -> list[str]:
    """Write the file of a dataset and return the subcommand that makes an adapter from it."""
    file, text = FILES[name]
    given = project / "data" / "manual" / name / file
    given.parent.mkdir(parents=True)
    given.write_text(text, encoding="utf-8")
    return ["new-dataset", name, str(given), *ASSIGNED.get(name, ())]


def test_new_files_are_clean(added: tuple[Path, str]) -> None:
    places = ("datasets", "tests/helpers/layouts")
    paths = [f"methods/{METHOD}.py", *(f"{place}/{name}.py" for place in places for name in FILES)]
    python(added[0], "ruff", "check", "--no-cache", *paths)
    python(added[0], "ruff", "format", "--no-cache", "--check", *paths)


def test_all_are_listed_in_the_documentation(added: tuple[Path, str]) -> None:
    project, printed = added
    assert "\nwrote docs/methods.md\n" in printed
    text = (project / "docs" / "methods.md").read_text(encoding="utf-8")
    assert f"\n## {METHOD}\n" in text
    assert f"\n## {groups.METHOD}\n" in text
    for name in (groups.DATASET, *FILES):
        assert (project / "docs" / "datasets" / f"{name}.md").is_file()


# --- a method


def test_the_new_method_says_what_to_write(added: tuple[Path, str]) -> None:
    project, printed = added
    path = f"methods/{METHOD}.py"
    assert f"wrote {path}" in printed
    text = (project / path).read_text(encoding="utf-8")
    assert "class FreshStart2(CtrCvr):" in text
    assert 'name = "Fresh start 2"' in text
    assert len(text.splitlines()) <= 30
    assert text.count("TODO") == 4
    assert "$" not in text
    assert (project / "methods" / "references.bib").read_text("utf-8").count("{TODO") == 2


def test_a_new_method_may_cite_a_paper_that_is_known(added: tuple[Path, str]) -> None:
    project, key = added[0], next(iter(bibliography.known("methods")))
    before = (project / "methods" / "references.bib").read_text("utf-8")
    python(project, "benchmark", "new-method", "second_start", "--cite", key)
    text = (project / "methods" / "second_start.py").read_text("utf-8")
    assert f'cite = "{key}"' in text
    assert (project / "methods" / "references.bib").read_text("utf-8") == before


# --- datasets


def test_new_adapters_read_the_file_itself(added: tuple[Path, str]) -> None:
    rows = {"numbered_shop": [("a", 1, 0), ("b", 0, None)]}
    rows["worded_shop"] = [("9", 0, None), ("9", 1, 0)]
    rows["bare_shop"] = [("1", 1, 1), ("2", 0, None)]
    for name in FILES:
        found = runpy.run_path(str(added[0] / "datasets" / f"{name}.py"), run_name=name)
        kinds = [one for one in found.values() if isinstance(one, type) and one.__module__ == name]
        (kind,) = (one for one in kinds if issubclass(one, Dataset))
        table = kind().table(added[0] / "data" / "manual" / name).sort("item_id", "click")
        assert table.select("item_id", "click", "conversion").collect().rows() == rows[name]


def test_what_could_not_be_matched_is_listed(added: tuple[Path, str]) -> None:
    project, printed = added
    said = dict(zip(FILES, printed.split("wrote datasets/")[1:], strict=True))
    first, bare = said["numbered_shop"], said["bare_shop"]
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
    assert "matched: Besucher is the user" in said["worded_shop"]
    assert "split: by time" in first
    assert "split: rows at random, as no column is the time" in bare
    adapter = (project / "datasets" / "numbered_shop.py").read_text(encoding="utf-8")
    todo = "# TODO add to TYPES, table and features what is known before the click:"
    assert f"    {todo}\n    # - price, as numeric\n    # - Device, as categorical\n" in adapter
