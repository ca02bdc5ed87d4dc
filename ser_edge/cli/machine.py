"""The device: board, processor, temperature, throttling, and versions of what is installed."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

# Bits of the Raspberry Pi firmware's get_throttled word; 16 bits further up: since the last boot.
_THROTTLING = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
_SINCE_BOOT = 16
_THROTTLING_FILE = "sys/devices/platform/soc/soc:firmware/get_throttled"


@dataclass(frozen=True)
class Machine:
    """The parts of a device that its speed depends on."""

    board: str | None  # such as Raspberry Pi 4 Model B Rev 1.4; None where nothing tells
    processor: str  # such as Cortex-A72; "unknown processor" where nothing tells
    architecture: str  # such as aarch64
    cores: int  # that this process may use
    governor: str | None  # of the processor's frequency, such as ondemand

    def __str__(self) -> str:
        return f"{self.board or self.processor}, {self.cores} x {self.architecture}"


def this_machine(root: str = "/") -> Machine:
    """Read what is known of this device.

    Args:
        root: folder in which ``proc`` and ``sys`` lie.

    Example:
        >>> this_machine().cores >= 1
        True
    """
    base = Path(root)
    board = _read(base / "proc/device-tree/model")
    governor = _read(base / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:  # macOS
        cores = os.cpu_count() or 1
    return Machine(board, _processor(base), platform.machine(), cores, governor)


def temperature(root: str = "/") -> float | None:
    """Degrees Celsius of the hottest sensor, None where there is none."""
    zones = (Path(root) / "sys/class/thermal").glob("thermal_zone*/temp")
    texts = (_read(zone) for zone in zones)
    return max((int(text) / 1000 for text in texts if text and text.isdigit()), default=None)


def throttling(root: str = "/") -> tuple[str, ...] | None:
    """Why a Raspberry Pi slows down or has done so since it was started.

    Returns:
        The reasons, none of them when all is well; None on other devices.
    """
    text = _read(Path(root) / _THROTTLING_FILE)
    if text is None:
        return None
    word = int(text, 16)
    now = [reason for bit, reason in _THROTTLING.items() if word >> bit & 1]
    earlier = [
        f"{reason} since boot"
        for bit, reason in _THROTTLING.items()
        if word >> bit + _SINCE_BOOT & 1 and reason not in now
    ]
    return (*now, *earlier)


def installed_version(package: str) -> str:
    """Version of a Python package, or words that stand for it.

    Example:
        >>> installed_version("no-such-package")
        '(version unknown)'
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "(version unknown)"


def _processor(base: Path) -> str:
    for line in (_read(base / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model"):
            return value.strip()
    return platform.processor() or "unknown processor"


def _read(path: Path) -> str | None:
    try:
        # The device tree ends its texts with a zero byte.
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None
