"""Mistakes that an author may make in a plugin from ``thornsdk plugins new``: each breaks one promise.

`test_made_mutants` runs the plugin's own tests on each, and looks at what they say.
"""

from collections.abc import Mapping
from textwrap import dedent, indent

from attrs import frozen


@frozen
class Mutant:
    """A mistake in the module that holds the stage.

    Attributes:
        what: What is wrong.
        breaks: The test that finds it, in nearly all cases that of a promise.
        seen: A part of what that test says has been seen.
        changes: The texts that are replaced, each of which is there once, and what is there instead.
        imports: What the module imports besides.
        hangs: Whether it is seen by waiting in vain; nobody waits for long then.
    """

    what: str
    breaks: str
    seen: str
    changes: Mapping[str, str]
    imports: str = ""
    hangs: bool = False

    def made_in(self, code: str) -> str:
        """Gives the code of the module with the mistake in it."""
        for old, new in self.changes.items():
            assert code.count(old) == 1, f"{old!r} is there {code.count(old)} times"
            code = code.replace(old, new)
        end_of_docstring = '"""\n\n'
        return code.replace(end_of_docstring, f"{end_of_docstring}{self.imports}\n", 1)


def method(code: str) -> str:
    """Gives the code of a method as it stands in a class, before another."""
    return indent(dedent(code).strip(), "    ") + "\n\n"
