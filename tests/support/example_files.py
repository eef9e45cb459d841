"""The examples of a page, section by section: as files that a command of the page uses, or as names."""

from pathlib import Path
from typing import Any

from support.typed_docs import ROOT, code_of


def write_examples(page: str, path: str, *sections: str) -> None:
    """Writes the examples of some sections of a page into a file.

    Args:
        page: The page, such as ``how-to/test-a-plugin``.
        path: The file, in the folder in which the page works.
        sections: Their headings.
    """
    Path(path).write_text(_code(page, sections), encoding="utf-8")


def names_in_examples(page: str, *sections: str) -> dict[str, Any]:
    """Runs the examples of some sections of a page, and gives what they define."""
    names: dict[str, Any] = {}
    exec(compile(_code(page, sections), f"{page}.md", "exec"), names)
    return names


def _code(page: str, sections: tuple[str, ...]) -> str:
    source = ROOT / "docs" / f"{page}.md"
    under = _headings(source.read_text(encoding="utf-8"))
    lines = [line.text for line in code_of(source) if line.number and under[line.number - 1] in sections]
    return "".join(f"{line}\n" for line in lines)


def _headings(text: str) -> list[str]:
    """Gives the heading under which each line stands."""
    found: list[str] = []
    heading = ""
    for line in text.splitlines():
        heading = line.removeprefix("## ") if line.startswith("## ") else heading
        found.append(heading)
    return found
