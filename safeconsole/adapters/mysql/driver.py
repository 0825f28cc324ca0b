"""
The driver, imported without its RSA, which takes a third of the import and which few logins need.

Only a login that is neither encrypted nor on a socket has the driver encrypt the password, and with
`caching_sha2_password` only for an account that the server has not seen since it started.
"""

from __future__ import annotations

import importlib
import sys
import threading

_loading = threading.Lock()


def import_driver() -> None:
    """Import the driver; its RSA follows at the first login that needs it."""
    if "pymysql" in sys.modules or "cryptography" in sys.modules:
        return
    # What stands as None here cannot be imported; the driver goes on without it.
    sys.modules["cryptography"] = None  # type: ignore[assignment]
    try:
        from pymysql import _auth  # noqa: PLC0415
    finally:
        del sys.modules["cryptography"]

    def encrypt(password: bytes, salt: bytes, public_key: bytes) -> bytes:
        # Read anew with its RSA within reach, the driver's module is as it always was.
        with _loading:
            if _auth.sha2_rsa_encrypt is encrypt:
                importlib.reload(_auth)
        encrypted: bytes = _auth.sha2_rsa_encrypt(password, salt, public_key)
        return encrypted

    _auth.sha2_rsa_encrypt = encrypt
