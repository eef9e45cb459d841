"""The TLS contexts of a transport: one for all connections, and one for each client certificate."""

import ssl
from collections.abc import Mapping

from thornsdk import Reason
from thornsdk.errors import ConfigurationError, TransportError
from thornsdk_plugins.urllib3.watch import WatchedSSLSocket


class Contexts:
    """Makes TLS contexts when they are first needed, and keeps them: each takes milliseconds and megabytes.

    TLS 1.2 or newer, always verified.

    Args:
        ca_bundle: The path of a PEM file with the authorities to trust; None for the system's.
        client_certificates: Names, and the paths of PEM files with the certificates and their keys.

    Raises:
        ConfigurationError: If a file cannot be used.
    """

    def __init__(self, ca_bundle: str | None, client_certificates: Mapping[str, str]) -> None:
        self._ca_bundle = ca_bundle
        self._files = dict(client_certificates)
        try:
            self._made: dict[str | None, ssl.SSLContext] = {None: self._make(None)}
        except OSError as exc:
            raise ConfigurationError(f"the CA bundle {ca_bundle} cannot be used: {exc}") from exc
        for name in self._files:
            self._check(name)

    def get(self, name: str | None) -> ssl.SSLContext:
        """Gives the context that shows a client certificate, or that shows none.

        Raises:
            TransportError: If there is no certificate of that name, or its file can no longer be used.
        """
        if name in self._made:
            return self._made[name]
        if name not in self._files:
            raise TransportError(
                Reason.TLS_CLIENT_CERTIFICATE,
                f"no client certificate is called {name!r} here; THORN_CLIENT_CERTIFICATES names them",
            )
        try:
            # Two threads may make it at once; one of the two stays.
            return self._made.setdefault(name, self._make(name))
        except OSError as exc:
            raise TransportError(
                Reason.TLS_CLIENT_CERTIFICATE, f"the file of the client certificate {name!r} cannot be used"
            ) from exc

    def _make(self, name: str | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca_bundle)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.sslsocket_class = WatchedSSLSocket
        if name is not None:
            _show(context, self._files[name])
        return context

    def _check(self, name: str) -> None:
        """Loads a file once: a mistake is to be told at the start, not at the first delivery."""
        try:
            _show(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self._files[name])
        except OSError as exc:
            raise ConfigurationError(
                f"the client certificate {name!r}, {self._files[name]}, cannot be used: {exc}. The file must "
                f"hold the certificate and its key in PEM, the key without a passphrase"
            ) from exc


def _show(context: ssl.SSLContext, path: str) -> None:
    # Without a password of ours, OpenSSL would ask for one at the terminal.
    context.load_cert_chain(path, password=b"")
