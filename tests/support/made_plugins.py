"""Plugins as ``thornsdk plugins new`` makes them, installed beside the thornsdk that is tested."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from thornsdk.cli.scaffold import names_of, render, write

NAME = "pigeon"


@frozen
class Made:
    """A plugin that was made.

    Attributes:
        folder: Its project.
        path: Where it is installed, or its modules are.
    """

    folder: Path
    path: tuple[Path, ...]

    @classmethod
    def written(cls, kind: str, folder: Path) -> "Made":
        """Makes a plugin in a folder that is not there, and installs it nowhere: no settings find it."""
        write(render(names_of(NAME, kind)), folder)
        return cls(folder, (folder / "src",))

    @classmethod
    def of(cls, kind: str, folder: Path) -> "Made":
        """Makes a plugin in a folder that is not there, and installs it into another beside it."""
        write(render(names_of(NAME, kind)), folder)
        installed = folder.with_name(f"{folder.name}-installed")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        command = [*pip, "--no-index", "--target", str(installed), str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        return cls(folder, (installed,))

    def changed(self, file: str, change: Callable[[str], str], folder: Path) -> "Made":
        """Gives a copy of it with another text in one file, installed nowhere."""
        shutil.copytree(self.folder, folder)
        path = folder / file
        path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
        return Made(folder, (folder / "src",))

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
