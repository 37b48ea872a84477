"""The command line: one file a command; only this package may import several programs.

``main.py`` lists the commands, ``launch.py`` runs programs, ``backend.py`` and ``vehicle_parts.py`` assemble a backend
and a vehicle.
"""
