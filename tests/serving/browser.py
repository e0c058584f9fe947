"""A headless Chromium, driven through ChromeDriver by the WebDriver protocol (W3C)."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key that the standard names elements by


def why_not() -> str | None:
    """Why there is no browser to test with, or None."""
    for program in ("chromedriver", "chromium"):
        if _find(program) is None:
            return f"needs {program} (Debian: apt-get install chromium chromium-driver)"
    return None


def _find(program: str) -> str | None:
    names = [program] if program == "chromedriver" else ["chromium", "chromium-browser",
                                                         "google-chrome"]  # fmt: skip
    return next(filter(None, map(shutil.which, names)), None)


class Browser:
    """One window.

    Args:
        session: the address of the WebDriver session.
    """

    def __init__(self, session: str):
        self._session = session

    def go(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def find(self, selector: str) -> str:
        content = {"using": "css selector", "value": selector}
        return self._call("POST", "/element", content)[_ELEMENT]

    def text(self, selector: str) -> str:
        return self._call("GET", f"/element/{self.find(selector)}/text")

    def click(self, selector: str) -> None:
        self._call("POST", f"/element/{self.find(selector)}/click", {})

    def write(self, selector: str, text: str) -> None:
        element = self.find(selector)
        self._call("POST", f"/element/{element}/clear", {})
        self._call("POST", f"/element/{element}/value", {"text": text})

    def is_shown(self, selector: str) -> bool:
        return self._call("GET", f"/element/{self.find(selector)}/displayed")

    def run(self, script: str):
        """What a function's body in JavaScript returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, condition, seconds: float = 30):
        """Waits until a function gives something true, and returns it."""
        end = time.monotonic() + seconds
        while True:
            found = condition()
            if found:
                return found
            assert time.monotonic() < end, "the page did not come to that"
            time.sleep(0.02)

    def console(self) -> list[str]:
        """What the browser complained about since the last call."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self) -> bytes:
        """The window as a PNG."""
        return base64.b64decode(self._call("GET", "/screenshot"))

    def _call(self, method: str, path: str, content=None):
        return _request(method, self._session + path, content)


def _request(method: str, url: str, content=None):
    body = None if content is None else json.dumps(content).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=120) as response:
            return json.load(response)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from None


@contextlib.contextmanager
def open_browser(
    profile, size: tuple[int, int] = (1000, 1400), dark: bool = False
) -> Iterator[Browser]:
    """A browser with an empty profile.

    Args:
        profile: an empty folder.
        size: of the window.
        dark: whether pages are told that dark colours are wanted.
    """
    driver = subprocess.Popen(
        [_find("chromedriver"), "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip
    try:
        for line in driver.stdout:
            port = re.search(r"successfully on port (\d+)", line)
            if port:
                break
        arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--disable-dev-shm-usage", f"--user-data-dir={profile}",
            f"--window-size={size[0]},{size[1]}",
        ]  # fmt: skip
        if dark:
            arguments.append("--force-dark-mode")
        options = {
            "goog:chromeOptions": {"binary": _find("chromium"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        root = f"http://127.0.0.1:{port[1]}/session"
        session = _request("POST", root, {"capabilities": {"alwaysMatch": options}})
        browser = Browser(f"{root}/{session['sessionId']}")
        try:
            yield browser
        finally:
            browser._call("DELETE", "")
    finally:
        driver.terminate()
        driver.wait(30)
        driver.stdout.close()
