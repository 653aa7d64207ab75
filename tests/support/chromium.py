"""A real headless Chromium, told what to do by the DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from importlib.resources import files as package_files
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

_PATIENCE_S = 60.0


def _out_of_the_way(fd: int) -> int:
    """The same file by a greater number: the browser reads from 3 and writes to 4."""
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return moved


class Chromium:
    """One browser with one page."""

    def __init__(self, home: Path) -> None:
        program = shutil.which("chromium")
        if program is None:
            pytest.fail("these tests need chromium: scripts/setup dev installs it")
        read_end, self._to = map(_out_of_the_way, os.pipe())
        self._from, write_end = map(_out_of_the_way, os.pipe())
        self._process = subprocess.Popen(
            [
                # Not sh: that knows no descriptors above 9.
                "bash",
                "-c",
                f'exec "$@" 3<&{read_end} 4>&{write_end}',
                "bash",
                program,
                "--headless=new",
                "--remote-debugging-pipe",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--no-first-run",
                f"--user-data-dir={home}",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "about:blank",
            ],
            pass_fds=(read_end, write_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ["PATH"], "HOME": str(home)},
        )
        os.close(read_end)
        os.close(write_end)
        self._buffer = b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        made = self.call("Target.createTarget", url="about:blank")
        attached = self.call("Target.attachToTarget", targetId=made["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._to)
        os.close(self._from)
        self._process.kill()
        self._process.wait()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None and not method.startswith("Target."):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            found = self._next()
            if found.get("id") == self._number:
                assert "error" not in found, found
                result: dict[str, Any] = found["result"]
                return result
            self.events.append(found)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], deadline - time.monotonic())
            assert ready, "the browser says nothing"
            chunk = os.read(self._from, 1 << 20)
            assert chunk, "the browser ended"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message

    def open(self, url: str) -> None:
        """Go to a page, and wait until all that it shows is there."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for_page()

    def wait_for_page(self) -> None:
        """Wait until all that a page shows is there."""
        while not any(each.get("method") == "Page.loadEventFired" for each in self.events):
            self.events.append(self._next())

    def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return found["result"].get("value")

    def faults_of_access(self) -> list[str]:
        """What axe finds wrong with the page for whoever cannot see or point well: serious only."""
        script = (package_files("axe_core_python") / "axe.min.js").read_text("utf-8")
        self.call("Runtime.evaluate", expression=script)
        found = self.call(
            "Runtime.evaluate",
            expression="axe.run().then(r => JSON.stringify(r.violations))",
            awaitPromise=True,
            returnByValue=True,
        )
        violations = json.loads(found["result"]["value"])
        return [
            f"{each['id']}: {node['html']}"
            for each in violations
            if each["impact"] in {"serious", "critical"}
            for node in each["nodes"]
        ]

    def look(self, *, width: int = 1200, height: int = 800, dark: bool = False) -> None:
        """Set the size of the window, and what the user likes."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def press(self, key: str) -> None:
        """Press a key."""
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", key=key, text=key if len(key) == 1 else ""
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self) -> bytes:
        """The window as a PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def frames(self) -> list[str]:
        """The addresses of frames that have a process of their own, as those without an origin."""
        found = self.call("Target.getTargets")["targetInfos"]
        return [each["url"] for each in found if each["type"] == "iframe"]

    def requested(self) -> list[str]:
        """What was asked of servers since the page was opened; not what the page was forbidden."""
        return [
            each["params"]["request"]["url"]
            for each in self.events
            if each.get("method") == "Network.requestWillBeSent"
            and each["params"]["requestId"] not in self._forbidden()
            and not each["params"]["request"]["url"].startswith("data:")
        ]

    def _forbidden(self) -> set[str]:
        return {
            each["params"]["requestId"]
            for each in self.events
            if each.get("method") == "Network.loadingFailed" and "blockedReason" in each["params"]
        }
