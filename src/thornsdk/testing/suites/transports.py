"""The promises of a transport."""

import pytest

from thornsdk.testing.suites.promises import promise


class TransportSuite:
    """The promises of a transport."""

    @pytest.fixture
    def transport(self) -> object:
        """The transport under test: a subclass gives it."""
        raise NotImplementedError

    @promise
    def test_is_there(self, transport: object) -> None:
        """There is a transport."""
