"""Certificates and TLS servers on loopback."""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support.wire import request_to
from thornsdk import Request
from thornsdk.testing import Authority

NAME = "hooks.example.test"


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    """What a server needs to show a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def by_name(port: int, timeout: float = 20, body: bytes = b"{}", certificate: str | None = None) -> Request:
    """Makes a request to the server that is hooks.example.test."""
    return request_to(
        f"https://{NAME}:{port}/hooks", body=body, timeout=timeout, client_certificate=certificate
    )


def over_tls(
    context: ssl.SSLContext, serve: Callable[[ssl.SSLSocket], object]
) -> Callable[[socket.socket], None]:
    """Does over TLS what a listener would do without."""

    def run(sock: socket.socket) -> None:
        with context.wrap_socket(sock, server_side=True) as wrapped:
            serve(wrapped)

    return run


def client_file(authority: Authority, name: str, folder: Path) -> str:
    """Issues a certificate for a client, and writes it with its key to a file; gives the path."""
    path = folder / f"{name}.pem"
    authority.ca.issue_cert(f"{name}@example.test").private_key_and_cert_chain_pem.write_to_path(str(path))
    return str(path)


def self_signed(name: str, folder: Path) -> str:
    """Writes a certificate that vouches for itself, with its key, to a file; gives the path."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "self-signed.pem"
    path.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return str(path)
