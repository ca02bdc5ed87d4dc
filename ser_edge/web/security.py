"""Who may ask: the token, the names of this device, and pages of other sites."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_TOKEN = 16  # characters
COOKIE = "ser_edge"

# What a browser may do with the page: run its own files, and nothing from anywhere else.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "media-src 'self' blob:; manifest-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
# Of every answer, and of the page besides.
HEADERS = {
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}
PAGE_HEADERS = {
    "content-security-policy": PAGE_POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
}


class Refusal(NamedTuple):
    """Why a request is not answered."""

    status: int  # of HTTP
    sentence: str


class Guard:
    """Decides whether a request may be answered.

    Args:
        token: that a client has to know; None lets everybody ask.
        hosts: further names by which this device is called, such as that of a proxy.
    """

    def __init__(self, token: str | None = None, hosts: Iterable[str] = ()) -> None:
        self._token = None if token is None else token.encode()
        name = socket.gethostname().lower()
        self._hosts = {"localhost", name, f"{name.split('.')[0]}.local", *map(str.lower, hosts)}

    @property
    def cookie(self) -> str | None:
        """What a browser keeps that gave the token: it does not tell the token."""
        if self._token is None:
            return None
        return hmac.new(self._token, b"ser-edge cookie", hashlib.sha256).hexdigest()

    def refuse(self, headers: Mapping[str, str], *, open_to_all: bool = False) -> Refusal | None:
        """Why a request with these headers (of lower-case names) is refused; None if it is not.

        Args:
            headers: of the request.
            open_to_all: whether it needs no token.
        """
        host = headers.get("host", "")
        # A site of someone else's whose name leads here (DNS rebinding) is known by that name.
        if not self._is_ours(host):
            return Refusal(
                403,
                f"this service is not called {printable(host)}: see ser-edge serve --allow-host",
            )
        # Browsers tell where a request comes from, and let every page open WebSockets anywhere.
        origin = headers.get("origin")
        if origin is not None and urlsplit_host(origin) != host.lower():
            return Refusal(403, "requests of other sites' pages are refused")
        if not open_to_all and not self._knows_token(headers):
            return Refusal(401, "a token is needed: Authorization: Bearer TOKEN")
        return None

    def has_password(self, headers: Mapping[str, str]) -> bool:
        """Whether the request holds the token itself, so that the cookie may be given for it."""
        return self._token is not None and self._is_token(headers.get("authorization", ""))

    def _is_ours(self, host: str) -> bool:
        name = (urlsplit_name(host) or "").rstrip(".")
        if name in self._hosts or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # no name at all, so nobody's name leads here

    def _knows_token(self, headers: Mapping[str, str]) -> bool:
        if self._token is None:
            return True
        if "authorization" in headers:
            return self._is_token(headers["authorization"])
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value.encode(), (self.cookie or "").encode())

    def _is_token(self, authorization: str) -> bool:
        """By ``Bearer TOKEN``, or as the password of any user, which browsers ask for."""
        assert self._token is not None
        scheme, _, value = authorization.partition(" ")
        value = value.strip()
        if scheme.lower() == "bearer":
            return _same(value.encode("utf-8", "surrogateescape"), self._token)
        if scheme.lower() == "basic":
            try:
                decoded = base64.b64decode(value, validate=True)
            except (binascii.Error, ValueError):
                return False
            return _same(decoded.partition(b":")[2], self._token)
        return False


def _same(given: bytes, expected: bytes) -> bool:
    """Compare in a time that does not tell how much of it is right, not even the length."""
    digests = (hashlib.sha256(value).digest() for value in (given, expected))
    return hmac.compare_digest(*digests)


def urlsplit_name(host: str) -> str | None:
    """The name in a Host header, without the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def urlsplit_host(origin: str) -> str | None:
    """Name and port of an Origin header."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def printable(text: str) -> str:
    """A client's text as an error message repeats it."""
    return "".join(c if c.isprintable() else "?" for c in text[:100]) or "nothing"


def is_loopback(host: str) -> bool:
    """Whether only this device reaches an address.

    Example:
        >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
