"""TLS contexts out of files: what cannot work is refused with the file and what to do."""

from __future__ import annotations

import ssl
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lmaas_gateway.errors import SettingsError
from lmaas_gateway.private_files import check_private

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lmaas_gateway.settings import ReplicaSettings, TlsSettings

# Forward secrecy and authenticated encryption only; of TLS 1.3 all suites are such.
_TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_CLIENT_CERTIFICATES = {
    "off": ssl.CERT_NONE,
    "optional": ssl.CERT_OPTIONAL,
    "required": ssl.CERT_REQUIRED,
}


def listener_context(
    settings: TlsSettings, cert_file: Path, *, clock: Callable[[], float] = time.time
) -> ssl.SSLContext:
    """Make the context of the listener.

    Args:
        settings: What stands in them.
        cert_file: Theirs, which is there.
        clock: Unix seconds, for the certificate's dates.

    Raises:
        SettingsError: a file cannot be used, others can read the key, or the certificate is not valid now.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.min_version]
    context.set_ciphers(_TLS12_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    password = None if settings.key_password is None else settings.key_password.get_secret_value()
    _load_pair(context, cert_file, settings.key_file or cert_file, password, clock)
    if settings.client_ca_file is not None:
        _load_authorities(context, settings.client_ca_file)
        context.verify_mode = _CLIENT_CERTIFICATES[settings.client_certificates]
    return context


def replica_context(settings: ReplicaSettings, *, clock: Callable[[], float] = time.time) -> ssl.SSLContext:
    """Make the context towards a replica: its CA, or the system's, and our own certificate if it wants one.

    Raises:
        SettingsError: as `listener_context`.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load_authorities(context, settings.ca_file)
    if settings.cert_file is not None:
        _load_pair(context, settings.cert_file, settings.key_file or settings.cert_file, None, clock)
    return context


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise SettingsError(f"the CA file {path} holds no certificate in PEM; put one there") from None
    except OSError as error:
        raise SettingsError(f"the CA file {path} cannot be used: {error.strerror or error}") from None


def _load_pair(
    context: ssl.SSLContext, cert: Path, key: Path, password: str | None, clock: Callable[[], float]
) -> None:
    _check_dates(cert, datetime.fromtimestamp(clock(), UTC))
    try:
        check_private(key, key.stat(), "the private key")
        # Without a password to give, OpenSSL would ask for one at the terminal.
        context.load_cert_chain(cert, key, password=password or "")
    except ssl.SSLError as error:
        raise SettingsError(_explain(error, cert, key)) from None
    except OSError as error:
        raise SettingsError(f"the private key {key} cannot be read: {error.strerror or error}") from None


def _check_dates(path: Path, now: datetime) -> None:
    from cryptography import x509  # noqa: PLC0415 - heavy, and without TLS nothing needs it

    try:
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
    except OSError as error:
        raise SettingsError(f"the certificate {path} cannot be read: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"the certificate {path} is not a certificate in PEM; put one there") from None
    if now > leaf.not_valid_after_utc:
        raise SettingsError(
            f"the certificate {path} expired at {leaf.not_valid_after_utc:%F %T} UTC; renew it"
        )
    if now < leaf.not_valid_before_utc:
        raise SettingsError(
            f"the certificate {path} is valid only from {leaf.not_valid_before_utc:%F %T} ; check the clock"
        )


def _explain(error: ssl.SSLError, cert: Path, key: Path) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the private key {key} is not that of the certificate {cert}; put both from the same renewal"
    return (
        f"the private key {key} cannot be used ({error.reason or error}); it must be PEM, and if it is "
        "encrypted, key_password what it was encrypted with"
    )
