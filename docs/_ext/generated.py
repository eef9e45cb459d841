"""What the docs take from the code: settings, outcomes, stages, and more; and links to public names."""  # noqa: INP001 - no package

import inspect
from collections.abc import Iterable, Mapping

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

import thornsdk
from thornsdk.plugins import Catalogue, PluginManager
from thornsdk.settings import setting_fields, setting_name


class Generated(SphinxDirective):
    """Writes lines of Markdown where it stands."""

    def run(self) -> list[nodes.Node]:
        """Parses the lines as if they stood in the page."""
        lines = StringList([line for text in self.texts() for line in text.splitlines()], "generated")
        parent = nodes.container()
        self.state.nested_parse(lines, self.content_offset, parent)
        return parent.children

    def texts(self) -> Iterable[str]:
        """Gives the Markdown."""
        raise NotImplementedError


class SettingsReference(Generated):
    """Writes down every setting."""

    def texts(self) -> Iterable[str]:
        """Gives each setting: name, what it takes, default, meaning."""
        for one in setting_fields():
            yield (
                f":::{{confval}} {setting_name(one)}\n"
                f":type: {one.metadata['takes']}\n"
                f":default: {_default(one.default)}\n\n"
                f"{one.metadata['doc']}\n"
                ":::\n\n"
            )


class ReasonsReference(Generated):
    """Writes down every reason."""

    def texts(self) -> Iterable[str]:
        """Gives a table of the reasons."""
        yield "| reason | meaning |\n|---|---|"
        for name, meaning in _members("thornsdk.reasons", "Reason"):
            yield f"| `{name.lower()}` | {meaning} |"
        yield "\n"


class OutcomesReference(Generated):
    """Writes down every outcome."""

    def texts(self) -> Iterable[str]:
        """Gives a table of the outcomes."""
        yield "| outcome | meaning |\n|---|---|"
        for name, meaning in _members("thornsdk.model.outcome", "OutcomeKind"):
            yield f"| `{name.lower()}` | {meaning} |"
        yield "\n"


class StageReference(Generated):
    """Writes down what a stage has to have, by the name of its protocol."""

    required_arguments = 1

    def texts(self) -> Iterable[str]:
        """Gives a table of the members, each with the first line of its docstring."""
        protocol = self.arguments[0]
        yield "| it has | meaning |\n|---|---|"
        for name, member in vars(getattr(thornsdk, protocol)).items():
            if not name.startswith("_"):
                meaning = _in_markdown((inspect.getdoc(member) or "").partition("\n")[0])
                yield f"| {{py:obj}}`{name} <thornsdk.{protocol}.{name}>` | {meaning} |"
        yield "\n"


class BuiltInReference(Generated):
    """Writes down the stages of one kind that thornsdk brings along, by the name of the hook."""

    required_arguments = 1

    def texts(self) -> Iterable[str]:
        """Gives a table of them."""
        ours = [
            (name, offer.provided)
            for name, offer in _catalogue(self.arguments[0]).offers.items()
            if offer.source.distribution.startswith("thornsdk ")
        ]
        yield "| name | what it does |\n|---|---|"
        for name, provided in ours:
            needs = f" Needs `{provided.extra}`." if provided.extra else ""
            yield f"| `{name}` | {provided.summary}{needs} |"
        yield "\n"


def _catalogue(hook: str) -> Catalogue[object]:
    manager = PluginManager(thornsdk.VERSION)
    manager.load()
    stage = hook.removeprefix("thornsdk_").removesuffix("s")
    return next(one for one in manager.catalogues() if one.stage == stage)


def _in_markdown(text: str) -> str:
    return text.replace("``", "`").replace("`~", "`")


def _default(value: object) -> str:
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case Mapping() if value:
            return ", ".join(f"`{key}`: `{name}`" for key, name in value.items())
        case tuple() | frozenset() if value:
            return ", ".join(f"`{one}`" for one in sorted(value))
        case str() | int() | float():
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        case _:
            return "empty"


def _members(module: str, enumeration: str) -> list[tuple[str, str]]:
    docs = ModuleAnalyzer.for_module(module).find_attr_docs()
    return [
        (name, _in_markdown(" ".join(lines).strip()))
        for (owner, name), lines in docs.items()
        if owner == enumeration
    ]


def link_public_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.Element
) -> nodes.Element | None:
    """Links the place where a class is written to the public name under which it is documented."""
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not target.startswith("thornsdk"):
        return None
    public = f"thornsdk.{target.rpartition('.')[2]}"
    domain = env.domains.python_domain
    return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, contnode)


def setup(app: Sphinx) -> dict[str, bool]:
    """Makes the directives known."""
    app.connect("missing-reference", link_public_name)
    app.add_directive("settings", SettingsReference)
    app.add_directive("reasons", ReasonsReference)
    app.add_directive("outcomes", OutcomesReference)
    app.add_directive("stage", StageReference)
    app.add_directive("built-in", BuiltInReference)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
