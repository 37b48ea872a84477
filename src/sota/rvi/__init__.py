"""RVI node: carries messages between SOTA Core and the vehicles (boundaries B7, B8 and B9), as server and as client.

Where things are:

* ``node.py``         the node itself: which message goes where, and when
* ``edge.py``         JSON-RPC for the local services; its HTTP/1.1 is ``kit/http/json_server.py``
* ``edge_ws.py``      the same over WebSocket, ``websocket.py`` one such connection
* ``delivery.py``     which message is delivered to a local service when; ``callback.py`` the call itself
* ``link.py``         listening and connecting to other nodes; ``connection.py`` one such connection
* ``codec.py``        bytes to packets and back (JSON and msgpack); ``splitter.py`` where a packet ends; ``fragment.py``
* ``credentials.py``  who may receive and invoke what; ``authority.py`` a generated authority, for tests
* ``identity_folder.py``, ``revocation.py``  what may change while the node runs: who it is, and who counts no more
* ``schedule.py``     messages kept on disk for peers that are away; ``calendar.py`` the updates that Core has scheduled
* ``disk.py``         the file of both; ``pump.py`` the way from there when a peer has come back
* ``program.py``      the node as a program; ``settings.py`` what it can be told

It speaks the protocol of GENIVI rvi_core 0.5.1, so that a real one can stand on the other side of a link, and keeps
out of its faults.
"""
