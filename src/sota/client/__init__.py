"""SOTA Client: receives updates for its vehicle, verifies them and hands them to the Software Loading Manager.

Where is what: ``state.py`` what is kept on disk, ``services.py`` what the node calls (B9), ``api.py`` what the Software
Loading Manager calls (B10), ``downloads.py`` what happens then, ``transfer.py`` blocks of one download, ``handover.py``
a verified file on its way, ``errands.py`` what is tried until it is done, ``registration.py`` our names at the node.
"""
