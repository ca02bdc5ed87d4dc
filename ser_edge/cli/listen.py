"""``ser-edge listen``: emotions of live audio, for hours or weeks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click

from ser_edge.audio.pcm import Contradiction, RawFormat
from ser_edge.cli.options import (
    EXIT_FAILED,
    channel_option,
    complain,
    decision_options,
    load_classifier,
    origin,
    raw_options,
    top_option,
)
from ser_edge.cli.output import Csv, Table, result_json
from ser_edge.errors import AudioError
from ser_edge.live.source import Chunk, Stop, results, told

if TYPE_CHECKING:
    from ser_edge.cli.meter import LevelMeter
    from ser_edge.live.mqtt import Publisher
    from ser_edge.live.pipe import Pipe


@click.command()
@click.argument("source", required=False, type=click.Choice(["-"]), metavar="[-]")
@decision_options
@click.option("--list-devices", is_flag=True, help="Show the microphones and leave.")
@click.option("--device", metavar="NAME-OR-NUMBER", help="Microphone.  [default: the system's]")
@raw_options("Sample rate: needed for raw audio; a microphone has its own.")
@channel_option
@click.option(
    "--hop",
    type=click.FloatRange(min=0.01, max=3600),
    metavar="SECONDS",
    help="From one window's start to the next one's.  [default: the model's own]",
)
@click.option(
    "--smoothing",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Weight that the windows before have in a result.",
)
@click.option("--json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", is_flag=True, help="Comma-separated values.")
@top_option
@click.option("--only-changes", is_flag=True, help="Tell a result only if it differs in kind.")
@click.option(
    "--hold",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Tell an emotion (or that there is none) only once it has lasted so long.",
)
@click.option(
    "--cooldown",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="After a result tell none for so long.",
)
@click.option(
    "--mqtt",
    metavar="URL",
    help="Also send results to mqtt://[user@]host[:port]/topic, or mqtts:// for TLS. The user's "
    "password comes from the environment: SER_EDGE_LISTEN_MQTT_PASSWORD.",
)
@click.option(
    "--mqtt-password-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Or from the first line of a file.",
)
@click.option(
    "--mqtt-ca",
    type=click.Path(exists=True, dir_okay=False),
    help="Certificates that vouch for the broker, PEM.  [default: the system's]",
)
@click.option("--name", help="The device's name in Home Assistant.  [default: the topic]")
@click.option("--no-discovery", is_flag=True, help="Do not announce it to Home Assistant.")
def listen(
    source: str | None,
    model: str,
    profile: str | None,
    threshold: tuple[tuple[str | None, float], ...],
    threads: int,
    gate: str,
    list_devices: bool,
    device: str | None,
    rate: int | None,
    channels: int | None,
    format: str | None,
    channel: int | None,
    hop: float | None,
    smoothing: float,
    json: bool,
    csv: bool,
    top: int | None,
    only_changes: bool,
    hold: float,
    cooldown: float,
    mqtt: str | None,
    mqtt_password_file: str | None,
    mqtt_ca: str | None,
    name: str | None,
    no_discovery: bool,
) -> int:
    """Tell the emotion of live audio, until stopped.

    Listens to a microphone, or with - to standard input: raw samples, or a WAV stream, until that
    ends, which is said on standard error. SIGINT (Ctrl-C) and SIGTERM end it in good order, with
    exit code 0; where there is no such microphone, no audio or no usable one, it is 1.

    \b
    Examples:
      ser-edge listen
      ser-edge listen --device USB --hop 1 --json
      ser-edge listen --only-changes --hold 6 --threshold angry=0.7
      arecord -q -t raw -f S16_LE -r 48000 | ser-edge listen - --rate 48000
      ffmpeg -i rtsp://camera/ -vn -f wav - | ser-edge listen -
      ser-edge listen --mqtt mqtt://pi@broker.local/home/kitchen/emotion
    """
    if json and csv:
        raise click.UsageError("--json and --csv exclude each other")
    if list_devices:
        return _list_devices()
    classifier = load_classifier(
        model, profile=profile, threshold=threshold, num_threads=threads, gate=gate
    )
    table = Table([], windows=False, labels=classifier.labels, top=top)
    rows = Csv(classifier.labels, origin="time") if csv else None
    meter = _meter(channel)

    def report(message: str) -> None:
        if meter is not None:
            meter.clear()
        complain(message)

    stop = Stop()
    pipe = _pipe(RawFormat(rate, channels, format), stop) if source == "-" else None
    with ExitStack() as stack:
        stack.enter_context(stop.on_signals())
        send = None
        if mqtt is not None:
            publisher = _publisher(
                mqtt,
                password_file=mqtt_password_file,
                ca_file=mqtt_ca,
                labels=() if no_discovery else classifier.labels,
                name=name,
                report=report,
            )
            stack.callback(publisher.close)
            send = publisher.send
        if meter is not None:
            stack.callback(meter.clear)
        try:
            chunks: Iterable[Chunk] = pipe or _microphone(device, rate, channel, stop, report)
            if meter is not None:
                chunks = meter.watch(chunks)
            windows = results(chunks, classifier, hop=hop, smoothing=smoothing, channel=channel)
            for result in told(windows, only_changes=only_changes, hold=hold, cooldown=cooldown):
                now = datetime.now(timezone.utc)
                moment = now.isoformat(timespec="milliseconds")
                message = result_json(result, **origin(classifier, profile), time=moment)
                if meter is not None:
                    meter.clear()
                if json:
                    print(message, flush=True)
                elif rows is not None:
                    rows.result(moment, result)
                else:
                    table.live(now.astimezone(), result)
                if send is not None:
                    send(message)
        except AudioError as error:
            report(str(error))
            return EXIT_FAILED
        except Contradiction as error:
            raise click.UsageError(str(error)) from None
        if pipe is not None and pipe.ended:
            complain(f"standard input ended after {_duration(pipe.seconds)} of audio")
    return 0


def _list_devices() -> int:
    from ser_edge.live.microphone import devices

    try:
        for line in devices():
            click.echo(line)
    except AudioError as error:
        complain(str(error))
        return EXIT_FAILED
    return 0


def _meter(channel: int | None) -> LevelMeter | None:
    if not sys.stderr.isatty():
        return None
    from ser_edge.cli.meter import LevelMeter

    return LevelMeter(channel)


def _pipe(raw: RawFormat, stop: Stop) -> Pipe:
    from ser_edge.live.pipe import Pipe

    if sys.stdin is None or sys.stdin.isatty():
        raise click.UsageError("- listens to standard input, but nothing is piped into it")
    return Pipe(sys.stdin.fileno(), raw, stop)


def _microphone(
    device: str | None,
    rate: int | None,
    channel: int | None,
    stop: Stop,
    report: Callable[[str], None],
) -> Iterable[Chunk]:
    from ser_edge.live.microphone import Microphone

    microphone = Microphone(device, rate=rate, channel=channel, stop=stop, report=report)
    complain(f"listening to {microphone.name}; Ctrl-C ends it")
    return microphone


def _publisher(
    url: str,
    *,
    password_file: str | None,
    ca_file: str | None,
    labels: Sequence[str],
    name: str | None,
    report: Callable[[str], None],
) -> Publisher:
    from ser_edge.live.homeassistant import discovery_messages
    from ser_edge.live.mqtt import Publisher, parse_url

    try:
        address = parse_url(url)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--mqtt") from None
    password = os.environ.get("SER_EDGE_LISTEN_MQTT_PASSWORD")
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


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
