from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from attrs import frozen

from support.stages import CountingSerializer, CountingTransport, SayingSerializer, make_pipeline
from thornsdk import HookContext, Pipeline, Plugin, Provided, Settings, SigningKey, StageContext, hookimpl
from thornsdk.errors import PipelineError, UnknownStageError
from thornsdk.pipeline import build_pipeline, build_store
from thornsdk.plugins import PluginManager, Source
from thornsdk.testing import FakeClock, RecordingObserver, RecordingSigner, RecordingTransport
from thornsdk_plugins.default import DefaultDispatcher
from thornsdk_plugins.disabled import DisabledDispatcher
from thornsdk_plugins.json import JsonSerializer
from thornsdk_plugins.memory import MemoryStore
from thornsdk_plugins.standard_webhooks import Ed25519Signer, StandardWebhooksSigner

Stages = dict[str, object]


class ObserverPlugin(Plugin):
    def __init__(self) -> None:
        self.contexts: list[StageContext] = []

    @hookimpl
    def thornsdk_observers(self, context: HookContext) -> list[Provided[RecordingObserver]]:
        return [Provided("recording", self._build, "Keeps what it is told.")]

    def _build(self, stage: StageContext) -> RecordingObserver:
        self.contexts.append(stage)
        return RecordingObserver()


@pytest.fixture
def plugins() -> PluginManager:
    manager = PluginManager("0.1")
    manager.load()
    return manager


def build(plugins: PluginManager, **given: object) -> Pipeline:
    settings = Settings.from_mapping({f"THORN_{key.upper()}": value for key, value in given.items()})
    return build_pipeline(settings, plugins, FakeClock())


def stages(**changes: object) -> Stages:
    sound: Stages = {
        "serializers": [JsonSerializer()],
        "signers": [],
        "transports": [CountingTransport()],
        "dispatcher": DefaultDispatcher(),
    }
    return {**sound, **changes}


# From settings


def test_settings_build_the_stages_that_they_name(plugins: PluginManager) -> None:
    pipeline = build(plugins)
    assert list(pipeline.by_content_type) == ["application/json", "application/x-www-form-urlencoded"]
    assert pipeline.by_scheme.keys() == {"http", "https"}
    assert isinstance(pipeline.dispatcher, DefaultDispatcher)
    assert isinstance(pipeline.store, MemoryStore)
    assert [type(one).__name__ for one in pipeline.signers] == ["HookHmacSigner", "StandardWebhooksSigner"]
    assert pipeline.observers == ()
    pipeline.close()


def test_a_serializer_is_told_the_content_type_that_it_stands_for(plugins: PluginManager) -> None:
    pipeline = build(plugins, codecs={"application/vnd.example+json": "json"})
    (serializer,) = pipeline.serializers
    assert serializer.content_type == "application/vnd.example+json"


def test_settings_can_leave_out_signatures_and_add_observers(plugins: PluginManager) -> None:
    plugin = ObserverPlugin()
    plugins.register(plugin, Source("observer", "tests 1.0"))
    pipeline = build(plugins, signers=[], observers=["recording"], dispatcher="disabled")
    assert pipeline.signers == ()
    assert isinstance(pipeline.observers[0], RecordingObserver)
    assert isinstance(pipeline.dispatcher, DisabledDispatcher)


def test_a_factory_is_given_settings_value_and_clock(plugins: PluginManager) -> None:
    plugin = ObserverPlugin()
    plugins.register(plugin, Source("observer", "tests 1.0"))
    build(plugins, observers="recording", concurrency=7)
    (context,) = plugin.contexts
    assert (context.value, context.settings.concurrency) == ("recording", 7)
    assert context.clock() == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("setting", "value", "stage"),
    [
        ("codecs", {"application/json": "nothing"}, "serializer"),
        ("signers", "nothing", "signer"),
        ("transport", "nothing", "transport"),
        ("dispatcher", "nothing", "dispatcher"),
        ("observers", "nothing", "observer"),
        ("store", "nothing://here", "store"),
    ],
)
def test_an_unknown_stage_is_an_error_that_names_its_kind(
    plugins: PluginManager, setting: str, value: object, stage: str
) -> None:
    with pytest.raises(UnknownStageError, match=f"there is no {stage} 'nothing'"):
        build(plugins, **{setting: value})


def test_a_store_is_built_by_what_stands_before_the_colon(plugins: PluginManager) -> None:
    settings = Settings.from_mapping({"THORN_STORE": "memory:whatever"})
    assert isinstance(build_store(settings, plugins, FakeClock()), MemoryStore)


def test_the_same_transport_twice_is_refused(plugins: PluginManager) -> None:
    with pytest.raises(PipelineError, match="two transports serve the same URL scheme, 'http': leave one"):
        build(plugins, transport="urllib3,urllib3")


# From stages


def test_stages_in_code_are_kept_in_their_order() -> None:
    first, second = RecordingTransport(schemes=["pigeon"]), CountingTransport()
    pipeline = make_pipeline([first, second])
    assert pipeline.transports == (first, second)
    assert pipeline.by_scheme == {"pigeon": first, "https": second}


def test_a_pipeline_needs_neither_signers_nor_observers_nor_a_store() -> None:
    pipeline = Pipeline(
        serializers=[JsonSerializer()],
        signers=[],
        transports=[CountingTransport()],
        dispatcher=DefaultDispatcher(),
    )
    assert (pipeline.signers, pipeline.observers, pipeline.store) == ((), (), None)
    pipeline.close()


@pytest.mark.parametrize(("slot", "stage"), [("serializers", "serializer"), ("transports", "transport")])
def test_a_pipeline_needs_at_least_one(slot: str, stage: str) -> None:
    with pytest.raises(PipelineError, match=f"a pipeline needs at least one {stage}"):
        Pipeline(**stages(**{slot: []}))  # type: ignore[arg-type]  # one for each slot


@pytest.mark.parametrize(
    ("slot", "value", "told"),
    [
        ("serializers", [RecordingSigner()], "a RecordingSigner, which is no Serializer: it has no content_"),
        ("signers", [CountingSerializer()], "a CountingSerializer, which is no Signer: it has no sign"),
        ("transports", [RecordingSigner()], "a RecordingSigner, which is no Transport: it has no schemes, "),
        ("dispatcher", MemoryStore(), "a MemoryStore, which is no Dispatcher: it has no name, dispatch"),
        ("observers", [MemoryStore()], "a MemoryStore, which is no Observer: it has no observe"),
        ("store", DefaultDispatcher(), "a DefaultDispatcher, which is no Store: it has no identity, put"),
        ("signers", [RecordingSigner], "the class RecordingSigner; an object of it is wanted"),
    ],
)
def test_a_stage_in_a_wrong_slot_is_refused(slot: str, value: object, told: str) -> None:
    with pytest.raises(PipelineError, match=f"^{slot} cannot have {told}"):
        Pipeline(**stages(**{slot: value}))  # type: ignore[arg-type]  # one is wrong on purpose


@pytest.mark.parametrize("slot", ["serializers", "signers", "transports", "observers"])
def test_a_stage_that_stands_alone_where_several_may_is_refused(slot: str) -> None:
    with pytest.raises(PipelineError, match=f"^{slot} takes several: put the RecordingSigner into a list$"):
        Pipeline(**stages(**{slot: RecordingSigner()}))  # type: ignore[arg-type]  # on purpose


def test_serializers_that_write_headers_are_known_by_their_content_types() -> None:
    saying = SayingSerializer(lambda delivery: (), "text/plain")
    pipeline = make_pipeline([CountingTransport()], serializers=[JsonSerializer(), saying])
    assert pipeline.header_serializers == {"text/plain": saying}


def test_an_attribute_of_a_serializer_that_is_called_headers_is_no_method() -> None:
    @frozen
    class CsvSerializer(JsonSerializer):
        headers: bool = True

    pipeline = make_pipeline([CountingTransport()], serializers=[CsvSerializer("text/csv")])
    assert pipeline.header_serializers == {}


def test_two_serializers_for_one_content_type_are_refused() -> None:
    with pytest.raises(PipelineError) as caught:
        make_pipeline([CountingTransport()], serializers=[JsonSerializer(), CountingSerializer()])
    assert str(caught.value) == (
        "two serializers serve the same content type, 'application/json': leave one out"
    )


def test_two_signers_that_write_the_same_header_are_refused_before_anything_is_sent() -> None:
    signers = [StandardWebhooksSigner(), Ed25519Signer(keys=SigningKey.generate())]
    told = (
        r"the signers 'StandardWebhooksSigner' and 'Ed25519Signer' both write the header webhook-id: "
        "leave one of them out"
    )
    with pytest.raises(PipelineError, match=told):
        Pipeline(**stages(signers=signers))  # type: ignore[arg-type]  # stages, as callers may give them


@pytest.mark.parametrize("signers", [["standard-webhooks", "ed25519"], ["hook-hmac", "hook-hmac"]])
def test_settings_are_told_which_signers_do_not_go_together(
    plugins: PluginManager, signers: list[str]
) -> None:
    options = {"ed25519": {"keys": SigningKey.generate().reveal()}}
    told = f"the signers '{signers[0]}' and '{signers[1]}' both write the header"
    with pytest.raises(PipelineError, match=told):
        build(plugins, signers=signers, options=options)


def test_two_transports_for_one_scheme_are_refused() -> None:
    with pytest.raises(PipelineError, match="two transports serve the same URL scheme, 'https'"):
        make_pipeline([CountingTransport(), RecordingTransport(schemes=["https", "pigeon"])])


# Life


def noting(name: str, calls: list[str]) -> Callable[[], None]:
    return lambda: calls.append(name)


def test_closing_closes_what_uses_others_first(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    transport, store = RecordingTransport(), MemoryStore()
    monkeypatch.setattr(DefaultDispatcher, "close", lambda self: calls.append("dispatcher"))
    monkeypatch.setattr(transport, "close", noting("transport", calls))
    monkeypatch.setattr(store, "close", noting("store", calls))
    make_pipeline([transport], store=store).close()
    assert calls == ["dispatcher", "transport", "store"]
