"""TLS: the certificate and the private key of a server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from clearsight.errors import ConfigError

CERTIFICATE, KEY = b"-----BEGIN CERTIFICATE-----", b" PRIVATE KEY-----"
"""What PEM files with these contain."""


@dataclass(frozen=True)
class Tls:
    """Files in PEM format. certificate: with those of its issuers after it. key: not encrypted."""

    certificate: Path
    key: Path

    @classmethod
    def of(cls, certificate: Path | str | None, key: Path | str | None) -> Tls | None:
        """The files that are given, None for none; ConfigError where one is missing or they do not fit."""
        if certificate is None and key is None:
            return None
        if certificate is None or key is None:
            raise ConfigError(
                "TLS requires a certificate and its private key",
                found=f"only --tls-{'key' if certificate is None else 'certificate'}",
                expected="--tls-certificate FILE and --tls-key FILE",
            )
        found = cls(Path(certificate), Path(key))
        for name, path in (("certificate", found.certificate), ("key", found.key)):
            try:
                path.read_bytes()
            except OSError as error:
                raise ConfigError(f"--tls-{name} {path} cannot be read", found=error.strerror) from None
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(found.certificate, found.key, password=_encrypted)
        except (ssl.SSLError, ConfigError) as error:
            raise ConfigError(
                "the certificate and the key cannot be used",
                found=error.happened if isinstance(error, ConfigError) else found._reason(error),
                expected="PEM files: a certificate, and the private key that belongs to it",
            ) from None
        return found

    def _reason(self, error: ssl.SSLError) -> str:
        """Why the files cannot be used."""
        if CERTIFICATE not in self.certificate.read_bytes():
            return f"no certificate in {self.certificate}"
        if KEY not in self.key.read_bytes():
            return f"no private key in {self.key}"
        return error.reason.lower().replace("_", " ") if error.reason else "a damaged file"


def _encrypted() -> str:
    raise ConfigError("an encrypted key")
