"""The promises of a dispatcher."""

import pytest

from thornsdk.testing.suites.promises import promise


class DispatcherSuite:
    """The promises of a dispatcher."""

    @pytest.fixture
    def dispatcher(self) -> object:
        """The dispatcher under test: a subclass gives it."""
        raise NotImplementedError

    @promise
    def test_is_there(self, dispatcher: object) -> None:
        """There is a dispatcher."""
