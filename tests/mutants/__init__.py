"""Stages that are each broken in one way, and tests that find it: what the suites are for.

`test_suites` runs them and looks at what they say. A mutant names the promise that it breaks, by its test;
the first of each kind breaks none. Where one defect shows in several promises, the others are named besides.
"""

from typing import Final

EVERYTHING: Final = frozenset({"everything"})
"""What is broken besides where a stage is none at all."""


class Mutant:
    """What each mutant says of itself."""

    breaks: str = ""
    """The test that finds it; empty where nothing is broken."""
    also: frozenset[str] = frozenset()
    """The tests that find it, too."""
