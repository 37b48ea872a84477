"""The log of changes: how every process that keeps an index of the fleet hears of what was committed.

A transaction that changes a vehicle, or what vehicles have, appends one entry before it commits, as its last statement
(``store.append``). Entries are numbered without a gap in the order of their commits, so whoever has read up to a number
has seen everything that was acknowledged before.
"""
