"""Building blocks that know nothing of vehicles: database, HTTP, settings, errors, clock, logs, metrics.

Every program may import from here; nothing here imports from a program or from ``boundaries``. Of ``sql`` a vehicle
uses only the modules ``local_…``: the rest needs SQLAlchemy, which a vehicle does not carry.
"""
