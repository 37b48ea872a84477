"""Update images in the vehicle.

``model.py`` the rules (pure), ``carrying_out.py`` what is done, ``store.py`` the journal's part of it, ``commands.py``
the vehicle's own commands for what is no package.
"""
