"""Signing in against a provider that lies: what an ID token must prove before anybody is let in."""

import base64
import hmac
import json
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey

from safeconsole.config.settings import SignInSettings
from safeconsole.errors import ConfigurationError, RefusedError
from safeconsole.web.sign_in import ALGORITHMS, Provider, require_safe_url

REDIRECT = "http://localhost:1/signed-in"


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


class Lying:
    """A provider whose next token is what a test says."""

    def __init__(self):
        self.key, self.header, self.asked = (
            RSAKey.generate_key(2048, {"kid": "one"}),
            {"alg": "RS256", "kid": "one"},
            [],
        )
        self.published, self.about, self.claims, self.sent, self.nonce, self.forged = [self.key], {}, {}, {}, "", ""
        lying = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                lying.asked.append(self.path)
                keys = {"keys": [key.as_dict(private=False) for key in lying.published]}
                self._say(keys if self.path == "/keys" else lying.description())

            def do_POST(self):
                lying.sent = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                lying.sent["authorization"] = self.headers.get("Authorization", "")
                token = lying.forging() if lying.forged else lying.signed()
                self._say({"access_token": "a", "token_type": "Bearer", "id_token": token})

            def _say(self, value):
                body = json.dumps(value).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def description(self):
        names = {"authorization_endpoint": "/authorize", "token_endpoint": "/token", "jwks_uri": "/keys"}
        return {"issuer": self.issuer, **{name: self.issuer + path for name, path in names.items()}, **self.about}

    def signed(self):
        return jwt.encode(self.header, self.token(), self.key, algorithms=ALGORITHMS)

    def forging(self):
        """A token signed by nobody, or with what is public as a secret."""
        head = part({"alg": self.forged, "kid": "one"}) + b"." + part(self.token())
        mac = hmac.digest(self.key.as_pem(private=False), head, "sha256") if self.forged == "HS256" else b""
        return (head + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()

    def token(self):
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": "us", "sub": "1", "iat": now, "exp": now + 60, "nonce": self.nonce,
                  "preferred_username": "ana", "groups": ["dba"], **self.claims}  # fmt: skip
        return {name: value for name, value in claims.items() if value is not None}


@pytest.fixture
def lying():
    made = Lying()
    yield made
    made.server.shutdown()
    made.server.server_close()


def provider(lying, **options):
    return Provider(SignInSettings(issuer=lying.issuer, client_id="us"), redirect=REDIRECT, secret="s%", **options)


def signed_in(made, lying, **query):
    address, kept = made.begin("/then")
    asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
    lying.nonce = asked["nonce"]
    return made.end(kept, {"state": asked["state"], "code": "c", **query})


def test_a_token_that_holds_says_who_it_is(lying):
    identity, then = signed_in(provider(lying), lying)
    assert (identity.name, identity.groups, then) == ("ana", frozenset({"dba"}), "/then")
    assert lying.sent["grant_type"] == "authorization_code"
    assert len(lying.sent["code_verifier"]) >= 43
    assert lying.sent["redirect_uri"] == REDIRECT
    assert lying.sent["authorization"].startswith("Basic ")


WRONG = {
    "of another issuer": {"iss": "https://elsewhere.example"},
    "for another program": {"aud": "them"},
    "for others too, and not authorised to us": {"aud": ["us", "them"], "azp": "them"},
    "expired": {"exp": int(time.time()) - 3600},
    "without an end": {"exp": None},
    "without a person": {"sub": None},
    "with another nonce": {"nonce": "x"},
    "without a nonce": {"nonce": None},
    "not valid yet": {"nbf": int(time.time()) + 3600},
}


@pytest.mark.parametrize("claims", WRONG.values(), ids=WRONG)
def test_a_token_lets_nobody_in(lying, claims):
    lying.claims = claims
    with pytest.raises(RefusedError, match="token does not hold"):
        signed_in(provider(lying), lying)


def test_a_token_is_signed_by_a_private_key_of_the_provider(lying):
    made = provider(lying)
    signed_in(made, lying)

    def is_refused():
        with pytest.raises(RefusedError, match="token does not hold"):
            signed_in(made, lying)

    for lying.forged in ("none", "HS256"):
        is_refused()
    lying.forged, lying.key = "", RSAKey.generate_key(2048, {"kid": "one"})
    is_refused()


def test_keys_are_kept_and_asked_for_again_once_when_a_new_one_signs(lying):
    clock = [1000.0]
    made = provider(lying, seconds=lambda: clock[0])
    for _ in range(3):
        signed_in(made, lying)
    assert lying.asked.count("/keys") == 1
    assert lying.asked.count("/.well-known/openid-configuration") == 1
    lying.key = RSAKey.generate_key(2048, {"kid": "two"})
    lying.published, lying.header = [lying.key], {"alg": "RS256", "kid": "two"}
    clock[0] += 31
    assert signed_in(made, lying)[0].name == "ana"
    assert lying.asked.count("/keys") == 2
    # Whoever brings unknown keys does not make us ask each time.
    lying.header = {"alg": "RS256", "kid": "three"}
    for _ in range(3):
        with pytest.raises(RefusedError):
            signed_in(made, lying)
    assert lying.asked.count("/keys") == 2


def test_a_provider_that_is_another_or_sends_us_elsewhere_is_refused(lying):
    lying.about = {"issuer": "https://elsewhere.example"}
    with pytest.raises(RefusedError, match="calls itself otherwise"):
        provider(lying).begin("/")
    lying.about = {"token_endpoint": "http://elsewhere.example/token"}
    with pytest.raises(ConfigurationError, match="no https:// address"):
        signed_in(provider(lying), lying)
    with pytest.raises(RefusedError, match="another provider's"):
        lying.about = {}
        signed_in(provider(lying), lying, iss="https://elsewhere.example")


def test_a_provider_that_is_away_or_answers_no_is_told(lying):
    with pytest.raises(RefusedError, match="let nobody in: access_denied"):
        signed_in(provider(lying), lying, error="access_denied")
    lying.claims = {"preferred_username": None}
    with pytest.raises(RefusedError, match="says no preferred_username"):
        signed_in(provider(lying), lying)
    gone = provider(lying)
    lying.server.shutdown()
    lying.server.server_close()
    with pytest.raises(RefusedError, match="does not answer"):
        gone.begin("/")


@pytest.mark.parametrize("url", ["http://sso.example", "ftp://x", "sso.example", "", "http://10.0.0.1", "http://1.2.3"])
def test_an_address_is_https_or_this_computers(url):
    with pytest.raises(ConfigurationError):
        require_safe_url(url, setting="serve.url")
    require_safe_url("http://127.0.0.1:5", setting="serve.url")
    require_safe_url("https://sso.example/x", setting="serve.url")
