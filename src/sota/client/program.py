"""The SOTA Client as a program: creates its parts and runs them."""

from __future__ import annotations

from functools import partial

from sota.boundaries.b9_rvi_client.client import SotaClientEdge
from sota.boundaries.b10_client_slm.client import SlmClient
from sota.boundaries.binding.app import App
from sota.boundaries.binding.rvi_service import RviServices
from sota.boundaries.binding.service_credentials import ServiceCredentials, keep_secret
from sota.boundaries.interaction import Program
from sota.boundaries.services import CALLBACK_LIMIT
from sota.boundaries.table import rows_for
from sota.client.api import CallbackApi, LoadingManagerApi
from sota.client.connection_report import ConnectionReport
from sota.client.downloads import Downloads
from sota.client.folder_state import open_for
from sota.client.identity_renewal import IdentityRenewal
from sota.client.service_registration import ServiceRegistration
from sota.client.services import VehicleServicesApi
from sota.client.settings import ClientSettings
from sota.client.software import Software
from sota.client.state import ClientState
from sota.kit.files.durable import private_folder
from sota.kit.http.network import Listener, Network
from sota.kit.runtime.program import Background
from sota.kit.runtime.settings import read_secret
from sota.kit.sql.local_threads import Threads


class ClientProgram:
    """Runs in each vehicle between its RVI node and its Software Loading Manager."""

    name = "client"

    def __init__(
        self, settings: ClientSettings, *, network: Network | None = None, threads: Threads | None = None
    ) -> None:
        """Create the parts; ``network`` and ``threads`` are given in a process of many vehicles."""
        self.settings = settings
        self._network = network or Network()
        self._credentials = ServiceCredentials.load(settings.credentials_file)
        token = read_secret(settings.slm_token_file, "token for the Software Loading Manager")
        self._slm_http = self._network.client(settings.slm_url, token)
        self._node_http = self._network.client(settings.node_url)
        self._edge = SotaClientEdge(self._node_http)
        slm = SlmClient(self._slm_http)
        self._state = ClientState(settings.data.resolve(), threads)
        self._software = Software(settings, self._state, self._edge, slm)
        self._downloads = Downloads(settings, self._state, self._edge, slm, self._software)
        self._connection_report = ConnectionReport(settings, self._state, self._edge)
        self._services = RviServices(Program.SOTA_CLIENT, "vehicle", self.name)
        services = VehicleServicesApi(self._downloads, self._software, self._connection_report)
        self._identity = IdentityRenewal(settings, self._edge)
        self._services.add(services)
        self._services.add(self._identity)
        self._services.on_availability(services.core_available, services.core_unavailable)
        self._registration = ServiceRegistration(
            self._edge, settings.vin, self._services.names, every_s=settings.register_s
        )
        self._background = Background()
        self._state.database.on_begun_again = self._start_over
        self._listener: Listener | None = None
        self._callbacks: Listener | None = None

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._listener.port if self._listener else self.settings.port

    async def start(self) -> None:
        """Open the state, resume open downloads, listen, and register at the node."""
        private_folder(self.settings.data)
        is_new = await open_for(self.settings.vin, self._state, self.settings.data.resolve())
        secret = keep_secret(self.settings.data / "callback.secret")
        app = App("client", rows_for(Program.SOTA_CLIENT), self._credentials.authenticator())
        app.add(LoadingManagerApi(self._downloads, self._software))
        app.check()
        await self._downloads.open()
        if is_new:
            await self._software.tell()
        self._listener = self._network.listener(app, self.settings.host, self.settings.port)
        await self._listener.start()
        self._callbacks = self._network.json_server(
            self.name,
            CallbackApi(self._services, secret).answer,
            self.settings.host,
            self.settings.callback_port,
            max_body=CALLBACK_LIMIT,
        )
        await self._callbacks.start()
        base = self.settings.callback_url or f"http://{self.settings.host}:{self._callbacks.port}"
        address = f"{base.rstrip('/')}/rvi/{secret}"
        self._background.keep("client-registration", partial(self._registration.run, address))
        self._background.keep("client-identity", self._identity.run)
        self._background.keep("client-software", self._software.run)
        self._background.keep("client-offering", self._downloads.watch_offers)
        self._background.keep("client-idle", self._downloads.watch_idle)

    async def stop(self) -> None:
        """Stop; the state is on disk."""
        for listener in (self._listener, self._callbacks):
            if listener is not None:
                await listener.stop()
        await self._background.stop()
        await self._connection_report.close()
        await self._software.close()
        await self._downloads.close()
        await self._state.database.close()
        await self._slm_http.close()
        await self._node_http.close()

    def _start_over(self) -> None:
        """Continue with an empty state: the damaged file is set aside."""
        self._software.start_over()
        self._background.start("client-begin-again", self._go_on())

    async def _go_on(self) -> None:
        await self._state.remember_vin(self.settings.vin)
        await self._downloads.start_over()
        self._connection_report.on_connected()

    async def trouble(self) -> str | None:
        """Return why Core cannot reach us through the node, or which background task fails."""
        if not self._registration.registered:
            return "the RVI node does not answer, or does not know our services"
        return self._background.trouble()
