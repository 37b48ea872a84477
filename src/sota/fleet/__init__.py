"""A fleet: many vehicles in one process, for load tests, demonstrations and rehearsals.

Each vehicle runs the real SOTA Client and the real Software Loading Manager with their state on disk. It uses the real
link (B8) over a TLS connection of its own. Declared simplifications:

* a vehicle's programs are connected in memory (``memory_network.py``);
* vehicles share threads, open files and syncs (``database_threads.py``, ``disk.py``, ``syncfs.py``);
* a vehicle's node (``node.py``) stores no messages: it refuses what it cannot send now, and the client tries again;
* nothing is installed: ``simulation.py`` takes its time, succeeds or fails by the profile, and every report says so.

Where things are: ``profile.py`` what happens to the vehicles, from a seed; ``vehicle.py`` one vehicle; ``fleet.py`` all
vehicles; ``counts.py`` their progress; ``enrolment.py`` identities and registration in bulk.
"""
