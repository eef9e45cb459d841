"""Writes structured fields (RFC 9651, section 4.1), as far as signatures need them."""

import base64
import re
from collections.abc import Iterable, Mapping

from thornsdk.errors import InvalidValue

_VISIBLE = re.compile(r"[ -~]*")
_ESCAPED = re.compile(r'["\\]')
_MAX_INTEGER = 999_999_999_999_999


def string(text: str) -> str:
    r"""Returns a text as a string: in quotes, with a ``\`` before ``"`` and ``\`` (section 4.1.6).

    Raises:
        InvalidValue: If it has a character that a string cannot hold.
    """
    if not _VISIBLE.fullmatch(text):
        raise InvalidValue("a string of a structured field holds visible ASCII characters and spaces alone")
    return f'"{_ESCAPED.sub(_escape, text)}"'


def integer(number: int) -> str:
    """Returns a number as an integer (section 4.1.4).

    Raises:
        InvalidValue: If it has more than 15 digits.
    """
    if abs(number) > _MAX_INTEGER:
        raise InvalidValue("an integer of a structured field has no more than 15 digits")
    return str(number)


def byte_sequence(data: bytes) -> str:
    """Returns bytes as a byte sequence: base64 between colons (section 4.1.8)."""
    return f":{base64.b64encode(data).decode()}:"


def inner_list(items: Iterable[str], parameters: Mapping[str, str | int]) -> str:
    """Returns strings as an inner list with parameters (sections 4.1.1.1 and 4.1.1.2).

    Args:
        items: Its strings.
        parameters: By their names, which must be keys already (section 3.1.2).

    Raises:
        InvalidValue: If something in it cannot be written.
    """
    inner = " ".join(map(string, items))
    return f"({inner})" + "".join(f";{key}={_bare_item(value)}" for key, value in parameters.items())


def dictionary(members: Mapping[str, str]) -> str:
    """Returns a dictionary (section 4.1.2).

    Args:
        members: What is written already, by names that must be keys already.
    """
    return ", ".join(f"{key}={value}" for key, value in members.items())


def _bare_item(value: str | int) -> str:
    return string(value) if isinstance(value, str) else integer(value)


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"
