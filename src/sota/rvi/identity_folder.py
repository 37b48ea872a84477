"""The folder with a node's identity, watched: a renewed identity is used without a restart.

A renewal writes several files. It takes effect once all of them fit together and have not changed since the last look.
Until then the node keeps its identity. The file of revocations is read again at the same time.
"""

from __future__ import annotations

import time

from sota.kit.errors import StartError
from sota.kit.files.durable import Stamp, stamp_of
from sota.kit.runtime.logging import get_logger
from sota.rvi.connection import PeerConnection
from sota.rvi.context import LinkContext
from sota.rvi.credentials import CredentialError, Identity
from sota.rvi.link import Link
from sota.rvi.settings import NodeSettings

Stamps = dict[str, Stamp | None]


class IdentityFolder:
    """Reads the identity, and reports when there is another one."""

    def __init__(self, settings: NodeSettings) -> None:
        self._settings = settings
        self._taken: Stamps = {}
        self._seen: Stamps = {}

    def read(self) -> Identity:
        """Read the identity.

        Raises:
            CredentialError: it is invalid, or gives no right to be this node.
        """
        settings = self._settings
        self._taken = self._seen = self._stamps()
        identity = Identity.read(settings.identity, time.time() if settings.trust_clock else None)
        if identity.rights.to_receive(settings.prefix_path, time.time()) is None:
            raise CredentialError(
                f"the credential in {settings.identity} gives no right to receive for {settings.prefix_path}"
            )
        return identity

    def changed(self) -> Identity | None:
        """Return the identity if it is complete and has changed since it was last read."""
        stamps = self._stamps()
        settled, self._seen = stamps == self._seen, stamps
        if stamps == self._taken or not settled:
            return None
        try:
            return self.read()
        except CredentialError as error:
            get_logger(program="rvi-node").error("identity_not_usable", error=str(error))
            return None

    def _stamps(self) -> Stamps:
        folder = self._settings.identity
        files = (*folder.glob("*.pem"), *folder.glob("*.key"), *folder.glob("*.jwt"))
        return {file.name: stamp_of(file) for file in files}


async def look(folder: IdentityFolder, context: LinkContext[PeerConnection], link: Link) -> None:
    """Use a renewed identity and new revocations, if there are any."""
    if context.revocations.refresh():
        cut = sum(connection.check_revoked() for connection in list(link.connections))
        context.log.info("revocations_read", entries=len(context.revocations), connections_cut=cut)
    identity = folder.changed()
    if identity is None:
        return
    earlier = context.identity
    context.present(identity)
    try:
        await link.renew()
    except (StartError, OSError) as error:
        context.present(earlier)
        context.log.error("identity_not_usable", error=str(error))  # noqa: TRY400  the reason is enough
        return
    context.log.info("identity_renewed")
