"""Filters over the whole fleet, from bitmaps in memory.

Every distinct package, component, attribute and group has a number in the database's dictionaries, and every vehicle
its row id, which is its place in a bitmap. An index is one bitmap of vehicles for each thing, in shards of 2^20
vehicles, and a column of VINs. A regular expression about things runs once for each distinct one; only ``vin_matches``
looks at VINs, of those vehicles alone that everything else has left.

The database is the truth; the index is made from it, or from a snapshot on disk, and then follows the log of changes
(``resolver/changes``). What it answers from is never changed in place: a query keeps the state it began with.

* ``fleet_index.py``  the interface, and ``bitmap_index.py`` what answers it;
* ``dictionary.py``   the distinct things by number; ``vins.py`` the column; ``fleet.py`` one state of the whole;
* ``planner.py``      an expression made ready for a state; ``query.py`` its answer for one shard;
* ``pending.py``      entries of the log folded, and applied to a state;
* ``loading.py``      a state from the database, with ``store.py`` for its SQL; ``snapshot.py`` one from disk and back;
* ``keeper.py``       loads, follows and saves in the background;
* ``spread_index.py`` what answers from several processes, each with a share of the shards (``share.py``):
  ``part_process.py`` runs one, ``part.py`` is one, and ``wire.py`` what both say to each other.
"""
