import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from support.commands import Commands
from thornsdk.cli import scaffold
from thornsdk.cli.plugins_new import origin_of
from thornsdk.cli.problems import Failure
from thornsdk.plugins import KINDS


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the commands run."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def contents(folder: Path) -> list[str]:
    return sorted(str(one.relative_to(folder)) for one in folder.rglob("*") if one.is_file())


def without_origin(told: str) -> str:
    """Leaves out where thornsdk itself comes from: that depends on how it was installed for the tests."""
    return re.sub(r" 'thornsdk @ [^']*'", "", told)


def test_it_makes_a_distribution_and_says_what_is_next(run: Commands, here: Path) -> None:
    ran = run("plugins", "new", "homing-pigeon", "--stage", "transport")
    assert (ran.code, ran.err) == (0, "")
    assert without_origin(ran.out) == (
        "made thornsdk-homing-pigeon, with the transport 'homing-pigeon'. Next:\n"
        "  cd thornsdk-homing-pigeon\n"
        "  python3 -m venv .venv\n"
        "  . .venv/bin/activate\n"
        "  pip install -e '.[test]'\n"
        "  pytest\n"
        "  mypy\n"
        "  thornsdk plugins check homing-pigeon\n"
    )
    assert contents(here / "thornsdk-homing-pigeon") == [
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "src/thornsdk_homing_pigeon/__init__.py",
        "src/thornsdk_homing_pigeon/py.typed",
        "src/thornsdk_homing_pigeon/transport.py",
        "tests/far_side.py",
        "tests/test_thornsdk_homing_pigeon.py",
    ]


def test_its_names_follow_from_one(run: Commands, here: Path) -> None:
    run("plugins", "new", "homing-pigeon", "--stage", "signer")
    project = tomllib.loads((here / "thornsdk-homing-pigeon" / "pyproject.toml").read_text())["project"]
    assert project["name"] == "thornsdk-homing-pigeon"
    assert project["dependencies"] == ["attrs>=24.2", "thornsdk>=0.1"]
    assert project["entry-points"]["thornsdk"] == {
        "homing-pigeon": "thornsdk_homing_pigeon:HomingPigeonPlugin"
    }


def test_the_name_of_the_distribution_will_do_too(run: Commands) -> None:
    (made,) = run("plugins", "new", "thornsdk-pigeon", "--stage", "store", "--json").json
    assert (made["name"], made["distribution"]) == ("pigeon", "thornsdk-pigeon")


def test_machines_get_one_object(run: Commands, here: Path) -> None:
    (made,) = run("plugins", "new", "pigeon", "--stage", "observer", "--folder", "my birds", "--json").json
    assert made["files"] == contents(here / "my birds")
    assert made["next"][0] == "cd 'my birds'"
    assert {key: made[key] for key in ("stage", "name", "distribution", "module", "folder")} == {
        "stage": "observer",
        "name": "pigeon",
        "distribution": "thornsdk-pigeon",
        "module": "thornsdk_pigeon",
        "folder": "my birds",
    }


@pytest.mark.parametrize("name", ["x", "class", "pigeon-2", "a" * 24])
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_the_templates(run: Commands, here: Path, kind: str, name: str) -> None:
    run("plugins", "new", name, "--stage", kind, "--folder", "made")
    for path in contents(here / "made"):
        text = (here / "made" / path).read_text()
        assert not re.search(r"MODULE|\$\w|\$\{\w|template", path + text.replace("$ ", "").replace("${{", ""))
        if path.endswith(".py"):
            ast.parse(text)


def imported(path: Path) -> set[str]:
    """Gives the packages that a module imports, but for those of Python itself."""
    nodes = [*ast.walk(ast.parse(path.read_text()))]
    names = {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


@pytest.mark.parametrize("kind", KINDS)
def test_what_its_code_imports_it_requires(run: Commands, here: Path, kind: str) -> None:
    run("plugins", "new", "pigeon", "--stage", kind, "--folder", "made")
    project = tomllib.loads((here / "made" / "pyproject.toml").read_text())["project"]
    required = {Requirement(one).name for one in project["dependencies"]}
    code = (here / "made" / "src").rglob("*.py")
    ours = {"thornsdk_pigeon", "thornsdk_plugins"}  # The built-in plugins come with thornsdk.
    assert set().union(*map(imported, code)) - ours == required


@pytest.mark.parametrize("kind", KINDS)
def test_its_readme_says_how_to_install_and_to_configure_it(run: Commands, here: Path, kind: str) -> None:
    run("plugins", "new", "pigeon", "--stage", kind, "--folder", "made")
    readme = (here / "made" / "README.md").read_text()
    assert "$ pip install thornsdk-pigeon\n" in readme
    assert "$ export THORN_OPTIONS=" in readme


@pytest.mark.parametrize("kind", KINDS)
def test_its_tests_are_found_where_its_classes_are_called_test(run: Commands, here: Path, kind: str) -> None:
    run("plugins", "new", "testrail", "--stage", kind, "--folder", "made")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only"]
    env = {**os.environ, "PYTHONPATH": str(here / "made" / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        command, cwd=here / "made", env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 0, ran.stdout
    assert f"::TestTestrail{kind.capitalize()}::" in ran.stdout


@pytest.mark.parametrize("name", ["", "Pigeon", "homing_pigeon", "a--b", "2-pigeons", "a" * 25, "ä"])
def test_what_cannot_be_a_name_is_refused(run: Commands, here: Path, name: str) -> None:
    ran = run("plugins", "new", name, "--stage", "transport")
    told = (
        f"error: {name!r} cannot be the name of a plugin; take lower case letters and digits, with '-' "
        "between words, such as homing-pigeon: 24 characters at most, a letter first\n"
    )
    assert (ran.code, ran.out, ran.err) == (2, "", told)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("urllib3", r"the name 'urllib3' is taken by the transport of plugin 'urllib3' of thornsdk \S+;"),
        ("json", r"the name 'json' is taken by the serializer of plugin 'json' of thornsdk \S+;"),
        ("https", r"the name 'https' is taken by a URL scheme of the web;"),
        (
            "plugins",
            r"'plugins' would be imported as thornsdk_plugins, and a module of that name is in",
        ),
    ],
)
def test_a_name_that_is_taken_is_refused(run: Commands, here: Path, name: str, told: str) -> None:
    ran = run("plugins", "new", name, "--stage", "transport")
    assert (ran.code, ran.out) == (2, "")
    assert re.match(f"error: {told}", ran.err)
    assert list(here.iterdir()) == []


def test_a_folder_that_is_there_is_left_as_it_is(run: Commands, here: Path) -> None:
    (here / "thornsdk-pigeon").mkdir()
    ran = run("plugins", "new", "pigeon", "--stage", "transport")
    told = "error: thornsdk-pigeon is there already; give another --folder, or remove it\n"
    assert (ran.code, ran.out, ran.err) == (2, "", told)
    assert contents(here) == []


def test_a_folder_that_cannot_be_made_is_exit_code_1(run: Commands, here: Path) -> None:
    ran = run("plugins", "new", "pigeon", "--stage", "transport", "--folder", "no/where")
    told = "error: no/where cannot be made: No such file or directory\n"
    assert (ran.code, ran.out, ran.err) == (1, "", told)


def test_on_an_error_nothing_is_half_written(here: Path) -> None:
    texts = {"README.md": "well", "README.md/more": "a file is no folder"}
    with pytest.raises(Failure, match="made cannot be made: "):
        scaffold.write(texts, here / "made")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (None, []),
        ({"url": "file:///home/me/thornsdk", "dir_info": {}}, ["thornsdk @ file:///home/me/thornsdk"]),
        (
            {"url": "https://example.com/thornsdk", "vcs_info": {"vcs": "git", "commit_id": "0a1b"}},
            ["thornsdk @ git+https://example.com/thornsdk@0a1b"],
        ),
    ],
)
def test_where_no_index_has_thornsdk_pip_is_told_where_it_was_installed_from(
    tmp_path: Path, told: object, wanted: list[str]
) -> None:
    (tmp_path / "METADATA").write_text("Metadata-Version: 2.1\nName: thornsdk\nVersion: 0.1\n")
    if told:
        (tmp_path / "direct_url.json").write_text(json.dumps(told))
    assert origin_of(Distribution.at(tmp_path)) == wanted


def test_a_stage_of_no_kind_is_refused(run: Commands) -> None:
    ran = run("plugins", "new", "pigeon", "--stage", "carrier")
    assert ran.code == 2
    assert "'carrier' is not one of 'serializer', 'signer', 'transport', 'dispatcher', 'store'" in ran.err


def test_without_a_stage_one_line_says_which_there_are(run: Commands) -> None:
    ran = run("plugins", "new", "pigeon")
    assert ran.code == 2
    assert "Missing option '--stage'. Choose from: serializer, signer, transport, dispatcher" in ran.err
