"""Runs the command line: ``python -m thornsdk``."""

from thornsdk.cli import main

main()
