"""How a suite says which promise is broken, alike with and without pytest's rewriting, and under ``-O``."""

import functools
import pickle
from collections.abc import Callable, Iterable
from inspect import cleandoc
from typing import NoReturn, ParamSpec, TypeVar

import pytest

from thornsdk.stages import what_is_wrong_with

_P = ParamSpec("_P")
_E = TypeVar("_E", bound=Exception)


class BrokenPromise(AssertionError):
    """A stage does not keep what its kind promises; the text says which promise, and what was seen."""


def promise(test: Callable[_P, None]) -> Callable[_P, None]:
    """Makes the first sentence of a test's docstring a promise: whatever the test raises breaks it.

    Raises:
        BrokenPromise: When the test runs, and `keeps` finds something or anything else is raised.
    """

    @functools.wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            test(*args, **kwargs)
        except BrokenPromise as exc:
            # It is raised on as it is, so that its traceback shows where in the test it was seen.
            exc.args = (f"broken promise: {told_by(test)}: {exc}",)
            raise
        except Exception as exc:
            seen = f"it raised {type(exc).__name__}: {exc}"
            raise BrokenPromise(f"broken promise: {told_by(test)}: {seen}") from exc

    return run


def told_by(test: Callable[..., object]) -> str:
    """Gives the promise that a test shows, as half a sentence: what stands before a colon is the promise."""
    # Under -OO there are no docstrings; the name says it in short.
    text = test.__doc__ or test.__name__.removeprefix("test_").replace("_", " ")
    sentence = " ".join(cleandoc(text).partition("\n\n")[0].split())
    told = sentence.partition(": ")[0].removesuffix(".")
    return told[0].lower() + told[1:]


def keeps(kept: bool, otherwise: str) -> None:  # noqa: FBT001 - it reads as an assertion
    """Breaks the promise of the test that is running, unless it is kept.

    Args:
        kept: Whether it is.
        otherwise: What was seen if it is not, such as ``2 of 3 requests have none``.
    """
    __tracebackhide__ = True
    if not kept:
        broken(otherwise)


def broken(seen: str, cause: BaseException | None = None) -> NoReturn:
    """Breaks the promise of the test that is running.

    Args:
        seen: What was seen in place of what is promised.
        cause: The error that shows it, if there is one.

    Raises:
        BrokenPromise: Always.
    """
    __tracebackhide__ = True
    raise BrokenPromise(seen) from cause


def fixture_wanted(suite: object, name: str) -> NoReturn:
    """Says that a class of tests lacks a fixture without which there is nothing to test.

    Raises:
        NotImplementedError: Always.
    """
    __tracebackhide__ = True
    raise NotImplementedError(
        f"{type(suite).__qualname__} needs a fixture {name!r}: a method with @pytest.fixture that gives it"
    )


def not_tested(suite: object, why: str) -> NoReturn:
    """Skips a promise that does not concern what is tested, or cannot be seen from here.

    Args:
        suite: The class of tests.
        why: Why it is skipped.
    """
    __tracebackhide__ = True
    pytest.skip(f"{type(suite).__qualname__}: {why}")


def check_stage(stage: object, protocol: type) -> None:
    """Breaks the promise of the test unless a stage is one of its kind, with members of its own.

    Args:
        stage: The stage.
        protocol: Its kind.
    """
    __tracebackhide__ = True
    if problem := what_is_wrong_with(stage, protocol):
        broken(f"it is {problem}")


def error_of(kind: type[_E], do: Callable[[], object], otherwise: str) -> _E:
    """Gives the error of a kind that a call is to raise; a call that raises none breaks the promise.

    Args:
        kind: The error that is promised.
        do: The call.
        otherwise: What is said if it raises nothing, such as ``it gave an answer``.
    """
    __tracebackhide__ = True
    try:
        do()
    except kind as exc:
        return exc
    except Exception as exc:
        broken(f"it raised {type(exc).__name__} in place of {kind.__name__}: {exc}", exc)
    broken(otherwise)


def errors_of(calls: Iterable[Callable[[], object]]) -> list[Exception]:
    """Gives what calls raise, of whatever kind; one that raises nothing gives nothing."""
    errors: list[Exception] = []
    for call in calls:
        try:
            call()
        except Exception as exc:
            errors.append(exc)
    return errors


def check_pickles(error: Exception) -> None:
    """Breaks the promise of the test unless an error is the same after it has crossed to another process."""
    __tracebackhide__ = True
    again: object = pickle.loads(pickle.dumps(error))  # noqa: S301 - it was written here
    same = type(again) is type(error) and str(again) == str(error)
    keeps(same, f"{error!r} came back as {again!r}")
