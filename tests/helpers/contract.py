"""The contract of ``methods/`` in sentences: each says what in a file is wrong, and what to do."""

from __future__ import annotations

import ast
import difflib
import functools
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from benchmark import registry
from benchmark.training.batch import Batch
from benchmark.training.method import Method

Test = Callable[..., None]

LABELS = frozenset(Batch.__dataclass_fields__) - {"features"} | {"clicked"}


def kind(name: str) -> type[Method]:
    """Return the class of a method's file."""
    return _load(registry.ROOT, name)


@functools.lru_cache(maxsize=256)
def _load(_: Path, name: str) -> type[Method]:
    return registry.load("methods", name, Method)


def is_fitted_by_steps(name: str) -> bool:
    """Tell whether a method descends gradients, as far as its file can be loaded."""
    try:
        return kind(name).fit is None
    except Exception:  # noqa: BLE001 (the tests of the file say what is wrong)
        return True


def every(names: list[str]) -> Callable[[Test], Test]:
    """Run a test for every name; what goes wrong in a method's file fails it in one sentence."""

    def decorate(test: Test) -> Test:
        @functools.wraps(test)
        def told(**arguments: Any) -> None:
            sentence = None
            try:
                test(**arguments)
            except Exception as error:  # noqa: BLE001 (whatever a new file raises)
                sentence = explain(error, arguments["name"], test)
            if sentence:
                pytest.fail(sentence, pytrace=False)

        return pytest.mark.parametrize("name", names)(told)

    return decorate


def name_of(method: Method) -> str:
    """Return the name of a method's file."""
    return type(method).__module__.rpartition(".")[2]


def require(condition: object, name: str, sentence: str, at: str = "") -> None:
    """Fail with the file, the line of an attribute of its class, and the sentence."""
    if not condition:
        reject(name, sentence, at)


def reject(name: str, sentence: str, at: str = "") -> NoReturn:
    """Fail with the file, the line of an attribute of its class, and the sentence."""
    pytest.fail(f"{_place(name, at)}: {sentence}", pytrace=False)


def explain(error: Exception, name: str, test: Test) -> str:
    """Return in one sentence what is wrong with a method's file, which failed a test."""
    broken = test.__name__.removeprefix("test_").replace("_", " ")
    general = f"{_place(name, '')}: it does not hold that {broken}: {_first_line(error)}"
    return _unusable(error, name) or _raised(error, name) or general


def _unusable(error: Exception, name: str) -> str | None:
    """Return why the class cannot be loaded or made, None if it can."""
    file, text = f"methods/{name}.py", str(error.args[0] if error.args else "")
    if isinstance(error, registry.PluginError):
        return text
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{file}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    if isinstance(error, LookupError) and "must define exactly one" in text:
        return f"{file} {text.partition('.py ')[2]}; keep the others in files of their own"
    if isinstance(error, TypeError) and "abstract" in text:
        return f"{_place(name, '')}: {text}; define it"
    return None


def _raised(error: Exception, name: str) -> str | None:
    """Return which line raised what, None if no line of the file did."""
    source = str(registry.path_of("methods", name))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == source]
    if not frames:
        return None
    where, function = f"methods/{name}.py, line {frames[-1].lineno}", frames[-1].name
    text = _first_line(error)
    label = text.removeprefix("'Features' object has no attribute ").strip("'")
    if isinstance(error, AttributeError) and label in LABELS:
        return (
            f"{where}: {function} reads the label {label!r} of its features; predict from "
            "features alone, and use labels in loss"
        )
    lacking = re.fullmatch(rf"'{kind(name).__name__}' object has no attribute '(\w+)'", text)
    if isinstance(error, AttributeError) and lacking:
        close = difflib.get_close_matches(lacking[1], kind(name).search_space, 1)
        hint = f"write {close[0]!r} if you mean that, or " if close else ""
        return (
            f"{where}: {function} reads {lacking[1]!r}, which the method does not have; {hint}make "
            "it in build, which calls super().build(blueprint)"
        )
    used = next((name for name in ("Probability", "Prediction", "Batch") if repr(name) in text), "")
    hint = f"docs/how-to/method.md lists what a {used} offers" if used else "mend this line"
    return f"{where}: {function} raises {type(error).__name__}: {text}; {hint}"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def line_of(name: str, attribute: str) -> int | None:
    """Return the line in the body of the class that sets an attribute, None if none does."""
    for node in _class(name).body:
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        names = [getattr(node, "name", None), *(getattr(target, "id", None) for target in targets)]
        if attribute in names:
            return node.lineno
    return None


def _place(name: str, attribute: str) -> str:
    """Return the file and the line of an attribute of the class, or of the class itself."""
    try:
        line = line_of(name, attribute) or _class(name).lineno
    except Exception:  # noqa: BLE001 (there is no class to look at)
        return f"methods/{name}.py"
    return f"methods/{name}.py, line {line}"


def _class(name: str) -> ast.ClassDef:
    """Return the class of a method in the syntax tree of its file."""
    return _parsed(registry.path_of("methods", name), kind(name).__name__)


@functools.lru_cache(maxsize=256)
def _parsed(path: Path, title: str) -> ast.ClassDef:
    tree = ast.parse(path.read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return next(node for node in classes if node.name == title)
