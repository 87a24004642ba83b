"""The workspace's own certificate authority, for TLS on 127.0.0.1 and localhost."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path


def server_context(ca_file: Path) -> ssl.SSLContext:
    """Return a TLS context for the server, and write the certificate of its authority to ``ca_file``."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context
