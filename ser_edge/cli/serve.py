"""``ser-edge serve``: a page and an HTTP service."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from ser_edge.audio.pcm import RawFormat
from ser_edge.cli.live import live_options, open_microphone, open_pipe, open_publisher
from ser_edge.cli.options import (
    EXIT_FAILED,
    Decision,
    complain,
    decision_options,
    load_classifier,
    profile_name,
)
from ser_edge.errors import AudioError, DependencyError
from ser_edge.live.source import Chunk, Stop

if TYPE_CHECKING:
    from ser_edge.result import Result
    from ser_edge.web.history import History
    from ser_edge.web.security import Guard
    from ser_edge.web.service import Service

_PASSWORD_VARIABLE = "SER_EDGE_SERVE_MQTT_PASSWORD"
_DEFAULT = "default"  # of --listen: the system's microphone
_MAX_WORKERS = 4  # unless more are asked for: each takes some 50 MB


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8350,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False),
    help="What clients have to know: its first line, of 16 characters or more.",
)
@click.option(
    "--no-auth", is_flag=True, help="Let everybody who reaches the address use the service."
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="Another name by which browsers reach this device, such as a proxy's; may be given again.",
)
@click.option(
    "--tls-cert", type=click.Path(exists=True, dir_okay=False), help="Certificate for HTTPS, PEM."
)
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="Its key, PEM.")
@click.option(
    "--workers",
    type=click.IntRange(0, 64),
    help="Processes that classify, one model in each; 0: a thread, which needs the least memory.  "
    "[default: the cores, at most 4]",
)
@click.option(
    "--max-mb",
    type=click.FloatRange(0.1, 4096),
    default=64.0,
    show_default=True,
    help="The most that a request may hold.",
)
@click.option(
    "--profiles",
    type=click.Path(exists=True, file_okay=False),
    metavar="FOLDER",
    help="Profiles that clients may ask for, by the names of their files.",
)
@click.option(
    "--listen",
    metavar="DEVICE",
    help="Also listen to a microphone: its number or name, 'default', or - for standard input.",
)
@click.option(
    "--history",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="With --listen: keep its results (never audio) in an SQLite file.",
)
@click.option(
    "--history-days",
    type=click.FloatRange(0.01, 36_500),
    default=30.0,
    show_default=True,
    help="How long results are kept.",
)
@decision_options
@live_options(_PASSWORD_VARIABLE)
def serve(
    host: str,
    port: int,
    token_file: str | None,
    no_auth: bool,
    allow_host: tuple[str, ...],
    tls_cert: str | None,
    tls_key: str | None,
    workers: int | None,
    max_mb: float,
    profiles: str | None,
    listen: str | None,
    history: str | None,
    history_days: float,
    decision: Decision,
    rate: int | None,
    channels: int | None,
    format: str | None,
    channel: int | None,
    hop: float | None,
    smoothing: float,
    only_changes: bool,
    hold: float,
    cooldown: float,
    mqtt: str | None,
    mqtt_password_file: str | None,
    mqtt_ca: str | None,
    name: str | None,
    no_discovery: bool,
) -> int:
    """Serve a page and an HTTP service, until stopped.

    The page takes recordings and the browser's microphone; with --listen it also shows what this
    device's microphone hears. Programs use POST /v1/classify and others. Needs the extra 'web'.
    SIGINT (Ctrl-C) and SIGTERM end it in good order, with exit code 0.

    Nobody but this device reaches it, unless --host says otherwise, which needs --token-file.

    \b
    Examples:
      ser-edge serve
      ser-edge serve --listen default --history history.sqlite
      ser-edge serve --host 0.0.0.0 --token-file token --tls-cert cert.pem --tls-key key.pem
    """
    _import_packages()
    from ser_edge.web.security import is_loopback
    from ser_edge.web.server import Server, bind
    from ser_edge.web.service import Service

    if listen is None and (mqtt is not None or history is not None):
        raise click.UsageError("--mqtt and --history need --listen")
    if (tls_cert is None) != (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key need each other")
    if no_auth and token_file is not None:
        raise click.UsageError("--no-auth and --token-file exclude each other")
    if not is_loopback(host) and token_file is None and not no_auth:
        raise click.UsageError(
            f"{host} can be reached from outside: --token-file names a secret that clients have to "
            "know, --no-auth lets everybody in"
        )
    classifier = load_classifier(**decision._asdict())
    known = _profiles(profiles, decision.profile)
    stop = Stop()
    with ExitStack() as stack:
        try:
            sock = stack.enter_context(bind(host, port))
        except OSError as error:
            raise click.BadParameter(
                f"{host}, port {port}: {error.strerror or error}", param_hint="--host, --port"
            ) from None
        service = Service(
            _settings(classifier, decision.threshold, known),
            workers=_workers() if workers is None else workers,
            profile=None if decision.profile is None else profile_name(decision.profile),
            guard=_guard(token_file, allow_host),
            max_body=int(1e6 * max_mb),
            history=None if history is None else _history(history, history_days),
            report=complain,
        )
        stack.callback(service.pool.close)
        if listen is not None:
            send: Callable[[str], None] | None = None
            if mqtt is not None:
                publisher = open_publisher(
                    mqtt,
                    password_variable=_PASSWORD_VARIABLE,
                    password_file=mqtt_password_file,
                    ca_file=mqtt_ca,
                    labels=() if no_discovery else classifier.labels,
                    name=name,
                    report=complain,
                )
                stack.callback(publisher.close)
                send = publisher.send
            try:
                chunks = _chunks(listen, RawFormat(rate, channels, format), channel, stop)
            except AudioError as error:
                complain(str(error))
                return EXIT_FAILED
            _listen(
                service,
                chunks,
                stream={"hop": hop, "smoothing": smoothing, "channel": channel},
                telling={"only_changes": only_changes, "hold": hold, "cooldown": cooldown},
                send=send,
            )
        tls = None if tls_cert is None or tls_key is None else (tls_cert, tls_key)
        address = _address(sock.getsockname(), tls is not None)
        try:
            server = Server(
                service,
                sock,
                tls,
                on_start=lambda: complain(f"serving at {address}; Ctrl-C ends it"),
                on_stop=lambda: setattr(stop, "requested", True),
            )
        except OSError as error:  # of ssl
            raise click.BadParameter(str(error), param_hint="--tls-cert") from None
        server.serve_until_stopped()
    return 0


def _address(name: Sequence[Any], tls: bool) -> str:
    host, port = name[:2]
    return f"http{'s' * tls}://{f'[{host}]' if ':' in host else host}:{port}/"


def _import_packages() -> None:
    """Load what the extra brings.

    Raises:
        DependencyError: some of it is missing.
    """
    try:
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            f"the service needs further packages: pip install 'ser-edge[web]' ({error})"
        ) from None


def _workers() -> int:
    from ser_edge.cli.machine import this_machine

    return min(this_machine().cores, _MAX_WORKERS)


def _settings(
    classifier: Any,
    threshold: Sequence[tuple[str | None, float]],
    profiles: dict[str, str],
) -> Any:
    from ser_edge.web.work.worker import Settings

    by_label = dict(threshold)
    plain = by_label.pop(None, None)
    return Settings(
        model=os.path.abspath(classifier.model.path),
        threshold=plain,
        thresholds={str(label): value for label, value in by_label.items()},
        gate=classifier.gate,
        accept_unfamiliar=classifier.accept_unfamiliar,
        num_threads=classifier.model.num_threads,
        profiles=profiles,
    )


def _profiles(folder: str | None, profile: str | None) -> dict[str, str]:
    """The contents of the profiles that are known, by their names."""
    from ser_edge.web.service import NO_PROFILE

    paths = [] if profile is None else [profile]
    if folder is not None:
        paths += [
            os.path.join(folder, n) for n in sorted(os.listdir(folder)) if n.endswith(".json")
        ]
    found: dict[str, str] = {}
    for path in reversed(paths):
        name = profile_name(path)
        if name == NO_PROFILE:
            raise click.UsageError(f"{path}: no profile may be called {NO_PROFILE}")
        with open(path, encoding="utf-8") as file:
            found[name] = file.read()
    return found


def _guard(token_file: str | None, hosts: Iterable[str]) -> Guard:
    from ser_edge.web.security import MIN_TOKEN, Guard

    token = None
    if token_file is not None:
        with open(token_file, encoding="utf-8") as file:
            token = file.readline().strip()
        if len(token) < MIN_TOKEN:
            raise click.BadParameter(
                f"{token_file}: its first line has fewer than {MIN_TOKEN} characters "
                "(openssl rand -hex 16 makes a token)",
                param_hint="--token-file",
            )
    return Guard(token, hosts)


def _history(path: str, days: float) -> History:
    from ser_edge.web.history import History, HistoryError

    try:
        return History(path, days)
    except HistoryError as error:
        raise click.BadParameter(str(error), param_hint="--history") from None


def _chunks(device: str, raw: RawFormat, channel: int | None, stop: Stop) -> Iterable[Chunk]:
    if device == "-":
        return open_pipe(raw, stop)
    return open_microphone(
        None if device == _DEFAULT else device, raw.sample_rate, channel, stop, complain
    )


def _listen(
    service: Service,
    chunks: Iterable[Chunk],
    *,
    stream: dict[str, Any],
    telling: dict[str, Any],
    send: Callable[[str], None] | None,
) -> None:
    """Have the service listen."""
    from ser_edge.web.history import HistoryError
    from ser_edge.web.live import Listener, PooledClassifier

    order = service.order_of(None)
    said: set[str] = set()

    def keep(result: Result, seconds: float) -> None:
        service.metrics.window("device", result, seconds)
        if service.history is not None:
            try:
                service.history.add(result, seconds)
            except HistoryError as error:
                if str(error) not in said:  # a full disk is told once
                    said.add(str(error))
                    complain(str(error))

    def tell(message: str) -> None:
        service.loop.call_soon_threadsafe(service.followers.tell, message)
        if send is not None:
            send(message)

    service.lost_seconds = lambda: getattr(chunks, "lost_seconds", 0.0)
    service.listener = Listener(
        chunks,
        PooledClassifier(service.models.classifier(order), service.pool, order),
        stream=stream,
        telling=telling,
        origin=service.origin(order),
        on_window=keep,
        on_told=tell,
        report=complain,
    )
