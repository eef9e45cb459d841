"""What the docstrings of public names say, and what they ought to."""

import builtins
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import attrs

from thornsdk import errors
from thornsdk.settings import Settings

MODULES: Final = (
    "thornsdk",
    "thornsdk.receive",
    "thornsdk.errors",
    "thornsdk.testing",
    "thornsdk.testing.suites",
    "thornsdk.typing",
)
_SECTION = re.compile(r"^(Args|Attributes|Returns|Raises|Example):$", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+):", re.MULTILINE)


def public_names() -> Iterator[tuple[str, Any]]:
    """Gives each public class and function with its full name."""
    for name in MODULES:
        module = import_module(name)
        for short in getattr(module, "__all__", None) or _defined_in(module):
            value = getattr(module, short)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{name}.{short}", value


def _defined_in(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def problems(name: str, value: Any) -> list[str]:
    """Says what a docstring lacks or has too much, of a public name or of its public members."""
    if inspect.isfunction(value):
        return list(_of_function(name, value))
    return [
        *_of_class(name, value),
        *(one for member, function in _methods(value) for one in _of_function(f"{name}.{member}", function)),
    ]


def _methods(cls: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else inspect.unwrap(value)
        function = getattr(function, "__func__", getattr(function, "func", function))
        if not name.startswith("_") and inspect.isfunction(function):
            yield name, function


def _of_class(name: str, cls: type) -> Iterator[str]:
    doc = inspect.cleandoc(cls.__doc__ or "")
    if not doc:
        yield f"{name} has no docstring"
    told = entries(doc, "Args") | entries(doc, "Attributes") | _documented_fields(cls)
    yield from _missing(name, _taken(cls) - told)
    yield from _unknown_errors(name, doc)


def _taken(cls: type) -> set[str]:
    """Gives what a class is made of."""
    if cls is Settings:
        return set()  # They have a reference of their own.
    if attrs.has(cls):
        return {one.name for one in attrs.fields(cls)}
    init = vars(cls).get("__init__")
    return _parameters(init) if inspect.isfunction(init) and init.__module__ == cls.__module__ else set()


def _of_function(name: str, function: Any) -> Iterator[str]:
    doc = inspect.cleandoc(function.__doc__ or "")
    if not doc:
        yield f"{name} has no docstring"
    told = entries(doc, "Args")
    if told:
        yield from _missing(name, _parameters(function) - told)
        yield from (f"{name} has no {one}" for one in told - _parameters(function))
    yield from _unknown_errors(name, doc)


def entries(doc: str, section: str) -> set[str]:
    """Gives the names that a section of a docstring explains."""
    parts = _SECTION.split(doc)
    text = dict(zip(parts[1::2], parts[2::2], strict=True)).get(section, "")
    return set(_ENTRY.findall(text))


def _parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def _documented_fields(cls: type) -> set[str]:
    """Gives the fields that have a docstring of their own below them."""
    lines = inspect.getsource(cls).splitlines()
    fields: set[str] = set()
    name = ""
    for line in lines:
        if found := re.match(r"    (\w+): ", line):
            name = found[1]
        elif line.startswith('    """') and name:
            fields.add(name)
            name = ""
    return fields


def _missing(name: str, names: set[str]) -> Iterator[str]:
    yield from (f"{name} does not explain {one}" for one in sorted(names) if not one.startswith("_"))


def _unknown_errors(name: str, doc: str) -> Iterator[str]:
    for one in sorted(entries(doc, "Raises")):
        if not (hasattr(errors, one) or hasattr(builtins, one)):
            yield f"{name} raises {one}, which there is not"
