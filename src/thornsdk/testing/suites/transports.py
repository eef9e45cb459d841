"""What every transport promises."""

from thornsdk.testing.suites.transport_life import LifePromises
from thornsdk.testing.suites.transport_sending import SendingPromises
from thornsdk.testing.suites.transport_streams import StreamPromises
from thornsdk.testing.suites.transport_troubles import TroublePromises


class TransportSuite(SendingPromises, StreamPromises, TroublePromises, LifePromises):
    """What every transport promises; `transport` and `far_side` are given by the class that inherits it.

    Example:
        >>> from collections.abc import Iterator
        >>> from contextlib import closing
        >>> import pytest
        >>> from thornsdk import Transport
        >>> from thornsdk.testing.suites import FarSide, HttpFarSide, TransportSuite
        >>> from thornsdk_plugins.urllib3 import PooledTransport
        >>> class TestPooledTransport(TransportSuite):
        ...     @pytest.fixture
        ...     def far_side(self) -> Iterator[FarSide]:
        ...         with HttpFarSide() as far_side:
        ...             yield far_side
        ...
        ...     @pytest.fixture
        ...     def transport(self, far_side: FarSide) -> Iterator[Transport]:
        ...         with closing(PooledTransport()) as transport:
        ...             yield transport
    """
