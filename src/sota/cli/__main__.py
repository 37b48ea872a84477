"""``python -m sota.cli`` is ``sota``."""

from sota.cli.main import main

main()
