"""Run ser-edge on three emulated Raspberry Pis and compare its answers with this machine's.

    python tests/pi/emulate.py [DEVICE...]

For each device Debian's own packages are unpacked into a folder (no root file system is needed,
apt resolves and verifies them), the wheels that its pip would choose are added, and qemu runs
`ser-edge doctor`, `ser-edge classify`, the reference signal and a stream in it. Everything must
give this machine's labels, and its probabilities within 1e-3.

Needs root (for chroot), a Debian or Ubuntu host (for apt) and the network. Where that is missing,
it says SKIPPED and leaves with status 77. SER_EDGE_DEB_CACHE names a folder that keeps downloaded
Debian packages from one run to the next.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packages import Installer
from recordings import STREAMED, write_recordings

TOLERANCE = 1e-3  # of a probability; that of ser_edge.selftest
# Trixie has ai-edge-litert, which has 35 MB more than tflite-runtime.
MAX_INSTALLED_MB = {"bookworm": 120, "trixie": 125}
SKIPPED = 77  # exit status, automake's convention
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MIRROR = "http://deb.debian.org/debian"


@dataclass(frozen=True)
class Device:
    """A board and the system on it."""

    name: str
    suite: str  # Debian release, as in Raspberry Pi OS
    architecture: str  # Debian's word
    python: str
    emulator: str  # of qemu-user-static
    cpu: str  # qemu's word
    platform: str  # uv's word; empty for 32-bit ARM, where pip finds the wheels
    debian_packages: tuple[str, ...]
    constraint: str = ""


_BOOKWORM_GLIBC = 36
_ARMHF_LIBRARIES = "/usr/lib/arm-linux-gnueabihf"
_BASE = ("python3", "libstdc++6")
DEVICES = (
    Device(
        "Pi 3 or Zero 2 W, bookworm 64 bit",
        "bookworm",
        "arm64",
        "3.11",
        "qemu-aarch64-static",
        "cortex-a53",
        "aarch64-manylinux_2_36",
        _BASE,
    ),
    Device(
        "Pi 2, bookworm 32 bit",
        "bookworm",
        "armhf",
        "3.11",
        "qemu-arm-static",
        "cortex-a7",
        "",
        # What PyPI lacks for 32-bit ARM; docs/install.md has the apt line for it.
        (*_BASE, "python3-numpy", "python3-cffi", "libsndfile1", "libsoxr0"),
    ),
    Device(
        "Pi 5, trixie 64 bit",
        "trixie",
        "arm64",
        "3.13",
        "qemu-aarch64-static",
        "cortex-a76",
        "aarch64-manylinux_2_40",
        _BASE,
        # Later ones crash in bookworm's qemu 7.2, not on a real Pi.
        "ai-edge-litert==2.1.6",
    ),
)

# Nothing can be started in the emulation (exec would need binfmt_misc), so ctypes cannot ask
# ldconfig, as soundfile has it do on 32-bit ARM. The loader itself finds a library by its soname.
FIND_LIBRARY = """\
import ctypes.util; ctypes.util.find_library = {"sndfile": "libsndfile.so.1"}.get
"""


class Root:
    """A device's file system in a folder, with qemu in it."""

    def __init__(self, device: Device, folder: Path) -> None:
        self.device = device
        self.path = folder
        self.site_packages = folder / f"usr/local/lib/python{device.python}/dist-packages"

    def build(self, installer: Installer, wheel: Path, archives: Path) -> None:
        """Unpack Debian's packages and the wheels."""
        for name in ("bin", "lib", "sbin"):  # as on every merged-/usr system
            (self.path / "usr" / name).mkdir(parents=True)
            (self.path / name).symlink_to(f"usr/{name}")
        for package in _debian_packages(self.device, self.path.parent / "apt", archives):
            _unpack(package, self.path)
        shutil.copy(str(shutil.which(self.device.emulator)), self.path / "qemu")
        (self.path / "tmp").mkdir(exist_ok=True)
        (self.path / "dev").mkdir(exist_ok=True)
        os.mknod(self.path / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        self.install(installer, wheel)

    def install(self, installer: Installer, wheel: Path, extra: str = "") -> None:
        """Unpack our wheel, what it needs, and what the extra adds to that."""
        device = self.device
        if device.platform:
            installer.install(
                self.site_packages, wheel, device.python, device.platform, device.constraint, extra
            )
            return
        wheels, missing = installer.resolve_armv7(wheel, device.python, _BOOKWORM_GLIBC, extra)
        print(f"from PyPI: {', '.join(w.name.split('-')[0] for w in wheels)}")
        print(f"from Debian, for PyPI has no wheel: {', '.join(r.name for r in missing)}")
        for found in wheels:
            shutil.unpack_archive(found, self.site_packages, "zip")
        (self.site_packages / "find_library.pth").write_text(FIND_LIBRARY)

    def installed_mb(self) -> float:
        """What the wheels take once pip has compiled them, in MB."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "packages"
            shutil.copytree(self.site_packages, copy)
            # By this Python, whose bytecode is about as large as the device's.
            compileall.compile_dir(copy, quiet=2)
            return sum(path.stat().st_size for path in copy.rglob("*") if path.is_file()) / 1e6

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the device's Python with the arguments."""
        command, environment = self.command(*arguments)
        return subprocess.run(command, env=environment, text=True, capture_output=True, timeout=600)

    def command(self, *arguments: str) -> tuple[list[str], dict[str, str]]:
        """What runs the device's Python with the arguments, and the environment for it."""
        environment = {
            "PATH": "/usr/local/bin:/usr/bin",
            "HOME": "/tmp",
            "LANG": "C.UTF-8",
            # Debian's alternatives, which installing python3-numpy would have set.
            "LD_LIBRARY_PATH": f"{_ARMHF_LIBRARIES}/blas:{_ARMHF_LIBRARIES}/lapack",
        }
        command = ["/qemu", "-cpu", self.device.cpu, "/usr/bin/python3", *arguments]
        return [str(shutil.which("chroot")), str(self.path), *command], environment


def _debian_packages(device: Device, folder: Path, archives: Path) -> Iterator[Path]:
    """Download what the device's Debian would install from nothing, dependencies and all."""
    for name in ("lists/partial", "etc"):
        (folder / name).mkdir(parents=True)
    (archives / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(
        f"deb [signed-by={KEYRING}] {MIRROR} {device.suite} main\n"
    )
    (folder / "apt.conf").write_text(
        f'APT::Architecture "{device.architecture}";\n'
        f'APT::Architectures {{ "{device.architecture}"; }};\n'
        'APT::Install-Recommends "false";\n'
        'APT::Sandbox::User "root";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "3";\n'
        f'Dir::State "{folder}";\n'
        f'Dir::State::status "{folder}/status";\n'
        f'Dir::Cache "{folder}";\n'
        f'Dir::Cache::archives "{archives}";\n'
        f'Dir::Etc::SourceList "{folder}/sources.list";\n'
        'Dir::Etc::SourceParts "/dev/null";\n'
        'Dir::Etc::Parts "/dev/null";\n'
    )
    environment = {**os.environ, "APT_CONFIG": str(folder / "apt.conf")}
    install = ["apt-get", "install", "-qq", "--yes", *device.debian_packages]
    subprocess.run(["apt-get", "update", "-qq"], env=environment, check=True)
    # The archives may hold other devices' packages too, and apt lists only what they lack.
    without_archives = ["-o", f"Dir::Cache::archives={folder}/none", "--print-uris"]
    listing = subprocess.run(
        [*install, *without_archives], env=environment, check=True, text=True, capture_output=True
    )
    subprocess.run(
        [*install, "--download-only"], env=environment, check=True, stdout=subprocess.DEVNULL
    )
    for line in listing.stdout.splitlines():
        yield archives / line.split()[1]


def _unpack(package: Path, root: Path) -> None:
    tar = ["tar", "-x", "--keep-directory-symlink", "-C", str(root)]
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
    ) as archive:
        subprocess.run(tar, stdin=archive.stdout, check=True)
    if archive.returncode:
        raise SystemExit(f"{package} cannot be unpacked")


def _lines(process: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    if process.returncode:
        raise SystemExit(
            f"FAILED with status {process.returncode}\n{process.stdout}{process.stderr}"
        )
    return [json.loads(line) for line in process.stdout.splitlines()]


def _commands(recordings: str) -> tuple[tuple[str, ...], ...]:
    return (
        ("-m", "ser_edge", "classify", "--json", recordings),
        ("-m", "ser_edge", "classify", "--json", "--windows", f"{recordings}/{STREAMED}"),
        (f"{recordings}/device.py", f"{recordings}/{STREAMED}"),
    )


def compare(here: Sequence[dict[str, Any]], there: Sequence[dict[str, Any]]) -> tuple[float, str]:
    """Hold a device's results against this machine's.

    Returns:
        The largest difference of a probability, and the recording it is of.

    Raises:
        SystemExit: other results, or probabilities more than the tolerance apart.
    """
    if len(here) != len(there):
        raise SystemExit(f"FAILED: {len(there)} results instead of {len(here)}")
    if not any(result.get("scores") for result in here):
        raise SystemExit("FAILED: no result has probabilities to compare")
    largest = (0.0, "")
    for ours, theirs in zip(here, there):
        name = Path(ours["file"]).name
        for key in ("label", "reason", "start", "end", "error"):
            if ours.get(key) != theirs.get(key):
                raise SystemExit(f"FAILED: {name}: {theirs} instead of {ours}")
        scores, device_scores = ours.get("scores") or {}, theirs.get("scores") or {}
        if scores.keys() != device_scores.keys():
            raise SystemExit(f"FAILED: {name}: {theirs} instead of {ours}")
        difference = max((abs(scores[k] - device_scores[k]) for k in scores), default=0.0)
        if difference > TOLERANCE:
            raise SystemExit(f"FAILED: {name}: probabilities differ by {difference:.1e}")
        largest = max(largest, (difference, name))
    return largest


def check_device(root: Root, here: Sequence[list[dict[str, Any]]], recordings: Path) -> None:
    """Run all commands on the device; say how far its answers are from this machine's."""
    shutil.copytree(recordings, root.path / "recordings")
    doctor = root.run("-m", "ser_edge", "doctor")
    print(doctor.stdout.rstrip())
    if doctor.returncode:
        raise SystemExit(f"FAILED: doctor's status is {doctor.returncode}\n{doctor.stderr}")
    for command, expected in zip(_commands("/recordings"), here):
        difference, name = compare(expected, _lines(root.run(*command)))
        words = " ".join(Path(word).name for word in command if word not in ("-m", "ser_edge"))
        print(f"same as here within {difference:.1e} ({name}): {words}")


def check_service(root: Root, recordings: Path, expected: dict[str, Any]) -> None:
    """Have the device serve the page, and answer a recording as this machine does."""
    # Nothing can be started in the emulation, so a thread classifies.
    command, environment = root.command("-m", "ser_edge", "serve", "--port", "0", "--workers", "0")
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        found = re.search(r"serving at (http://\S+:\d+)/;", said)
        if not found:
            process.kill()
            raise SystemExit(f"FAILED: it does not serve: {said}{process.stderr.read()}")
        body = (recordings / Path(expected["file"]).name).read_bytes()
        request = urllib.request.Request(f"{found[1]}/v1/classify", body)
        with urllib.request.urlopen(request, timeout=300) as answer:
            told = json.load(answer)
        with urllib.request.urlopen(f"{found[1]}/", timeout=300) as page:
            if b"ser-edge" not in page.read():
                raise SystemExit("FAILED: it serves another page")
        process.terminate()
        if process.wait(120):
            raise SystemExit(f"FAILED: serve's status is {process.returncode}")
    difference, name = compare([expected], [{**told, "file": expected["file"]}])
    print(f"same as here within {difference:.1e} ({name}): serve")


def _reason_to_skip() -> str | None:
    if os.geteuid():
        return "chroot needs root"
    if not all(map(shutil.which, ("apt-get", "dpkg-deb", "chroot"))):
        return "this is not a Debian system"
    wanted = {device.emulator: "qemu-user-static" for device in DEVICES}
    wanted["espeak-ng"] = "espeak-ng"
    missing = {package for program, package in wanted.items() if not shutil.which(program)}
    if not os.path.exists(KEYRING):  # as on Ubuntu
        missing.add("debian-archive-keyring")
    if missing:
        install = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *missing]
        lock = ["-o", "DPkg::Lock::Timeout=300"]
        for command in (["apt-get", "update", "-qq"], [*install, *lock]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            process = subprocess.run(command, env=environment, capture_output=True, text=True)
            if process.returncode:
                return f"{' '.join(command)}: {process.stderr.strip()}"
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Run ser-edge on emulated Raspberry Pis.")
    parser.add_argument("device", nargs="*", help="part of a device's name; default: all")
    parser.add_argument("--keep", metavar="FOLDER", help="leave the devices' files there")
    options = parser.parse_args()
    began = time.monotonic()
    reason = _reason_to_skip()
    if reason:
        print(f"SKIPPED: no emulated device was tested: {reason}")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="ser-edge-pi-") as temporary:
        work = Path(options.keep or temporary)
        archives = Path(os.environ.get("SER_EDGE_DEB_CACHE", work / "archives"))
        recordings = work / "recordings"
        recordings.mkdir(parents=True)
        write_recordings(recordings)
        shutil.copy(Path(__file__).with_name("device.py"), recordings)
        here = [
            _lines(
                subprocess.run([sys.executable, *command], cwd=work, text=True, capture_output=True)
            )
            for command in _commands(str(recordings))
        ]
        installer = Installer(work)
        wheel = installer.build_wheel()
        for device in DEVICES:
            if options.device and not any(part in device.name for part in options.device):
                continue
            print(f"\n{device.name}: Debian {device.architecture}, {device.cpu}", flush=True)
            start = time.monotonic()
            folder = work / f"{device.suite}-{device.architecture}"
            root = Root(device, folder / "root")
            root.path.mkdir(parents=True)
            root.build(installer, wheel, archives.absolute())
            size = root.installed_mb()
            print(f"installed: {size:.0f} MB of Python packages")
            limit = MAX_INSTALLED_MB[device.suite]
            if size > limit:
                raise SystemExit(f"FAILED: that is over {limit} MB")
            check_device(root, here, recordings)
            root.install(installer, wheel, "web")  # whose size is not the core's
            check_service(root, recordings, next(r for r in here[0] if r.get("scores")))
            print(f"passed in {time.monotonic() - start:.0f} s")
    print(f"\nemulated devices passed in {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
