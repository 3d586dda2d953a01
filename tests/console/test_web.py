"""The console in a browser: who may see it, who may touch the run, and that it is drawn."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from checkers.browser import BROWSER, Browser

from sim.console.web import serve
from sim.errors import ScenarioError
from sim.store.rundir import alive_runs
from sim.wire.control import ControlClient

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]
SIM = [sys.executable, "-m", "sim"]


@dataclass
class Site:
    """A run that goes on, its door, and the server of its console."""

    port: int
    token: str
    door: ControlClient

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def status(self) -> str:
        """What the run is doing, by its newest frame."""
        frames = []
        while not frames:
            frames = self.door.news(1.0)
        return frames[-1].status


@contextlib.contextmanager
def _process(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*SIM, *words], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("web")
    run = ("run", "quickstart", "--headless", "--speed", "1x", "--no-baselines", "--duration=10min")
    with _process(folder, *run):
        while not (alive := alive_runs(folder / "runs")):
            time.sleep(0.05)
        with _process(folder, "watch", "--web") as server:
            assert server.stdout is not None
            told = ""
            while "token=" not in told:
                told += server.stdout.readline()
            found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\w+)", told)
            assert found is not None
            door = ControlClient(next(iter(alive.values())))
            door.ask("watch")
            yield Site(int(found[1]), found[2], door)
            door.close()


async def _get(url: str, **headers: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session:
        until = time.monotonic() + 10
        while True:
            try:
                async with session.get(url, headers=headers) as answer:
                    return answer.status, await answer.text()
            except aiohttp.ClientConnectorError:
                assert time.monotonic() < until
                await asyncio.sleep(0.05)


async def _type(url: str, origin: str, keys: str) -> None:
    """Opens the console of a page, waits until it is drawn, types, and stays a moment."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers={"Origin": origin}) as socket,
    ):
        drawn = b""
        async with asyncio.timeout(40):
            while b"quickstart" not in drawn:
                message = await socket.receive()
                if message.type == aiohttp.WSMsgType.BINARY:
                    drawn += message.data
        for key in keys:
            await socket.send_str(json.dumps(["stdin", key]))
        await asyncio.sleep(1.0)


@pytest.mark.parametrize("port", ["taken", "99999", "-1"])
def test_a_port_that_cannot_be_had_is_said(port: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        wanted = other.getsockname()[1] if port == "taken" else int(port)
        with pytest.raises(ScenarioError, match=f"port {wanted} cannot be used"):
            serve("a-run", "ipc:///nowhere", wanted)


@pytest.mark.asyncio
async def test_only_this_machine_by_its_own_name_and_token_gets_a_page(site: Site) -> None:
    status, page = await _get(site.url)
    assert status == 200
    assert "http://fonts" not in page
    assert site.token not in page
    assert (await _get(site.url, Host=f"evil.example:{site.port}"))[0] == 403
    assert (await _get(f"{site.url}/?token=0123456789"))[0] == 403
    status, page = await _get(f"{site.url}/?token={site.token}")
    assert (status, f"/ws/{site.token}" in page) == (200, True)


@pytest.mark.asyncio
@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
async def test_a_page_of_another_origin_opens_no_console(site: Site, origin: str) -> None:
    for path in ("/ws", f"/ws/{site.token}"):
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
                await session.ws_connect(site.url + path, headers={"Origin": origin})


@pytest.mark.asyncio
async def test_a_wrong_token_opens_no_console(site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await session.ws_connect(f"{site.url}/ws/abc", headers={"Origin": site.url})


@pytest.mark.asyncio
async def test_without_the_token_a_page_looks_and_with_it_a_page_touches(site: Site) -> None:
    await _type(f"{site.url}/ws?width=120&height=40", site.url, " ")
    assert site.status() == "running"
    await _type(f"{site.url}/ws/{site.token}?width=120&height=40", site.url, " ")
    assert site.status() == "paused"
    site.door.ask("go")


@pytest.mark.asyncio
@pytest.mark.skipif(BROWSER is None, reason="needs a Chromium")
async def test_a_real_browser_draws_it_and_its_keys_reach_the_run(
    site: Site, tmp_path: Path
) -> None:
    async with Browser(tmp_path) as browser:
        await browser.open(f"{site.url}/?token={site.token}")
        await browser.until("document.body.classList.contains('-first-byte')")
        await browser.until("document.querySelector('textarea') !== null")
        await asyncio.sleep(2.0)
        picture = tmp_path / "console.png"
        await browser.picture(picture)
        assert picture.stat().st_size > 50_000  # an empty page of this size has 12,000 bytes
        await browser.run("document.querySelector('textarea').focus()")
        await browser.press(" ")
        await asyncio.sleep(1.0)
        assert site.status() == "paused"
        site.door.ask("go")
