"""The published test vectors, as they stand in `tests/vectors`."""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parents[1] / "vectors"


def vectors(name: str) -> list[dict[str, Any]]:
    """Gives the vectors of a file, of which there are some."""
    listed: list[dict[str, Any]] = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))["vectors"]
    assert listed
    return listed


def standard_webhooks_vectors(scheme: str) -> list[dict[str, Any]]:
    """Gives the vectors of one scheme of Standard Webhooks, ``v1`` or ``v1a``."""
    found = [one for one in vectors("standard_webhooks") if one["scheme"] == scheme]
    assert found
    return found
