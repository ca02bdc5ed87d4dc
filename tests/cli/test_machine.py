"""What a device says of itself, from files such as a Raspberry Pi has."""

from __future__ import annotations

from pathlib import Path

import pytest

from ser_edge.cli.machine import Machine, temperature, this_machine, throttling

THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"


def put(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_raspberry_pi(tmp_path: Path) -> None:
    put(tmp_path, "proc/device-tree/model", "Raspberry Pi 4 Model B Rev 1.4\0")
    put(
        tmp_path,
        "proc/cpuinfo",
        "processor\t: 0\nBogoMIPS\t: 108.00\n\nModel\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    )
    put(tmp_path, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "ondemand\n")
    machine = this_machine(str(tmp_path))
    assert machine.board == machine.processor == "Raspberry Pi 4 Model B Rev 1.4"
    assert machine.governor == "ondemand"


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    machine = this_machine(str(tmp_path))
    assert machine.board is None
    assert machine.governor is None
    assert machine.processor
    assert temperature(str(tmp_path)) is None
    assert throttling(str(tmp_path)) is None


def test_machine_as_text() -> None:
    board = "Raspberry Pi 5 Model B Rev 1.0"
    assert str(Machine(board, "Cortex-A76", "aarch64", 4, None)) == f"{board}, 4 x aarch64"
    assert str(Machine(None, "Some CPU", "x86_64", 2, None)) == "Some CPU, 2 x x86_64"


def test_temperature_is_that_of_the_hottest_sensor(tmp_path: Path) -> None:
    put(tmp_path, "sys/class/thermal/thermal_zone0/temp", "48312\n")
    put(tmp_path, "sys/class/thermal/thermal_zone1/temp", "61000\n")
    put(tmp_path, "sys/class/thermal/thermal_zone2/temp", "unreadable\n")
    assert temperature(str(tmp_path)) == 61.0


@pytest.mark.parametrize(
    ("word", "reasons"),
    [
        ("0", ()),
        ("50005", ("under-voltage", "throttled")),
        ("50000", ("under-voltage since boot", "throttled since boot")),
        (
            "80008",
            ("soft temperature limit",),
        ),
        ("20001", ("under-voltage", "frequency capped since boot")),
    ],
)
def test_throttling(tmp_path: Path, word: str, reasons: tuple[str, ...]) -> None:
    put(tmp_path, THROTTLED, f"{word}\n")
    assert throttling(str(tmp_path)) == reasons
