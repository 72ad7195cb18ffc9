"""Figures as SVG files with text as text: the same bytes for the same figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from benchmark.files import replacing
from benchmark.reporting.palette import STYLE


def save(figures: Iterable[tuple[str, Figure]], folder: Path, salt: str) -> list[Path]:
    """Write named figures, which are drawn in the house style if they are drawn when asked for.

    ``salt`` sets the ids within the files apart from those of other pictures.
    """
    paths = []
    with style.context(["default", STYLE, {"svg.hashsalt": salt}]):
        for name, figure in figures:
            path = folder / f"{name}.svg"
            with replacing(path) as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})
            paths.append(path)
    return paths


def clean(folder: Path, written: Iterable[Path]) -> None:
    """Delete the other pictures in a folder, which are of older tables."""
    for stale in set(folder.rglob("*.svg")) - set(written):
        stale.unlink()
