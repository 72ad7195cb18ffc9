"""Mistakes that people make in ``params.yaml``, drawn at random, and what must come of each.

``helpers.soak --configs 5000`` tries many of them.
"""

from __future__ import annotations

import random
import re
import string
import warnings
from collections.abc import Callable
from pathlib import Path

from benchmark.configuration.names import check_names
from benchmark.errors import ConfigError
from benchmark.execution.limits import TimeLimitError, time_limit
from benchmark.studies import StudyParams

WHOLE = (Path(__file__).resolve().parents[2] / "params.yaml").read_text(encoding="utf-8")
VALUES = (
    *("", "~", "null", "yes", "no", "on", "off", "true", "0", "-1", "1.5", "1e-3", "1e400", ".inf"),
    *("-.inf", ".nan", "12:30", "017", "0x1F", "1_000", "99999999999999999999", "2026-01-01"),
    *("''", "' '", "abc", "../x", "naive", "[]", "{}", "[1]", "[[1]]", "{a: 1}", "[a, a]", "*x"),
    *(
        "&x 3",
        "!!int 3",
        "!cuda 3",
        "!!python/name:os.system",
        "'1'",
        '"\\x00"',
        "é",
        "a: b",
        "- 1",
    ),
    *("|", ">", "# 3", "3 # x", "'unclosed", "[1, 2", "{a: 1", "@x", "`x", "%x", "\t3", "3 4"),
    f"[{', '.join(['1'] * 500)}]",
    "x" * 2000,
    "[" * 200 + "]" * 200,
)
ENTRY = r"([\w]+): ([^,{}\[\]#\n]+)"
ONE_LINE = 1000  # characters of a sentence, with a value of 60 and a list of all known names
PATIENCE = 60.0  # seconds: only what hangs takes as long, on however busy a machine

Mutation = Callable[[str, random.Random], str]


def _replaced(
    text: str, draw: random.Random, pattern: str, by: Callable[[str], str], group: int = 0
) -> str:
    """Replace what one match of a pattern, or a group of it, is."""
    if not (matches := list(re.finditer(pattern, text))):
        return text
    found = draw.choice(matches)
    return text[: found.start(group)] + by(found.group(group)) + text[found.end(group) :]


def other_value(text: str, draw: random.Random) -> str:
    """Replace the value of a key."""
    return _replaced(text, draw, ENTRY, lambda _: draw.choice(VALUES), 2)


def other_key(text: str, draw: random.Random) -> str:
    """Misspell a key: a letter less, more, or another one."""

    def misspelled(key: str) -> str:
        at = draw.randrange(len(key))
        letter = draw.choice(["", draw.choice(string.ascii_letters), key[at] * 2])
        return key[:at] + letter + key[at + 1 :]

    return _replaced(text, draw, r"\w+(?=:)", misspelled)


def other_item(text: str, draw: random.Random) -> str:
    """Replace an item of a list."""
    items = r"(?<=- )\S+|(?<=\[)[^\[\]\n]+(?=\])"
    return _replaced(text, draw, items, lambda _: draw.choice(VALUES))


def without_line(text: str, draw: random.Random) -> str:
    """Delete a line."""
    lines = text.splitlines() or [""]
    del lines[draw.randrange(len(lines))]
    return "\n".join(lines)


def line_again(text: str, draw: random.Random) -> str:
    """Repeat a line, there or elsewhere."""
    lines = text.splitlines() or [""]
    lines.insert(draw.randrange(len(lines)), draw.choice(lines))
    return "\n".join(lines)


def other_indent(text: str, draw: random.Random) -> str:
    """Indent a line by more or less, by tabs perhaps."""
    lines = text.splitlines() or [""]
    at = draw.randrange(len(lines))
    lines[at] = draw.choice(["", " ", "  ", "   ", "\t"]) + lines[at].lstrip()
    return "\n".join(lines)


def other_character(text: str, draw: random.Random) -> str:
    """Replace a character, by one with a meaning in YAML or by a control character."""
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice(":-?,[]{}#&*!|>'\"%@`\x00\x07\x85\ufeff\ufffd ") + text[at + 1 :]


def cut(text: str, draw: random.Random) -> str:
    """Cut the end off."""
    return text[: draw.randrange(len(text) + 1)]


def swapped(text: str, draw: random.Random) -> str:
    """Exchange two lines."""
    lines = text.splitlines() or [""]
    a, b = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[a], lines[b] = lines[b], lines[a]
    return "\n".join(lines)


def bomb(text: str, draw: random.Random) -> str:
    """Add anchors that multiply, or that hold themselves."""
    levels = draw.randrange(1, 30)
    wide = draw.randrange(1, 12)
    own = ["x0: &x0 [1]"]
    own += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * wide)}]" for n in range(1, levels)]
    return text + "\n" + draw.choice(["\n".join(own), "x: &x [*x]", "x: &x {x: *x}"])


KINDS: tuple[Mutation, ...] = (
    *(other_value,) * 4,
    *(other_key,) * 2,
    *(other_item,) * 2,
    *(without_line, line_again, other_indent, other_character, cut, swapped, bomb),
)


def mutated(seed: int) -> tuple[str, str]:
    """Return the name of a mutation of ``params.yaml``, and its text."""
    draw = random.Random(seed)
    kind = draw.choice(KINDS)
    text = kind(WHOLE, draw)
    for _ in range(draw.randrange(3)):
        text = draw.choice(KINDS)(text, draw)
    return kind.__name__, text


def outcome(text: str, file: Path) -> tuple[str, str]:
    """Return how a text is answered, and what is wrong with the answer, if anything is."""
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        with time_limit(PATIENCE), warnings.catch_warnings():
            warnings.simplefilter("error")
            params = StudyParams.read(file)
            check_names(params)
    except ConfigError as error:
        wrong = [said for one in error.sentences if (said := _fault(one, file))]
        return "refused", "; ".join(wrong)
    except TimeLimitError:
        return "hung", f"no answer within {PATIENCE:g} seconds"
    except Exception as error:  # noqa: BLE001 (what it must not be)
        return "traceback", f"{type(error).__name__}: {error}"
    return "accepted", _senseless(params)


def _fault(sentence: str, file: Path) -> str:
    if any(letter in sentence for letter in "\n\r\x00"):
        return f"more than one line: {sentence!r}"
    if "http" in sentence or "pydantic" in sentence or "Traceback" in sentence:
        return f"not for people: {sentence}"
    if len(sentence) > ONE_LINE:
        return f"{len(sentence)} characters"
    return "" if sentence.startswith(str(file)) else f"no file: {sentence}"


def _senseless(params: StudyParams) -> str:
    """Return what has no meaning in params that were accepted."""
    protocol = params.protocol
    rates = (protocol.learning_rate, protocol.weight_decay)
    meanings = {
        "confidence": 0 < params.leaderboard.confidence < 1,
        "ranges": all(0 < rate.low < rate.high for rate in rates),
        "defaults": not protocol.tuning.trials
        or all(rate.low <= rate.default <= rate.high for rate in rates),
        "methods": len(set(params.methods)) == len(params.methods) > 0,
        "datasets": len(set(params.datasets)) == len(params.datasets) > 0,
        "columns": len(set(params.leaderboard.columns)) == len(params.leaderboard.columns) > 0,
        "replicates": params.replicates > 0,
        "epochs": type(protocol.max_epochs) is int and protocol.max_epochs > 0,
    }
    return ", ".join(name for name, holds in meanings.items() if not holds)
