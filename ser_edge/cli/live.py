"""What ``listen`` and ``serve`` share: the options of live audio, and what they open."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ser_edge.audio.pcm import RawFormat
from ser_edge.cli.options import channel_option, complain, raw_options
from ser_edge.live.source import Chunk, Stop

if TYPE_CHECKING:
    from ser_edge.live.mqtt import Publisher
    from ser_edge.live.pipe import Pipe


def live_options(password_variable: str) -> Callable[[Any], Any]:
    """The options of live audio.

    Args:
        password_variable: where the password of the MQTT broker is in the environment.
    """

    def decorate(command: Any) -> Any:
        for option in (
            click.option(
                "--no-discovery", is_flag=True, help="Do not announce it to Home Assistant."
            ),
            click.option(
                "--name", help="The device's name in Home Assistant.  [default: the topic]"
            ),
            click.option(
                "--mqtt-ca",
                type=click.Path(exists=True, dir_okay=False),
                help="Certificates that vouch for the broker, PEM.  [default: the system's]",
            ),
            click.option(
                "--mqtt-password-file",
                type=click.Path(exists=True, dir_okay=False),
                help="Or from the first line of a file.",
            ),
            click.option(
                "--mqtt",
                metavar="URL",
                help="Also send results to mqtt://[user@]host[:port]/topic, or mqtts:// for TLS. "
                f"The user's password comes from the environment: {password_variable}.",
            ),
            click.option(
                "--cooldown",
                type=click.FloatRange(min=0),
                default=0.0,
                metavar="SECONDS",
                help="After a result tell none for so long.",
            ),
            click.option(
                "--hold",
                type=click.FloatRange(min=0),
                default=0.0,
                metavar="SECONDS",
                help="Tell an emotion (or that there is none) only once it has lasted so long.",
            ),
            click.option(
                "--only-changes", is_flag=True, help="Tell a result only if it differs in kind."
            ),
            click.option(
                "--smoothing",
                type=click.FloatRange(0, 1, max_open=True),
                default=0.0,
                show_default=True,
                help="Weight that the windows before have in a result.",
            ),
            click.option(
                "--hop",
                type=click.FloatRange(min=0.01, max=3600),
                metavar="SECONDS",
                help="From one window's start to the next one's.  [default: the model's own]",
            ),
            channel_option,
            raw_options("Sample rate: needed for raw audio; a microphone has its own."),
        ):
            command = option(command)
        return command

    return decorate


def open_pipe(raw: RawFormat, stop: Stop) -> Pipe:
    """Standard input.

    Raises:
        UsageError: nothing is piped into it.
    """
    from ser_edge.live.pipe import Pipe

    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("- listens to standard input, but nothing is piped into it")
    return Pipe(sys.stdin.fileno(), raw, stop)


def open_microphone(
    device: str | None,
    rate: int | None,
    channel: int | None,
    stop: Stop,
    report: Callable[[str], None],
) -> Iterable[Chunk]:
    """A microphone; None for the system's.

    Raises:
        DependencyError, AudioError: as ``ser_edge.live.microphone.Microphone``.
    """
    from ser_edge.live.microphone import Microphone

    microphone = Microphone(device, rate=rate, channel=channel, stop=stop, report=report)
    complain(f"listening to {microphone.name}; Ctrl-C ends it")
    return microphone


def open_publisher(
    url: str,
    *,
    password_variable: str,
    password_file: str | None,
    ca_file: str | None,
    labels: Sequence[str],
    name: str | None,
    report: Callable[[str], None],
) -> Publisher:
    """A connection to an MQTT broker.

    Args:
        url: of the broker, with the topic.
        password_variable: in the environment.
        password_file: whose first line is the password instead.
        ca_file: certificates that vouch for the broker.
        labels: that are announced to Home Assistant; none for no announcement.
        name: of the device there.
        report: told what a person should know.

    Raises:
        BadParameter: the URL or the certificates are none.
        DependencyError: paho-mqtt is missing.
    """
    from ser_edge.live.homeassistant import discovery_messages
    from ser_edge.live.mqtt import Publisher, parse_url

    try:
        address = parse_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--mqtt") from None
    password = os.environ.get(password_variable)
    if password_file is not None:
        with open(password_file, encoding="utf-8") as file:
            password = file.readline().rstrip("\r\n")
    try:
        return Publisher(
            address,
            password=password,
            ca_file=ca_file,
            announcements=(discovery_messages(address.topic, labels, name=name) if labels else ()),
            report=report,
        )
    except OSError as error:
        raise click.BadParameter(f"{ca_file}: {error}", param_hint="--mqtt-ca") from None
