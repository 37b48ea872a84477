"""One connection to another node: greeting, announcements, messages.

Both sides keep the same rules; only the side that connected greets first:

* each side greets (``au``), then announces its services (``sa``), even if it has none;
* before the peer's greeting only ``ping`` is accepted. Afterwards the peer may announce what its credentials let it
  receive, and send to what they let it invoke. Anything else is dropped and counted; the connection stays;
* a service is announced only to a peer that may invoke it;
* a peer whose certificate or credential is revoked is disconnected at once. Over plain TCP it stays, without rights:
  a real node's VM ends when a few connections are cut right after their greeting;
* malformed input, or long silence, ends this connection and no other;
* at most ``send_queue`` bytes wait for a peer: then ``offer`` returns False, and the sender waits or stores.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterable, Sequence
from typing import cast

from sota.boundaries.binding.decorators import calls, serves
from sota.boundaries.values import short_vin
from sota.kit.runtime import metrics
from sota.rvi.codec import GREETING_LIMIT, JSON, Codec, Decoder, Fields, Packet, RcvData, codec_of
from sota.rvi.confirmation import Confirmations
from sota.rvi.context import LinkContext
from sota.rvi.credentials import Rights
from sota.rvi.fragment import FragmentReader, FragmentWriter, is_refusal, max_piece_bytes, wanted_size
from sota.rvi.message import Message, Peer, keep_until
from sota.rvi.splitter import CodecError
from sota.rvi.writer import Writer, pause_reading

MAX_ANNOUNCED = 1000


class PeerConnection(asyncio.Protocol):
    """One connection, over TLS or TCP, made by this node or by the peer."""

    __slots__ = (
        "_certificate", "_codec", "_context", "_decoder", "_loop", "_opened_at", "_out", "_peers",
        "_pinged_at", "_reader", "_refused", "_secure", "_transaction", "_writer", "announced", "confirmations",
        "ended", "generation", "greeted", "heard_at", "initiator", "rights", "vin",
    )  # fmt: skip

    def __init__(
        self, context: LinkContext[PeerConnection], codec: Codec | None, *, secure: bool, initiator: bool
    ) -> None:
        """Create a connection; ``codec`` is None where the peer's first byte decides."""
        self._context = context
        self._secure = secure
        self.initiator = initiator
        """Whether this node made the connection, and will make it again."""
        self._codec = codec
        # A plain TCP link answers in JSON, but a peer may mix both; see rvi_core.
        self._decoder = Decoder(codec if secure else None, GREETING_LIMIT)
        self._out = Writer()
        self.confirmations = Confirmations(context.settings.send_queue, self._send)
        self._certificate: bytes | None = None
        self._refused: set[str] = set()
        self._transaction = 0
        self._reader: FragmentReader | None = None
        self._writer: FragmentWriter | None = None
        self._loop = asyncio.get_running_loop()
        self._peers: dict[str, Peer] = {}
        self._opened_at = self._pinged_at = self.heard_at = self._loop.time()
        self.greeted = False
        self.generation = 0
        self.rights = Rights()
        self.vin: str | None = None
        self.announced: dict[str, None] = {}
        self.ended: asyncio.Future[Exception | None] = self._loop.create_future()

    # Events of asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start: the side that connected greets."""
        self._out.begin(cast("asyncio.Transport", transport), self._context.settings.send_queue)
        if not self._context.owner.opened(self):
            self._out.abort()
            return
        tls = transport.get_extra_info("ssl_object")
        self._certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self.generation = self._context.generation
        if self._secure and self._certificate is None:
            self._fail("no_certificate", "the peer presented no certificate")
        elif not self.check_revoked() and self.initiator and self._codec is not None:
            self._out.write(self._context.greeting(self._codec, secure=self._secure))

    def data_received(self, data: bytes) -> None:
        """Handle received bytes; invalid ones end this connection."""
        self.heard_at = self._loop.time()
        try:
            for packet in self._decoder.feed(data):
                self._take(packet)
        except CodecError as error:
            self._fail("malformed_packet", str(error))

    def pause_writing(self) -> None:
        """Stop accepting messages: too much waits already."""
        self._out.paused = True

    def resume_writing(self) -> None:
        """Accept messages again."""
        self._out.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """Report the end of this connection to the node."""
        self.resume_writing()
        if not self.ended.done():
            self.ended.set_result(error)
        self._context.owner.closed(self)
        if self.greeted:
            self._context.log.info("peer_disconnected", peer=self.label, error=str(error) if error else None)

    # For the node

    @property
    def label(self) -> str:
        """The peer's name in logs: a shortened VIN, or its credential."""
        if self.vin is not None:
            return short_vin(self.vin)
        return self.rights.credentials[0].id if self.rights.credentials else "unknown"

    @property
    def is_writable(self) -> bool:
        """Whether a message may be offered now."""
        return not self._out.paused and self._out.is_open and not self.confirmations.is_full

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._out.is_open

    @property
    def is_flushed(self) -> bool:
        """Whether everything offered has left this process."""
        return self._out.is_flushed and not (self._writer is not None and self._writer.queued_bytes)

    async def writable(self, timeout_s: float) -> bool:
        """Wait until a message may be offered; False if the time or the connection is over."""
        if not self.is_writable and self._out.is_open:
            await self._out.writable(timeout_s)
        return self.is_writable

    @calls("WL-B8-1", "WL-B8-2", "WL-B8-3", "WL-B8-4", "WL-B8-5", "WL-B8-6", "WL-B8-7", "X-B8-1", "X-B8-2", "X-B8-3",
        "X-B8-4", "X-B8-5", "X-B8-6")  # fmt: skip
    def offer(self, message: Message) -> bool:
        """Send a message to a service of the peer; False if too much waits already.

        Raises:
            ValueError, OverflowError: the parameters cannot be encoded for this link.
        """
        if not self.is_writable or self._codec is None:
            return False
        if self._writer is not None and (outgoing := self._writer.under_way(message.service)) is not None:
            if self._writer.queued_bytes + message.size > self._context.settings.send_queue:
                return False
            self._writer.hold(outgoing, message)
            return True
        self._transaction += 1
        if ack := self.confirmations.concerns(message.service):
            self.confirmations.keep(self._transaction, message)
        if (size := wanted_size(message)) is not None:
            body = self._codec.encode_for_pieces(message, self._transaction, ack=ack)
            self._writer = self._writer or FragmentWriter(max_piece_bytes(quoted=self._codec is JSON))
            self._send(self._writer.start(message, body, size, self._loop.time()))
        else:
            self._out.write_parts(self._codec.encode_message(message, self._transaction, ack=ack), message.size)
        return True

    def announce(self, names: Iterable[str], *, available: bool = True, always: bool = False) -> None:
        """Announce services that come or go to the peer, if it may invoke them."""
        if not self.greeted:
            return
        now = time.time()
        allowed = [name for name in names if self.rights.to_invoke(name, now) is not None]
        if allowed or always:
            self._send({"cmd": "sa", "stat": "av" if available else "un", "svcs": allowed})

    def tick(self, now: float) -> None:
        """Do what is due now and then: end a silent connection, send a sign of life."""
        settings = self._context.settings
        if not self.greeted and now - self._opened_at > settings.greeting_timeout_s:
            self._fail("no_greeting", "the peer did not present itself in time")
        elif now - self.heard_at > settings.dead_after_s:
            self._fail("dead_peer", "the peer has been silent for too long")
        elif self.greeted and now - self._pinged_at >= settings.ping_interval_s:
            self._pinged_at = now
            self._send({"cmd": "ping"})
        if self._reader is not None:
            self._send(*self._reader.give_up(now))
        if self._writer is not None:
            for waiting in self._writer.give_up(now):
                self._offer_again(waiting)

    def take_unconfirmed(self) -> Sequence[Message]:
        """Return, at the connection's end, the messages that may not have arrived."""
        return self.confirmations.take_unconfirmed(self._writer.take_unsent(self._loop.time()) if self._writer else ())

    def check_revoked(self) -> bool:
        """Reject the peer if its certificate or credential is revoked; True if so."""
        entry = self._context.revocations.find_against(self.rights, self._certificate)
        if entry is not None:
            self._reject_peer("revoked", entry)
        return entry is not None

    def check_trust(self) -> None:
        """Check the peer's credentials against the current trust anchors; end the connection if none is valid."""
        if not self.greeted or not self.rights.credentials:
            return
        anchor = self._context.identity.anchor
        self.rights = Rights(credential for credential in self.rights.credentials if anchor.signed(credential))
        if self.rights.credentials:
            self._drop_announcements(time.time())
        else:
            self._reject_peer("no_trust", "no trust anchor signed the peer's credentials any more")

    def pause_reading(self, until: asyncio.Future[None]) -> None:
        """Stop reading from the peer until this is done."""
        if self._out.transport is not None:
            pause_reading(self._out.transport, until)

    def close(self) -> None:
        """Close the connection once everything is written."""
        self.confirmations.flush()
        self._out.close()

    def abort(self) -> None:
        """Close the connection now."""
        self._out.abort()

    # Packets of the peer

    def _take(self, packet: Packet) -> None:
        if packet.cmd == "au":
            self._on_greeting(packet)
        elif packet.cmd == "ping":
            return
        elif not self.greeted:
            self._refuse("before_greeting")
        elif packet.cmd == "rcv":
            self._on_message(packet)
        elif packet.cmd == "sa":
            self._on_services(packet)
        elif packet.cmd is None:
            self._on_fragment(packet)
        elif packet.cmd == "ack":
            if self.confirmations.settle(packet.ids):
                self._out.resume_waiting()
        else:
            self._refuse("unknown_command")

    def _on_greeting(self, packet: Packet) -> None:
        if packet.ver is not None and not str(packet.ver).startswith("1."):
            raise CodecError(f"version {packet.ver!r} is not supported")
        if not isinstance(packet.creds, list):
            raise CodecError("a greeting without a list of credentials")
        first = not self.greeted
        if first and self._codec is None:
            self._codec = self._decoder.codec if self._secure else JSON
        codec = self._codec or JSON
        context = self._context
        self.rights, reasons = context.rights_of(packet.creds, self._certificate)
        if self.check_revoked() and self._secure:
            return
        self.greeted, self.confirmations.wanted = True, packet.ack is True and self._context.confirms
        self._peers.clear()
        self.vin = self.rights.vin_behind(self._certificate)
        self._decoder.limit = self._context.settings.max_message
        for reason in reasons:
            self._refuse("credential", detail=reason)
        if first and not self.initiator:
            self._out.write(self._context.greeting(codec, secure=self._secure))
        if first:
            self._context.log.info("peer_connected", peer=self.label, secure=self._secure, codec=codec.name)
        else:
            self._drop_announcements(time.time())
        self.announce(self._context.owner.local_services(), always=True)

    def _on_services(self, packet: Packet) -> None:
        if not isinstance(packet.svcs, list):
            raise CodecError("an announcement without a list of services")
        names = list(dict.fromkeys(name for name in packet.svcs if isinstance(name, str)))
        if packet.stat == "un":
            gone = [name for name in names if name in self.announced]
            for name in gone:
                del self.announced[name]
            self._context.owner.withdrawn(self, gone)
        elif packet.stat == "av":
            now = time.time()
            welcome = [name for name in names if self._may_announce(name, now)]
            self.announced.update(dict.fromkeys(welcome))
            self._context.owner.announced(self, welcome)
        else:
            self._refuse("unknown_status")

    def _may_announce(self, name: str, now: float) -> bool:
        if not self._context.table.allows(name):
            self._refuse("unknown_service", detail=name[:100])
        elif self.rights.to_receive(name, now) is None:
            self._refuse("right_to_receive", detail=name)
        elif name not in self.announced and len(self.announced) >= MAX_ANNOUNCED:
            self._refuse("too_many_services")
        else:
            return True
        return False

    @serves("WL-B8-1", "WL-B8-2", "WL-B8-3", "WL-B8-4", "WL-B8-5", "WL-B8-6", "WL-B8-7", "X-B8-1", "X-B8-2", "X-B8-3",
        "X-B8-4", "X-B8-5", "X-B8-6")  # fmt: skip
    def _on_message(self, packet: Packet) -> None:
        codec = codec_of(packet.data)
        content = codec.decode_data(packet.data)
        confirm = functools.partial(self.confirmations.arrived, packet.ack) if type(packet.ack) is int else None
        if (message := self._read_message(content, codec)) is not None:
            message.confirm = confirm
            self._context.owner.received(self, message)
        elif confirm is not None:
            confirm()  # it is refused, finally

    def _read_message(self, content: RcvData | None, codec: Codec) -> Message | None:
        if content is None:
            self._refuse("malformed_message")
            return None
        now = time.time()
        credential = self.rights.to_invoke(content.service, now)
        if not content.service.startswith(self._context.settings.prefix_path):
            self._refuse("not_our_service", detail=content.service[:100])
        elif not self._context.table.allows(content.service):
            self._refuse("unknown_service", detail=content.service[:100])
        elif credential is None:
            self._refuse("right_to_invoke", detail=content.service)
        else:
            timeout_ms = content.timeout if type(content.timeout) is int else int(now * 1000)
            peer = self._peers.get(credential.id)
            if peer is None:
                peer = self._peers[credential.id] = Peer(self.vin, credential.id)
            parameters = codec.parameters_json(content.parameters)
            return Message(content.service, parameters, timeout_ms, keep_until(timeout_ms, now), peer)
        return None

    def _on_fragment(self, packet: Packet) -> None:
        now = self._loop.time()
        if packet.frg:
            self._reader = self._reader or FragmentReader(self._context.settings.max_message)
            codec = codec_of(packet.frg)
            answers, whole = self._reader.take(*codec.decode_fragment(packet.frg), now)
            self._send(*answers)
            inner = codec.decode(whole) if whole else None
            if inner is not None and inner.cmd == "rcv":
                self._on_message(inner)
            elif whole:
                self._refuse("malformed_message")
            elif is_refusal(answers):
                self._refuse("too_large")
        elif self._writer is not None and packet.frg_get is not None:
            if (sent_at := self._writer.last_sent_at(packet.frg_get)) is not None:
                self.confirmations.confirm_sent_before(sent_at)
            self._send(*self._writer.piece(packet.frg_get, now))
        elif self._writer is not None and packet.frg_end is not None:
            self._offer_again(self._writer.finish(packet.frg_end))

    # Helpers

    def _drop_announcements(self, now: float) -> None:
        lost = [name for name in self.announced if self.rights.to_receive(name, now) is None]
        for name in lost:
            del self.announced[name]
        self._context.owner.withdrawn(self, lost)

    def _offer_again(self, waiting: Iterable[Message]) -> None:
        for message in waiting:
            if not self.offer(message):
                self._refuse("queue_full")

    def _send(self, *packets: Fields) -> None:
        for fields in packets:
            if self._codec is JSON and "frg" in fields:
                fields["frg"][3] = fields["frg"][3].decode("ascii")
            self._out.write((self._codec or JSON).encode(fields), alone="frg" in fields)

    def _refuse(self, reason: str, detail: str | None = None) -> None:
        metrics.REFUSED.labels("rvi-node", reason).inc()
        if reason not in self._refused:  # a hostile peer must not fill the log
            self._refused.add(reason)
            self._context.log.warning("peer_refused", reason=reason, detail=detail, peer=self.label)

    def _reject_peer(self, reason: str, detail: str) -> None:
        if self._secure:
            self._fail(reason, detail)
            return
        self._refuse(reason, detail)
        self.rights, self.vin = Rights(), None
        self._peers.clear()
        self._drop_announcements(time.time())

    def _fail(self, reason: str, detail: str) -> None:
        self._refuse(reason, detail)
        self.abort()
