"""``sota completion``: shell completion of commands and options. Nothing is written unless requested."""

from __future__ import annotations

from typing import Literal

from sota.cli.ctl.arguments import Switch, confirm
from sota.kit.errors import StartError

# The order of cyclopts: typing takes two unions of the same literals for one, and the first import decides its order.
Shell = Literal["zsh", "bash", "fish", "powershell"]


def completion(shell: Shell | None = None, *, install: Switch = False, yes: Switch = False) -> None:
    """Print the script with which a shell completes sota's commands and options.

    For this session: eval "$(sota completion bash)".

    Parameters
    ----------
    shell
        For which shell; the default is the running one.
    install
        Write the script to the shell's own folder, and a line to its start-up file that loads it.
    yes
        Do not ask before writing.
    """
    from cyclopts.completion import ShellDetectionError, detect_shell

    from sota.cli.main import make

    try:
        chosen = shell or detect_shell()
    except ShellDetectionError:
        raise StartError("which shell? sota completion bash, zsh, fish or powershell") from None
    app = make()
    if not install:
        print(app.generate_completion(shell=chosen))
        return
    started = "" if chosen == "fish" else ", and a line to its start-up file"
    confirm(f"Write the completion script for {chosen} to your home folder{started}?", yes=yes)
    print(f"{app.install_completion(shell=chosen)}: written; it works in a new shell")
