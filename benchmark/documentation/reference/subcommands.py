"""The reference of the command line, made from its parser."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from benchmark.documentation.reference.markdown import cell, generated, rows

HEAD = """\
# Subcommands

Call every subcommand in the project root, as in `python -m benchmark run`. A mistake in the input
ends the call with one sentence and exit status 1, an interruption with status 130.
"""


def markdown(parser: argparse.ArgumentParser) -> str:
    """Return the page: one section per subcommand of the parser, in the parser's order."""
    sections = [_section(name, subparser) for name, subparser in subcommands(parser).items()]
    return generated(__name__) + HEAD + "".join(sections)


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every subcommand, by name."""
    actions = parser._actions
    return next(dict(a.choices) for a in actions if isinstance(a, argparse._SubParsersAction))


def arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Yield the spelling and the help of every argument but ``--help``."""
    for action in parser._actions:
        if not isinstance(action, argparse._HelpAction):
            yield _spelling(action), action.help or ""


def _section(name: str, parser: argparse.ArgumentParser) -> str:
    known = list(arguments(parser))
    usage = " ".join(filter(None, [parser.prog, *map(_in_usage, parser._actions)]))
    parts = [f"\n## {name}\n", f"{parser.description}\n", f"```sh\n{usage}\n```"]
    if known:
        listed = ((f"`{spelling}`", cell(about)) for spelling, about in known)
        parts.append(f"\n{rows(('argument', 'meaning'), listed)}")
    return "\n".join(parts).rstrip("\n") + "\n"


def _spelling(action: argparse.Action) -> str:
    """Return how an argument is typed, such as ``--study STUDY``."""
    value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    if not action.option_strings:
        return value
    option = action.option_strings[-1]
    return option if action.nargs == 0 else f"{option} {value}"


def _in_usage(action: argparse.Action) -> str:
    if isinstance(action, argparse._HelpAction):
        return ""
    needed = action.required and action.nargs not in ("?", "*")
    return _spelling(action) if needed else f"[{_spelling(action)}]"
