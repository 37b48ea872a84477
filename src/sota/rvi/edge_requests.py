"""Requests to the service edge, as they are read from JSON."""

from __future__ import annotations

from typing import Literal

import msgspec


class Request(msgspec.Struct):
    """The envelope."""

    jsonrpc: str = ""
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


class RegisterParams(msgspec.Struct):
    """What ``register_service`` takes."""

    service: str
    network_address: str


class UnregisterParams(msgspec.Struct):
    """What ``unregister_service`` takes."""

    service: str


class MessageParams(msgspec.Struct):
    """What ``message`` takes."""

    service_name: str
    timeout: int
    parameters: msgspec.Raw


class MessageRequest(msgspec.Struct):
    """By far the commonest request, read in one go."""

    jsonrpc: Literal["2.0"]
    method: Literal["message"]
    params: MessageParams
    id: msgspec.Raw = msgspec.Raw()


class PrefixParams(msgspec.Struct):
    """What ``get_node_service_prefix`` takes: ``full`` may be 1 or 0, too."""

    full: bool | int = True
