"""Plugins as ``thornsdk plugins new`` makes them, installed beside the thornsdk that is tested."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from attrs import evolve, frozen

from thornsdk.cli.scaffold import names_of, render, write

NAME = "pigeon"


@frozen
class Made:
    """A plugin that was made.

    Attributes:
        folder: Its project.
        path: Where its distribution is installed, and before it what is imported in its place.
    """

    folder: Path
    path: tuple[Path, ...]

    @classmethod
    def of(cls, kind: str, folder: Path) -> "Made":
        """Makes a plugin in a folder that is not there, and installs it into another beside it."""
        write(render(names_of(NAME, kind)), folder)
        installed = folder.with_name(f"{folder.name}-installed")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        command = [*pip, "--no-index", "--target", str(installed), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        return cls(folder, (installed,))

    def changed(self, file: str, old: str, new: str, folder: Path) -> "Made":
        """Gives a copy of it, in which one text is another."""
        shutil.copytree(self.folder, folder)
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return evolve(self, folder=folder, path=(folder / "src", *self.path))

    def run(self, *command: str) -> tuple[int, str]:
        """Runs a module of Python in its project; gives the exit code, and what was printed."""
        path = os.pathsep.join(map(str, self.path))
        env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}
        ran = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=50,
            check=False,
        )
        return ran.returncode, ran.stdout
