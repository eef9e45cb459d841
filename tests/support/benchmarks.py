"""Runs benchmarks as somebody would who types them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "benchmarks"


def run_benchmark(
    script: str, *options: str, environ: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Runs a benchmark to its end, and gives its exit code and what it has written."""
    command = [sys.executable, str(_FOLDER / script), *options]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    ) as process:
        try:
            out, err = process.communicate()
        finally:
            # It ends what it has started when it is told to end, and could not when it is killed.
            process.terminate()
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def printed_by(script: str, *options: str) -> str:
    """Runs a benchmark, and gives what it prints."""
    ran = run_benchmark(script, *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout
