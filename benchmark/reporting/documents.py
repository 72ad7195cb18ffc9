"""Reports in Markdown as HTML: a page of their own, or a section of another page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from benchmark.files import write_text
from benchmark.reporting.page import Picture, environment, picture
from benchmark.reporting.site import Link

WIDE = '<div class="wide" tabindex="0" role="region" aria-label="Table {}">'


def html(text: str, deeper: int = 0) -> Markup:
    """Return Markdown as HTML, with headings ``deeper`` levels below their own.

    Tables scroll by themselves where the screen is narrow.
    """
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = reader.parse(text)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{int(token.tag[1]) + deeper}"
    rendered = reader.renderer.render(tokens, reader.options, {})
    first, *others = rendered.split("<table>")
    wide = [f"{WIDE.format(number)}<table>{part}" for number, part in enumerate(others, 1)]
    return Markup("".join([first, *wide]).replace("</table>", "</table></div>"))


def write(source: Path, pictures: Mapping[Path, str], others: Sequence[Link]) -> None:
    """Write ``index.html`` beside a report in Markdown, whose first line is its title.

    ``pictures`` are captions by SVG file, ``others`` further pages.
    """
    head, _, body = source.read_text(encoding="utf-8").partition("\n")
    text = (
        environment()
        .get_template("text.html.j2")
        .render(
            title=re.sub(r"^#\s*", "", head),
            body=html(body),
            pictures=list(_pictures(pictures, source.parent)),
            others=others,
        )
    )
    write_text(source.with_name("index.html"), text)


def _pictures(pictures: Mapping[Path, str], folder: Path) -> Iterable[Picture]:
    return (picture("text", path, caption, folder) for path, caption in pictures.items())
