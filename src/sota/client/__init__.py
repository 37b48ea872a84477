"""SOTA Client: receives updates for its vehicle, verifies them and hands them to the Software Loading Manager.

Where things are:

* ``services.py``           what the node calls (B9); ``api.py`` what the Software Loading Manager calls (B10)
* ``downloads.py``          the life of a download; ``download_receiver.py`` how its file arrives
* ``incoming_transfer.py``  the blocks of one download; ``block_store.py`` the folder in which they are stored
* ``verification.py``       the checks before a file is used
* ``retry_tasks.py``        work that is retried until it is done; ``download_tasks.py`` such work for each download
* ``software.py``           what is installed, reported to Core
* ``state.py``              what is kept on disk; ``software_state.py`` more tables of it; ``folder_state.py`` opens it
* ``identity_renewal.py``   the vehicle's identity; ``identity_key.py`` its next key
* ``service_registration.py`` and ``connection_report.py``  what happens when the node or Core can be reached again
"""
