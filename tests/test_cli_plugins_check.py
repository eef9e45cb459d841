import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from support.commands import Commands, Ran
from support.distributions import PIGEON, Distributions
from thornsdk import VERSION

SOURCE = "plugin 'pigeon' of pigeon-post 1.0"
ODD_SOURCE = "plugin 'odd' of odd-post 1.0"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distributions:
    """Installs distributions on a path of the test's own."""
    return Distributions(tmp_path, monkeypatch)


def check(run: Commands, install: Distributions, code: str = PIGEON, **metadata: object) -> Ran:
    """Installs a plugin ``pigeon``, and checks it."""
    points = str(metadata.pop("points", "pigeon = pigeon_post:PigeonPlugin"))
    install("pigeon-post", "pigeon_post", code, points, **metadata)  # type: ignore[arg-type]
    return run("plugins", "check", "pigeon")


def changed(old: str, new: str) -> str:
    """Gives the plugin with a part of it changed."""
    assert old in PIGEON
    return PIGEON.replace(old, new)


def test_the_built_in_plugins_are_in_order(run: Commands) -> None:
    ran = run("plugins", "check")
    assert (ran.code, ran.err) == (0, "")
    assert f"✓ plugin 'json' of thornsdk {VERSION}: serializer 'json'\n" in ran.out
    assert "✗" not in ran.out


def test_a_plugin_that_is_in_order_is_told_with_what_it_provides(
    run: Commands, install: Distributions
) -> None:
    ran = check(run, install)
    assert (ran.code, ran.out) == (0, f"✓ {SOURCE}: transport 'pigeon'\n")


WRONG = {
    "it raises at import": (
        "1 / 0",
        (
            "it cannot be loaded: ZeroDivisionError: division by zero (pigeon_post/__init__.py:1). "
            "Mend it, or leave it out with THORN_PLUGINS_BLOCK=pigeon"
        ),
    ),
    "it imports what is not there": (
        "import no_such_package",
        (
            "it cannot be imported: No module named 'no_such_package'. "
            "Install what is missing, or import it in the factory of the stage that needs it"
        ),
    ),
    "a module that is not there": (
        None,
        (
            "it cannot be imported: No module named 'no_such_module'. "
            "Install what is missing, or import it in the factory of the stage that needs it"
        ),
    ),
    "a hook that does not exist": (
        changed("thornsdk_transports", "thornsdk_transport"),
        (
            "it cannot be loaded: there is no hook thornsdk_transport; there are: thornsdk_dispatchers, "
            "thornsdk_observers, thornsdk_serializers, thornsdk_signers, thornsdk_stores, "
            "thornsdk_transports. "
            "Mend it, or leave it out with THORN_PLUGINS_BLOCK=pigeon"
        ),
    ),
    "a hook without its mark": (
        changed("@hookimpl", ""),
        (
            "it cannot be loaded: thornsdk_transports is not marked with @hookimpl, so it would "
            "never be called. "
            "Mend it, or leave it out with THORN_PLUGINS_BLOCK=pigeon"
        ),
    ),
    "a hook that gives one thing": (
        changed("[Provided", "(Provided").replace('")]', '"))'),
        (
            "it cannot be loaded: thornsdk_transports gave a Provided; it has to give a list of Provided. "
            "Mend it, or leave it out with THORN_PLUGINS_BLOCK=pigeon"
        ),
    ),
    "a hook that forgets its return": (
        changed("return [Provided", "[Provided"),
        (
            "it cannot be loaded: thornsdk_transports gave None; it has to give a list of Provided: "
            "return [] for none. "
            "Mend it, or leave it out with THORN_PLUGINS_BLOCK=pigeon"
        ),
    ),
    "a name that is none": (
        changed('"pigeon", lambda', "None, lambda"),
        (
            "it cannot be loaded: thornsdk_transports raised InvalidValue: name is None; a Provided takes "
            "a text (pigeon_post/__init__.py:14). Mend it, or leave it out with THORN_PLUGINS_BLOCK=pigeon"
        ),
    ),
    "no hook": (
        "from thornsdk import Plugin as PigeonPlugin",
        (
            "it has no hook, so it provides nothing. "
            "Override the hook of the stage that it provides, and mark it with @hookimpl"
        ),
    ),
    "a name that settings cannot take": (
        changed('"pigeon", lambda', '"Pigeon, post", lambda'),
        (
            "the transport 'Pigeon, post' has a name that settings cannot well choose it by. "
            "Take lower case letters and digits, with '-', '_', '.' or '+' between them"
        ),
    ),
    "no summary": (
        changed("Sends by pigeon.", " "),
        "the transport 'pigeon' has no summary. Say in one line what it does",
    ),
    "a summary of two lines": (
        changed("Sends by pigeon.", "Sends\\nby pigeon."),
        "the transport 'pigeon' has a summary that is not one line. Say in one line what it does",
    ),
    "a factory that breaks": (
        changed("lambda stage: Pigeon()", "lambda stage: 1 / 0"),
        (
            "its transport 'pigeon' cannot be built: ZeroDivisionError: division by zero "
            "(pigeon_post/__init__.py:14). Mend its factory, or what it makes"
        ),
    ),
    "a class that forgot a method": (
        changed("def send(self", "def post(self"),
        (
            "its factory for the transport 'pigeon' made a Pigeon, which "
            "is no Transport: it has no send. Mend its factory, or what it makes"
        ),
    ),
    "a method that is async": (
        changed("def send(self", "async def send(self"),
        (
            "its factory for the transport 'pigeon' made a Pigeon, which is no Transport: "
            "its send is async, and nobody would await it. Mend its factory, or what it makes"
        ),
    ),
    "a package that is no extra": (
        changed("Pigeon()", "__import__('no_such_package')"),
        (
            "the transport 'pigeon' cannot be built here: No module named 'no_such_package'. "
            "Make what it needs an extra, and say in its `extra` which"
        ),
    ),
    "schemes in upper case": (
        changed('{"pigeon"}', '{"Pigeon"}'),
        (
            "the transport 'pigeon' serves frozenset({'Pigeon'}), which is no frozenset of URL "
            "schemes in lower "
            "case. Give one, such as frozenset({'https'})"
        ),
    ),
    "a property that breaks": (
        changed('user_agent = "pigeon/1"', "user_agent = property(lambda self: 1 / 0)"),
        (
            "its transport 'pigeon' cannot be built: ZeroDivisionError: division by zero "
            "(pigeon_post/__init__.py:6). Mend its factory, or what it makes"
        ),
    ),
    "an end that breaks": (
        changed("def send(self", "def close(self):\n            1 / 0\n\n        def send(self"),
        (
            "the transport 'pigeon' cannot be closed: ZeroDivisionError: division by zero "
            "(pigeon_post/__init__.py:9). Mend its close"
        ),
    ),
    "an extra that is not there": (
        changed('pigeon.")', 'pigeon.", "pigeon-post[air]")'),
        (
            "the transport 'pigeon' names 'pigeon-post[air]' as what to install, and pigeon-post "
            "has no extra "
            "'air'. Add 'air' to its optional dependencies"
        ),
    ),
    "an extra that is no requirement": (
        changed('pigeon.")', 'pigeon.", "the air package")'),
        (
            "the transport 'pigeon' names 'the air package' as what to install, which is no requirement. "
            "Name an extra of its distribution, such as pigeon-post[pigeon]"
        ),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_with_what_to_do(run: Commands, install: Distributions, what: str) -> None:
    code, told = WRONG[what]
    if code is None:
        ran = check(run, install, points="pigeon = no_such_module:PigeonPlugin")
    else:
        ran = check(run, install, code)
    assert (ran.code, ran.out) == (1, f"✗ {SOURCE}: {told}\n")


END = ", which would end the process (odd_post/__init__.py:"
ODD: dict[str, tuple[dict[str, Any], str]] = {
    "it ends the process": (
        {"code": "import sys\nsys.exit(0)"},
        f"it cannot be loaded: SystemExit: 0{END}2)",
    ),
    "it ends the process with a text": (
        {"code": "import sys\nsys.exit('bye')"},
        f"it cannot be loaded: SystemExit: bye{END}2)",
    ),
    "its hook ends the process": (
        {"code": changed("return [", "exit(3); [")},
        f"it cannot be loaded: thornsdk_transports raised SystemExit: 3{END}14)",
    ),
    "its factory ends the process": (
        {"code": changed("Pigeon()", "exit(3)")},
        f"its transport 'pigeon' cannot be built: SystemExit: 3{END}14)",
    ),
    "closing its stage ends the process": (
        {"code": changed("def send(self", "def close(self):\n            exit(3)\n\n        def send(self")},
        f"the transport 'pigeon' cannot be closed: SystemExit: 3{END}9)",
    ),
    "a requirement that is none": (
        {"code": PIGEON, "requires": ["thornsdk", "foo (>=1.*"]},
        (
            "its distribution requires 'foo (>=1.*', which is no requirement. "
            "Write it as in 'thornsdk>=0.1', and build and install it again"
        ),
    ),
    "an entry point that is none": (
        {"code": PIGEON, "points": "odd = bad entry:Q:R"},
        "it cannot be loaded: its entry point 'bad entry:Q:R' is malformed; it has to name a class of Plugin",
    ),
    "what no check has thought of": (
        {"code": PIGEON + "\n    __spec__ = None\n"},
        "its check broke off: ValueError: odd_post.__spec__ is None. Mend it, or leave it out with",
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_a_plugin_that_is_odd_is_told_and_hides_no_other(
    run: Commands, install: Distributions, what: str
) -> None:
    metadata, told = ODD[what]
    install("odd-post", "odd_post", **{"points": "odd = odd_post:PigeonPlugin", **metadata})
    install("owl-post", "owl_post", changed('"pigeon"', '"owl"'), "owl = owl_post:PigeonPlugin")
    ran = run("plugins", "check")
    assert (ran.code, ran.err) == (1, "")
    assert [line for line in ran.out.splitlines() if line.startswith(f"✗ {ODD_SOURCE}: {told}")]
    assert "✓ plugin 'owl' of owl-post 1.0: transport 'owl'\n" in ran.out
    assert "owl" in {one["name"] for one in run("plugins", "--json").json if one["status"] == "loaded"}


def test_a_distribution_without_metadata_is_told_and_hides_no_other(
    run: Commands, install: Distributions, tmp_path: Path
) -> None:
    install("owl-post", "owl_post", changed('"pigeon"', '"owl"'), "owl = owl_post:PigeonPlugin")
    install("pigeon-post", "pigeon_post", PIGEON, "pigeon = pigeon_post:PigeonPlugin")
    (tmp_path / "pigeon_post-1.0.dist-info" / "METADATA").unlink()
    ran = run("plugins", "check")
    told = f"its distribution in {tmp_path} has no METADATA with its name and version. Install it again"
    assert (ran.code, ran.err) == (1, "")
    assert f"✗ plugin 'pigeon' of an unknown distribution: {told}\n" in ran.out
    assert "✓ plugin 'owl' of owl-post 1.0: transport 'owl'\n" in ran.out
    assert {"owl", "pigeon"} <= {one["name"] for one in run("plugins", "--json").json}


def test_a_distribution_has_to_require_thornsdk(run: Commands, install: Distributions) -> None:
    ran = check(run, install, requires=["attrs", 'thornsdk>=9; extra == "later"'])
    told = "its distribution does not require thornsdk. Add 'thornsdk>=0.1' to its dependencies"
    assert (ran.code, ran.out) == (1, f"✗ {SOURCE}: {told}\n")


def test_a_distribution_for_another_version_is_told(run: Commands, install: Distributions) -> None:
    ran = check(run, install, requires=["ThornSDK[cli]<0.1"])
    told = f"its distribution requires thornsdk<0.1, and {VERSION} is installed"
    advice = "Install releases that go together, or test it with this one"
    assert (ran.code, ran.out) == (1, f"✗ {SOURCE}: {told}. {advice}\n")


def test_a_package_without_types_is_told(run: Commands, install: Distributions) -> None:
    ran = check(run, install, typed=False)
    assert (ran.code, ran.out) == (
        1,
        (
            f"✗ {SOURCE}: its package pigeon_post has no py.typed, so type checkers see nothing of it. "
            "Put an empty file py.typed beside its __init__.py\n"
        ),
    )


def test_a_single_file_can_have_no_types(run: Commands, install: Distributions, tmp_path: Path) -> None:
    (tmp_path / "single_pigeon.py").write_text(dedent(PIGEON))
    ran = check(run, install, points="pigeon = single_pigeon:PigeonPlugin")
    assert (ran.code, ran.out) == (
        1,
        (
            f"✗ {SOURCE}: its module single_pigeon is a single file, beside which type checkers find no "
            "py.typed. Make it a package, with an empty file py.typed in it\n"
        ),
    )


def test_a_module_that_hides_the_plugins_own_is_told(
    run: Commands, install: Distributions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("pigeon-post", "pigeon_post", PIGEON, "pigeon = pigeon_post:PigeonPlugin")
    before = tmp_path / "before"
    (before / "pigeon_post").mkdir(parents=True)
    (before / "pigeon_post" / "__init__.py").write_text(dedent(PIGEON))
    (before / "pigeon_post" / "py.typed").touch()
    monkeypatch.syspath_prepend(str(before))
    ran = run("plugins", "check", "pigeon")
    monkeypatch.delitem(sys.modules, "pigeon_post")
    assert (ran.code, ran.out) == (
        1,
        (
            f"✗ {SOURCE}: its module pigeon_post was imported from "
            f"{before}/pigeon_post/__init__.py, which its "
            "distribution lacks. Rename or remove what hides it\n"
        ),
    )


def test_plugins_that_provide_the_same_name_are_told_both(run: Commands, install: Distributions) -> None:
    install("dove-post", "dove_post", PIGEON, "dove = dove_post:PigeonPlugin")
    install("pigeon-post", "pigeon_post", PIGEON, "pigeon = pigeon_post:PigeonPlugin")
    ran = run("plugins", "check", "dove", "pigeon-post:pigeon")
    assert ran.code == 1
    told = [line.partition(" the transport 'pigeon' ")[2] for line in ran.out.splitlines() if line[0] == "✗"]
    assert told == [
        (
            "is provided by plugin 'pigeon' of pigeon-post 1.0 too. Rename it, or leave one out: "
            "THORN_PLUGINS_BLOCK=dove-post:dove"
        ),
        (
            "is provided by plugin 'dove' of dove-post 1.0 too. Rename it, or leave one out: "
            "THORN_PLUGINS_BLOCK=pigeon-post:pigeon"
        ),
    ]


# What is to be known, and is not wrong


def notes(ran: Ran) -> list[str]:
    """The notes of a check that found nothing wrong."""
    first, *others = ran.out.splitlines()
    assert (ran.code, first) == (0, f"✓ {SOURCE}: transport 'pigeon'")
    return [one.removeprefix(f"○ {SOURCE}: ") for one in others]


NEEDY = changed('Pigeon(), "Sends by pigeon."', 'needed(), "Sends by pigeon.", "pigeon-post[air]"') + (
    "\n    def needed():\n        import no_such_package\n"
)
DEMANDING = changed("Pigeon()", "stage.options(PigeonOptions)") + (
    "\n    def PigeonOptions(loft):\n        return Pigeon()\n"
)


def test_a_package_that_may_be_missing_is_a_note(run: Commands, install: Distributions) -> None:
    assert notes(check(run, install, NEEDY, extras=["air"])) == [
        (
            "the transport 'pigeon' cannot be built here: No module named 'no_such_package'. "
            "Install what is missing: pip install 'pigeon-post[air]'"
        )
    ]


def test_what_an_option_needs_and_is_missing_is_a_note(run: Commands, install: Distributions) -> None:
    code = (
        changed("Pigeon()", "needed()")
        + """
    def needed():
        from thornsdk.errors import MissingPackageError

        raise MissingPackageError("the air", "No module named 'air'", "pip install air")
    """
    )
    assert notes(check(run, install, code)) == [
        (
            "the transport 'pigeon' cannot be built here: No module named 'air'. "
            "Install what is missing: pip install air"
        )
    ]


def test_an_extra_of_another_distribution_is_not_looked_up(run: Commands, install: Distributions) -> None:
    code = changed('pigeon.")', 'pigeon.", "another[air]")')
    assert notes(check(run, install, code)) == []


def test_an_option_that_it_wants_is_a_note(
    run: Commands, install: Distributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert notes(check(run, install, DEMANDING)) == [
        (
            "the transport 'pigeon' cannot be built with the settings that there are: "
            "THORN_OPTIONS['pigeon'] is "
            "without 'loft'; it takes loft. Set that, and check again"
        )
    ]
    monkeypatch.setenv("THORN_OPTIONS", '{"pigeon": {"loft": "Berlin"}}')
    assert notes(run("plugins", "check", "pigeon")) == []


def test_transports_of_one_scheme_are_a_note(run: Commands, install: Distributions) -> None:
    assert notes(check(run, install, changed('{"pigeon"}', '{"pigeon", "http"}'))) == [
        f"the transport 'pigeon' serves http, as the transport {name!r} does. "
        "Let THORN_TRANSPORT name one of them"
        for name in ("curl", "urllib3")
    ]


def test_an_unavailable_plugin_whose_package_is_an_extra_is_a_note(
    run: Commands, install: Distributions
) -> None:
    points = "pigeon = pigeon_post:PigeonPlugin [air]"
    ran = check(run, install, "import no_such_package", points=points)
    told = "it cannot be imported: No module named 'no_such_package'. Install what is missing: pip install"
    assert (ran.code, ran.out) == (0, f"○ {SOURCE}: {told} 'pigeon-post[air]'\n")


def test_a_plugin_that_is_blocked_is_a_note(
    run: Commands, install: Distributions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORN_PLUGINS_BLOCK", "pigeon")
    ran = check(run, install, "1 / 0")
    told = "it was not checked, for THORN_PLUGINS_BLOCK leaves it out. Take it off that list"
    assert (ran.code, ran.out) == (0, f"○ {SOURCE}: {told}\n")


def test_a_plugin_that_chooses_to_provide_nothing_is_a_note(run: Commands, install: Distributions) -> None:
    ran = check(run, install, changed("return [", "return [] and ["))
    told = "it provides nothing here: its hooks give empty lists. Where that is not meant, let one of them"
    assert (ran.code, ran.out) == (0, f"○ {SOURCE}: {told} give a Provided\n")


def test_plugins_of_one_name_are_a_note(run: Commands, install: Distributions) -> None:
    owl = changed('"pigeon"', '"owl"')
    install("owl-post", "owl_post", owl, "pigeon = owl_post:PigeonPlugin")
    ran = check(run, install)
    told = (
        "another one is called alike, plugin 'pigeon' of owl-post 1.0. "
        "Leave one out by its whole name: THORN_PLUGINS_BLOCK=pigeon-post:pigeon"
    )
    assert (ran.code, ran.out.splitlines()[-1]) == (0, f"○ {SOURCE}: {told}")


# How it is asked, and what it gives


def test_a_stage_is_built_once_and_with_what_the_settings_say_of_it(
    run: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THORN_STORE", f"sqlite:///{tmp_path}/thorn.db")
    ran = run("plugins", "check", "sqlite")
    assert (ran.code, ran.out) == (0, f"✓ plugin 'sqlite' of thornsdk {VERSION}: store 'sqlite'\n")


@pytest.mark.parametrize("path", ["thorn.db", "var/thorn.db", "{here}/thorn.db"])
def test_to_check_a_store_makes_no_file(
    run: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("THORN_STORE", f"sqlite:///{path.format(here=tmp_path)}")
    assert run("plugins", "check", "sqlite").out.startswith("✓")
    assert list(tmp_path.iterdir()) == []
    assert Path.cwd() == tmp_path


def test_to_check_a_store_opens_none_that_is_there(
    run: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "thorn.db"
    path.write_text("no database")
    monkeypatch.setenv("THORN_STORE", f"sqlite:///{path}")
    assert run("plugins", "check", "sqlite").out.startswith("✓")
    assert path.read_text() == "no database"


def test_machines_get_an_object_for_each_finding(run: Commands, install: Distributions) -> None:
    install(
        "pigeon-post", "pigeon_post", changed("Sends by pigeon.", ""), "pigeon = pigeon_post:PigeonPlugin"
    )
    assert run("plugins", "check", "pigeon", "--json").json == [
        {
            "level": "wrong",
            "plugin": "pigeon",
            "distribution": "pigeon-post",
            "version": "1.0",
            "stage": "transport",
            "name": "pigeon",
            "problem": "the transport 'pigeon' has no summary",
            "advice": "Say in one line what it does",
        }
    ]
    (ok,) = run("plugins", "check", "json", "--json").json
    assert (ok["level"], ok["plugin"], ok["problem"]) == ("ok", "json", None)


@pytest.mark.parametrize(("name", "hint"), [("urlib3", " Did you mean 'urllib3'?"), ("no-such-plugin", "")])
def test_a_plugin_that_is_not_there_is_told_with_the_nearest_one(run: Commands, name: str, hint: str) -> None:
    ran = run("plugins", "check", name)
    told = f"error: there is no plugin {name!r}; `thornsdk plugins` lists what there is.{hint}\n"
    assert (ran.code, ran.out, ran.err) == (2, "", told)
