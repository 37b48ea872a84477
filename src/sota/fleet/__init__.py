"""A fleet: many vehicles in one process, for load, demonstration and rehearsal.

Each vehicle is the real SOTA Client and the real Software Loading Manager with their state on disk, and speaks the real
link (B8) over a TLS connection of its own. What is not real is declared as such:

* its programs are joined in memory (``kit/http/network.py``), and share threads and open files;
* its node (``node.py``) keeps no messages on disk: what it cannot send now it refuses, and the client tries again;
* nothing is installed: ``simulation.py`` takes a time and succeeds or fails as the profile says, and says so in every
  report.

Where is what: ``profile.py`` what happens to the vehicles (with a seed), ``vehicle.py`` one vehicle, ``fleet.py`` all
of them, ``counts.py`` how far they have come, ``enrolment.py`` identities and registration in bulk.
"""
