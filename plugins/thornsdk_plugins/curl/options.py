"""What all requests of a transport have in common, checked once when it is made."""

import ssl
from collections.abc import Mapping

from attrs import field, frozen

from thornsdk import URL, LookUps, Origin, Reason, Request, literal_address
from thornsdk.errors import ConfigurationError, TransportError
from thornsdk.typing import Resolver


@frozen(kw_only=True, eq=False)
class Options:
    """What all requests have in common.

    Attributes:
        ca_file: The path of the file with the authorities to trust, or None.
        ca_folder: The path of the folder with them, or None.
        client_certificates: The path of a PEM file with certificate and key for each name.
        idle_connections: How many connections are kept open for later requests.
        idle_timeout: After how many seconds an idle connection is not used again.
        proxy: The origin of the proxy that all go through, or None.
        lookups: Gives the addresses of host names. libcurl looks none up: a few names without an answer would
            hold up all others, and its threads do not survive a fork.
    """

    ca_file: str | None
    ca_folder: str | None
    client_certificates: Mapping[str, str] = field(repr=False)
    idle_connections: int
    idle_timeout: float
    proxy: Origin | None
    lookups: LookUps

    @classmethod
    def checked(
        cls,
        *,
        ca_bundle: str | None,
        client_certificates: Mapping[str, str],
        idle_connections: int,
        idle_timeout: float,
        filtering_proxy: str | None,
        resolver: Resolver,
    ) -> "Options":
        """Makes them.

        Raises:
            ConfigurationError: If a file cannot be used, or there are no authorities to trust.
            InvalidURL: If the proxy's URL is none.
        """
        for name, path in client_certificates.items():
            _check_certificate(name, path)
        ca_file, ca_folder = _system_authorities() if ca_bundle is None else (_checked(ca_bundle), None)
        return cls(
            ca_file=ca_file,
            ca_folder=ca_folder,
            client_certificates=dict(client_certificates),
            idle_connections=idle_connections,
            idle_timeout=idle_timeout,
            proxy=None if filtering_proxy is None else URL.parse(filtering_proxy).origin,
            lookups=LookUps(resolver),
        )

    @property
    def keeps(self) -> bool:
        """Whether connections are kept open at all."""
        return self.idle_connections > 0 and self.idle_timeout > 0

    def spells_out(self, request: Request) -> bool:
        """Tells whether the address that is connected to for a request is spelt out."""
        if self.proxy is None:
            return request.url.address is not None
        return literal_address(self.proxy.host) is not None

    def place(self, request: Request) -> Origin:
        """Gives what is connected to for a request."""
        return self.proxy or request.url.origin

    def certificate_file(self, name: str) -> str:
        """Gives the file of a client certificate.

        Raises:
            TransportError: If there is none of that name.
        """
        if name not in self.client_certificates:
            raise TransportError(
                Reason.TLS_CLIENT_CERTIFICATE,
                f"no client certificate is called {name!r} here; THORN_CLIENT_CERTIFICATES names them",
            )
        return self.client_certificates[name]


def _system_authorities() -> tuple[str | None, str | None]:
    """Finds the authorities that Python trusts: libcurl may have been built to look elsewhere."""
    paths = ssl.get_default_verify_paths()
    found: tuple[str | None, str | None] = paths.cafile, paths.capath
    if found == (None, None):
        raise ConfigurationError(
            "this system has no list of authorities to trust where OpenSSL looks for it; install one, or set "
            "THORN_CA_BUNDLE"
        )
    return found


def _checked(ca_bundle: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_bundle)
    except OSError as exc:
        raise ConfigurationError(f"the CA bundle {ca_bundle} cannot be used: {exc}") from exc
    return ca_bundle


def _check_certificate(name: str, path: str) -> None:
    try:
        # Without a password of ours, OpenSSL would ask for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(path, password=b"")
    except OSError as exc:
        raise ConfigurationError(
            f"the client certificate {name!r}, {path}, cannot be used: {exc}. The file must hold the "
            f"certificate and its key in PEM, the key without a passphrase"
        ) from exc
