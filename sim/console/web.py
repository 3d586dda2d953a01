"""The console in a browser of this machine: every page is a console process of its own.

Only loopback is served, and only pages that this server made: requests for another host (DNS
rebinding) and websockets of another origin are refused. A page may look; it may touch the run only
if its address carries the token, which is made anew for every server and printed once.
"""

from __future__ import annotations

import hmac
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from rich.console import Console
from textual_serve.server import Server

from sim.errors import ScenarioError
from sim.rng import secret_bytes

HOST: Final = "127.0.0.1"
_PAGES: Final = Path(__file__).with_name("pages")


class Site(Server):
    """The server of one run's console. token: what an address must carry to touch the run."""

    def __init__(self, name: str, command: str, port: int, token: str) -> None:
        super().__init__(command, HOST, port, title=f"sim {name}", templates_path=_PAGES)
        self.token = token
        self._hosts = {f"{host}:{port}" for host in (HOST, "localhost")}
        self._origins = {f"http://{host}" for host in self._hosts}

    def initialize_logging(self) -> None:
        """Nothing is logged: what goes wrong is shown in the page."""

    async def on_startup(self, app: web.Application) -> None:
        """Tells nothing: `serve` has printed the addresses."""

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._guard())
        app.router.add_get("/ws/{token}", self.handle_websocket)
        return app

    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
            given = request.match_info.get("token") or request.query.get("token")
            if request.host not in self._hosts:
                raise web.HTTPForbidden(text=f"this is not {request.host}\n")
            if request.path.startswith("/ws") and (
                request.headers.get("Origin") not in self._origins
            ):
                raise web.HTTPForbidden(text="a page of another origin may not open the console\n")
            if given is not None and not hmac.compare_digest(given, self.token):
                raise web.HTTPForbidden(text="this token is not of this server\n")
            response: web.StreamResponse = await handler(request)
            if not response.prepared:
                response.headers["Referrer-Policy"] = "no-referrer"
                response.headers["X-Frame-Options"] = "DENY"
                response.headers["Cache-Control"] = "no-store"
            return response

        return guard

    async def handle_index(self, request: web.Request) -> Any:
        """The page; with the token, its console is one that may touch the run."""
        response: Any = await super().handle_index(request)
        if "token" in request.query and response.text is not None:
            response.text = response.text.replace('/ws"', f'/ws/{self.token}"', 1)
        return response

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Starts a console for a page; read-only unless the address has the token."""
        chosen = Server.__new__(Server)
        chosen.__dict__ = dict(self.__dict__)
        if "token" not in request.match_info:
            chosen.command = f"{self.command} --read-only"
        return await Server.handle_websocket(chosen, request)


def serve(name: str, address: str, port: int = 0, is_read_only: bool = False) -> int:
    """Serves the console of a run that goes on, until Ctrl-C. port: 0 takes a free one.

    Raises: ScenarioError if the port cannot be had.
    """
    port = _port(port)
    token = secret_bytes(16).hex()
    words = [sys.executable, "-m", "sim.console", "--live", address]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    site = Site(name, shlex.join(words), port, "" if is_read_only else token)
    console = Console(highlight=False)
    console.print(f"{name} in a browser of this machine; Ctrl-C ends the server, not the run")
    console.print(f"to look   [cyan]http://{HOST}:{port}/[/]", soft_wrap=True)
    if not is_read_only:
        console.print(f"to touch  [cyan]http://{HOST}:{port}/?token={token}[/]", soft_wrap=True)
    site.serve()
    return 0


def _port(wanted: int) -> int:
    """That port, or a free one for 0. Raises: ScenarioError if it cannot be had."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "expected a number from 0 to 65535"
            raise ScenarioError(
                f"port {wanted} cannot be used ({reason}); without --port a free one is taken"
            ) from None
        return int(probe.getsockname()[1])
