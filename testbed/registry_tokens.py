"""The token endpoints of an Azure container registry, for logins and for refresh tokens.

Written from the public description of its OAuth2 flow. The tokens are real: the registry behind
checks signature, time and scope of each.
"""

import base64
import binascii
import json
import re
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from testbed import layout
from testbed.certificates import self_signed

ISSUER = "modelferry testbed registry"
_ALGORITHM = "ES256"
_ACCESS_S = 300
_REFRESH_S = 3 * 3600  # as Azure's
_TOKEN_USER = "00000000-0000-0000-0000-000000000000"  # its password is a refresh token
_AUDIENCES = ("https://containerregistry.azure.net", "https://management.azure.com")
_SCOPE = re.compile(r"(repository|registry):(.+):([a-z*,_]+)")


class RefusedError(Exception):
    """401, with the reason that the client is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    port: int
    service: str
    username: str
    password: str
    key: str
    certificate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Decides who gets which token."""

    settings: Settings
    key: ec.EllipticCurvePrivateKey
    certificate: str  # base64 DER
    access_s: int = _ACCESS_S

    def exchange(self, form: Mapping[str, str]) -> dict[str, object]:
        """An Entra token (or a refresh token) for a refresh token of this registry."""
        self._check_service(form)
        if form.get("grant_type") in ("access_token", "access_token_refresh_token"):
            subject = _entra_subject(form.get("access_token", ""), form.get("tenant"))
        else:
            subject = self._refreshed(form.get("refresh_token", ""))
        return {"refresh_token": self._sign(subject, _REFRESH_S, {"grant": "refresh"})}

    def access(
        self, form: Mapping[str, str], scopes: list[str], login: tuple[str, str] | None
    ) -> dict[str, object]:
        """A short-lived token for the scopes asked for."""
        self._check_service(form)
        if form.get("grant_type") == "refresh_token":
            subject = self._refreshed(form.get("refresh_token", ""))
        elif form.get("grant_type") == "password":
            subject = self._logged_in(form.get("username", ""), form.get("password", ""))
        elif login:
            subject = self._logged_in(*login)
        else:
            raise RefusedError("authentication required, anonymous pull is off")
        token = self._sign(subject, self.access_s, {"access": _grants(scopes)})
        return {"access_token": token, "expires_in": _ACCESS_S}

    def _check_service(self, form: Mapping[str, str]) -> None:
        if form.get("service") != self.settings.service:
            raise RefusedError(f"service {form.get('service')!r} is not {self.settings.service!r}")

    def _logged_in(self, username: str, password: str) -> str:
        if username == _TOKEN_USER:
            return self._refreshed(password)
        if (username, password) != (self.settings.username, self.settings.password):
            raise RefusedError("invalid username or password")
        return username

    def _refreshed(self, token: str) -> str:
        try:
            claims = jwt.decode(
                token,
                self.key.public_key(),
                algorithms=[_ALGORITHM],
                audience=self.settings.service,
            )
        except jwt.InvalidTokenError as error:
            raise RefusedError(f"invalid refresh token: {error}") from error
        if claims.get("grant") != "refresh":
            raise RefusedError("not a refresh token")
        return claims["sub"]

    def _sign(self, subject: str, lifetime_s: int, claims: Mapping[str, object]) -> str:
        now = int(time.time())
        common = {
            "iss": ISSUER,
            "sub": subject,
            "aud": self.settings.service,
            "iat": now,
            "nbf": now - 5,
            "exp": now + lifetime_s,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(
            {**common, **claims},
            self.key,
            algorithm=_ALGORITHM,
            headers={"x5c": [self.certificate]},
        )


def _entra_subject(token: str, tenant: str | None) -> str:
    """Who the Entra token names. Its signature is checked once the testbed has an Entra."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False, "verify_exp": True})
    except jwt.InvalidTokenError as error:
        raise RefusedError(f"invalid Entra token: {error}") from error
    if str(claims.get("aud", "")).rstrip("/") not in _AUDIENCES:
        raise RefusedError(f"the Entra token is for {claims.get('aud')!r}, not for a registry")
    if tenant and claims.get("tid") != tenant:
        raise RefusedError(f"the Entra token is of tenant {claims.get('tid')!r}, not {tenant!r}")
    return str(claims.get("oid") or claims.get("sub"))


def _grants(scopes: list[str]) -> list[dict[str, object]]:
    asked = [_SCOPE.fullmatch(scope) for text in scopes for scope in text.split()]
    return [
        {"type": found[1], "name": found[2], "actions": found[3].split(",")}
        for found in asked
        if found
    ]


class Handler(BaseHTTPRequestHandler):
    tokens: Tokens
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        fields = parse_qs(url.query)
        fields.pop("grant_type", None)  # a GET carries its login in the header
        self._route(url.path, fields, ("/oauth2/token",))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        fields = parse_qs(self.rfile.read(length).decode())
        self._route(self.path, fields, ("/oauth2/token", "/oauth2/exchange"))

    def _route(self, path: str, fields: dict[str, list[str]], known: tuple[str, ...]) -> None:
        form = {name: values[0] for name, values in fields.items()}
        if path not in known:
            self._send(404, _error("NOT_FOUND", f"{self.command} {path} is not here"))
            return
        try:
            if path == "/oauth2/exchange":
                answer = self.tokens.exchange(form)
            else:
                scopes = fields.get("scope", [])
                answer = self.tokens.access(form, scopes, _login(self.headers["Authorization"]))
        except RefusedError as refusal:
            self._send(401, _error("UNAUTHORIZED", str(refusal)))
        else:
            self._send(200, answer)

    def _send(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _login(header: str | None) -> tuple[str, str] | None:
    """The user and password of a Basic header."""
    kind, _, value = (header or "").partition(" ")
    if kind.lower() != "basic":
        return None
    try:
        username, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise RefusedError("malformed Authorization header") from error
    return username, password


def _error(code: str, message: str) -> dict[str, object]:
    return {"errors": [{"code": code, "message": message}]}


def make_key(key_file: Path, certificate_file: Path) -> None:
    """A signing key and the certificate by which the registry knows it, unless they are there."""
    if certificate_file.exists():
        return
    key, certificate = self_signed(ISSUER, days=3650)
    layout.write_private(key_file, key.decode())
    layout.write_private(certificate_file, certificate.decode())


def handler(settings: Settings, access_s: int = _ACCESS_S) -> type[Handler]:
    """`access_s`: how long an access token really lives, whatever the client is told."""
    key = serialization.load_pem_private_key(Path(settings.key).read_bytes(), password=None)
    certificate = x509.load_pem_x509_certificate(Path(settings.certificate).read_bytes())
    der = base64.b64encode(certificate.public_bytes(serialization.Encoding.DER)).decode()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    tokens = Tokens(settings=settings, key=key, certificate=der, access_s=access_s)
    return type("BoundHandler", (Handler,), {"tokens": tokens})


def serve(settings: Settings) -> None:
    ThreadingHTTPServer(("127.0.0.1", settings.port), handler(settings)).serve_forever()


if __name__ == "__main__":
    serve(Settings(**json.loads(Path(sys.argv[1]).read_text())))
