"""Software Loading Manager: takes updates from the SOTA Client, installs them and reports the result.

An **update** has downloads, a **download** has one or more operations, an **operation** has steps:

* ``update_queue.py``: the accepted updates, one at a time: consent, files, preconditions, installation;
* ``installation.py``: one download, a package or an update image (``images/``), and its report;
* ``operation.py``: one package to install, remove or undo, or one command;
* ``step_runner.py``: one step, a process that outlives this program.

``model.py`` has the rules (pure), ``journal.py`` the state on disk, ``backups.py`` the previous versions,
``incoming_files.py`` the files that arrive, ``reports.py`` what is sent to the client, ``installers/`` one file a kind
of package, ``api.py`` the calls of B10.
"""
