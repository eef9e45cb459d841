"""Writes the examples of a page into files, so that a command of the page can use them."""

from pathlib import Path

from support.typed_docs import ROOT, code_of


def write_examples(page: str, path: str, *sections: str) -> None:
    """Writes the examples of some sections of a page into a file.

    Args:
        page: The page, such as ``how-to/test-a-plugin``.
        path: The file, in the folder in which the page works.
        sections: Their headings.
    """
    source = ROOT / "docs" / f"{page}.md"
    under = _headings(source.read_text(encoding="utf-8"))
    lines = [line.text for line in code_of(source) if line.number and under[line.number - 1] in sections]
    Path(path).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _headings(text: str) -> list[str]:
    """Gives the heading under which each line stands."""
    found: list[str] = []
    heading = ""
    for line in text.splitlines():
        heading = line.removeprefix("## ") if line.startswith("## ") else heading
        found.append(heading)
    return found
