"""What is published: the rows of every table of results/, their λ and seeds, and what they show."""

from __future__ import annotations

import json
from typing import Any

from harness import options

RESULTS = options.ROOT / "results"
TEN, FIVE, THREE = (tuple(range(count)) for count in (10, 5, 3))  # seeds


def stored(name: str) -> dict[str, Any]:
    """Returns a file of figures that are not of our runs: others', or speed."""
    figures: dict[str, Any] = json.loads((RESULTS / name).read_text(encoding="utf-8"))
    return figures
