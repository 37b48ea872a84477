"""The log of changes: how each process with an index of the fleet learns of commits.

A transaction that changes a vehicle, or what vehicles have, appends one entry as its last statement before it commits
(``store.append``). Entries are numbered without gaps in the order of the commits. So a reader that has read up to a
number has seen everything that was acknowledged before.
"""
