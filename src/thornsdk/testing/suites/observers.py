"""The promises of a observer."""

import pytest

from thornsdk.testing.suites.promises import promise


class ObserverSuite:
    """The promises of a observer."""

    @pytest.fixture
    def observer(self) -> object:
        """The observer under test: a subclass gives it."""
        raise NotImplementedError

    @promise
    def test_is_there(self, observer: object) -> None:
        """There is a observer."""
