"""Signing in by OpenID Connect: authorization code with PKCE, and what an ID token must prove."""

from __future__ import annotations

import hmac
import ipaddress
import json
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.client import OAuth2Client
from authlib.oidc.core import CodeIDToken
from cryptography.fernet import Fernet, InvalidToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from safeconsole.audit.sinks import OPENER
from safeconsole.config.settings import SignInSettings
from safeconsole.errors import ConfigurationError, RefusedError

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a private key alone: with a shared secret, whoever can check a token can make one."""

ANSWER_SECONDS = 5.0
LARGEST_ANSWER_BYTES = 1024 * 1024
KNOWN_SECONDS = 3600.0
"""How long the provider's description and keys are believed."""

KEYS_AGAIN_SECONDS = 30.0
"""Pause before keys are asked for again because a token names one that is not known."""

LEEWAY_SECONDS = 60
UNDER_WAY_SECONDS = 600
"""How long signing in may take."""


class UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that has begun; it travels encrypted in the browser's cookie, so that nobody can fill our memory.

    Attributes:
        then: the page to show afterwards, a path of ours.
    """

    state: str
    nonce: str
    verifier: str
    then: str


class ProvenName(msgspec.Struct, frozen=True, kw_only=True):
    """Who signed in, as the provider says."""

    name: str
    groups: frozenset[str]


class Provider:
    """The OpenID provider.

    Args:
        redirect: the address that it sends people back to.
        secret: the client's, "" for a client without one.
        seconds: a monotonic clock.
    """

    def __init__(
        self,
        settings: SignInSettings,
        *,
        redirect: str,
        secret: str,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._redirect, self._secret, self._seconds = settings, redirect, secret, seconds
        require_safe_url(settings.issuer, setting="serve.sign_in.issuer")
        # New with each process: who is signing in meanwhile begins again.
        self._sealing = Fernet(Fernet.generate_key())
        self._lock = threading.Lock()
        self._about: Mapping[str, Any] = {}
        self._keys = KeySet([])
        self._about_until = self._keys_until = self._keys_again = float("-inf")

    def begin(self, then: str) -> tuple[str, str]:
        """Return where to send a browser, and the text that it keeps until it comes back.

        Raises RefusedError: the provider does not answer.
        """
        under_way = UnderWay(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            then=then,
        )
        address, _ = self._client().create_authorization_url(
            self._endpoint("authorization_endpoint"),
            state=under_way.state,
            nonce=under_way.nonce,
            code_verifier=under_way.verifier,
        )
        return address, self._sealing.encrypt(msgspec.json.encode(under_way)).decode()

    def end(self, kept: str, query: Mapping[str, str]) -> tuple[ProvenName, str]:
        """Return who came back, and the page to show.

        Args:
            kept: what `begin` gave the browser.
            query: of the address that the provider sent it to.

        Raises:
            RefusedError: it is not the answer to what was begun, or its token proves nothing.
        """
        try:
            under_way = msgspec.json.decode(self._sealing.decrypt(kept.encode(), ttl=UNDER_WAY_SECONDS), type=UnderWay)
        except (InvalidToken, msgspec.MsgspecError):
            raise RefusedError("signing in took too long, or began in another browser", instead="begin again") from None
        if not hmac.compare_digest(query.get("state", "").encode(), under_way.state.encode()):
            raise RefusedError("this is not the answer to the sign-in that began here", instead="begin again")
        if query.get("iss", self._settings.issuer) != self._settings.issuer:
            raise RefusedError("the answer is another provider's", instead="begin again")
        if "error" in query or not query.get("code"):
            raise RefusedError(f"the provider let nobody in: {query.get('error', 'it gave no code')[:100]}")
        claims = self._claims_of(self._exchanged(query["code"], under_way), under_way.nonce)
        return self._identity_in(claims), under_way.then

    def _identity_in(self, claims: Mapping[str, Any]) -> ProvenName:
        name, groups = claims.get(self._settings.name_claim), claims.get(self._settings.groups_claim, [])
        if not isinstance(name, str) or not name.strip():
            raise RefusedError(
                f"the provider says no {self._settings.name_claim}", instead="see serve.sign_in.name_claim"
            )
        listed = [groups] if isinstance(groups, str) else groups if isinstance(groups, list) else []
        return ProvenName(name=name, groups=frozenset(each for each in listed if isinstance(each, str)))

    def _client(self) -> OAuth2Client:
        return OAuth2Client(
            _Posting(),
            client_id=self._settings.client_id,
            client_secret=self._secret or None,
            scope=" ".join(self._settings.scopes),
            redirect_uri=self._redirect,
            code_challenge_method="S256",
        )

    def _exchanged(self, code: str, under_way: UnderWay) -> str:
        try:
            token = self._client().fetch_token(
                self._endpoint("token_endpoint"),
                grant_type="authorization_code",
                code=code,
                code_verifier=under_way.verifier,
            )
        except (AuthlibBaseError, ValueError, KeyError, TypeError) as error:
            raise RefusedError(
                f"the provider did not take the code ({type(error).__name__})", instead="begin again"
            ) from None
        found = token.get("id_token")
        if not isinstance(found, str):
            raise RefusedError("the provider gave no ID token", instead='serve.sign_in.scopes must name "openid"')
        return found

    def _claims_of(self, token: str, nonce: str) -> Mapping[str, Any]:
        try:
            try:
                decoded = jwt.decode(token, self._known_keys(), algorithms=ALGORITHMS)
            except (JoseError, ValueError):
                # The provider may have a new key.
                decoded = jwt.decode(token, self._known_keys(again=True), algorithms=ALGORITHMS)
            options = {
                "iss": {"essential": True, "value": self._settings.issuer},
                "aud": {"essential": True, "value": self._settings.client_id},
                "nonce": {"essential": True, "value": nonce},
            }
            parameters = {"nonce": nonce, "client_id": self._settings.client_id}
            claims = CodeIDToken(decoded.claims, decoded.header, options, parameters)
            claims.validate(leeway=LEEWAY_SECONDS)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise RefusedError(
                f"the provider's token does not hold ({type(error).__name__})", instead="begin again"
            ) from None
        return dict(claims)

    def _endpoint(self, name: str) -> str:
        about = self._description()
        address = about.get(name)
        if not isinstance(address, str):
            raise RefusedError(f"the provider names no {name}")
        require_safe_url(address, setting=name)
        return address

    def _description(self) -> Mapping[str, Any]:
        with self._lock:
            if self._seconds() >= self._about_until:
                issuer = self._settings.issuer
                about = _fetched(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if about.get("issuer") != issuer:
                    raise RefusedError("the provider calls itself otherwise", instead="see serve.sign_in.issuer")
                self._about, self._about_until = about, self._seconds() + KNOWN_SECONDS
            return self._about

    def _known_keys(self, *, again: bool = False) -> KeySet:
        address = self._endpoint("jwks_uri")
        with self._lock:
            now = self._seconds()
            if now >= self._keys_until or (again and now >= self._keys_again):
                self._keys = KeySet.import_key_set(_fetched(address))
                self._keys_until, self._keys_again = now + KNOWN_SECONDS, now + KEYS_AGAIN_SECONDS
            return self._keys


class _Posted(msgspec.Struct, frozen=True):
    """What authlib asks of an HTTP library's response."""

    status_code: int
    content: bytes

    def json(self) -> Any:  # noqa: ANN401 - any JSON
        return json.loads(self.content)

    def raise_for_status(self) -> None:
        raise RefusedError(f"the provider answered {self.status_code}")


class _Posting:
    """What authlib asks of an HTTP library."""

    def post(self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: Any) -> _Posted:  # noqa: ANN401 - its
        url, sent, body = auth.prepare("POST", url, dict(headers), urllib.parse.urlencode(data))
        request = urllib.request.Request(url, data=body.encode(), headers=sent, method="POST")  # noqa: S310 - checked before
        return _Posted(*_received(request))


def _fetched(url: str) -> Any:  # noqa: ANN401 - an object of JSON
    status, content = _received(urllib.request.Request(url))  # noqa: S310 - checked before
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if status != 200 or not isinstance(found, dict):
        raise RefusedError(f"the provider answered {status} and no description of itself")
    return found


def _received(request: urllib.request.Request) -> tuple[int, bytes]:
    try:
        with OPENER.open(request, timeout=ANSWER_SECONDS) as answer:
            return answer.status, answer.read(LARGEST_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(LARGEST_ANSWER_BYTES)
    except (OSError, ValueError) as error:
        raise RefusedError(f"the provider does not answer ({type(error).__name__})", instead="try it again") from None


def require_safe_url(url: str, *, setting: str) -> None:
    """Raise ConfigurationError unless an address is https, or http on this computer."""
    parts = urllib.parse.urlsplit(url)
    host = parts.hostname or ""
    loopback = is_loopback(host)
    if not host or parts.scheme not in {"https", "http"} or (parts.scheme == "http" and not loopback):
        raise ConfigurationError(
            f"{setting}: {url!r} is no https:// address", instead="http:// is for this computer alone"
        )


def is_loopback(host: str) -> bool:
    """Return whether a host's name or address is this computer's own."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
