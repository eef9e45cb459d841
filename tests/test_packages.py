"""What our own wheel and source distribution bring, and that it is all that people need."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from shlex import quote

import pytest

from support.environments import build_wheel

ROOT = Path(__file__).parents[1]
TEMPLATES = ROOT / "src" / "thornsdk" / "cli" / "templates"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheels") / "ours")


def templates(root: Path) -> set[str]:
    return {str(one.relative_to(root)) for one in TEMPLATES.rglob("*") if one.is_file()}


def test_the_wheel_brings_types_and_all_templates(wheel: Path) -> None:
    brought = set(zipfile.ZipFile(wheel).namelist())
    assert {"thornsdk/py.typed", "thornsdk_plugins/py.typed"} <= brought
    assert templates(ROOT / "src") <= brought


def test_the_source_distribution_brings_all_templates(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (archive,) = tmp_path.iterdir()
    with tarfile.open(archive) as opened:
        brought = {name.partition("/")[2] for name in opened.getnames()}
    assert templates(ROOT) <= brought


@pytest.mark.timeout(300)
def test_from_an_empty_folder_the_next_steps_work_as_they_are_printed(tmp_path: Path) -> None:
    new = [sys.executable, "-m", "thornsdk", "plugins", "new", "pigeon", "--stage", "transport"]
    made = subprocess.run(new, cwd=tmp_path, check=True, capture_output=True, text=True)
    steps = re.findall(r"^  (.+)$", made.stdout, re.MULTILINE)
    script = "set -e\n" + "\n".join(f"echo {quote(f'$ {step}')}\n{step}" for step in steps)
    ours = str(Path(sys.executable).parent)
    ran = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": without(ours, os.environ["PATH"])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    skip_without_an_index(ran)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("✓ plugin 'pigeon' of thornsdk-pigeon 0.1.0: transport 'pigeon'\n")


def without(folder: str, path: str) -> str:
    """Gives a search path without a folder, so that nothing of ours is found by accident."""
    return os.pathsep.join(one for one in path.split(os.pathsep) if one != folder)


def skip_without_an_index(ran: "subprocess.CompletedProcess[str]") -> None:
    """Skips a test where pip reaches no index: that is no fault of what is tested."""
    lacking = re.search(r"No matching distribution found for (\S+)", ran.stderr)
    if lacking and not lacking[1].startswith("thornsdk"):
        pytest.skip(f"pip finds no {lacking[1]}: set PIP_INDEX_URL to an index that can be reached")
