"""The HTTP transports that keep one set of promises, by name.

The tests of those promises know a transport by this alone: whoever writes another one adds a line here.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

import pytest
from attrs import frozen

from thornsdk import Transport


@frozen
class Kind:
    """Where the class of a transport is found.

    Attributes:
        module: The module that has it.
        name: Its name there.
        needs: The package that it cannot do without.
        reads_after_a_reset: Whether it reads what was answered where a connection was reset while it sent.
    """

    module: str
    name: str
    needs: str
    reads_after_a_reset: bool

    def missing(self) -> str | None:
        """Says what is not there, or None."""
        absent = (one for one in (self.module, self.needs) if find_spec(one) is None)
        return next(absent, None)


KINDS: Final = {
    "urllib3": Kind("thornsdk_plugins.urllib3", "PooledTransport", "urllib3", reads_after_a_reset=True),
    "curl": Kind("thornsdk_plugins.curl", "CurlTransport", "pycurl", reads_after_a_reset=False),
}


def make_transport(kind: str, **options: Any) -> Transport:
    """Makes a transport of a kind."""
    found = KINDS[kind]
    made: Transport = getattr(import_module(found.module), found.name)(**options)
    return made


def each_kind() -> list[Any]:
    """Gives the kinds as parameters for pytest; what cannot run here is skipped, and says why."""
    return [_parameter(name, kind.missing()) for name, kind in KINDS.items()]


def _parameter(name: str, missing: str | None) -> Any:
    marks = [] if missing is None else [pytest.mark.skip(reason=f"{missing} is not installed")]
    return pytest.param(name, marks=marks)
