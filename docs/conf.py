"""Settings of the documentation site that ``make docs`` builds with Sphinx."""

from __future__ import annotations

import gc
import re
import shutil
import sys
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
gc.set_threshold(100_000)  # what is read stays until the end: looking for garbage takes a fifth

from benchmark.documentation.method_pages import pages  # noqa: E402 (found by the path above)

project = "CVR debiasing benchmark"
author = "The CVR Debiasing Benchmark authors"
project_copyright = f"2026, {author}"
html_title = project
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

nb_execution_mode = "force"  # no output is stored that could contradict the code
nb_execution_show_tb = True  # a cell that fails is a warning, with which no build succeeds
nb_execution_timeout = 900  # seconds for a cell; one trains
nb_merge_streams = True

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_use_type_comments = False
autodoc_mock_imports = ["lightgbm"]  # it takes seconds to import, and no signature needs it
autodoc_type_aliases = {"Array": "Array", "Integers": "Integers"}
autodoc_default_options = {"exclude-members": "model_config"}
python_maximum_signature_line_length = 88

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"

# The parts of the API reference: title and modules. The files found today make up the pages.
API = {
    "interfaces": (
        "Plugins and configuration",
        [
            "benchmark/method.py",
            "benchmark/dataset.py",
            "benchmark/data/dataset.py",
            "benchmark/schema.py",
            "benchmark/config.py",
            "benchmark/studies.py",
        ],
    ),
    "training": ("Training", ["benchmark/training/**/*.py"]),
    "metrics": ("Metrics", ["benchmark/metrics/*.py"]),
}


def _write_api(app: Sphinx) -> None:
    """Write one page per part of the API, with a section per module."""
    folder = Path(app.srcdir) / "reference" / "api"
    folder.mkdir(exist_ok=True)
    for name, (title, globs) in API.items():
        files = [file for glob in globs for file in sorted(ROOT.glob(glob))]
        modules = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files]
        sections = [_api_section(module) for module in modules if "__" not in module]
        text = "\n".join([title, "=" * len(title), "", *sections])
        (folder / f"{name}.rst").write_text(text, encoding="utf-8")


def _api_section(module: str) -> str:
    name = module.removeprefix("methods.")
    lines = (name, "-" * len(name), "", f".. automodule:: {module}", "   :members:")
    return "\n".join((*lines, "   :show-inheritance:", ""))


def _write_methods(app: Sphinx) -> None:
    """Write one page per method, with its rows in the published tables."""
    folder = Path(app.srcdir) / "methods"
    folder.mkdir(exist_ok=True)
    for name, text in pages(ROOT / "results").items():
        (folder / f"{name}.rst").write_text(text, encoding="utf-8")


def _copy_results(app: Sphinx) -> None:
    """Bring the published results, without the record of every fit, into the site's sources.

    They are copied as they are into the site too, since their pages link to each other and to the
    files of methods.
    """
    for folder in (Path(app.srcdir), Path(app.outdir)):
        shutil.rmtree(folder / "results", ignore_errors=True)
        ignored = shutil.ignore_patterns("runs")
        shutil.copytree(ROOT / "results", folder / "results", ignore=ignored)
    others = shutil.ignore_patterns("__pycache__", "*.bib", "*.yaml")
    shutil.copytree(
        ROOT / "methods", Path(app.outdir) / "methods", ignore=others, dirs_exist_ok=True
    )


def _read(_app: Sphinx, page: str, source: list[str]) -> None:
    """Adapt what is written for GitHub: inline formulas, and links to the published results."""
    text = re.sub(r"\$`([^`]+)`\$", r"$\1$", source[0])
    text = re.sub(r"\]\((?:\.\./)+results/", "](/results/", text)
    if page.startswith("results/"):
        text = re.sub(r"\[([^]]+)\]\(([^)]+\.html)\)", r'<a href="\2">\1</a>', text)
        text = f"---\norphan: true\n---\n{text}"
    if page == "methods":
        text = re.sub(r"^## (\w+)$", r"## [\1](methods/\1.rst)", text, flags=re.MULTILINE)
    if page in ("methods", "datasets"):
        text = f"{text}\n```{{toctree}}\n:hidden:\n:glob:\n\n{page}/*\n```\n"
    source[0] = text


def _depend_on_code(app: Sphinx, page: str, _source: list[str]) -> None:
    """Execute the notebook anew when code has changed that it runs."""
    if page == "tutorial-notebook":
        for folder in ("benchmark", "methods", "datasets"):
            for path in (ROOT / folder).rglob("*.py"):
                app.env.note_dependency(str(path))


def _write_formula(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML, which browsers render without a script or a network."""
    block = isinstance(node, nodes.math_block)
    try:
        mathml = convert(node.astext(), display="block" if block else "inline")
    except Exception as error:  # noqa: BLE001
        logging.getLogger(__name__).warning("formula: %r", error, location=node)
        mathml = self.encode(node.astext())
    self.body.append(f'<div class="math">{mathml}</div>' if block else mathml)
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register what Sphinx lacks."""
    app.add_html_math_renderer("mathml", (_write_formula, None), (_write_formula, None))
    app.connect("builder-inited", _write_api)
    app.connect("builder-inited", _write_methods)
    app.connect("builder-inited", _copy_results)
    app.connect("source-read", _read)
    app.connect("source-read", _depend_on_code)
