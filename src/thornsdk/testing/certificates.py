"""Certificates for HTTPS on loopback, from an authority that no system trusts."""

import ssl
from pathlib import Path


class Authority:
    """An authority that no system trusts: who trusts it in a test says so.

    It needs the package trustme, which ``thornsdk[testing]`` brings.

    Example:
        >>> from pathlib import Path
        >>> from thornsdk.testing import Authority, Endpoint, fixed_resolver, make_request
        >>> from thornsdk_plugins.urllib3 import PooledTransport
        >>> authority = Authority()
        >>> with Endpoint(tls=authority.context("hooks.example.test")) as endpoint:
        ...     transport = PooledTransport(
        ...         ca_bundle=authority.write_to(Path("ca.pem")),
        ...         resolver=fixed_resolver({"hooks.example.test": "127.0.0.1"}),
        ...     )
        ...     response = transport.send(make_request(f"https://hooks.example.test:{endpoint.port}/"))
        >>> response.status
        200
        >>> transport.close()
    """

    def __init__(self) -> None:
        import trustme  # Only tests over HTTPS need it.

        self.ca: trustme.CA = trustme.CA()
        """The authority itself, for certificates of other kinds."""

    def context(self, *names: str) -> ssl.SSLContext:
        """Gives what a server needs to be these hosts: names, or addresses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(context)
        return context

    def write_to(self, path: Path) -> str:
        """Writes the authority's certificate to a PEM file, for those who are to trust it; gives the path."""
        self.ca.cert_pem.write_to_path(str(path))
        return str(path)
