"""Fixtures for pytest, for those who ask for them.

A test run has them where its ``conftest.py`` says so::

    pytest_plugins = ["thornsdk.testing.fixtures"]
"""

import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from thornsdk.testing.certificates import Authority
from thornsdk.testing.clocks import FakeClock, FakeSleep
from thornsdk.testing.endpoint import Behaviour, Endpoint
from thornsdk.testing.log import DeliveryLogCapture, capture_log


class OpenEndpoint(Protocol):
    """What the fixture `open_endpoint` is."""

    def __call__(self, behave: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> Endpoint:
        """Opens an endpoint; it closes with the test."""
        ...


@pytest.fixture
def open_endpoint() -> Iterator[OpenEndpoint]:
    """Opens endpoints; they close with the test."""
    with ExitStack() as stack:

        def open_one(behave: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> Endpoint:
            endpoint = Endpoint(tls=tls) if behave is None else Endpoint(behave, tls)
            return stack.enter_context(endpoint)

        yield open_one


@pytest.fixture
def endpoint(open_endpoint: OpenEndpoint) -> Endpoint:
    """An endpoint that answers 200."""
    return open_endpoint()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that goes when it is told to."""
    return FakeClock()


@pytest.fixture
def fake_sleep(clock: FakeClock) -> FakeSleep:
    """Sleeps by setting that clock forward."""
    return FakeSleep(clock)


@pytest.fixture(scope="session")
def authority() -> Authority:
    """An authority that no system trusts."""
    return Authority()


@pytest.fixture
def ca_bundle(authority: Authority, tmp_path: Path) -> str:
    """The path of a PEM file with that authority's certificate."""
    return authority.write_to(tmp_path / "ca.pem")


@pytest.fixture
def delivery_log() -> Iterator[DeliveryLogCapture]:
    """What the delivery log tells during the test."""
    with capture_log() as captured:
        yield captured
