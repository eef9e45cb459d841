"""Prints the lowest version that pyproject.toml allows of each direct dependency, as pip constraints."""

import re
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"].values()
for requirement in [*project["dependencies"], *(one for extra in extras for one in extra)]:
    if requirement.startswith(f"{project['name']}["):
        continue  # An extra made of others.
    found = re.match(r"(?P<name>[\w.-]+)(\[[\w,-]+\])?>=(?P<version>[\w.]+)", requirement)
    if found is None:
        raise SystemExit(f"{requirement} has no lowest version")
    print(f"{found['name']}=={found['version']}")
