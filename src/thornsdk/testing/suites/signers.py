"""The promises of a signer."""

import pytest

from thornsdk.testing.suites.promises import promise


class SignerSuite:
    """The promises of a signer."""

    @pytest.fixture
    def signer(self) -> object:
        """The signer under test: a subclass gives it."""
        raise NotImplementedError

    @promise
    def test_is_there(self, signer: object) -> None:
        """There is a signer."""
