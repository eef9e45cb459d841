import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import Commands, broken_pipe, process, run_process, store_url
from thornsdk import VERSION
from thornsdk.cli import main, show


@pytest.fixture
def no_command_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("thornsdk.cli.")]:
        monkeypatch.delitem(sys.modules, name)


def test_the_module_runs_as_the_command() -> None:
    ran = run_process("--version")
    assert (ran.code, ran.out) == (0, f"thornsdk {VERSION}\n")


def test_the_module_calls_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["thornsdk", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("thornsdk", run_name="__main__")
    assert ended.value.code == 0


@pytest.mark.usefixtures("no_command_modules")
@pytest.mark.parametrize("package", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err == (
        f"error: the command line needs {package}, which is not installed: pip install 'thornsdk[cli]'\n"
    )


def test_a_defect_of_our_own_is_not_taken_for_a_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "thornsdk.cli.app", None)
    with pytest.raises(ImportError, match=r"thornsdk\.cli\.app"):
        main()


def test_help_lists_the_commands_in_the_order_in_which_people_meet_them(run: Commands) -> None:
    ran = run("--help")
    listed = [line.split()[0] for line in ran.out.split("Commands:\n")[1].splitlines()]
    assert listed == [
        "demo",
        "send",
        "subscribe",
        "subscriptions",
        "unsubscribe",
        "deliveries",
        "replay",
        "retry",
        "prune",
        "listen",
        "verify",
        "plugins",
        "settings",
    ]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["nosuch"], "error: No such command 'nosuch'. (thornsdk --help)\n"),
        (["send", "x"], "error: Missing option '--data'. (thornsdk send --help)\n"),
        (
            ["replay", "7"],
            "error: Invalid value for '[ID]...': '7' is not a valid UUID. (thornsdk replay",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(run: Commands, args: list[str], told: str) -> None:
    ran = run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(told)
    assert ran.err.count("\n") == 1


def test_a_wrong_setting_is_one_line_and_exit_code_2() -> None:
    with process("settings", env={"THORN_CONCURRENCY": "many"}) as running:
        out, err = running.communicate(timeout=50)
    assert (running.returncode, out) == (2, "")
    assert err == "error: THORN_CONCURRENCY is 'many'; it takes a whole number from 1 to 1000\n"


def test_what_a_stranger_wrote_cannot_steer_the_terminal_from_an_error(run: Commands) -> None:
    ran = run("send", "x\x1b[2J\udcff", "--data", "1")
    assert ran.code == 2
    assert "\x1b" not in ran.err
    assert "\\x1b[2J\\udcff" in ran.err


def test_a_store_that_cannot_be_opened_is_exit_code_1(run: Commands, tmp_path: Path) -> None:
    ran = run("subscriptions", "--store", f"sqlite:///{tmp_path}")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith(f"error: the store {tmp_path} ")


@pytest.mark.parametrize(
    "args",
    [
        ["subscribe", "https://example.com/", "--event", "*"],
        ["subscriptions"],
        ["unsubscribe", "00000000-0000-0000-0000-000000000000"],
        ["deliveries"],
        ["replay", "00000000-0000-0000-0000-000000000000"],
        ["retry"],
    ],
)
def test_a_store_that_ends_with_the_command_is_refused(run: Commands, args: list[str]) -> None:
    ran = run(*args)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: the store 'memory' ends with this command: set THORN_STORE or give --store, such as "
        "--store sqlite:///thorn.db\n"
    )


def test_ctrl_c_ends_any_command_with_one_line(run: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(show, "print_json", interrupted)
    ran = run("settings", "--json")
    assert (ran.code, ran.err) == (130, "error: stopped\n")


_INTERRUPTED_WHILE_IT_IMPORTS = """
from thornsdk.cli import show, main

def interrupted(*_):
    exec("raise KeyboardInterrupt")  # As a data class that is being made.

show.print_json = interrupted
main()
"""


def test_ctrl_c_ends_the_process_with_that_code_though_python_has_noted_it(tmp_path: Path) -> None:
    (tmp_path / "interrupted.py").write_text(_INTERRUPTED_WHILE_IT_IMPORTS)
    command = [sys.executable, "-m", "interrupted", "settings", "--json"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (130, "error: stopped\n")


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_listing_whose_reader_has_gone_ends_in_silence(tmp_path: Path, flags: list[str]) -> None:
    run_process("subscribe", "https://example.com/", "--event", "*", "--store", store_url(tmp_path))
    with broken_pipe() as nobody:
        args = ["subscriptions", "--store", store_url(tmp_path), *flags]
        with process(*args, stdout=nobody) as listing:
            _, err = listing.communicate(timeout=50)
    assert err == ""
    assert listing.returncode == 1


def test_signs_that_the_terminal_lacks_cost_nothing() -> None:
    with process(
        "send", "x", "--data", "1", "--to", "http://0x7f.1:80/", env={"PYTHONIOENCODING": "ascii"}
    ) as running:
        out, _ = running.communicate(timeout=50)
    assert running.returncode == 1
    assert "blocked" in out


def test_importing_thornsdk_imports_neither_click_nor_rich() -> None:
    code = "import sys, thornsdk, thornsdk.cli; print({'click', 'rich'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
