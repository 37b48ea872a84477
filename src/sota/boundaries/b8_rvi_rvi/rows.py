"""Rows of B8, the data link between the two RVI nodes: what Core and vehicle say to one another, as ``rcv`` messages.

The link has no HTTP, so these rows have no outcomes of their own: those of B7 and B9 pass through as data.
"""

from __future__ import annotations

from sota.boundaries.b7_core_rvi import rows as b7
from sota.boundaries.interaction import Boundary, Program, declared

B8 = Boundary("B8", Program.RVI_NODE_SERVER, Program.RVI_NODE_CLIENT)
TO_SERVER = Boundary("B8", Program.RVI_NODE_CLIENT, Program.RVI_NODE_SERVER)

UPDATE_AVAILABLE = B8.carries("WL-B8-1", b7.UPDATE_AVAILABLE)
START_DOWNLOAD = B8.carries("WL-B8-2", b7.START_DOWNLOAD)
SEND_BLOCK = TO_SERVER.carries("WL-B8-3", b7.SEND_BLOCK)
FINISH_DOWNLOAD = B8.carries("WL-B8-4", b7.FINISH_DOWNLOAD)
INSTALL_REPORT = B8.carries("WL-B8-5", b7.INSTALL_REPORT)
INITIATE_DOWNLOAD = TO_SERVER.carries("WL-B8-6", b7.INITIATE_DOWNLOAD)
GET_PACKAGES = B8.carries("WL-B8-7", b7.GET_PACKAGES)

ACKNOWLEDGE = TO_SERVER.carries("X-B8-1", b7.ACKNOWLEDGE)
REPORTED = TO_SERVER.carries("X-B8-2", b7.REPORTED)
INSTALLED_SOFTWARE = B8.carries("X-B8-3", b7.INSTALLED_SOFTWARE)
CONNECTED = TO_SERVER.carries("X-B8-4", b7.CONNECTED)
STAGE = TO_SERVER.carries("X-B8-5", b7.STAGE)
WELCOME = B8.carries("X-B8-6", b7.WELCOME)

ROWS = declared(globals())
