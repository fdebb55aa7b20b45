"""The environment variables of Clearsight: which there are, and their values."""

from __future__ import annotations

import os

from clearsight.errors import ConfigError

VARIABLES = {
    "CLEARSIGHT_CACHE": "folder of the cache (default: ~/.cache/clearsight)",
    "CLEARSIGHT_CACHE_GB": "size limit of the cache in gigabytes (default: 20)",
    "CLEARSIGHT_DATA": "folder of downloaded data sets (default: ~/.cache/clearsight/data)",
    "CLEARSIGHT_DEVICE": "device that `auto` means: cpu, cuda, cuda:1, mps or xpu (default: a GPU, or the CPU)",
    "CLEARSIGHT_LOG_LEVEL": "messages on standard error: debug, info, warning or error (default: info)",
    "CLEARSIGHT_OFFLINE": "1 refuses every download and upload (default: 0)",
    "CLEARSIGHT_TOKEN": "token that clients of `serve` must send (default: none)",
}
"""The variables, and a line on each."""

OF_OPTIONS = {"device": "CLEARSIGHT_DEVICE", "log_level": "CLEARSIGHT_LOG_LEVEL"}
"""Options whose default a variable sets, by name."""

SECRET = ("CLEARSIGHT_TOKEN",)
"""Variables whose values are never shown."""

PAGE = "configuration#environment-variables"
"""Where they are explained."""

_ON, _OFF = ("1", "true", "yes", "on"), ("", "0", "false", "no", "off")


def variable(name: str) -> str | None:
    """The value of a variable.

    Args:
        name: one of `VARIABLES`.

    Returns:
        The value; None where it is not set or empty.
    """
    assert name in VARIABLES, name
    return os.environ.get(name) or None


def is_offline() -> bool:
    """Whether downloads and uploads are refused.

    Returns:
        Whether CLEARSIGHT_OFFLINE, or the HF_HUB_OFFLINE of Hugging Face's libraries, is set.

    Raises:
        ConfigError: CLEARSIGHT_OFFLINE is neither on nor off.
    """
    text = os.environ.get("CLEARSIGHT_OFFLINE", "")
    if text.lower() not in (*_ON, *_OFF):
        raise ConfigError("CLEARSIGHT_OFFLINE is invalid", found=repr(text), expected="1 or 0", page=PAGE)
    return text.lower() in _ON or os.environ.get("HF_HUB_OFFLINE", "").lower() in _ON


def require_online(what: str, fix: str) -> None:
    """Refuse what needs the network, where offline mode is on.

    Args:
        what: what needs it, as a clause.
        fix: what the user can do without the network.

    Raises:
        ConfigError: offline mode is on.
    """
    if is_offline():
        by = "CLEARSIGHT_OFFLINE" if os.environ.get("CLEARSIGHT_OFFLINE", "").lower() in _ON else "HF_HUB_OFFLINE"
        raise ConfigError(f"{what} needs the network", found=f"offline mode ({by} is set)", fix=fix, page=PAGE)
