"""The Web Server: accounts, sessions, the console, the package repository, and the way in to Core and Resolver.

A folder a feature:

* ``accounts/``   who may do what: people with passwords, programs with tokens;
* ``sessions/``   signing in and out (B1-9 to B1-17);
* ``gateway/``    what goes on to SOTA Core (B2) and the External Resolver (B3);
* ``registers/``  what must stand in both of them or in neither (B1-4, B1-21, B1-29);
* ``repository/`` uploads and the bytes of packages (B1-21, B13);
* ``audit/``      who did what, each record chained to the one before;
* ``console/``    the pages for people (B1-1 to B1-3, B1-15, B1-16).

``app.py`` joins them behind one door (``door.py``: plain HTTP or HTTPS; ``visitor.py``: who is asking);
``program.py`` runs it.
"""
