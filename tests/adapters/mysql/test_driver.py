"""The driver starts without its RSA, and has it when a login needs it."""

import subprocess
import sys

STARTED = """
import sys
import safeconsole.adapters.mysql.engine
assert "pymysql" in sys.modules
assert not any(name.partition(".")[0] == "cryptography" for name in sys.modules)
"""

ENCRYPTED = """
from concurrent.futures import ThreadPoolExecutor
from pymysql import _auth
def encrypted(password):
    return _auth.sha2_rsa_encrypt(password, b"s" * 20, PUBLIC)
with ThreadPoolExecutor(4) as pool:
    for number, text in enumerate(pool.map(encrypted, [b"secret%d" % number for number in range(8)])):
        message = KEY.decrypt(text, padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None))
        assert bytes(letter ^ ord("s") for letter in message) == b"secret%d\\0" % number, message
assert _auth._have_cryptography
assert _auth.sha2_rsa_encrypt.__module__ == "pymysql._auth"
"""

KEY = """
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
KEY = rsa.generate_private_key(65537, 2048)
PUBLIC = KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_an_engine_is_imported_without_cryptography():
    assert run(STARTED).stderr == ""


def test_logins_that_need_rsa_get_it_at_once_in_every_thread():
    assert run(STARTED + KEY + ENCRYPTED).stderr == ""


def test_a_program_that_has_cryptography_already_keeps_the_driver_as_it_is():
    code = KEY + "import safeconsole.adapters.mysql.engine\nfrom pymysql import _auth\nassert _auth._have_cryptography"
    assert run(code).stderr == ""
