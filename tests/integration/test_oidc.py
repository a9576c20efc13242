import base64
import hashlib
import hmac
import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from service_package import body, embedded, served, stage

from credit_scoring.adapters.database.engine import open_database
from credit_scoring.adapters.oidc import LEEWAY_S, OidcOptions, TokenCheck, oidc_options
from credit_scoring.adapters.oidc_keys import BETWEEN_FETCHES_S, FRESH_S, LAST_RESORT_S, IssuerKeys
from credit_scoring.core.callers import Accepted, Caller
from credit_scoring.core.errors import IssuerUnavailableError, SettingsError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUDIENCE = "credit-scoring"
ACCEPTING = OidcOptions(AUDIENCE)
RSA = rsa.generate_private_key(65537, 2048)
OTHER_RSA = rsa.generate_private_key(65537, 2048)
WEAK_RSA = rsa.generate_private_key(65537, 1024)  # noqa: S505 - what must not be accepted
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()


def jwk(key: Any, kid: str | None = None, **more: Any) -> dict[str, Any]:
    kinds = {rsa.RSAPrivateKey: RSAAlgorithm, ec.EllipticCurvePrivateKey: ECAlgorithm}
    algorithm = next((found for kind, found in kinds.items() if isinstance(key, kind)), OKPAlgorithm)
    described = algorithm.to_jwk(key.public_key(), as_dict=True) | more
    described.pop("key_ops", None)
    return described | ({"kid": kid} if kid else {})


@dataclass
class Issuer:
    """A real issuer on this machine, whose answers can be changed."""

    url: str = ""
    keys: list[Any] = field(default_factory=lambda: [jwk(RSA, "rsa"), jwk(EC, "ec"), jwk(ED, "ed")])
    discovery: dict[str, Any] = field(default_factory=dict)
    raw: bytes | None = None
    status: int = 200
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> bytes:
        self.asked.append(path)
        if self.raw is not None:
            return self.raw
        if path == "/keys":
            return json.dumps({"keys": self.keys}).encode()
        return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"} | self.discovery).encode()


@contextmanager
def serving(issuer: Issuer) -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(issuer.delay_s)
            content = issuer.answer(self.path)
            self.send_response(issuer.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            """Say nothing of a client that did not wait."""

    server = Server(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    found = Issuer()
    with serving(found):
        yield found


@dataclass
class Checking:
    """A check of an issuer's tokens, with clocks that are moved by hand."""

    issuer: Issuer
    options: OidcOptions = ACCEPTING
    passed_s: float = 0.0

    def __post_init__(self) -> None:
        self.keys = IssuerKeys(self.issuer.url, lambda: self.passed_s)
        self.check = TokenCheck(self.keys, self.options, lambda: NOON + timedelta(seconds=self.passed_s))

    def __call__(self, token: str) -> Accepted | None:
        return self.check(token)


def claims(issuer: Issuer, **changes: Any) -> dict[str, Any]:
    now = NOON.timestamp()
    found = {"iss": issuer.url, "aud": AUDIENCE, "sub": "ana", "exp": now + 600, "iat": now, "tenant": "lender"}
    found |= {"scope": "openid decide read"} | changes
    return {name: value for name, value in found.items() if value is not None}


def token(issuer: Issuer, key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa", **changes: Any) -> str:
    headers = {"kid": kid} if kid else {}
    content = json.dumps(claims(issuer, **changes)).encode()
    return jwt.api_jws.PyJWS().encode(content, key, algorithm, headers)


def part(content: Any) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"),
    [(RSA, "RS256", "rsa"), (RSA, "RS512", "rsa"), (RSA, "PS256", "rsa"), (EC, "ES256", "ec"), (ED, "EdDSA", "ed")],
    ids=["RS256", "RS512", "PS256", "ES256", "EdDSA"],
)
def test_a_token_of_the_issuer_is_accepted(issuer, key, algorithm, kid):
    accepted = Checking(issuer)(token(issuer, key, algorithm, kid))
    digest = hashlib.sha256(f"{issuer.url}\nana".encode()).hexdigest()[:16]
    assert accepted == Accepted(
        Caller(f"oidc:{digest}", "lender", "ana", frozenset({"decide", "read"})),
        NOON + timedelta(seconds=600 + LEEWAY_S),
    )


def test_scopes_come_as_words_or_as_a_list_under_either_name_and_only_ours_count(issuer):
    check = Checking(issuer)
    for given_scopes in (
        {"scope": "read admin approve"},
        {"scope": ["read", "approve", 7]},
        {"scope": None, "scp": "approve read"},
        {"scope": None, "scp": ["approve", "read"]},
    ):
        assert check(token(issuer, **given_scopes)).caller.scopes == {"read", "approve"}
    for nothing in (None, 7, {}, "decideread", "DECIDE"):
        assert check(token(issuer, scope=nothing)).caller.scopes == frozenset()


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example.com"},
        {"iss": None},
        {"iss": 7},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["another", "third"]},
        {"aud": 7},
        {"exp": None},
        {"exp": NOON.timestamp() - LEEWAY_S},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"nbf": NOON.timestamp() + LEEWAY_S + 1},
        {"nbf": "now"},
        {"iat": NOON.timestamp() + LEEWAY_S + 1},
        {"iat": "now"},
        {"sub": None},
        {"sub": 7},
        {"sub": ""},
        {"sub": "a\nb"},
        {"sub": "a" * 129},
        {"tenant": None},
        {"tenant": ""},
        {"tenant": 7},
        {"tenant": ["lender"]},
        {"tenant": "a\x00"},
    ],
    ids=lambda changes: f"{next(iter(changes))}-{type(next(iter(changes.values()))).__name__}",
)
def test_a_signed_token_with_other_claims_is_refused(issuer, changes):
    assert Checking(issuer)(token(issuer, **changes)) is None


def test_clocks_may_differ_a_little_and_an_audience_may_be_one_of_several(issuer):
    now = NOON.timestamp()
    late = token(issuer, exp=now - LEEWAY_S + 1, nbf=now + LEEWAY_S, iat=now + LEEWAY_S, aud=["x", AUDIENCE])
    assert Checking(issuer)(late) is not None


def test_a_token_that_never_seems_to_end_does_no_harm(issuer):
    for end in (1e300, 10**400):
        accepted = Checking(issuer)(token(issuer, exp=end))
        assert accepted is None or accepted.expires_at <= NOON + timedelta(days=1)


def test_the_tenant_claim_is_chosen_and_only_an_absent_one_has_a_default(issuer):
    assert Checking(issuer, OidcOptions(AUDIENCE, "org"))(token(issuer, org="other")).caller.tenant == "other"
    check = Checking(issuer, OidcOptions(AUDIENCE, default_tenant="default"))
    assert check(token(issuer, tenant=None)).caller.tenant == "default"
    assert check(token(issuer, tenant="lender")).caller.tenant == "lender"
    assert check(token(issuer, tenant="")) is None
    assert check(jwt.encode(claims(issuer) | {"tenant": None}, RSA, "RS256", {"kid": "rsa"})) is None


def forged(issuer: Issuer) -> dict[str, str]:
    signed = token(issuer)
    header, payload, signature = signed.split(".")
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    confused = f"{part({'alg': 'HS256', 'kid': 'rsa', 'typ': 'JWT'})}.{payload}"
    mac = hmac.digest(public, confused.encode(), "sha256")
    secret_key = f"{part({'alg': 'HS256', 'kid': 'oct', 'typ': 'JWT'})}.{payload}"
    shared = hmac.digest(b"k" * 32, secret_key.encode(), "sha256")
    weak = f"{part({'alg': 'RS256', 'kid': 'weak', 'typ': 'JWT'})}.{payload}"
    own = jwk(OTHER_RSA, "rsa")
    return {
        "unsigned": f"{part({'alg': 'none', 'kid': 'rsa'})}.{payload}.",
        "unsigned, said otherwise": f"{part({'alg': 'NoNe', 'kid': 'rsa'})}.{payload}.",
        "the public key as an HMAC secret": f"{confused}.{part(mac)}",
        "a symmetric key of the set": f"{secret_key}.{part(shared)}",
        "another claim": f"{header}.{part(claims(issuer, tenant='another'))}.{signature}",
        "another signer": token(issuer, OTHER_RSA),
        "its own key in the header": jwt.encode(claims(issuer), OTHER_RSA, "RS256", {"kid": "rsa", "jwk": own}),
        "a key at an address": jwt.encode(claims(issuer), OTHER_RSA, "RS256", {"kid": "x", "jku": f"{issuer.url}/k"}),
        "another key's id": token(issuer, EC, "ES256", "rsa"),
        "a key for encryption": token(issuer, OTHER_RSA, kid="enc"),
        "a weak key": f"{weak}.{part(WEAK_RSA.sign(weak.encode(), PKCS1v15(), SHA256()))}",
        "an algorithm that the key is not for": token(issuer, OTHER_RSA, "RS512", "only RS256"),
        "no key id though there are several keys": token(issuer, kid=None),
        "an unknown critical extension": jwt.encode(
            claims(issuer), RSA, "RS256", {"kid": "rsa", "crit": ["x"], "x": 1}
        ),
        "no signature": f"{header}.{payload}.",
        "half a signature": signed[:-100],
        "nested too deeply": f"{header}.{part(b'[' * 100_000)}.{signature}",
        "a number too long": f"{part(b'{' + b'1' * 5000)}.{payload}.{signature}",
        "a key id that is none": f"{part({'alg': 'RS256', 'kid': ['rsa']})}.{payload}.{signature}",
        "no object": f"{part([])}.{payload}.{signature}",
        "nothing": "..",
    }


@pytest.mark.parametrize("forgery", forged(Issuer("http://127.0.0.1")))
def test_a_forged_token_is_refused(issuer, forgery):
    issuer.keys += [
        jwk(OTHER_RSA, "enc", use="enc"),
        jwk(OTHER_RSA, "only RS256", alg="RS256"),
        jwk(WEAK_RSA, "weak"),
        {"kty": "oct", "k": part(b"k" * 32), "kid": "oct", "alg": "HS256"},
    ]
    check = Checking(issuer)
    assert check(forged(issuer)[forgery]) is None
    assert check(token(issuer)) is not None


@pytest.fixture(scope="module")
def checking() -> Iterator[Checking]:
    issuer = Issuer()
    with serving(issuer):
        yield Checking(issuer)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)


@given(
    sent=st.text()
    | st.from_regex(r"[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{1,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True)
    | st.builds(
        lambda header, payload, end: f"{part(header)}.{part(payload)}.{part(end)}",
        st.dictionaries(st.sampled_from(["alg", "kid", "typ", "b64", "crit", "jwk"]), JSON | st.just("RS256")),
        st.dictionaries(st.sampled_from(["iss", "aud", "exp", "sub"]), JSON) | JSON,
        st.binary(max_size=300),
    )
)
def test_nothing_that_strangers_send_is_more_than_not_accepted(checking, sent):
    assert checking(sent) is None


@given(
    changes=st.dictionaries(st.sampled_from(["aud", "exp", "nbf", "iat", "sub", "tenant", "scope", "scp", "jti"]), JSON)
)
def test_whatever_an_issuer_signs_is_accepted_or_not_and_never_an_error(checking, changes):
    content = json.dumps(claims(checking.issuer) | changes).encode()
    found = checking(jwt.api_jws.PyJWS().encode(content, RSA, "RS256", {"kid": "rsa"}))
    assert found is None or found.caller.tenant == (claims(checking.issuer) | changes)["tenant"]


def test_keys_are_fetched_once_and_again_when_they_are_old(issuer):
    check = Checking(issuer)
    for _ in range(3):
        check(token(issuer))
    assert issuer.asked == ["/.well-known/openid-configuration", "/keys"]
    check.passed_s = FRESH_S
    issuer.keys = [jwk(EC, "ec")]
    assert check(token(issuer)) is None
    assert len(issuer.asked) == 4


def test_the_only_key_needs_no_id(issuer):
    issuer.keys = [jwk(RSA)]
    assert Checking(issuer)(token(issuer, kid=None)) is not None


def test_a_new_key_is_fetched_when_a_token_names_it_but_strangers_cannot_have_it_done_often(issuer):
    check = Checking(issuer)
    for number in range(50):
        assert check(token(issuer, OTHER_RSA, kid=f"made up {number}")) is None
    assert len(issuer.asked) == 2
    issuer.keys.append(jwk(OTHER_RSA, "new"))
    check.passed_s = BETWEEN_FETCHES_S
    assert check(token(issuer, OTHER_RSA, kid="new")) is not None
    assert len(issuer.asked) == 4


def test_while_the_issuer_is_down_known_keys_are_used_and_others_cannot_be_told(issuer):
    check = Checking(issuer)
    check(token(issuer))
    issuer.status = 500
    for check.passed_s in (1.0, FRESH_S + 1, LAST_RESORT_S - 1):
        assert check(token(issuer, exp=NOON.timestamp() + 10 * LAST_RESORT_S)) is not None
    with pytest.raises(IssuerUnavailableError) as told:
        check(token(issuer, kid="unknown"))
    assert told.value.retry_after_s == BETWEEN_FETCHES_S
    check.passed_s = LAST_RESORT_S
    with pytest.raises(IssuerUnavailableError):
        check(token(issuer))
    issuer.status = 200
    check.passed_s += BETWEEN_FETCHES_S
    assert check(token(issuer, exp=NOON.timestamp() + 10 * LAST_RESORT_S)) is not None


def test_an_issuer_that_hangs_holds_up_one_who_asks_and_nobody_with_a_known_key(issuer):
    check = Checking(issuer)
    check(token(issuer))
    issuer.delay_s = 3.0
    check.passed_s = FRESH_S
    asking = threading.Thread(target=check, args=(token(issuer),))
    asking.start()
    while not check.keys._lock.locked():
        time.sleep(0.001)
    began = time.perf_counter()
    assert check(token(issuer)) is not None
    assert time.perf_counter() - began < 1
    asking.join()
    assert time.perf_counter() - began < 2.9


@pytest.mark.parametrize(
    "change",
    [
        {"raw": b"nonsense"},
        {"raw": b"[]"},
        {"raw": b"[" * 100_000},
        {"discovery": {"pad": "x" * 600_000}},
        {"status": 302},
        {"status": 404},
        {"discovery": {"issuer": "https://other.example.com"}},
        {"discovery": {"jwks_uri": "http://other.example.com/keys"}},
        {"discovery": {"jwks_uri": "file:///etc/passwd"}},
        {"discovery": {"jwks_uri": ["x"]}},
        {"keys": []},
        {"keys": ["x", None, {}, {"kty": "RSA"}, {"kty": "RSA", "n": 7, "e": "AQAB"}, {"kty": "EC", "crv": "P-256"}]},
        {"keys": {"a": 1}},
    ],
    ids=range(13),
)
def test_an_issuer_that_answers_rubbish_counts_as_down(issuer, change):
    for name, value in change.items():
        setattr(issuer, name, value)
    with pytest.raises(IssuerUnavailableError):
        Checking(issuer)(token(issuer))
    assert "/elsewhere" not in issuer.asked


def test_keys_are_not_fetched_where_they_could_be_changed_on_the_way(issuer):
    issuer.discovery["jwks_uri"] = issuer.url.replace("127.0.0.1", "0.0.0.0") + "/keys"  # noqa: S104 - reaches the server
    with pytest.raises(IssuerUnavailableError):
        Checking(issuer)(token(issuer))
    assert issuer.asked == ["/.well-known/openid-configuration"]


def test_one_broken_key_does_not_spoil_the_others(issuer):
    issuer.keys = [{"kty": "RSA", "n": "!", "e": "!", "kid": "broken"}, {"kty": "XX"}, *issuer.keys]
    assert Checking(issuer)(token(issuer)) is not None


@pytest.mark.parametrize(
    "address",
    ["http://login.example.com", "login.example.com", "ftp://127.0.0.1", "https://user:secret@x", "https://x?a=1", ""],
)
def test_an_issuer_that_cannot_be_trusted_on_the_way_is_refused(address):
    with pytest.raises(SettingsError, match="CREDIT_OIDC_ISSUER") as told:
        IssuerKeys(address)
    assert "secret" not in str(told.value)


def test_an_issuer_is_reached_by_https_or_on_this_machine():
    for address in ("https://login.example.com/realms/a", "http://localhost:8080/a", "http://[::1]:1"):
        assert IssuerKeys(address).issuer == address


def test_an_audience_must_be_named():
    with pytest.raises(SettingsError, match="CREDIT_OIDC_AUDIENCE"):
        oidc_options(None, "tenant", None)
    with pytest.raises(SettingsError, match="CREDIT_OIDC_DEFAULT_TENANT"):
        oidc_options("a", "tenant", "\n")
    assert oidc_options("a", "org", "b") == OidcOptions("a", "org", "b")


def test_no_token_and_no_subject_are_logged(issuer, caplog):
    caplog.set_level(logging.DEBUG)
    check = Checking(issuer)
    subject = "ana.garcia@example.com"
    sent = [token(issuer, sub=subject), token(issuer, sub=subject, aud="x"), token(issuer, kid="unknown", sub=subject)]
    key_id = check(sent[0]).caller.key_id
    check(sent[1])
    issuer.status = 500
    check.passed_s = BETWEEN_FETCHES_S
    with pytest.raises(IssuerUnavailableError) as told:
        check(sent[2])
    shown = caplog.text + repr(told.value) + repr(check.check) + key_id
    assert "oidc_keys_unavailable" in shown
    assert not any(piece in shown for piece in (subject, *(piece for one in sent for piece in one.split("."))))


def test_a_service_that_is_told_an_issuer_takes_its_tokens_and_no_development_key(
    issuer, scorecard_bundle, boosted_trees_bundle, tmp_path
):
    package = stage(tmp_path / "stage/of/bento", scorecard_bundle, boosted_trees_bundle)
    engine = open_database(f"sqlite:///{tmp_path}/credit.db")
    with served(package, engine, embedded(tmp_path / "credit.db")) as client:
        assert client.decide(body("with-the-key")).status_code == 200
        key = (tmp_path / "development.key").read_text().strip()
    told = {"oidc_issuer": issuer.url, "oidc_audience": AUDIENCE}
    environment = embedded(tmp_path / "credit.db").model_copy(update=told)
    now = datetime.now(UTC).timestamp()
    mine = token(issuer, scope="decide", exp=now + 300, iat=now)
    with served(package, engine, environment) as client:
        refused = client.decide(body("key"), headers={"Authorization": f"Bearer {key}"})
        accepted = client.decide(body("token"), headers={"Authorization": f"Bearer {mine}"})
        where = f"/v1/decisions/{accepted.json()['decision_id']}"
        unread = client.get(where, headers={"Authorization": f"Bearer {mine}"})
    assert (refused.status_code, accepted.status_code, unread.status_code) == (401, 200, 403)
    assert unread.json()["code"] == "forbidden"
