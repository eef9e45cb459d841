"""Distributions of plugins, as pip would leave them, in a folder on the path of a test."""

import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from textwrap import dedent

import pytest
from attrs import define

from thornsdk.plugins import GROUP

PIGEON = """
    from thornsdk import Plugin, Provided, Transport, hookimpl

    class Pigeon(Transport):
        schemes = frozenset({"pigeon"})
        user_agent = "pigeon/1"

        def send(self, request):
            raise NotImplementedError

    class PigeonPlugin(Plugin):
        @hookimpl
        def thornsdk_transports(self, context):
            return [Provided("pigeon", lambda stage: Pigeon(), "Sends by pigeon.")]
"""
"""A plugin that is in order."""


@define
class Distributions:
    """Installs distributions in a folder that the tests' own interpreter searches first."""

    folder: Path
    patch: pytest.MonkeyPatch

    def __attrs_post_init__(self) -> None:
        self.patch.syspath_prepend(str(self.folder))

    def __call__(
        self,
        name: str,
        module: str,
        code: str,
        points: str,
        version: str = "1.0",
        *,
        requires: Iterable[str] = ("thornsdk",),
        extras: Iterable[str] = (),
        typed: bool = True,
    ) -> None:
        """Installs a distribution of one package; with `typed` false, it has no ``py.typed``."""
        package = self.folder / module
        package.mkdir()
        (package / "__init__.py").write_text(dedent(code))
        if typed:
            (package / "py.typed").touch()
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {one}" for one in requires] + [f"Provides-Extra: {one}" for one in extras]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{points}\n")
        (info / "RECORD").write_text(f"{module}/__init__.py,,\n")
        self.patch.delitem(sys.modules, module, raising=False)

    def points(self) -> list[EntryPoint]:
        """The entry points of what is installed here."""
        return [
            one
            for one in entry_points(group=GROUP)
            if one.dist is not None and Path(str(one.dist.locate_file(""))) == self.folder
        ]
