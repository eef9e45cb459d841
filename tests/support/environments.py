"""Wheels, and virtual environments beside the one of the tests."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

_PIP = (sys.executable, "-m", "pip")
_QUIETLY = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")


def build_wheel(project: Path, folder: Path) -> Path:
    """Builds the wheel of a project in a new folder."""
    _run(*_PIP, "wheel", *_QUIETLY, "--no-build-isolation", "--wheel-dir", str(folder), str(project))
    (wheel,) = folder.glob("*.whl")
    return wheel


@frozen
class Environment:
    """A virtual environment.

    It finds what is installed for the tests, too, so that nothing has to be fetched; what is installed in it
    comes first.
    """

    folder: Path

    @classmethod
    def made(cls, folder: Path) -> "Environment":
        """Makes one, with nothing of its own in it."""
        venv.create(folder, symlinks=True)
        one = cls(folder)
        ours = sysconfig.get_path("purelib")
        # Unlike a plain path, this reads the .pth files there, by which editable installations are found.
        (one.packages / "beside.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
        return one

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def packages(self) -> Path:
        """Where what is installed in it is."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def install(self, wheel: Path) -> None:
        """Installs a wheel, and nothing that it requires."""
        _run(*_PIP, "--python", self.python, "install", *_QUIETLY, str(wheel))

    def run(self, *command: str, cwd: Path, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
        """Runs its interpreter, outside the repository."""
        return subprocess.run(
            [self.python, *command],
            cwd=cwd,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
