"""A headless Chromium, by its DevTools protocol: opens a page, types, reads, takes pictures."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import aiohttp

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


class Browser:
    """One page. Use as an asynchronous context manager."""

    def __init__(self, folder: Path, width: int = 1500, height: int = 900) -> None:
        self._folder, self._size = folder, f"{width},{height}"
        self._number = 0

    async def __aenter__(self) -> Browser:
        assert BROWSER is not None
        self._process = subprocess.Popen(
            [
                BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--mute-audio",
                "--enable-unsafe-swiftshader", f"--window-size={self._size}",
                f"--user-data-dir={self._folder}", "--remote-debugging-port=0", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        told = self._folder / "DevToolsActivePort"
        while not told.exists() or not told.read_text().strip():
            await asyncio.sleep(0.05)
            assert self._process.poll() is None
        port = told.read_text().split()[0]
        self._session = aiohttp.ClientSession()
        while True:
            async with self._session.get(f"http://127.0.0.1:{port}/json") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            if pages:
                break
            await asyncio.sleep(0.05)
        url = pages[0]["webSocketDebuggerUrl"]
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._socket.close()
        await self._session.close()
        self._process.kill()
        self._process.wait()

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One call of the protocol."""
        self._number += 1
        await self._socket.send_str(
            json.dumps({"id": self._number, "method": method, "params": params})
        )
        while True:
            message = json.loads((await self._socket.receive()).data)
            if message.get("id") == self._number:
                assert "error" not in message, message
                return dict(message["result"])

    async def open(self, address: str) -> None:
        await self.call("Page.navigate", url=address)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    async def until(self, script: str, seconds: float = 40.0) -> None:
        """Waits until an expression is true. Raises: TimeoutError."""
        async with asyncio.timeout(seconds):
            while not await self.run(script):
                await asyncio.sleep(0.1)

    async def press(self, key: str) -> None:
        """One key that makes a character."""
        await self.call("Input.dispatchKeyEvent", type="keyDown", text=key, key=key)
        await self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def picture(self, path: Path) -> None:
        found = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(found["data"]))
