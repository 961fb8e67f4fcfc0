"""In-transit encryption before a server that has none, so that `rediss://` to the emulated ElastiCache is no pretence.

The certificate is made for the address, signed by itself, and written beside the state: clients verify against it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cutover.errors import StageError
from cutover.files import write_whole

_CHUNK = 1 << 16
_USUAL_PORT = 6379


class TlsFront:
    """Listens with TLS on the host of a plain server, and passes everything on to it.

    Args:
        url: the plain server's URL, `redis://[:password@]host:port/0`.
        folder: for `redis-ca.pem` (public) and its key (readable by the owner).
        port: 0 takes Redis's usual one, or a free one where somebody has it.

    Raises:
        StageError: the address cannot be bound.
    """

    def __init__(self, url: str, folder: Path, *, port: int = 0) -> None:
        self._plain = urlsplit(url)
        self.host = self._plain.hostname or "127.0.0.1"
        self.certificate = folder / "redis-ca.pem"
        key = folder / "redis-key.pem"
        _make_certificate(self.host, self.certificate, key)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._loop = asyncio.new_event_loop()
        self._connections: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="tls-front", daemon=True)
        self._thread.start()
        try:
            self._server = self._bound(port)
        except OSError as error:
            self._loop.call_soon_threadsafe(self._loop.stop)
            raise StageError(f"TLS before the queue cannot listen on {self.host}:{port}: {error}.") from error
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _bound(self, port: int) -> asyncio.Server:
        for wanted in (port,) if port else (_USUAL_PORT, 0):
            try:
                return asyncio.run_coroutine_threadsafe(self._listen(wanted), self._loop).result(10)
            except OSError as error:
                last = error
        raise last

    @property
    def url(self) -> str:
        """The encrypted URL; it names the certificate that clients verify the server with."""
        password = f":{self._plain.password}@" if self._plain.password else ""
        query = f"ssl_ca_certs={quote(str(self.certificate.absolute()), safe='/')}"
        place = f"{self._plain.username or ''}{password}{self.host}:{self.port}"
        return urlunsplit(("rediss", place, self._plain.path or "/0", query, ""))

    def stop(self) -> None:
        """Close every connection."""
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, self.host, port, ssl=self._context)

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            inner = await asyncio.open_connection(self._plain.hostname, self._plain.port or 6379)
            await asyncio.gather(_pass(reader, inner[1]), _pass(inner[0], writer))
        writer.close()


async def _pass(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until one side ends, then end the other."""
    with contextlib.suppress(OSError):
        while data := await source.read(_CHUNK):
            sink.write(data)
            await sink.drain()
    sink.close()


def _make_certificate(host: str, certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ShadowTwin rehearsal")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    write_whole(certificate, made.public_bytes(serialization.Encoding.PEM))
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key.parent.mkdir(parents=True, exist_ok=True)
    key.touch(mode=0o600)
    key.write_bytes(secret)


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
