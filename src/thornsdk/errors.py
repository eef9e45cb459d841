"""Every error that thornsdk raises.

::

    ThornError
    ├── ConfigurationError
    │   ├── SettingError             a setting has a wrong name or value
    │   ├── PipelineError            stages that do not fit together
    │   ├── MissingPackageError      what is asked for lacks a package
    │   └── PluginError
    │       ├── PluginLoadError      a plugin cannot be loaded
    │       ├── PluginClashError     two plugins provide the same name
    │       ├── UnknownStageError    nothing provides that name
    │       └── StageUnavailableError (MissingPackageError)
    ├── InvalidValue (ValueError)
    │   ├── InvalidEventName
    │   ├── InvalidPattern
    │   ├── InvalidURL
    │   ├── InvalidSecret
    │   ├── InvalidKey
    │   └── InvalidHeader
    ├── RecipientRefused             policy does not allow this recipient
    ├── SerializationError           a payload cannot be written as bytes
    ├── DispatchError                a dispatcher could not take a message
    ├── TransportError               an attempt ended without an answer
    ├── StoreError
    │   ├── StoreBusy                another process holds the lock too long
    │   ├── StoreFull                the disk has no room
    │   ├── StoreDamaged             the file is not a sound database of ours
    │   └── NotFound                 no such subscription or delivery
    ├── OutboxError                  the application's database refused the outbox
    ├── ClosedError                  used after it was closed
    └── InvalidSignature             a received message is not authentic

Every error pickles: it is made from its positional arguments alone, so that it can cross processes.
No error carries a secret, a body, a query string or a URL's userinfo.
"""

import traceback
from pathlib import Path

from thornsdk.reasons import Reason
from thornsdk.timings import Timings


def crash(error: BaseException) -> str:
    """Says what a stage raised and where, without the error's own text: that may hold a secret or a body.

    Returns:
        Such as ``raised KeyError at signer.py:12``.
    """
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"raised {type(error).__qualname__}{place}"


class ThornError(Exception):
    """The base of every error that thornsdk raises."""


class ConfigurationError(ThornError):
    """What was configured cannot work."""


class SettingError(ConfigurationError):
    """A setting has a name that does not exist or a value of the wrong kind.

    Attributes:
        name: The setting's name, such as ``THORN_CONCURRENCY``.
        value: The value as text, or ``(hidden)`` where it may hold a secret.
        takes: What the setting takes instead.
    """

    def __init__(self, name: str, value: str, takes: str) -> None:
        super().__init__(name, value, takes)
        self.name = name
        self.value = value
        self.takes = takes

    def __str__(self) -> str:
        return f"{self.name} is {self.value}; it takes {self.takes}"


class PipelineError(ConfigurationError):
    """The stages of a pipeline do not fit together."""


class MissingPackageError(ConfigurationError):
    """What is asked for needs a package that is not installed.

    Attributes:
        name: What was asked for.
        problem: What could not be imported.
        install: The command that mends it.
    """

    def __init__(self, name: str, problem: str, install: str) -> None:
        super().__init__(name, problem, install)
        self.name = name
        self.problem = problem
        self.install = install

    def __str__(self) -> str:
        return f"{self.name} is unavailable ({self.problem}): {self.install}"


class PluginError(ConfigurationError):
    """A plugin does not do what the hooks ask of it."""


class PluginLoadError(PluginError):
    """A plugin cannot be loaded.

    Attributes:
        plugin: The plugin's name.
        distribution: The distribution that brings it, with its version.
        problem: What went wrong.
    """

    def __init__(self, plugin: str, distribution: str, problem: str) -> None:
        super().__init__(plugin, distribution, problem)
        self.plugin = plugin
        self.distribution = distribution
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"plugin {self.plugin!r} of {self.distribution} cannot be loaded: {self.problem}. "
            f"Mend or remove it, or leave it out with THORN_PLUGINS_BLOCK={self.plugin}"
        )


class PluginClashError(PluginError):
    """Two plugins provide the same name for the same kind of stage.

    Attributes:
        stage: The kind of stage, such as ``transport``.
        name: The name that both provide.
        first: The plugin that was loaded first, with its distribution.
        second: The other plugin, with its distribution.
        choices: The two plugins' names, as the block list takes them.
    """

    def __init__(self, stage: str, name: str, first: str, second: str, choices: tuple[str, str]) -> None:
        super().__init__(stage, name, first, second, choices)
        self.stage = stage
        self.name = name
        self.first = first
        self.second = second
        self.choices = choices

    def __str__(self) -> str:
        one, other = self.choices
        return (
            f"the {self.stage} {self.name!r} is provided twice, by {self.first} and by {self.second}. "
            f"Leave one out: THORN_PLUGINS_BLOCK={one} or THORN_PLUGINS_BLOCK={other}"
        )


class UnknownStageError(PluginError):
    """No plugin provides a stage of that name.

    Attributes:
        stage: The kind of stage, such as ``transport``.
        name: The name that was asked for.
        known: The names that there are.
        hint: What else may help: the nearest name, a plugin that was left out.
    """

    def __init__(self, stage: str, name: str, known: tuple[str, ...], hint: str = "") -> None:
        super().__init__(stage, name, known, hint)
        self.stage = stage
        self.name = name
        self.known = known
        self.hint = hint

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        text = f"there is no {self.stage} {self.name!r}; there are: {known}"
        return f"{text}. {self.hint}" if self.hint else text


class StageUnavailableError(PluginError, MissingPackageError):
    """The plugin is there, but a package that it needs is not. ``name`` is the plugin's or the stage's."""


class InvalidValue(ThornError, ValueError):
    """A value cannot be what it is given as."""


class InvalidEventName(InvalidValue):
    """The text is not the name of an event."""


class InvalidPattern(InvalidValue):
    """The text is not a pattern, or one that no event could ever match."""


class InvalidURL(InvalidValue):
    """The text is not a URL that a webhook can be sent to."""


class InvalidSecret(InvalidValue):
    """The text is not a secret. The error never quotes it."""


class InvalidKey(InvalidValue):
    """The text is not a signing key or a public key. The error never quotes it."""


class InvalidHeader(InvalidValue):
    """The name or value cannot be sent as a header (RFC 9110, section 5), or is one of ours."""


class RecipientRefused(ThornError):
    """Policy does not allow this recipient.

    Recipient validators raise it to refuse a URL.

    Attributes:
        reason: Which rule refused it.
        detail: What the rule saw, without anything secret.
    """

    def __init__(self, detail: str, reason: Reason = Reason.RECIPIENT_REFUSED) -> None:
        super().__init__(detail, reason)
        self.detail = detail
        self.reason = reason

    def __str__(self) -> str:
        return self.detail


class SerializationError(ThornError):
    """A payload cannot be written as bytes.

    Attributes:
        path: Where in the payload, such as ``$.items[0].price``; ``$`` is the payload itself.
        problem: What is wrong there.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"the payload cannot be serialised: at {self.path}: {self.problem}"


class DispatchError(ThornError):
    """A dispatcher could not take a message, or its broker did not answer in time: then it may have it.

    Attributes:
        dispatcher: The dispatcher's name.
        problem: What is wrong, without anything secret.
    """

    def __init__(self, dispatcher: str, problem: str) -> None:
        super().__init__(dispatcher, problem)
        self.dispatcher = dispatcher
        self.problem = problem

    def __str__(self) -> str:
        return f"the dispatcher {self.dispatcher!r} could not take the message: {self.problem}"


class TransportError(ThornError):
    """An attempt ended without an answer.

    Attributes:
        reason: Why.
        detail: What was seen, without anything secret.
        timings: Where the time went, as far as it is known; None where nothing is.
    """

    def __init__(self, reason: Reason, detail: str, timings: Timings | None = None) -> None:
        super().__init__(reason, detail, timings)
        self.reason = reason
        self.detail = detail
        self.timings = timings

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class StoreError(ThornError):
    """A store could not do what it was asked."""


class StoreBusy(StoreError):
    """Another process holds the store's lock for longer than we wait."""


class StoreFull(StoreError):
    """The store has no room left. Nothing was half-written."""


class StoreDamaged(StoreError):
    """The file is not a sound database of ours, or of a version that this release does not know."""


class NotFound(StoreError):
    """There is no subscription or delivery of that id."""


class OutboxError(ThornError):
    """The application's database refused what the outbox asked of it, or a row of it cannot be read."""


class ClosedError(ThornError):
    """It was used after it was closed."""


class InvalidSignature(ThornError):
    """A received message is not authentic, or too old to be taken as such."""
