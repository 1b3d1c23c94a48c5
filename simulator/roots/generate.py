"""Makes the simulator's AMD-shaped keys and certificates. They were made once; running this again
changes the simulator's roots, so every configuration that names them has to follow.

Needs the Python package `cryptography`. Usage: python3 generate.py (in this folder)
"""

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

START = datetime.datetime(2022, 1, 26)
END = datetime.datetime(2047, 1, 26)
PSS = padding.PSS(padding.MGF1(hashes.SHA384()), 48)


def name(common_name):
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Engineering"),
            x509.NameAttribute(NameOID.COUNTRY_NAME, "US"),
            x509.NameAttribute(NameOID.LOCALITY_NAME, "Santa Clara"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "CA"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Simulated by Vouch, not AMD"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def certificate(subject, key, issuer, issuer_key, serial, path_length, crl_sign):
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(START)
        .not_valid_after(END)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), True)
        .add_extension(
            x509.KeyUsage(False, False, False, False, False, True, crl_sign, False, False), True
        )
    )
    if subject != issuer:
        builder = builder.add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False
        )
    return builder.sign(issuer_key, hashes.SHA384(), rsa_padding=PSS)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def key_bytes(key):
    return key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


ark, ask = (rsa.generate_private_key(65537, 4096) for _ in range(2))
root = certificate("ARK-Simulated", ark, "ARK-Simulated", ark, 0x70000, None, True)
signer = certificate("SEV-Simulated", ask, "ARK-Simulated", ark, 0x70002, 0, False)
write("ark.key.der", key_bytes(ark))
write("ask.key.der", key_bytes(ask))
write("ark.der", root.public_bytes(serialization.Encoding.DER))
write("ask.der", signer.public_bytes(serialization.Encoding.DER))
