import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import evolve, frozen

from support.environments import Environment, build_wheel
from thornsdk import VERSION

ROOT = Path(__file__).parents[1]
SPOOL_POST = ROOT / "tests" / "strangers" / "spool-post"
SOURCE = "plugin 'spool' of spool-post 1.2"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """One with our wheel and the stranger's, installed by pip."""
    folder = tmp_path_factory.mktemp("environment")
    made = Environment.made(folder / "venv")
    for project in (ROOT, SPOOL_POST):
        made.install(build_wheel(project, folder / project.name))
    return made


@frozen
class Stranger:
    """Runs commands in the environment, in an empty folder."""

    environment: Environment
    here: Path
    before: Mapping[str, str] = {}

    def __call__(self, *args: str, **env: str) -> tuple[int, str, str]:
        """Runs ``thornsdk``; gives its exit code, and what it printed to stdout and to stderr."""
        ran = self.environment.run("-m", "thornsdk", *args, cwd=self.here, env={**self.before, **env})
        return ran.returncode, ran.stdout, ran.stderr

    def with_changed(self, *changes: "Change") -> "Stranger":
        """Gives one that finds a changed copy of the stranger's distribution first."""
        folder = self.here / "changed"
        for one in self.environment.packages.glob("spool_post*"):
            shutil.copytree(one, folder / one.name)
        for change in changes:
            (path,) = folder.glob(change.file)
            text = path.read_text(encoding="utf-8")
            assert change.old in text
            path.write_text(text.replace(change.old, change.new), encoding="utf-8")
        return evolve(self, before={"PYTHONPATH": str(folder)})

    def with_another(self) -> "Stranger":
        """Gives one that finds another stranger besides, who provides the same."""
        folder = self.here / "another"
        for one in self.environment.packages.glob("spool_post*"):
            copy = shutil.copytree(one, folder / one.name.replace("spool", "other"))
            for path in filter(Path.is_file, copy.iterdir()):
                text = path.read_text(encoding="utf-8").replace("spool_post", "other_post")
                text = text.replace("Name: spool-post", "Name: other-post").replace("spool = ", "other = ")
                path.write_text(text, encoding="utf-8")
        return evolve(self, before={"PYTHONPATH": str(folder)})


@frozen
class Change:
    """One text that another replaces, in a file of the stranger's distribution."""

    file: str
    old: str
    new: str


@pytest.fixture
def stranger(environment: Environment, tmp_path: Path) -> Stranger:
    return Stranger(environment, tmp_path)


def with_spool(folder: Path) -> dict[str, str]:
    """The settings that choose the stranger's transport beside ours."""
    options = json.dumps({"spool": {"folder": str(folder)}})
    return {"THORN_TRANSPORT": "urllib3,spool", "THORN_OPTIONS": options}


def test_our_wheel_is_what_is_used(environment: Environment, tmp_path: Path) -> None:
    code = "import thornsdk, thornsdk_plugins; print(thornsdk.__file__, thornsdk_plugins.__file__)"
    ran = environment.run("-c", code, cwd=tmp_path, env={})
    assert all(Path(one).is_relative_to(environment.packages) for one in ran.stdout.split())


def test_it_is_found(stranger: Stranger) -> None:
    code, out, _ = stranger("plugins", "--json")
    (found,) = [one for one in map(json.loads, out.splitlines()) if one["distribution"] == "spool-post"]
    assert code == 0
    assert found == {
        "stage": "transport",
        "name": "spool",
        "summary": "Puts requests into folders, as files.",
        "plugin": "spool",
        "distribution": "spool-post",
        "version": "1.2",
        "status": "loaded",
        "problem": None,
    }


def test_it_is_in_order(stranger: Stranger, tmp_path: Path) -> None:
    told = stranger("plugins", "check", "spool", **with_spool(tmp_path))
    assert told == (0, f"✓ {SOURCE}: transport 'spool'\n", "")


def test_it_is_chosen_by_name_and_sends(stranger: Stranger, tmp_path: Path) -> None:
    told = stranger(
        "send", "order.created", "--data", '{"id":42}', "--to", "spool://accounting/", **with_spool(tmp_path)
    )
    assert told[0] == 0, told
    (file,) = (tmp_path / "accounting").iterdir()
    head, _, body = file.read_bytes().partition(b"\r\n\r\n")
    assert body == b'{"id":42}'
    assert b"Hook-Event: order.created\r\n" in head
    assert f"User-Agent: Thorn/{VERSION} spool-post/1.2\r\n".encode() in head


# When it is broken


@frozen
class Broken:
    """A way to break the stranger's plugin, and what is told of it.

    Attributes:
        changes: What is changed.
        checked: What ``thornsdk plugins check`` says.
        refused: What an application says that wants to use it; empty where it works all the same.
    """

    changes: tuple[Change, ...]
    checked: str
    refused: str


def in_code(old: str, new: str) -> Change:
    return Change("spool_post/__init__.py", old, new)


def in_metadata(old: str, new: str) -> Change:
    return Change("*.dist-info/METADATA", old, new)


def not_loaded(problem: str) -> tuple[str, str]:
    """What is told where the plugin cannot be loaded."""
    return (
        (
            f"✗ {SOURCE}: it cannot be loaded: {problem}. "
            "Mend it, or leave it out with THORN_PLUGINS_BLOCK=spool\n"
        ),
        (
            f"error: {SOURCE} cannot be loaded: {problem}. "
            "Mend or remove it, or leave it out with THORN_PLUGINS_BLOCK=spool\n"
        ),
    )


def not_built(problem: str) -> tuple[str, str]:
    """What is told where the stage cannot be built."""
    return f"✗ {SOURCE}: {problem}. Mend its factory, or what it makes\n", not_loaded(problem)[1]


PROVIDED = 'return [Provided("spool", build, "Puts requests into folders, as files.")]'
NO_PACKAGE = "No module named 'no_such_package'"

BROKEN = {
    "it cannot be imported": Broken(
        (in_code("from attrs", "import no_such_package\nfrom attrs"),),
        f"✗ {SOURCE}: it cannot be imported: {NO_PACKAGE}. "
        "Install what is missing, or import it in the factory of the stage that needs it\n",
        f"error: {SOURCE} is unavailable ({NO_PACKAGE}): install what is missing\n",
    ),
    "it raises when it is imported": Broken(
        (in_code("from attrs", "1 / 0\nfrom attrs"),),
        *not_loaded("ZeroDivisionError: division by zero (spool_post/__init__.py:3)"),
    ),
    "it ends the process when it is imported": Broken(
        (in_code("from attrs", "exit(0)\nfrom attrs"),),
        *not_loaded("SystemExit: 0, which would end the process (spool_post/__init__.py:3)"),
    ),
    "a hook forgets its return": Broken(
        (in_code(PROVIDED, PROVIDED.removeprefix("return ")),),
        *not_loaded("thornsdk_transports gave None; it has to give a list of Provided: return [] for none"),
    ),
    "a hook gives something else": Broken(
        (in_code(PROVIDED, 'return ["spool"]'),),
        *not_loaded("thornsdk_transports gave a str; it has to give a list of Provided"),
    ),
    "a hook gives no list": Broken(
        (in_code(PROVIDED, "return 42"),),
        *not_loaded("thornsdk_transports gave a int; it has to give a list of Provided"),
    ),
    "a hook that does not exist": Broken(
        (in_code("thornsdk_transports", "thornsdk_carriers"),),
        *not_loaded(
            "there is no hook thornsdk_carriers; there are: thornsdk_dispatchers, thornsdk_observers, "
            "thornsdk_serializers, thornsdk_signers, thornsdk_stores, thornsdk_transports"
        ),
    ),
    "a hook without its mark": Broken(
        (in_code("@hookimpl", ""),),
        *not_loaded("thornsdk_transports is not marked with @hookimpl, so it would never be called"),
    ),
    "its factory makes something else": Broken(
        (in_code("return SpoolTransport(stage", "return str(stage"),),
        *not_built(
            "its factory for the transport 'spool' made a str, which is no Transport: it has no schemes, "
            "user_agent, send, send_many, close"
        ),
    ),
    "a class that forgot a method": Broken(
        (Change("spool_post/transport.py", "def send(self", "def put(self"),),
        *not_built(
            "its factory for the transport 'spool' made a SpoolTransport, which is no Transport: "
            "it has no send"
        ),
    ),
    "its extra is not installed": Broken(
        (
            in_code("from spool_post.transport", "import no_such_package\n    from spool_post.transport"),
            in_code('as files.")', 'as files.", "spool-post[zstd]")'),
            in_metadata("Requires-Dist:", "Provides-Extra: zstd\nRequires-Dist:"),
        ),
        f"✓ {SOURCE}: transport 'spool'\n"
        f"○ {SOURCE}: the transport 'spool' cannot be built here: {NO_PACKAGE}. "
        "Install what is missing: pip install 'spool-post[zstd]'\n",
        f"error: the transport 'spool' is unavailable ({NO_PACKAGE}): pip install 'spool-post[zstd]'\n",
    ),
    "it is for another version": Broken(
        (in_metadata("thornsdk>=0.1", "thornsdk>=9"),),
        f"✗ {SOURCE}: its distribution requires thornsdk>=9, and {VERSION} is installed. "
        "Install releases that go together, or test it with this one\n",
        "",  # Pip says so when it is installed.
    ),
    "it clashes with ours": Broken(
        (in_code('Provided("spool"', 'Provided("form"'), in_code("transports(", "serializers(")),
        f"✗ {SOURCE}: the serializer 'form' is provided by plugin 'form' of thornsdk {VERSION} too. "
        "Rename it, or leave one out: THORN_PLUGINS_BLOCK=spool-post:spool\n"
        f"○ {SOURCE}: the serializer 'form' cannot be built with the settings that there are: "
        "THORN_OPTIONS['form'] is without 'folder'; it takes folder. Set that, and check again\n",
        f"error: the serializer 'form' is provided twice, by {SOURCE} and by plugin 'form' of thornsdk "
        f"{VERSION}. Leave one out: THORN_PLUGINS_BLOCK=spool or THORN_PLUGINS_BLOCK=form\n",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_is_told(stranger: Stranger, tmp_path: Path, what: str) -> None:
    one = BROKEN[what]
    broken = stranger.with_changed(*one.changes)
    settings = with_spool(tmp_path)
    code, out, _ = broken("plugins", "check", "spool", **settings)
    assert (out, code) == (one.checked, int("✗" in one.checked))
    code, _, err = broken("send", "x.y", "--data", "1", "--to", "spool://a/", **settings)
    if one.refused:
        assert (code, err) == (2, one.refused)
    else:
        assert code == 0


def test_two_strangers_that_provide_the_same_are_told(stranger: Stranger, tmp_path: Path) -> None:
    two, settings = stranger.with_another(), with_spool(tmp_path)
    other = "plugin 'other' of other-post 1.2"
    code, out, _ = two("plugins", "check", "spool", "other", **settings)
    assert code == 1
    assert [line for line in out.splitlines() if line.startswith("✗")] == [
        (
            f"✗ {other}: the transport 'spool' is provided by {SOURCE} too. "
            "Rename it, or leave one out: THORN_PLUGINS_BLOCK=other-post:other"
        ),
        (
            f"✗ {SOURCE}: the transport 'spool' is provided by {other} too. "
            "Rename it, or leave one out: THORN_PLUGINS_BLOCK=spool-post:spool"
        ),
    ]
    code, _, err = two("send", "x.y", "--data", "1", "--to", "spool://a/", **settings)
    assert (code, err) == (
        2,
        (
            f"error: the transport 'spool' is provided twice, by {other} and by {SOURCE}. "
            "Leave one out: THORN_PLUGINS_BLOCK=other or THORN_PLUGINS_BLOCK=spool\n"
        ),
    )
    settings["THORN_PLUGINS_BLOCK"] = "other"
    assert two("send", "x.y", "--data", "1", "--to", "spool://a/", **settings)[0] == 0


# Types


TYPED = """
    from thornsdk import Pipeline, Thorn, Transport
    from thornsdk_plugins.default import DefaultDispatcher
    from thornsdk_plugins.json import JsonSerializer
    from thornsdk_plugins.urllib3 import PooledTransport
    from spool_post import SpoolPlugin
    from spool_post.transport import SpoolTransport

    transports: list[Transport] = [PooledTransport(), SpoolTransport("spool")]
    pipeline = Pipeline(
        serializers=[JsonSerializer()], signers=[], transports=transports, dispatcher=DefaultDispatcher()
    )
    thorn = Thorn(pipeline=pipeline, plugins=[SpoolPlugin()])
"""


def mypy(environment: Environment, folder: Path, code: str) -> str:
    """What mypy finds wrong with code that uses what is installed in the environment."""
    pytest.importorskip("mypy")
    (folder / "application.py").write_text(dedent(code))
    command = ["-m", "mypy", "--strict", "--no-error-summary", "application.py"]
    ran = environment.run(*command, cwd=folder, env={})
    assert ran.stderr == ""
    return ran.stdout


def test_code_that_uses_it_is_typed(environment: Environment, tmp_path: Path) -> None:
    assert mypy(environment, tmp_path, TYPED) == ""


def test_code_that_uses_it_wrongly_is_found(environment: Environment, tmp_path: Path) -> None:
    wrong = TYPED.replace('SpoolTransport("spool")', "SpoolTransport(42)").replace("signers=[]", "signers=7")
    told = mypy(environment, tmp_path, wrong)
    assert 'Argument 1 to "SpoolTransport" has incompatible type "int"; expected "str"' in told
    assert 'Argument "signers" to "Pipeline" has incompatible type "int"' in told
