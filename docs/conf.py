"""How the docs are built: `sphinx-build -W --keep-going -n -b html docs docs/_build`."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "thornsdk"
author = "The thornsdk authors"
copyright = author
release = version = version_of("thornsdk")

extensions = ["generated", "myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "_ext"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "thornsdk"

# Single backquotes in docstrings name Python objects.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# The library of Python has its docs elsewhere, and the build needs no network. Type variables, and words of
# the code in single backquotes that are no public names, have no page.
nitpick_ignore_regex = [
    (r"py:.*", r"(collections|contextlib|datetime|decimal|enum|ipaddress|pathlib|types|typing|uuid)\..*"),
    (r"py:.*", r"(socket|ssl)\..*"),
    (r"py:.*", r".*\b(Options|Payload|Stage)(_co)?"),
    (r"py:obj", r"(Reason\.)?\w+"),
    # What stands in a signature, and is told in the text beside it.
    (r"py:class", r"(celery|opentelemetry|prometheus_client|trustme)\..*"),
    (r"py:class", r"thornsdk\.(plugins\.PluginManager|settings\.SettingsOptions|static\.StaticSubscribers)"),
]
