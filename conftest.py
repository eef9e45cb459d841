"""Makes pytest run the examples of README and docs."""

from support.examples import collect as pytest_collect_file
from support.examples import web

__all__ = ["pytest_collect_file", "web"]
