"""Attributes of vehicles: a name and a value, for ``attribute "region" "^EU$"`` in filters."""
