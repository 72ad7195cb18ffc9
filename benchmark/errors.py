"""Errors in words: a sentence for the project's own, the author's line for all others."""

from __future__ import annotations

import difflib
import dis
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmark.plugin_folders import KINDS, added

ROOT = Path(__file__).resolve().parent.parent
RAISE = dis.opmap["RAISE_VARARGS"]


class BenchmarkError(Exception):
    """An error of the project's own: its message is a whole sentence for the person who runs it."""


class ConfigError(BenchmarkError, ValueError):
    """Mistakes in a configuration file, one sentence each: file, line, key, value, what is allowed.

    As text it is the first sentence, with the number of the others.
    """

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__(sentences)
        self.sentences = tuple(sentences)

    def __str__(self) -> str:
        first, *others = self.sentences
        more = f" (and {len(others)} more: `python -m benchmark check` lists all)"
        return first + more * bool(others)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: the closest one that exists, or all."""
    folded = {candidate.casefold(): candidate for candidate in known}
    if close := difflib.get_close_matches(name.casefold(), folded, 1):
        return f"did you mean {folded[close[0]]!r}?"
    return f"known: {', '.join(folded.values()) or 'none'}"


def sentence(error: BaseException) -> str:
    """Return the message of an error for a user, in one line.

    An error that the project raises has its own message. Any other one is a mistake in the code:
    its kind and message are followed by the last line of a method or an adapter that led to it.
    """
    if notes := getattr(error, "__notes__", ()):
        return " ".join(notes[-1].split())
    message = error.args[0] if isinstance(error, LookupError) and error.args else error
    text = " ".join(str(message).split())
    if _is_own(error):
        return text or type(error).__name__
    location = _location(error)
    return f"{type(error).__name__}: {text or 'without a message'}" + (
        f" ({location})" if location else ""
    )


def locate(error: BaseException) -> None:
    """Keep the sentence of an error with it: its traceback does not travel between processes."""
    if not getattr(error, "__notes__", ()):
        error.add_note(sentence(error))


def _is_own(error: BaseException) -> bool:
    """Tell whether the project raised an error by a statement of its own, outside of methods/."""
    if isinstance(error, BenchmarkError | OSError):
        return True
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return True
    frame, _ = frames[-1]
    path = Path(frame.f_code.co_filename)
    if not path.is_relative_to(ROOT) or _is_in(path, "methods"):
        return False
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and frame.f_code.co_code[last.tb_lasti] == RAISE


def _location(error: BaseException) -> str:
    """Return file, line and function of the last frame in a plugin, or else in the project."""
    frames = [
        (path, frame)
        for frame in traceback.extract_tb(error.__traceback__)
        if (path := Path(frame.filename)).is_relative_to(ROOT) or _is_in(path, *KINDS)
    ]
    plugins = [pair for pair in frames if _is_in(pair[0], *KINDS)]
    if not (candidates := plugins or frames):
        return ""
    path, frame = candidates[-1]
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    return f"{shown.as_posix()}, line {frame.lineno}, in {frame.name}"


def _is_in(path: Path, *kinds: str) -> bool:
    """Tell whether a file is a plugin of one of the kinds."""
    roots = (ROOT, ROOT / "benchmark", *added())  # the second one holds those of a wheel
    places = (root / kind for root in roots for kind in kinds)
    return any(path.is_relative_to(place) for place in places)
