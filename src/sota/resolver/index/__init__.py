"""Filters over the whole fleet, from bitmaps in memory.

Every distinct package, component, attribute and group has a number in the database's dictionaries. A vehicle's row id
is its place in each bitmap. An index is one bitmap of vehicles for each thing, in shards of 2^20 vehicles, and a
column of VINs. A regular expression about things runs once for each distinct thing. Only ``vin_matches`` reads VINs,
and only of vehicles that the rest of the expression has left.

The database is the truth. The index is built from it, or from a snapshot on disk, and then follows the log of changes
(``resolver/changes``). A state is never changed in place: a query keeps the state that it started with.

* ``fleet_index.py``  the interface, and ``bitmap_index.py`` its implementation;
* ``dictionary.py``   the distinct things by number; ``vins.py`` the column; ``fleet.py`` one state of the fleet;
* ``planner.py``      plans an expression for a state; ``query.py`` evaluates the plan for one shard;
* ``pending.py``      folds log entries and applies them to a state;
* ``loading.py``      loads a state from the database, with ``store.py`` for its SQL; ``snapshot.py`` from disk;
* ``keeper.py``       loads, follows and saves in the background;
* ``spread_index.py`` implements the interface over several processes, each with some shards (``share.py``):
  ``part_process.py`` runs one, ``part.py`` is one, and ``wire.py`` is their protocol.
"""
