"""Turns typed payloads into plain data: what JSON can hold."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import TypeAlias
from uuid import UUID

import attrs

from thornsdk.errors import SerializationError

Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None
"""What JSON can hold."""

MAX_DEPTH = 100
"""The most levels a payload can be nested: deeper ones exhaust the parsers of receivers."""

MAX_BITS = 2048
"""The most bits a whole number can have: Python itself refuses to write far longer ones as text."""


def to_plain(payload: object) -> Plain:
    """Turns a payload into plain data.

    Dates and times become ISO 8601 text; `~decimal.Decimal` and `~uuid.UUID` become text, so that no digit
    is lost; an `~enum.Enum` becomes its value; attrs and dataclass instances and mappings become objects;
    lists and tuples become arrays.

    Args:
        payload: The payload as the application gave it.

    Raises:
        SerializationError: If a part of it is NaN or infinite, bytes, a cycle, a mapping with keys that are
            not text, a whole number of more than `MAX_BITS` bits, nested deeper than `MAX_DEPTH`, or of a
            type that is not named above. The error says where.

    Example:
        >>> to_plain({"at": date(2026, 1, 2), "price": Decimal("9.90")})
        {'at': '2026-01-02', 'price': '9.90'}
    """
    return _plain(payload, "$", ())


def _plain(value: object, path: str, above: tuple[int, ...]) -> Plain:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, path, above)
    if isinstance(value, str):
        return _text(value, path)
    if isinstance(value, int):
        return _whole(value, path)
    if isinstance(value, float):
        return _number(value, path)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return _decimal(value, path)
    if isinstance(value, UUID):
        return str(value)
    return _container(value, path, above)


def _text(value: str, path: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise SerializationError(path, "the text has a lone surrogate, which UTF-8 cannot hold") from None
    # Not str(value): a class of texts may say something else about itself than what it holds.
    return str.__str__(value)


def _whole(value: int, path: str) -> int:
    if value.bit_length() > MAX_BITS:
        raise SerializationError(path, f"a whole number has more than {MAX_BITS} bits; give it as text")
    return int(value)


def _number(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise SerializationError(path, f"{value} is not a number that JSON can hold")
    return float(value)


def _decimal(value: Decimal, path: str) -> str:
    if not value.is_finite():
        raise SerializationError(path, f"{value} is not a number that JSON can hold")
    return str(value)


def _container(value: object, path: str, above: tuple[int, ...]) -> Plain:
    if id(value) in above:
        raise SerializationError(path, "it contains itself")
    if len(above) >= MAX_DEPTH:
        raise SerializationError(path, f"it is nested deeper than {MAX_DEPTH} levels")
    inside = (*above, id(value))
    if isinstance(value, Mapping):
        return _object(value.items(), path, inside)
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{path}[{index}]", inside) for index, item in enumerate(value)]
    names = _field_names(value)
    if names is None:
        raise SerializationError(path, f"a {type(value).__qualname__} {_advice(value)}")
    return _object(((name, _field(value, name, path)) for name in names), path, inside)


def _field(value: object, name: str, path: str) -> object:
    try:
        return getattr(value, name)
    except AttributeError:
        raise SerializationError(path, f"its field {name!r} was never set") from None


def _object(items: Iterable[tuple[object, object]], path: str, inside: tuple[int, ...]) -> dict[str, Plain]:
    plain: dict[str, Plain] = {}
    for key, item in items:
        if not isinstance(key, str):
            raise SerializationError(path, f"a key is of type {type(key).__qualname__}, not text")
        name = _text(key, path)
        plain[name] = _plain(item, f"{path}.{name}", inside)
    return plain


def _field_names(value: object) -> list[str] | None:
    if isinstance(value, type):
        return None
    kind = type(value)
    if attrs.has(kind):
        return [one.name for one in attrs.fields(kind)]
    if dataclasses.is_dataclass(value):
        return [one.name for one in dataclasses.fields(value)]
    return None


def _advice(value: object) -> str:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "is not text; encode it, for example as base64"
    if isinstance(value, (set, frozenset)):
        return "has no order; give a sorted list"
    return "has no plain form; give a mapping, a dataclass or an attrs instance"
