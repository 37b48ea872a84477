"""Software Loading Manager: takes updates from the SOTA Client, installs them and tells the truth about it.

Where is what: ``model.py`` the rules (pure), ``journal.py`` what is kept on disk, ``executor.py`` who does what when,
``runner.py`` processes that outlive us, ``inbox.py`` files that arrive, ``reports.py`` what is told to the client,
``installers/`` one file a kind of package, ``api.py`` the calls of B10.
"""
