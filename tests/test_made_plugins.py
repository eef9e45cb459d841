import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from support.made_plugins import NAME, Made
from thornsdk.cli.scaffold import names_of, render, write
from thornsdk.plugins import KINDS

Make = Callable[[str], Made]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a plugin of a kind, once."""
    folder = tmp_path_factory.mktemp("made")
    return cache(lambda kind: Made.of(kind, folder / kind))


@pytest.fixture(scope="module")
def mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What one run of mypy has learnt, the next need not learn again."""
    return str(tmp_path_factory.mktemp("mypy"))


@pytest.mark.parametrize("kind", KINDS)
def test_its_own_tests_pass_as_it_is_made(make: Make, kind: str) -> None:
    code, told = make(kind).run("pytest", "-q", "-p", "no:cacheprovider", "--no-header")
    assert code == 0, told


@pytest.mark.parametrize("kind", KINDS)
def test_mypy_finds_nothing_wrong_with_it(make: Make, kind: str, mypy_cache: str) -> None:
    pytest.importorskip("mypy")
    code, told = make(kind).run("mypy", "--cache-dir", mypy_cache)
    assert code == 0, told


@pytest.mark.parametrize("kind", KINDS)
def test_pyright_finds_nothing_wrong_with_it_either(make: Make, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("basedpyright")
    folder = make(kind).folder
    settings = {"include": [str(folder)], "extraPaths": [str(folder / one) for one in ("src", "tests")]}
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps({**settings, "typeCheckingMode": "strict"}))
    code, told = make(kind).run("basedpyright", "--project", str(project), "--pythonpath", sys.executable)
    assert code == 0, told


@pytest.mark.parametrize("name", ["x", NAME, "a" * 8 + "-" + "b" * 7 + "-" + "c" * 7])
def test_ruff_finds_nothing_wrong_with_it_however_long_its_name(tmp_path: Path, name: str) -> None:
    pytest.importorskip("ruff")
    for kind in KINDS:
        write(render(names_of(name, kind)), tmp_path / kind)
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", str(tmp_path)]
        ran = subprocess.run(ruff, capture_output=True, text=True, timeout=50, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_it_stands_the_check_of_plugins(make: Make, kind: str) -> None:
    code, told = make(kind).run("thornsdk", "plugins", "check", NAME)
    assert (code, told.splitlines()[0]) == (
        0,
        f"✓ plugin 'pigeon' of thornsdk-pigeon 0.1.0: {kind} 'pigeon'",
    )
