"""Figures as SVG with text as text, and as PDF: the same bytes for the same figure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure

from benchmark.files import replacing
from benchmark.reporting.palette import STYLE

UNDATED = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def save(figures: Iterable[tuple[str, Figure]], folder: Path, salt: str) -> list[Path]:
    """Write named figures, which are drawn in the house style if they are drawn when asked for.

    Each is written as SVG, whose paths are returned, and beside it as PDF, for papers. ``salt``
    sets the ids within the files apart from those of other pictures.
    """
    paths = []
    with style.context(["default", STYLE, {"svg.hashsalt": salt}]):
        for name, figure in figures:
            paths.append(folder / f"{name}.svg")
            for kind, metadata in UNDATED.items():
                with replacing(paths[-1].with_suffix(f".{kind}")) as temporary:
                    figure.savefig(temporary, format=kind, metadata=metadata)
                figure.set_layout_engine("none")  # found once, it serves every format
    return paths


def clean(folder: Path, written: Iterable[Path]) -> None:
    """Delete the other pictures in a folder, which are of older tables."""
    kept = {path.with_suffix("") for path in written}
    for path in [*folder.rglob("*.svg"), *folder.rglob("*.pdf")]:
        if path.with_suffix("") not in kept:
            path.unlink()
