"""A group's own methods and datasets, in folders that ``plugins`` names, count as the project's."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml
from helpers.groups import DATASET, ENTRY, METHOD, method_file, written

from benchmark import bibliography, plugin_folders, registry
from benchmark.config import Params
from benchmark.errors import ConfigError, sentence
from benchmark.execution.code import code_of
from benchmark.registry import ROOT
from benchmark.training.method import Method

KNOWN = registry.names("methods")[0]


@pytest.fixture
def group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a method and a dataset, which is not added yet."""
    monkeypatch.setenv(plugin_folders.VARIABLE, "[]")
    return written(tmp_path / "group")


def read(folder: Path, *plugins: str | Path, **changes: object) -> Params:
    """Return the project's params with ``plugins`` in them."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | changes
    content["plugins"] = [str(plugin) for plugin in plugins]
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return Params.read(path)


def test_all_methods_include_those_of_a_group(group: Path, tmp_path: Path) -> None:
    assert METHOD not in registry.names("methods")
    params = read(tmp_path, group, methods="all")
    assert METHOD in params.methods
    assert KNOWN in params.methods
    assert registry.load("methods", METHOD, Method).citation == ENTRY.strip()
    assert DATASET in registry.names("datasets")


def test_the_key_of_a_groups_method_follows_its_own_file(group: Path, tmp_path: Path) -> None:
    read(tmp_path, group)
    own, other = code_of(METHOD), code_of(KNOWN)
    path = group / "methods" / f"{METHOD}.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n\nEDITED = 1\n", encoding="utf-8")
    assert code_of(METHOD) != own
    assert code_of(KNOWN) == other


def test_a_mistake_in_a_groups_file_is_reported_with_its_path(group: Path, tmp_path: Path) -> None:
    read(tmp_path, group)
    path = group / "methods" / f"{METHOD}.py"
    path.write_text("import nothing_of_that_name\n", encoding="utf-8")
    with pytest.raises(registry.PluginError, match=f"^{path}, line 1: ModuleNotFoundError: "):
        registry.load("methods", METHOD, Method)
    path.write_text(method_file(key="nowhere2026"), encoding="utf-8")
    with pytest.raises(LookupError, match=f"^'?{path} cites 'nowhere2026', which is not in "):
        _ = registry.load("methods", METHOD, Method).citation
    text = f"{method_file()}\n\ndef fail() -> None:\n    {{}}['x']\n"
    path.write_text(text, encoding="utf-8")
    registry.load("methods", METHOD, Method)
    with pytest.raises(KeyError) as error:
        sys.modules[f"benchmark_plugins.methods.{METHOD}"].fail()
    assert sentence(error.value) == f"KeyError: x ({path}, line {len(text.splitlines())}, in fail)"


def test_an_entry_of_the_project_is_not_replaced(group: Path, tmp_path: Path) -> None:
    key, entry = next(iter(bibliography.known("methods").items()))
    text = f"{ENTRY}\n@misc{{{key}, title = {{Another}}}}\n"
    (group / "methods" / "references.bib").write_text(text, encoding="utf-8")
    read(tmp_path, group)
    assert bibliography.known("methods")[key] == entry
    assert "group2026own" in bibliography.known("methods")


def told(tmp_path: Path, *plugins: str | Path) -> str:
    with pytest.raises(ConfigError) as error:
        read(tmp_path, *plugins)
    (only,) = error.value.sentences
    return only


def test_a_folder_that_is_not_there_is_reported(group: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for missing in (tmp_path / "nowhere", tmp_path / "empty"):
        text = told(tmp_path, group, missing)
        assert "plugins[1] is " in text
        assert text.endswith("; it must be a folder with methods/ or datasets/ in it")


def test_a_name_that_hides_another_one_is_reported(group: Path, tmp_path: Path) -> None:
    (group / "methods" / f"{KNOWN}.py").write_text(method_file(), encoding="utf-8")
    text = told(tmp_path, group)
    hidden = ROOT / "methods" / f"{KNOWN}.py"
    assert text.endswith(f"; its methods/{KNOWN}.py would hide {hidden}; rename it")
    (group / "methods" / f"{KNOWN}.py").unlink()
    second = written(tmp_path / "second")
    hidden = group / "methods" / f"{METHOD}.py"
    assert told(tmp_path, group, second).endswith(f"would hide {hidden}; rename it")
    read(tmp_path, group, group / ".." / "group")  # the same folder twice hides nothing
