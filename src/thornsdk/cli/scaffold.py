"""Makes a new distribution of a plugin, from templates that are plain files."""

import os
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from attrs import asdict, frozen

from thornsdk import VERSION
from thornsdk.cli.problems import Failure, Problem

PREFIX = "thornsdk-"
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 24
_SUFFIX = ".template"
_MODULE = "MODULE"
_USAGE = "usage.md"


@frozen(kw_only=True)
class Names:
    """What things are called in a distribution.

    Attributes:
        stage: The kind of stage, such as ``transport``.
        name: What settings choose the stage by, such as ``homing-pigeon``.
        distribution: What is installed, such as ``thornsdk-homing-pigeon``.
        module: What is imported, such as ``thornsdk_homing_pigeon``.
        camel: What classes begin with, such as ``HomingPigeon``.
        minor: The release of thornsdk that it is made for, such as ``0.1``.
    """

    stage: str
    name: str
    distribution: str
    module: str
    camel: str
    minor: str = ".".join(VERSION.split(".")[:2])


def names_of(name: str, stage: str) -> Names:
    """Gives the names that follow from one.

    Args:
        name: The name of the stage, or of its distribution.
        stage: The kind of the stage.

    Raises:
        Problem: If it is none, or something of that name is there already.
    """
    short = name.removeprefix(PREFIX)
    if not _NAME.fullmatch(short) or len(short) > _LONGEST:
        raise Problem(
            f"{name!r} cannot be the name of a plugin; take lower case letters and digits, with '-' between "
            f"words, such as homing-pigeon: {_LONGEST} characters at most, a letter first"
        )
    distribution = f"{PREFIX}{short}"
    module = distribution.replace("-", "_")
    if find_spec(module) is not None:
        raise Problem(f"{name!r} would be imported as {module}, and a module of that name is installed")
    camel = "".join(word.capitalize() for word in short.split("-"))
    return Names(stage=stage, name=short, distribution=distribution, module=module, camel=camel)


def render(names: Names) -> dict[str, str]:
    """Gives the texts of a distribution's files, by their path in its folder."""
    root = files("thornsdk.cli") / "templates"
    texts = {path: text for part in ("common", names.stage) for path, text in _templates(root / part, "")}
    values = asdict(names)
    values["usage"] = Template(texts.pop(_USAGE)).substitute(values)
    return {
        path.replace(_MODULE, names.module): Template(text).substitute(values) for path, text in texts.items()
    }


def write(texts: Mapping[str, str], folder: Path) -> None:
    """Writes files into a new folder: all of them or, on an error, nothing.

    Raises:
        Problem: If something of that name is there.
        Failure: If it cannot be written.
    """
    if os.path.lexists(folder):
        raise Problem(f"{folder} is there already; give another --folder, or remove it")
    try:
        with TemporaryDirectory(dir=folder.parent, prefix=".thornsdk-") as workshop:
            made = Path(workshop) / folder.name
            for path, text in texts.items():
                (made / path).parent.mkdir(parents=True, exist_ok=True)
                (made / path).write_text(text, encoding="utf-8")
            made.rename(folder)
    except OSError as exc:
        raise Failure(f"{folder} cannot be made: {exc.strerror}") from exc


def _templates(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
    """Gives the templates in a folder, with the paths of the files that become of them."""
    for one in folder.iterdir():
        if one.is_dir():
            yield from _templates(one, f"{path}{one.name}/")
        else:
            yield f"{path}{one.name.removesuffix(_SUFFIX)}", one.read_text(encoding="utf-8")
