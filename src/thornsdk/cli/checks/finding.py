"""What a check of a plugin has found."""

from attrs import frozen

from thornsdk.installed import InstalledPlugin


@frozen(kw_only=True, eq=False)
class Finding:
    """Something about a plugin that is wrong, or that one should know.

    Attributes:
        plugin: Which plugin.
        wrong: Whether something has to be mended.
        problem: What was seen.
        advice: What to do.
        stage: The kind of the stage that it is about; empty for the plugin itself.
        name: The name of that stage; empty for the plugin itself.
    """

    plugin: InstalledPlugin
    wrong: bool
    problem: str
    advice: str
    stage: str = ""
    name: str = ""
