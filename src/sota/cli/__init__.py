"""The command line: one file a command; only this room may import several programs.

``main.py`` lists the commands, ``launch.py`` runs programs, ``backend.py`` and ``vehicle_parts.py`` put a backend and
a vehicle together.
"""
