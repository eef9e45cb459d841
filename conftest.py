"""Makes pytest run the examples of README and docs; the tests have the fixtures that others have, too."""

from support.examples import collect as pytest_collect_file
from support.examples import web

pytest_plugins = ["thornsdk.testing.fixtures"]

__all__ = ["pytest_collect_file", "web"]
