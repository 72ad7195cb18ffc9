"""Which locked packages have known vulnerabilities; where nobody can tell, that is what is said.

``make audit`` asks pip-audit, whose database is that of the package index. It ends with 1 where a
vulnerability is known.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import NamedTuple

from benchmark.registry import ROOT

LOCKS = tuple(f"requirements{part}.lock" for part in ("-torch", "", "-docs", "-mutants"))
COMMAND = (
    "uvx", "--quiet", "pip-audit@2.10.1", "--disable-pip", "--no-deps", "--format", "json",
    "--progress-spinner", "off", "-r",
)  # fmt: skip
PATIENCE = 300.0  # seconds


class Audit(NamedTuple):
    """What is known of the packages of a lock."""

    audited: int = 0
    skipped: int = 0
    found: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.audited:
            return "not audited: the database of vulnerabilities cannot be had here"
        lines = [
            f"{self.audited} packages audited, {len(self.found)} known vulnerabilities"
            + f"; nothing is known of {self.skipped} others" * bool(self.skipped),
            *self.found,
        ]
        return "\n  ".join(lines)


def ask(lock: str) -> str:
    """Return what pip-audit answers, nothing if it cannot be had either."""
    try:
        return subprocess.run(
            [*COMMAND, lock],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def read(answer: str) -> Audit:
    """Read what pip-audit answered; anything but its report says nothing of any package."""
    try:
        packages = json.loads(answer)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Audit()
    skipped = [package for package in packages if "skip_reason" in package]
    found = [
        f"{package['name']} {package['version']}: {known['id']}, mended in "
        f"{', '.join(known['fix_versions']) or 'no version'}"
        for package in packages
        for known in package.get("vulns", ())
    ]
    return Audit(len(packages) - len(skipped), len(skipped), tuple(found))


def main() -> int:
    """Audit one lock after the other, as long as there is somebody to ask."""
    any_found = False
    for lock in LOCKS:
        audit = read(ask(lock))
        print(f"{lock}: {audit}", flush=True)  # noqa: T201
        any_found = any_found or bool(audit.found)
        if not audit.audited:
            break
    return int(any_found)


if __name__ == "__main__":
    sys.exit(main())
