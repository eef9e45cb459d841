"""What settings take: each reads a value, from text or from Python, or raises ValueError or TypeError."""

import importlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_network
from typing import TypeAlias, TypeVar, cast

from thornsdk.dispatching import RecipientValidator
from thornsdk.errors import crash
from thornsdk.model import MAX_WAIT, URL, Secret
from thornsdk.policy.breaker import LONGEST_PAUSE
from thornsdk.typing import IPNetwork

_MAX_TIMEOUT = 3600.0
_MAX_CHUNKSIZE = 10_000
_MAX_LANES = 1000
_MAX_CONCURRENCY = 1000
_MAX_IDLE = 10_000
_MAX_RETRIES = 1000
_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")

T = TypeVar("T")
Raw: TypeAlias = object
"""A setting's value as it was given: text from the environment, or a Python value."""


def read_name(raw: Raw) -> str:
    """Reads text that is not empty."""
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError
    return raw.strip()


def read_items(raw: Raw) -> list[Raw]:
    """Reads a list: a Python one, a JSON array, or text with commas."""
    if isinstance(raw, str):
        text = raw.strip()
        return (
            list(json.loads(text))
            if text.startswith("[")
            else [s.strip() for s in text.split(",") if s.strip()]
        )
    if isinstance(raw, (Mapping, bytes)) or not isinstance(raw, Iterable):
        raise TypeError
    return list(cast("Iterable[Raw]", raw))


def read_names(raw: Raw) -> tuple[str, ...]:
    """Reads a list of names."""
    return tuple(read_name(item) for item in read_items(raw))


def read_some_names(raw: Raw) -> tuple[str, ...]:
    """Reads a list of names, at least one."""
    names = read_names(raw)
    if not names:
        raise ValueError
    return names


def read_mapping(raw: Raw) -> Mapping[str, object]:
    """Reads a mapping with text for keys: a Python one, or a JSON object."""
    value: object = json.loads(raw) if isinstance(raw, str) else raw
    if not isinstance(value, Mapping):
        raise TypeError
    mapping = dict(cast("Mapping[object, object]", value))
    if not all(isinstance(key, str) for key in mapping):
        raise TypeError
    return cast("dict[str, object]", mapping)


def read_codecs(raw: Raw) -> Mapping[str, str]:
    """Reads a mapping of content types to names, at least one."""
    codecs = {key: read_name(value) for key, value in read_mapping(raw).items()}
    if not codecs:
        raise ValueError
    return codecs


def read_options(raw: Raw) -> Mapping[str, Mapping[str, object]]:
    """Reads a mapping of names of stages to the options of each."""
    return {read_name(stage): read_mapping(options) for stage, options in read_mapping(raw).items()}


def read_files(raw: Raw) -> Mapping[str, str]:
    """Reads a mapping of names to paths."""
    return {name: read_name(path) for name, path in read_mapping(raw).items()}


def read_proxy(raw: Raw) -> str:
    """Reads the URL of a proxy: scheme ``http``, host and port, nothing else."""
    url = URL.parse(read_name(raw))
    if url.scheme != "http" or url.target != "/":
        raise ValueError
    return str(url.origin)


def read_number(raw: Raw) -> float:
    """Reads a number."""
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float)):
        raise TypeError
    return float(raw)


def read_timeout(raw: Raw) -> float:
    """Reads seconds that a deadline can have."""
    number = read_number(raw)
    if not 0 < number <= _MAX_TIMEOUT:
        raise ValueError
    return number


def read_delay(raw: Raw) -> float:
    """Reads seconds that a wait can have."""
    number = read_number(raw)
    if not 0 <= number <= MAX_WAIT:
        raise ValueError
    return number


def read_whole(raw: Raw) -> int:
    """Reads a whole number."""
    if isinstance(raw, bool) or not isinstance(raw, (str, int)):
        raise TypeError
    return int(raw)


def read_count(raw: Raw) -> int:
    """Reads how often something is repeated."""
    number = read_whole(raw)
    if not 0 <= number <= _MAX_RETRIES:
        raise ValueError
    return number


def read_concurrency(raw: Raw) -> int:
    """Reads how many requests may be in flight."""
    number = read_whole(raw)
    if not 1 <= number <= _MAX_CONCURRENCY:
        raise ValueError
    return number


def read_idle_connections(raw: Raw) -> int:
    """Reads how many connections may be kept open."""
    number = read_whole(raw)
    if not 0 <= number <= _MAX_IDLE:
        raise ValueError
    return number


def read_chunksize(raw: Raw) -> int:
    """Reads how many of something go together."""
    number = read_whole(raw)
    if not 1 <= number <= _MAX_CHUNKSIZE:
        raise ValueError
    return number


def read_lanes(raw: Raw) -> int:
    """Reads how many queues there are side by side."""
    number = read_whole(raw)
    if not 1 <= number <= _MAX_LANES:
        raise ValueError
    return number


def read_port(raw: Raw) -> int:
    """Reads a port."""
    number = read_whole(raw)
    if not 1 <= number <= 65535:  # noqa: PLR2004 - the ports that there are
        raise ValueError
    return number


_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def read_switch(raw: Raw) -> bool:
    """Reads a yes or no."""
    if isinstance(raw, bool):
        return raw
    return _SWITCH[read_name(raw).lower()]


def optional(parse: Callable[[Raw], T]) -> Callable[[Raw], T | None]:
    """Reads what `parse` reads, or None."""
    return lambda raw: None if raw is None else parse(raw)


def or_none(parse: Callable[[Raw], T]) -> Callable[[Raw], T | None]:
    """Reads what `parse` reads, or None, which text calls ``none``."""
    return lambda raw: None if raw is None or raw == "none" else parse(raw)


def read_wait(raw: Raw) -> float:
    """Reads seconds that a wait can have that is one."""
    number = read_delay(raw)
    if not number:
        raise ValueError
    return number


def read_pause(raw: Raw) -> float:
    """Reads seconds that a pause can have."""
    number = read_wait(raw)
    if number > LONGEST_PAUSE:
        raise ValueError
    return number


def read_secret(raw: Raw) -> Secret:
    """Reads a secret."""
    return raw if isinstance(raw, Secret) else Secret(read_name(raw))


def read_schedule(raw: Raw) -> tuple[float, ...]:
    """Reads a list of waits, in seconds."""
    return tuple(read_delay(item) for item in read_items(raw))


def read_networks(raw: Raw) -> tuple[IPNetwork, ...]:
    """Reads a list of address ranges."""
    return tuple(ip_network(cast("str", item)) for item in read_items(raw))


def read_schemes(raw: Raw) -> frozenset[str]:
    """Reads a list of URL schemes."""
    return frozenset(name.lower() for name in read_names(raw))


def read_ports(raw: Raw) -> frozenset[int]:
    """Reads a list of ports."""
    return frozenset(read_port(item) for item in read_items(raw))


def read_validators(raw: Raw) -> tuple[RecipientValidator, ...]:
    """Reads a list of callables."""
    return tuple(load_callable(item) for item in read_items(raw))


def full_name(item: Callable[..., object]) -> str:
    """Gives the ``module:name`` of a callable; of an object that can be called, that of its class."""
    named = item if hasattr(item, "__qualname__") else type(item)
    return f"{named.__module__}:{named.__qualname__}"


def load_callable(item: object) -> Callable[..., object]:
    """Gives a callable itself, or the one that ``package.module:name`` names.

    Raises:
        ValueError: If there is none. The cause says why.
    """
    if callable(item):
        return item
    if not isinstance(item, str) or not _REFERENCE.fullmatch(item):
        # It is not quoted: it may be a URL with a slip in it, and hold a secret.
        raise ValueError("what was given is neither a callable nor the module:name of one")
    module, _, name = item.partition(":")
    try:
        value: object = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as exc:
        raise ValueError(f"{item} cannot be imported: {exc}") from exc
    except Exception as exc:  # The module runs when it is imported, and may raise anything.
        raise ValueError(f"{item} cannot be imported: its module {crash(exc)}") from exc
    if not callable(value):
        raise ValueError(f"{item} is not callable")  # noqa: TRY004 - one error for all that cannot be loaded
    return value
