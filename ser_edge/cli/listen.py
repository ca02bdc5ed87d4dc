"""``ser-edge listen``: emotions of live audio, for hours or weeks."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import click

from ser_edge.audio.pcm import Contradiction, RawFormat
from ser_edge.cli.live import live_options, open_microphone, open_pipe, open_publisher
from ser_edge.cli.options import (
    EXIT_FAILED,
    Decision,
    complain,
    decision_options,
    load_classifier,
    origin,
    top_option,
)
from ser_edge.cli.show.output import Csv, Table
from ser_edge.errors import AudioError
from ser_edge.live.source import Chunk, Stop, results, told
from ser_edge.result import result_json

if TYPE_CHECKING:
    from ser_edge.cli.show.meter import LevelMeter


@click.command()
@click.argument("source", required=False, type=click.Choice(["-"]), metavar="[-]")
@decision_options
@click.option("--list-devices", is_flag=True, help="Show the microphones and leave.")
@click.option("--device", metavar="NAME-OR-NUMBER", help="Microphone.  [default: the system's]")
@live_options("SER_EDGE_LISTEN_MQTT_PASSWORD")
@click.option("--json", is_flag=True, help="One JSON object a line.")
@click.option("--csv", is_flag=True, help="Comma-separated values.")
@top_option
def listen(
    source: str | None,
    decision: Decision,
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
    classifier = load_classifier(**decision._asdict())
    table = Table([], windows=False, labels=classifier.labels, top=top)
    rows = Csv(classifier.labels, origin="time") if csv else None
    meter = _meter(channel)

    def report(message: str) -> None:
        if meter is not None:
            meter.clear()
        complain(message)

    stop = Stop()
    pipe = open_pipe(RawFormat(rate, channels, format), stop) if source == "-" else None
    with ExitStack() as stack:
        stack.enter_context(stop.on_signals())
        send = None
        if mqtt is not None:
            publisher = open_publisher(
                mqtt,
                password_variable="SER_EDGE_LISTEN_MQTT_PASSWORD",
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
            chunks: Iterable[Chunk] = pipe or open_microphone(device, rate, channel, stop, report)
            if meter is not None:
                chunks = meter.watch(chunks)
            windows = results(chunks, classifier, hop=hop, smoothing=smoothing, channel=channel)
            for result in told(windows, only_changes=only_changes, hold=hold, cooldown=cooldown):
                now = datetime.now(timezone.utc)
                moment = now.isoformat(timespec="milliseconds")
                message = result_json(result, **origin(classifier, decision.profile), time=moment)
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
    from ser_edge.cli.show.meter import LevelMeter

    return LevelMeter(channel)


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
