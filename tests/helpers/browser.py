"""Headless Chromium, if there is any: what a page does when a script acts as its reader."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = Path(__file__).parents[1] / "vendor/axe-core/axe.min.js"

BEFORE = """<script>
window.problems = [];
addEventListener("error", (event) => problems.push(event.message));
addEventListener("unhandledrejection", (event) => problems.push(String(event.reason)));
console.error = (...parts) => problems.push(parts.join(" "));
console.warn = console.error;
const clipboard = { writeText: async (text) => { window.copied = text; } };
Object.defineProperty(navigator, "clipboard", { value: clipboard });
</script>"""
AFTER = """<script>%s</script><script>(async () => {
const wait = () => new Promise((done) => setTimeout(done, 200));
let found = null;
try { found = await (async () => { %s })(); } catch (error) { problems.push(String(error.stack)); }
const outcome = document.createElement("pre");
outcome.id = "outcome";
outcome.textContent = JSON.stringify({ found, problems });
document.body.replaceChildren(outcome);
})();</script></body>"""


@dataclass(frozen=True)
class Visit:
    """What a script found on a page, and the errors and warnings of the console meanwhile."""

    found: Any
    problems: list[str]


def visit(page: Path, script: str, fragment: str = "", *, axe: bool = False) -> Visit:
    """Open a page and return what a script returns, the body of an async function."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    text = page.read_text(encoding="utf-8")
    library = AXE.read_text(encoding="utf-8") if axe else ""
    text = text.replace("<head>", f"<head>{BEFORE}", 1)
    probe = page.with_name("probe.html")
    probe.write_text(text.replace("</body>", AFTER % (library, script)), encoding="utf-8")
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000",
        f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", f"{probe.as_uri()}{fragment}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    outcome = re.search(r'<pre id="outcome">(.*?)</pre>', done.stdout, re.DOTALL)
    assert outcome, f"the script did not end: {done.stdout[-500:]}"
    return Visit(**json.loads(html.unescape(outcome[1])))
