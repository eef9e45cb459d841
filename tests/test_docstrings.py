"""Every public name is explained: what it is, what it takes, and what it raises."""

from typing import Any

import pytest
from attrs import frozen

from support.docstrings import problems, public_names

PUBLIC = dict(public_names())


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_explained(name: str) -> None:
    assert problems(name, PUBLIC[name]) == []


def nothing() -> None: ...


def one_of_two(first: int, second: int) -> None:
    """Takes two.

    Args:
        first: The first.
        third: There is none.

    Raises:
        NoSuchError: Never.
        ValueError: Sometimes.
    """


@frozen
class Value:
    """A value.

    Attributes:
        told: What it is.
    """

    told: int
    untold: int
    below: int
    """What it is."""

    def method(self) -> None:
        pass

    @property
    def known(self) -> int:
        """What it is."""
        return self.told


class Plain:
    """A class.

    Args:
        told: What it is.
    """

    def __init__(self, told: int, untold: int) -> None:
        self._all = told + untold


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (nothing, ["x has no docstring"]),
        (
            one_of_two,
            ["x does not explain second", "x has no third", "x raises NoSuchError, which there is not"],
        ),
        (Value, ["x does not explain untold", "x.method has no docstring"]),
        (Plain, ["x does not explain untold"]),
    ],
)
def test_what_is_not_explained_is_found(value: Any, told: list[str]) -> None:
    assert problems("x", value) == told
