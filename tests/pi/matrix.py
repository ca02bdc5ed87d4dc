"""Print what `pip install ser-edge` brings, for every Python and platform, as a Markdown table.

    python tests/pi/matrix.py

Nothing is installed: uv and pip are asked which wheels they would choose. "no" means that some
package has no wheel there. Sizes are those of the downloads, ours included.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from packages import Installer, NoSolution, Package


class System(NamedTuple):
    """A Python and the system whose own it is."""

    python: str
    name: str
    glibc: int  # 2.x; uv knows up to 40
    apt: Mapping[str, str]  # versions of what PyPI lacks for 32-bit ARM and apt may bring


SYSTEMS = (
    System("3.9", "Raspberry Pi OS Bullseye", 31, {"numpy": "1.19.5", "cffi": "1.14.5"}),
    System("3.10", "Ubuntu 22.04", 35, {"numpy": "1.21.5", "cffi": "1.15.0"}),
    System("3.11", "Raspberry Pi OS Bookworm", 36, {"numpy": "1.24.2", "cffi": "1.15.1"}),
    System("3.12", "Ubuntu 24.04", 39, {"numpy": "1.26.4", "cffi": "1.16.0"}),
    System("3.13", "Raspberry Pi OS Trixie", 40, {"numpy": "2.2.4", "cffi": "1.17.1"}),
    System("3.14", "", 40, {}),
)
RUNTIMES = ("tflite-runtime", "ai-edge-litert")


def cell(installer: Installer, wheel: Path, python: str, platform: str) -> str:
    """What a 64-bit platform (in uv's words) gets."""
    try:
        packages = installer.resolve(wheel, python, platform)
    except NoSolution as missing:
        return f"no ({missing})"
    total = wheel.stat().st_size + sum(package.bytes for package in packages)
    return f"{_runtime(packages)}, {total / 1e6:.0f} MB"


def armv7_cell(installer: Installer, wheel: Path, system: System) -> str:
    """What 32-bit ARM gets."""
    wheels, missing = installer.resolve_armv7(wheel, system.python, system.glibc)
    lacking = [
        requirement.name
        for requirement in missing
        if not requirement.specifier.contains(system.apt.get(requirement.name, "0"))
    ]
    if lacking:
        return f"no ({', '.join(lacking)})"
    packages = []
    for path in wheels:
        name, version = path.name.split("-")[:2]
        packages.append(Package(name.replace("_", "-"), version, path.stat().st_size))
    total = sum(package.bytes for package in packages)
    by_apt = " and ".join(requirement.name for requirement in missing)
    return f"{_runtime(packages)}, {total / 1e6:.0f} MB, {by_apt} by apt"


def _runtime(packages: Iterable[Package]) -> str:
    (runtime,) = (package for package in packages if package.name in RUNTIMES)
    return f"{runtime.name} {runtime.version}"


def web_cells(installer: Installer, wheel: Path, system: System) -> list[str]:
    """What the extra `web` adds on ARM: megabytes, and whether all of it is pure Python."""
    platform = f"aarch64-manylinux_2_{system.glibc}"
    cells = []
    try:
        core = {package.name for package in installer.resolve(wheel, system.python, platform)}
        added = [
            package
            for package in installer.resolve(wheel, system.python, platform, "web")
            if package.name not in core
        ]
        cells.append(f"{sum(package.bytes for package in added) / 1e6:.1f} MB")
    except NoSolution as missing:
        cells.append(f"no ({missing})")
    core_missing = installer.resolve_armv7(wheel, system.python, system.glibc)[1]
    missing = installer.resolve_armv7(wheel, system.python, system.glibc, "web")[1]
    lacking = {r.name for r in missing} - {r.name for r in core_missing}
    cells.append(f"no ({', '.join(sorted(lacking))})" if lacking else "yes")
    return cells


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ser-edge-matrix-") as folder:
        installer = Installer(Path(folder))
        wheel = installer.build_wheel()
        print("| Python | Linux x86_64 | Linux aarch64 | Linux armv7l | macOS arm64 |")
        print("|---|---|---|---|---|")
        for system in SYSTEMS:
            python, glibc = system.python, f"manylinux_2_{system.glibc}"
            cells = [
                f"{python} ({system.name})" if system.name else python,
                cell(installer, wheel, python, f"x86_64-{glibc}"),
                cell(installer, wheel, python, f"aarch64-{glibc}"),
                armv7_cell(installer, wheel, system),
                cell(installer, wheel, python, "aarch64-apple-darwin"),
            ]
            print(f"| {' | '.join(cells)} |", flush=True)
        print("\n| Python | `web` adds on aarch64 | wheels for armv7l |\n|---|---|---|")
        for system in SYSTEMS:
            cells = [system.python, *web_cells(installer, wheel, system)]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
