"""Base64, as keys and secrets are given in it."""

import base64
import binascii


def from_base64(encoded: str) -> bytes | None:
    """Returns the bytes that base64 stands for, with or without its padding; None where it is none.

    What is wrong with it is not told: it may be a secret.
    """
    try:
        return base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
