"""Messages between the service and a worker: through a socket, each after its length."""

from __future__ import annotations

import socket
import struct

PIECE_BYTES = 1 << 18  # of a recording: it goes in several messages
_LENGTH = struct.Struct("!I")
_BUFFER_BYTES = PIECE_BYTES + (1 << 13)  # a recording of seconds, and what to do with it


class Channel:
    """One end of a pair of connected sockets. Belongs to one thread at a time.

    Messages that are sent together take one system call, and what has come is read with one: each
    more would wake the other end for nothing.

    Example:
        >>> ours, theirs = (Channel(end) for end in socket.socketpair())
        >>> ours.send(b"one", b"two")
        >>> ours.close()
        >>> theirs.receive(), theirs.receive()
        (b'one', b'two')
        >>> theirs.receive()
        Traceback (most recent call last):
        EOFError
        >>> theirs.close()
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._file = sock.makefile("rb", buffering=_BUFFER_BYTES)

    def send(self, *messages: bytes) -> None:
        """Write messages; waits until they are on their way.

        Raises:
            OSError: the other end is gone.
        """
        parts = [part for message in messages for part in (_LENGTH.pack(len(message)), message)]
        sent = self._socket.sendmsg(parts)
        if sent < sum(map(len, parts)):
            self._socket.sendall(memoryview(b"".join(parts))[sent:])

    def receive(self, seconds: float | None = None) -> bytes:
        """Read a message; waits for it, or for so long.

        Raises:
            EOFError: the other end is gone.
            OSError: it went amid a message; socket.timeout: no message came in time.
        """
        if seconds is not None:
            self._socket.settimeout(seconds)
        (size,) = _LENGTH.unpack(self._read(_LENGTH.size))
        message = self._read(size)
        if seconds is not None:
            self._socket.settimeout(None)
        return message

    def _read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        if len(data) < size:
            raise EOFError
        return data

    def close(self) -> None:
        """Let the other end know that nothing will come."""
        self._file.close()
        self._socket.close()
