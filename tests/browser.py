"""The browser the studio is tested in: an installed Chromium or Chrome, else Playwright's own, else Debian's package.

python tests/browser.py   finds one, installs it where there is none, and prints its path
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
          "/Applications/Chromium.app/Contents/MacOS/Chromium")  # fmt: skip
APT = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")


def starts(path: str | Path) -> bool:
    """Whether a browser runs here: one that lacks a library of the system ends with an error."""
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def find() -> str | None:
    """Path of a browser that starts, or None. CLEARSIGHT_CHROMIUM names one and is then the only one considered."""
    named = os.environ.get("CLEARSIGHT_CHROMIUM")
    if named:
        return named if starts(named) else None
    with sync_playwright() as playwright:
        downloaded = playwright.chromium.executable_path
    found = (*(shutil.which(name) for name in NAMES), *PLACES, downloaded)
    return next((path for path in found if path and starts(path)), None)


def install() -> None:
    """Install a browser: Playwright's, and where that can't be downloaded or doesn't start, Debian's (as root)."""
    env = {"PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "10000", **os.environ}
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], env=env, stdout=sys.stderr)
    if find() is None and shutil.which("apt-get") and os.geteuid() == 0:
        subprocess.run([*APT, "update"], stdout=sys.stderr)
        subprocess.run([*APT, "install", "-y", "--no-install-recommends", "chromium"], stdout=sys.stderr)


def main() -> int:
    if find() is None:
        print("no Chromium or Chrome found: installing one", file=sys.stderr)
        install()
    path = find()
    if path is None:
        print(
            "The studio is tested in a real browser, and none could be installed. Install Chromium or Chrome, or set "
            "CLEARSIGHT_CHROMIUM to the path of one.",
            file=sys.stderr,
        )
        return 1
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
