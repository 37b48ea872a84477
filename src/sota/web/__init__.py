"""The Web Server: accounts, sessions, the console, the package repository, and the way in to Core and Resolver.

One folder for each feature:

* ``accounts/``   who may do what: people with passwords, programs with tokens;
* ``sessions/``   signing in and out (B1-9 to B1-17);
* ``gateway/``    calls that are passed on to SOTA Core (B2) and the External Resolver (B3);
* ``registers/``  objects that are registered in both of them or in neither (B1-4, B1-21, B1-29);
* ``repository/`` uploads and the bytes of packages (B1-21, B13);
* ``audit/``      who did what, each record chained to the previous one;
* ``console/``    the pages for people (B1-1 to B1-3, B1-15, B1-16).

``app.py`` joins them behind one gate (``https_gate.py``: plain HTTP or HTTPS; ``visitor.py``: who is calling);
``program.py`` runs it.
"""
