"""Certificates for tests: authorities of our own, and what they sign."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import ssl
from typing import Any, Optional, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Identity:
    """A key and its certificate, in files."""

    def __init__(self, folder: pathlib.Path, stem: str, key: Any, certificate: Any) -> None:
        self._key = key
        self.certificate = certificate
        self.cert = str(folder / f"{stem}.pem")
        self.key = str(folder / f"{stem}.key")
        self.write_to(self.cert, self.key)

    def write_to(self, cert: str, key: str, passphrase: Optional[bytes] = None) -> None:
        encryption: Any = serialization.NoEncryption()
        if passphrase is not None:
            encryption = serialization.BestAvailableEncryption(passphrase)
        pathlib.Path(cert).write_bytes(
            self.certificate.public_bytes(serialization.Encoding.PEM)
        )
        pathlib.Path(key).write_bytes(
            self._key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                encryption,
            )
        )

    @property
    def serial(self) -> int:
        return int(self.certificate.serial_number)

    @property
    def files(self) -> dict[str, str]:
        return {"cert": self.cert, "key": self.key}

    def server_context(
        self, version: Optional[ssl.TLSVersion] = None, client_ca: Optional[str] = None
    ) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        context.options &= ~0x80  # SSL_OP_IGNORE_UNEXPECTED_EOF: an end without goodbye is seen
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(client_ca)
        return context


class Authority:
    def __init__(self, folder: pathlib.Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign(
            name, self._key.public_key(), _name(name), [], DAY, is_authority=True
        )
        self._count = 0
        self._stem = name
        self.cert = str(folder / f"{name}.pem")
        pathlib.Path(self.cert).write_bytes(
            self._certificate.public_bytes(serialization.Encoding.PEM)
        )

    def _sign(
        self,
        common_name: str,
        key: Any,
        issuer: x509.Name,
        names: Sequence[str],
        valid_for: datetime.timedelta,
        is_authority: bool = False,
        signing_key: Optional[Any] = None,
    ) -> Any:
        now = datetime.datetime.utcnow()
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name))
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 10 * DAY)
            .not_valid_after(now + valid_for)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_alternative(n) for n in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(signing_key or self._key, hashes.SHA256())

    def identity(
        self,
        *names: str,
        common_name: str = "peer",
        valid_for: datetime.timedelta = DAY,
        self_signed: bool = False,
    ) -> Identity:
        """A certificate for these names and addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = _name(common_name) if self_signed else self._certificate.subject
        certificate = self._sign(
            common_name,
            key.public_key(),
            issuer,
            names,
            valid_for,
            signing_key=key if self_signed else self._key,
        )
        self._count += 1
        return Identity(self._folder, f"{self._stem}-{self._count}", key, certificate)

    def client_context(self, identity: Optional[Identity] = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.cert)
        if identity is not None:
            context.load_cert_chain(identity.cert, identity.key)
        return context
