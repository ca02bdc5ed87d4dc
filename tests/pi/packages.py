"""Which packages a platform gets when it installs ser-edge: asked of uv and pip, not installed.

pip evaluates environment markers for the machine it runs on, so other 64-bit platforms are asked
of uv. uv does not know 32-bit ARM; there, pip is asked for one package at a time.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
ARMV7 = "armv7l"


@dataclass(frozen=True)
class Package:
    """One wheel of an installation."""

    name: str
    version: str
    bytes: int


class NoSolution(Exception):
    """A platform for which some package has no wheel; the text names it."""


class Installer:
    """pip and uv in an environment of their own.

    Args:
        folder: an empty folder for the environment and for what is downloaded.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        subprocess.run([sys.executable, "-m", "venv", folder / "tools"], check=True)
        bin_folder = folder / "tools" / "bin"
        self._pip = [bin_folder / "pip"]
        self._uv = [bin_folder / "uv"]
        self._run([*self._pip, "install", "--quiet", "uv"])

    def build_wheel(self) -> Path:
        """Build this checkout's wheel."""
        output = self._folder / "wheel"
        self._run([*self._pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", output, ROOT])
        (wheel,) = output.glob("*.whl")
        return wheel

    def resolve(self, wheel: Path, python: str, platform: str, extra: str = "") -> list[Package]:
        """The wheels that a 64-bit platform (in uv's words) gets besides ours.

        Raises:
            NoSolution: some package has no wheel there.
        """
        import tomllib  # Python 3.11; pytest imports this module on older ones too

        command = [*self._uv, "pip", "compile", "--quiet", "--format", "pylock.toml"]
        command += ["--only-binary", ":all:", "--python-version", python]
        command += ["--python-platform", platform, "-"]
        process = self._run(command, input=_named(wheel, extra), check=False)
        if process.returncode:
            raise NoSolution(_unavailable(process.stderr))
        packages = tomllib.loads(process.stdout)["packages"]
        return [
            Package(package["name"], package["version"], _best(package["wheels"])["size"])
            for package in packages
            if package["name"] != "ser-edge"
        ]

    def resolve_armv7(
        self, wheel: Path, python: str, glibc: int, extra: str = ""
    ) -> tuple[list[Path], list[Requirement]]:
        """What 32-bit ARM with glibc 2.`glibc` gets from PyPI.

        Returns:
            The wheels found, ours first, and the requirements that have none.
        """
        folder = self._folder / f"{ARMV7}-{python}"
        found, missing = {"ser-edge": wheel}, {}
        queue = requirements(wheel, python, ARMV7, extra)
        tags = ["linux_armv7l", "manylinux2014_armv7l"]
        tags += [f"manylinux_2_{n}_armv7l" for n in range(18, glibc + 1)]
        command = [*self._pip, "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        command += ["--python-version", python, *(f"--platform={tag}" for tag in tags)]
        while queue:
            requirement = queue.pop(0)
            name = canonicalize_name(requirement.name)
            if name in found or name in missing:
                continue
            wanted = f"{name}{requirement.specifier}"
            process = self._run([*command, "--dest", folder / name, wanted], check=False)
            if process.returncode:
                missing[name] = requirement
            else:
                (found[name],) = (folder / name).glob("*.whl")
                queue += requirements(found[name], python, ARMV7)
        return list(found.values()), list(missing.values())

    def install(
        self,
        target: Path,
        wheel: Path,
        python: str,
        platform: str,
        constraint: str = "",
        extra: str = "",
    ) -> None:
        """Unpack our wheel and all that it needs on a 64-bit platform into a folder."""
        command = [*self._uv, "pip", "install", "--quiet", "--target", target]
        command += ["--only-binary", ":all:", "--python-version", python]
        command += ["--python-platform", platform, _named(wheel, extra)]
        self._run(command + ([constraint] if constraint else []))

    def _run(
        self, command: list[object], *, input: str | None = None, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(word) for word in command],
            cwd=self._folder,
            env={
                **os.environ,
                "UV_PYTHON_DOWNLOADS": "never",
                "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            },
            input=input,
            check=check,
            text=True,
            capture_output=not check,
        )


def _named(wheel: Path, extra: str) -> str:
    """Our wheel as a requirement."""
    return f"ser-edge{f'[{extra}]' if extra else ''} @ {wheel.as_uri()}"


def requirements(wheel: Path, python: str, machine: str, extra: str = "") -> list[Requirement]:
    """What a wheel requires on Linux with this CPython and processor."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": machine,
        "extra": extra,
    }
    listed = [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]
    return [r for r in listed if r.marker is None or r.marker.evaluate(environment)]


def _best(wheels: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the wheels that fit, the one that is installed: made for the platform rather than any."""
    return min(wheels, key=lambda wheel: wheel["url"].endswith("-any.whl"))


def _unavailable(message: str) -> str:
    """The package for which uv found no wheel."""
    match = re.search(r"Because ([a-z][\w-]*)", message)
    return match[1] if match else " ".join(message.split())[:200]
