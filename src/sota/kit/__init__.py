"""Building blocks that know nothing of vehicles: database, HTTP, settings, errors, clock, logs, metrics.

Every program may import from here; nothing here imports from a program or from ``boundaries``. ``db`` and ``outbox``
are for servers only, since they need SQLAlchemy, which a vehicle does not carry.
"""
