"""What a reader needs to know of each log before trusting a number on it."""

from pathlib import Path

CARDS = Path("docs/datasets")
"""Where the cards and the facts that they print lie, from the root of a project."""
