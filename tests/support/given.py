"""Servers that the environment names for tests to use, instead of those that they bring along."""

import os
from typing import Final

# They are no settings of thornsdk, which refuses names that it does not know.
_GIVEN: Final = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("THORN_TEST_")}

REDIS: Final = _GIVEN.get("THORN_TEST_REDIS_URL")
AMQP: Final = _GIVEN.get("THORN_TEST_AMQP_URL")
NATS: Final = _GIVEN.get("THORN_TEST_NATS_URL")
POSTGRES: Final = _GIVEN.get("THORN_TEST_POSTGRES_URL")


def any_server() -> bool:
    """Whether there is any."""
    return bool(_GIVEN)
