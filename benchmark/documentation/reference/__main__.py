"""Write all reference pages: ``python -m benchmark.documentation.reference``."""

from __future__ import annotations

from benchmark.documentation.reference.pages import FOLDER, pages
from benchmark.files import write_text

if __name__ == "__main__":
    for name, text in pages().items():
        write_text(FOLDER / name, text)
