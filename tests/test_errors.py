import pickle
import re
from collections.abc import Iterator

import pytest

from thornsdk import Reason, errors
from thornsdk.errors import (
    DispatchError,
    MissingPackageError,
    PluginClashError,
    PluginLoadError,
    RecipientRefused,
    SerializationError,
    SettingError,
    StageUnavailableError,
    ThornError,
    TransportError,
    UnknownStageError,
    crash,
)

WITH_ARGUMENTS: dict[type[ThornError], tuple[object, ...]] = {
    SettingError: ("THORN_CONCURRENCY", "'many'", "a whole number"),
    PluginLoadError: ("kafka", "thorn-kafka 1.0", "no module named kafka"),
    PluginClashError: ("transport", "http", "one (one 1.0)", "two (two 2.0)", ("one", "two")),
    UnknownStageError: ("store", "sqlit", ("memory", "sqlite"), "Did you mean sqlite?"),
    MissingPackageError: ("celery", "no module named celery", "pip install 'thornsdk[celery]'"),
    RecipientRefused: ("port 22 is forbidden", Reason.PORT_FORBIDDEN),
    SerializationError: ("$.price", "nan is not a number that JSON can hold"),
    DispatchError: ("celery", "no broker answers at redis://localhost"),
    TransportError: (Reason.TIMEOUT, "no answer"),
}


def tree(kind: type[ThornError]) -> Iterator[type[ThornError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


OURS = sorted(
    {kind for kind in tree(ThornError) if kind.__module__ == errors.__name__}, key=lambda kind: kind.__name__
)


def make(kind: type[ThornError]) -> ThornError:
    known = (WITH_ARGUMENTS[one] for one in kind.__mro__ if one in WITH_ARGUMENTS)
    return kind(*next(known, ("what happened",)))


@pytest.mark.parametrize("kind", OURS)
def test_every_error_pickles_with_its_text_and_attributes(kind: type[ThornError]) -> None:
    error = make(kind)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) != ""
    assert vars(again) == vars(error)
    assert again.args == error.args


def test_the_example_arguments_are_those_of_errors_with_an_init_of_their_own() -> None:
    assert set(WITH_ARGUMENTS) == {kind for kind in OURS if "__init__" in vars(kind)}


def test_every_error_stands_in_the_drawn_tree_below_its_base() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"    (?P<indent>[│ ├└─]*)(?P<name>[A-Z]\w+)", line):
            depth = len(found["indent"]) // 4
            above[depth:] = [found["name"]]
            drawn[found["name"]] = above[depth - 1] if depth else "Exception"
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in OURS}


def test_an_invalid_value_is_a_value_error() -> None:
    assert issubclass(errors.InvalidValue, ValueError)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SettingError, "THORN_CONCURRENCY is 'many'; it takes a whole number"),
        (
            PluginLoadError,
            (
                "plugin 'kafka' of thorn-kafka 1.0 cannot be loaded: no module named kafka. "
                "Mend or remove it, or leave it out with THORN_PLUGINS_BLOCK=kafka"
            ),
        ),
        (
            PluginClashError,
            (
                "the transport 'http' is provided twice, by one (one 1.0) and by two (two 2.0). "
                "Leave one out: THORN_PLUGINS_BLOCK=one or THORN_PLUGINS_BLOCK=two"
            ),
        ),
        (UnknownStageError, "there is no store 'sqlit'; there are: memory, sqlite. Did you mean sqlite?"),
        (
            StageUnavailableError,
            "celery is unavailable (no module named celery): pip install 'thornsdk[celery]'",
        ),
        (RecipientRefused, "port 22 is forbidden"),
        (
            SerializationError,
            "the payload cannot be serialised: at $.price: nan is not a number that JSON can hold",
        ),
        (TransportError, "timeout: no answer"),
    ],
)
def test_an_error_says_what_and_where(kind: type[ThornError], text: str) -> None:
    assert str(make(kind)) == text


def test_an_unknown_stage_without_any_says_so() -> None:
    assert str(UnknownStageError("store", "x", ())) == "there is no store 'x'; there are: none"


def test_a_refusal_by_a_validator_has_its_own_reason() -> None:
    assert RecipientRefused("not one of ours").reason is Reason.RECIPIENT_REFUSED


def test_a_crash_is_told_by_kind_and_place_without_its_text() -> None:
    try:
        raise KeyError("whsec_very_secret")
    except KeyError as exc:
        told = crash(exc)
    assert re.fullmatch(r"raised KeyError at test_errors\.py:\d+", told)


def test_a_crash_that_was_never_raised_has_no_place() -> None:
    assert crash(KeyError("whsec_very_secret")) == "raised KeyError"


def test_a_reason_is_its_own_text() -> None:
    assert f"{Reason.TIMEOUT}" == "timeout"
    assert [reason.value for reason in Reason] == [reason.name.lower() for reason in Reason]
