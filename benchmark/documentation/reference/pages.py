"""All reference pages by file name."""

from __future__ import annotations

from benchmark.cli import parser
from benchmark.documentation.reference import configuration, metrics, subcommands
from benchmark.registry import ROOT
from benchmark.studies import StudyParams

FOLDER = ROOT / "docs" / "reference"


def pages() -> dict[str, str]:
    """Return the text of every page as the code has it today."""
    return {
        "configuration.md": configuration.markdown(StudyParams),
        "metrics.md": metrics.markdown(),
        "subcommands.md": subcommands.markdown(parser()),
    }
