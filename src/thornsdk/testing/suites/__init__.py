"""The promises of each kind of stage, as tests that a plugin's own tests inherit.

Each suite is a class whose name ends in ``Suite``, so that pytest collects it nowhere but where a class of
tests inherits from it::

    class TestPigeonSerializer(SerializerSuite):
        @pytest.fixture
        def serializer(self) -> Serializer:
            return PigeonSerializer()

Each of its tests shows one promise, and a failure says which one is broken, and what was seen. They need
pytest, which ``thornsdk[testing]`` brings, and nothing else.
"""

from thornsdk.testing.suites.dispatchers import DispatcherSuite
from thornsdk.testing.suites.far_sides import Arrived, FarSide, HttpFarSide
from thornsdk.testing.suites.http_transports import HttpTransportSuite
from thornsdk.testing.suites.observers import ObserverSuite
from thornsdk.testing.suites.promises import BrokenPromise
from thornsdk.testing.suites.serializers import SerializerSuite
from thornsdk.testing.suites.signers import SignerSuite
from thornsdk.testing.suites.stores import StoreSuite
from thornsdk.testing.suites.transports import TransportSuite

__all__ = [
    "Arrived",
    "BrokenPromise",
    "DispatcherSuite",
    "FarSide",
    "HttpFarSide",
    "HttpTransportSuite",
    "ObserverSuite",
    "SerializerSuite",
    "SignerSuite",
    "StoreSuite",
    "TransportSuite",
]
