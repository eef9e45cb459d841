"""What several ways do alike: the signature, and what they send."""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Final

SECRET: Final = "a secret of the receiver"
HEADERS: Final = {"Content-Type": "application/json"}


def signed(body: bytes) -> dict[str, str]:
    """Gives the headers with the one signature that Thorn made."""
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).digest()
    return {**HEADERS, "Hook-HMAC": base64.b64encode(digest).decode()}


def over(urls: list[str], count: int) -> Iterator[str]:
    """Gives so many URLs, from the beginning again where there are fewer."""
    return islice(cycle(urls), count)


def check(status: int) -> None:
    if status != 200:
        raise SystemExit(f"the receiver answered {status}")
