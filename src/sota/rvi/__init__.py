"""RVI node: carries messages between SOTA Core and the vehicles (boundaries B7, B8 and B9), as server and as client.

Where things are:

* ``node.py``               the node itself: where a message goes, and when
* ``link.py``               listens for and connects to other nodes; ``connection.py`` one such connection
* ``codec.py``              bytes to packets and back (JSON and msgpack); ``splitter.py`` where a packet ends
* ``fragment.py``           large messages in pieces; ``confirmation.py`` messages kept until they have arrived
* ``credentials.py``        who may receive and invoke what; ``names.py`` service names and the patterns of rights
* ``identity_folder.py``    the node's identity, which may change while it runs; ``revocation.py`` revoked identities
* ``edge.py``               JSON-RPC for the local services; ``edge_ws.py`` carries it over WebSocket
* ``delivery.py``           the local services; ``service_queue.py`` their messages; ``callback.py`` the call itself
* ``message_store.py``      messages on disk for absent peers; ``queue_drainer.py`` sends them when a peer is back
* ``calendar.py``           the updates that Core has scheduled; ``database.py`` the file of both

It speaks the protocol of GENIVI rvi_core 0.5.1, so that a real one can stand on the other side of a link, and avoids
its faults.
"""
