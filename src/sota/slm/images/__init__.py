"""Update images in the vehicle.

``model.py`` has the rules (pure), ``installation.py`` carries them out, ``store.py`` is the journal's part of it, and
``commands.py`` has the vehicle's own commands for operations other than packages.
"""
