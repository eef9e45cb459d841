"""The pipeline: the stages of an application's deliveries, assembled and typed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TypeVar

from attrs import Factory, evolve, field, frozen

from thornsdk.dispatching import Dispatcher
from thornsdk.errors import InvalidHeader, PipelineError, SettingError
from thornsdk.hookspecs import StageContext
from thornsdk.model import Subscription
from thornsdk.model.headers import as_read
from thornsdk.plugins import PluginManager
from thornsdk.settings import Settings
from thornsdk.stages import (
    HeaderNames,
    HeaderSerializer,
    Observer,
    Serializer,
    Signer,
    Store,
    Transport,
    YieldedNames,
    what_is_wrong_with,
)
from thornsdk.typing import Clock

T = TypeVar("T")


# A converter tells the type checker what its field takes, so each field has one of its own.
def _serializers(stages: Iterable[Serializer]) -> tuple[Serializer, ...]:
    return _several("serializers", stages)


def _signers(stages: Iterable[Signer]) -> tuple[Signer, ...]:
    return _several("signers", stages)


def _transports(stages: Iterable[Transport]) -> tuple[Transport, ...]:
    return _several("transports", stages)


def _observers(stages: Iterable[Observer]) -> tuple[Observer, ...]:
    return _several("observers", stages)


def _several(kind: str, stages: Iterable[T]) -> tuple[T, ...]:
    given: object = stages
    if not isinstance(given, Iterable):
        raise PipelineError(f"{kind} takes several: put the {type(given).__qualname__} into a list")
    return tuple(stages)


def _by_content_type(pipeline: "Pipeline") -> Mapping[str, Serializer]:
    stages = pipeline.serializers
    _check_kind("serializers", stages, Serializer)
    return _index("serializer", "content type", [(one.content_type, one) for one in stages])


def _with_headers(pipeline: "Pipeline") -> Mapping[str, HeaderSerializer]:
    return {
        content_type: one
        for content_type, one in pipeline.by_content_type.items()
        # Of a serializer of columns, say, `headers` may be an attribute that means something else.
        if isinstance(one, HeaderSerializer) and callable(one.headers)
    }


def _by_scheme(pipeline: "Pipeline") -> Mapping[str, Transport]:
    stages = pipeline.transports
    _check_kind("transports", stages, Transport)
    served = [(scheme, one) for one in stages for scheme in sorted(one.schemes)]
    return _index("transport", "URL scheme", served)


@frozen(kw_only=True, eq=False)
class Pipeline:
    """The stages of an application's deliveries.

    Attributes:
        serializers: One for each content type. The first one's content type is what a subscription gets
            that asks for none, and is tried before anything is sent.
        signers: Each adds its headers.
        transports: One for each URL scheme.
        dispatcher: Decides where and when the rest runs.
        store: Keeps subscriptions and deliveries; with None, the one that the settings name.
        observers: Are told of every attempt.

    Raises:
        PipelineError: If stages do not fit together.

    Example:
        A pipeline in code, with `PooledTransport` from ``thornsdk_plugins.urllib3`` and so on::

            Pipeline(
                serializers=[JsonSerializer()],
                signers=[HookHmacSigner()],
                transports=[PooledTransport(concurrency=32)],
                dispatcher=DefaultDispatcher(),
            )
    """

    serializers: tuple[Serializer, ...] = field(converter=_serializers)
    signers: tuple[Signer, ...] = field(converter=_signers)
    transports: tuple[Transport, ...] = field(converter=_transports)
    dispatcher: Dispatcher
    store: Store | None = None
    observers: tuple[Observer, ...] = field(default=(), converter=_observers)
    by_content_type: Mapping[str, Serializer] = field(
        init=False, repr=False, default=Factory(_by_content_type, takes_self=True)
    )
    """The serializers, by content type."""
    header_serializers: Mapping[str, HeaderSerializer] = field(
        init=False, repr=False, default=Factory(_with_headers, takes_self=True)
    )
    """Those of the serializers that write headers too, by content type."""
    by_scheme: Mapping[str, Transport] = field(
        init=False, repr=False, default=Factory(_by_scheme, takes_self=True)
    )
    """The transports, by URL scheme."""

    def __attrs_post_init__(self) -> None:
        _check_kind("signers", self.signers, Signer)
        _check_headers((type(one).__qualname__, one) for one in self.signers)
        _check_kind("dispatcher", (self.dispatcher,), Dispatcher)
        _check_kind("observers", self.observers, Observer)
        if self.store is not None:
            _check_kind("store", (self.store,), Store)

    def check_headers(self, subscription: Subscription) -> None:
        """Refuses a subscription that has a header of its own which a stage writes.

        Raises:
            InvalidHeader: If it has one: no delivery could ever be sent. The error names header and stage.
        """
        writers = self._writers(subscription.content_type)
        for name, _ in subscription.headers:
            if writer := writers.get(as_read(name)):
                raise InvalidHeader(
                    f"the header {name!r} is written by the {writer}; a subscription cannot have its own"
                )

    def _writers(self, content_type: str) -> Mapping[str, str]:
        serializer = self.header_serializers.get(content_type)
        stages = [("signer", one) for one in self.signers] + [("serializer", serializer)]
        return {
            as_read(header): f"{kind} {type(one).__qualname__}"
            for kind, one in stages
            for header in _own_names(one)
        }

    def close(self) -> None:
        """Closes dispatcher, transports and store, in this order: those that use others first."""
        with ExitStack() as stack:  # It closes the others too when one raises.
            for stage in (self.store, *self.transports, self.dispatcher):
                if stage is not None:
                    stack.callback(stage.close)


def build_pipeline(settings: Settings, plugins: PluginManager, clock: Clock) -> Pipeline:
    """Builds the pipeline that settings name, from the stages that plugins provide.

    Raises:
        ConfigurationError: If a stage is unknown or unavailable, or stages do not fit together.
    """

    def context(name: str, value: str = "") -> StageContext:
        return StageContext(name=name, value=value or name, settings=settings, clock=clock)

    serializers, signers = plugins.serializers(), plugins.signers()
    transports, observers = plugins.transports(), plugins.observers()
    _check_options(settings, plugins)
    signing = [signers.build(context(name)) for name in settings.signers]
    _check_headers(zip(settings.signers, signing, strict=True))
    stages = Pipeline(
        serializers=[serializers.build(context(name, ct)) for ct, name in settings.codecs.items()],
        signers=signing,
        transports=[transports.build(context(name)) for name in settings.transport],
        dispatcher=plugins.dispatchers().build(context(settings.dispatcher)),
        observers=[observers.build(context(name)) for name in settings.observers],
    )
    # The store comes last: it alone holds something open from the beginning.
    return evolve(stages, store=build_store(settings, plugins, clock))


def build_store(settings: Settings, plugins: PluginManager, clock: Clock) -> Store:
    """Builds the store that settings name.

    Raises:
        ConfigurationError: If it is unknown or unavailable.
        StoreError: If it cannot be opened.
    """
    name = settings.store.partition(":")[0]
    return plugins.stores().build(
        StageContext(name=name, value=settings.store, settings=settings, clock=clock)
    )


def _check_options(settings: Settings, plugins: PluginManager) -> None:
    """Refuses options that nobody would ever read."""
    if not settings.options:
        return  # Most give none, and all hooks would run once more.
    known = {name for catalogue in plugins.catalogues() for name in catalogue.offers}
    for name in settings.options:
        if name in plugins.missing:
            raise plugins.missing[name]
        if name not in known:
            raise SettingError(
                f"THORN_OPTIONS[{name!r}]", "for no stage that there is", f"one of {', '.join(sorted(known))}"
            )


def _index(stage: str, key: str, pairs: list[tuple[str, T]]) -> dict[str, T]:
    if not pairs:
        raise PipelineError(f"a pipeline needs at least one {stage}")
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:
        raise PipelineError(f"two {stage}s serve the same {key}, {twice[0]!r}: leave one out")
    return dict(pairs)


def _check_headers(signers: Iterable[tuple[str, Signer]]) -> None:
    """Refuses two signers that would write the same header: no delivery could ever be sent."""
    writers: dict[str, str] = {}
    for name, signer in signers:
        for header in sorted(signer.header_names) if isinstance(signer, HeaderNames) else ():
            if header in writers:
                both = f"the signers {writers[header]!r} and {name!r} both write the header {header}"
                raise PipelineError(f"{both}: leave one of them out")
            writers[header] = name


def _own_names(stage: object) -> frozenset[str]:
    """Gives the names of the headers that a stage writes in any case, as far as it says them."""
    names = stage.header_names if isinstance(stage, HeaderNames) else frozenset[str]()
    return names - stage.yielded_names if isinstance(stage, YieldedNames) else names


def _check_kind(slot: str, stages: Iterable[object], protocol: type) -> None:
    for stage in stages:
        if problem := what_is_wrong_with(stage, protocol):
            raise PipelineError(f"{slot} cannot have {problem}")
