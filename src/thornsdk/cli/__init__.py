"""The command line, ``thornsdk``. It needs the extra ``cli``: click and rich."""

import sys

_NEEDED = frozenset({"click", "rich"})


def main() -> None:
    """Runs the command that ``sys.argv`` names, and ends the process with its exit code."""
    try:
        # What the command line needs is an extra: it is imported when somebody uses it.
        from thornsdk.cli.app import run
    except ImportError as exc:
        if (exc.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.stderr.write(
            f"error: the command line needs {exc.name}, which is not installed: pip install 'thornsdk[cli]'\n"
        )
        raise SystemExit(2) from None
    run()
