"""The examples of the docs as modules, one for each page, so that type checkers can judge them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from attrs import frozen

ROOT: Final = Path(__file__).parents[2]

_SKIP = "% skip: next"
_HIDDEN = re.compile(r"^% invisible-code-block: python|^<!--- invisible-code-block: python")
# What the examples are given when they run.
_BEGIN = """\
from support.examples import Web as _Web


def _given() -> _Web:
    raise NotImplementedError


web = _given()
"""


@frozen
class Line:
    """A line of an example.

    Attributes:
        text: The code.
        number: Where it stands in the page; 0 for one that no reader sees.
    """

    text: str
    number: int


def pages() -> list[Path]:
    """Gives the pages that have examples."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [one for one in found if "_build" not in one.parts and any(line.number for line in code_of(one))]


def name_of(page: Path) -> str:
    """Gives the name of a page as that of a module."""
    return re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")))


def code_of(page: Path) -> list[Line]:
    """Gives the lines of all examples of a page."""
    return list(_lines(page.read_text(encoding="utf-8").splitlines()))


def module_of(page: Path) -> str:
    """Gives the examples of a page as a module."""
    return _BEGIN + "".join(f"{line.text}\n" for line in code_of(page))


def line_in_page(page: Path, line: int) -> int:
    """Says where a line of the module stands in the page; 0 where no reader sees it."""
    code = code_of(page)
    index = line - _BEGIN.count("\n") - 1
    return code[index].number if 0 <= index < len(code) else 0


def _lines(text: list[str]) -> Iterator[Line]:
    numbered = iter(enumerate(text, 1))
    skipped = False
    for _, line in numbered:
        if line == _SKIP:
            skipped = True
        elif _HIDDEN.match(line):
            yield from _hidden(numbered, comment=line.startswith("<!---"))
        elif line.startswith("```"):
            block = list(_until_fence(numbered))
            if line == "```python" and not skipped:
                yield from _shown(block)
            skipped = False


def _until_fence(numbered: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for number, line in numbered:
        if line.strip() == "```":
            return
        yield number, line


def _shown(block: list[tuple[int, str]]) -> Iterator[Line]:
    session = any(line.startswith(">>>") for _, line in block)
    for number, line in block:
        if not session:
            yield Line(line, number)
        elif line.startswith((">>> ", "... ")):
            yield Line(line[4:], number)


def _hidden(numbered: Iterator[tuple[int, str]], *, comment: bool) -> Iterator[Line]:
    for _, line in numbered:
        if comment and line.strip() == "-->":
            return
        if not comment and not line.startswith("%"):
            return
        yield Line(line if comment else line[2:], 0)
