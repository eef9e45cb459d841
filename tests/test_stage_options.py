import json
from pathlib import Path

import pytest
from attrs import field, frozen

from support.distributions import Distributions
from thornsdk import HookContext, Plugin, Provided, Settings, StageContext, Thorn, Transport, hookimpl
from thornsdk.errors import InvalidValue, SettingError, StageUnavailableError
from thornsdk.testing import FakeClock, RecordingTransport


def _some(_: object, __: object, birds: int) -> None:
    if birds < 1:
        raise InvalidValue(f"birds is {birds}; one at least has to fly")


@frozen(kw_only=True)
class PigeonOptions:
    loft: str
    birds: int = field(default=2, validator=_some)


def context(**options: object) -> StageContext:
    settings = Settings.from_mapping({"THORN_OPTIONS": json.dumps({"pigeon": options})})
    return StageContext(name="pigeon", value="pigeon", settings=settings, clock=FakeClock())


def test_a_stage_gets_its_options() -> None:
    assert context(loft="Berlin").options(PigeonOptions) == PigeonOptions(loft="Berlin")
    assert context(loft="Berlin", birds=3).options(PigeonOptions).birds == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"loft": "Berlin", "brids": 3},
            "THORN_OPTIONS['pigeon']['brids'] is not an option; it takes loft, birds",
        ),
        ({"birds": 3}, "THORN_OPTIONS['pigeon'] is without 'loft'; it takes loft, birds"),
        (
            {"loft": "Berlin", "birds": 0},
            "THORN_OPTIONS['pigeon'] is (hidden); it takes loft, birds (birds is 0; one at least has to fly)",
        ),
    ],
)
def test_an_option_that_is_wrong_is_named(options: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError) as caught:
        context(**options).options(PigeonOptions)
    assert str(caught.value) == told


def test_what_another_error_says_of_an_option_is_not_told() -> None:
    def shape(loft: str) -> object:
        raise ValueError(f"{loft} is no loft")

    with pytest.raises(SettingError, match=r"it takes loft \(raised ValueError at") as caught:
        context(loft="hunter2").options(shape)
    assert "hunter2" not in str(caught.value)


def test_a_stage_without_options_refuses_any() -> None:
    with pytest.raises(SettingError, match="is not an option; it takes no options"):
        context(loft="Berlin").options(object)


class PigeonPlugin(Plugin):
    @hookimpl
    def thornsdk_transports(self, context: HookContext) -> list[Provided[Transport]]:
        def build(stage: StageContext) -> Transport:
            return RecordingTransport(schemes=[stage.options(PigeonOptions).loft])

        return [Provided("pigeon", build, "Sends by pigeon.")]


def test_options_reach_the_stage_that_settings_choose() -> None:
    options = {"pigeon": {"loft": "berlin"}}
    with Thorn(plugins=[PigeonPlugin()], transport="pigeon", options=options) as thorn:
        assert thorn.pipeline.by_scheme.keys() == {"berlin"}


def test_options_for_a_stage_that_nobody_provides_are_refused() -> None:
    with pytest.raises(
        SettingError, match=r"THORN_OPTIONS\['pigoen'\] is for no stage that there is; it tak"
    ):
        Thorn(plugins=[PigeonPlugin()], options={"pigoen": {"loft": "berlin"}})


def test_options_of_a_plugin_that_lacks_a_package_are_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install = Distributions(tmp_path, monkeypatch)
    install("pigeon-post", "pigeon_post", "import no_such_package", "pigeon = pigeon_post:Plugin [air]")
    with pytest.raises(StageUnavailableError, match=r"pip install 'pigeon-post\[air\]'"):
        Thorn(transport=["urllib3", "pigeon"], options={"pigeon": {"loft": "berlin"}})


@pytest.mark.parametrize("value", ["{", '{"pigeon": 1}', '["pigeon"]', {"": {}}])
def test_options_are_given_by_stage(value: object) -> None:
    with pytest.raises(SettingError, match=r"THORN_OPTIONS is \(hidden\); it takes a mapping"):
        Settings.from_mapping({"THORN_OPTIONS": value})
