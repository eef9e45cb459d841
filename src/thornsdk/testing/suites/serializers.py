"""The promises of a serializer."""

import pytest

from thornsdk.testing.suites.promises import promise


class SerializerSuite:
    """The promises of a serializer."""

    @pytest.fixture
    def serializer(self) -> object:
        """The serializer under test: a subclass gives it."""
        raise NotImplementedError

    @promise
    def test_is_there(self, serializer: object) -> None:
        """There is a serializer."""
