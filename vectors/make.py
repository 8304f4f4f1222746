"""Writes the tables in this folder anew: what others send, good and bad, one case a line.

Run it by `target/python/bin/python vectors/make.py`. Keys are made from fixed numbers and signatures are deterministic, so that
nothing changes which was not meant to (but for PSS, which is random). What each line means stands in `README.md`.
"""

import base64
import hashlib
import json
import pathlib

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

HERE = pathlib.Path(__file__).parent


def b64(data):
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length):
    return value.to_bytes(length, "big")


def prime(seed, bits):
    """The first prime behind what the seed says."""
    digest = b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(bits // 256))
    found = int.from_bytes(digest, "big") | (3 << (bits - 2)) | 1
    while pow(2, found - 1, found) != 1 or found % 65537 == 1:
        found += 2
    return found


def rsa_key(seed, bits):
    p, q = prime(f"{seed} p", bits // 2), prime(f"{seed} q", bits // 2)
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    numbers = rsa.RSAPrivateNumbers(
        p, q, d, rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q), public
    )
    return numbers.private_key()


ED = ed25519.Ed25519PrivateKey.from_private_bytes(bytes([7] * 32))
P256 = ec.derive_private_key(int.from_bytes(hashlib.sha256(b"p256").digest(), "big"), ec.SECP256R1())
P384 = ec.derive_private_key(int.from_bytes(hashlib.sha384(b"p384").digest(), "big") >> 8, ec.SECP384R1())
RSA = rsa_key("rsa", 2048)
WEAK_RSA = rsa_key("weak", 1024)
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
ED_ORDER = 2**252 + 27742317777372353535851937790883648493


def write(name, rows):
    lines = ",\n".join(json.dumps(row, ensure_ascii=True) for row in rows)
    (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n")


# --- JWS


def raw(key):
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def ed_jwk(**more):
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw(ED)), **more}


def ec_jwk(key=P256, crv="P-256", size=32, **more):
    point = key.public_key().public_numbers()
    return {"kty": "EC", "crv": crv, "x": b64(number(point.x, size)), "y": b64(number(point.y, size)), **more}


def rsa_jwk(key=RSA, **more):
    numbers = key.public_key().public_numbers()
    return {"kty": "RSA", "n": b64(number(numbers.n, key.key_size // 8)), "e": "AQAB", **more}


def es(message, key=P256, size=32, digest=hashes.SHA256()):
    der = key.sign(message, ec.ECDSA(digest, deterministic_signing=True))
    r, s = utils.decode_dss_signature(der)
    return number(r, size) + number(s, size)


def rs(message, key=RSA, digest=hashes.SHA256()):
    return key.sign(message, padding.PKCS1v15(), digest)


SIGN = {"EdDSA": ED.sign, "Ed25519": ED.sign, "ES256": es, "RS256": rs}
JWKS = {"EdDSA": ed_jwk, "Ed25519": ed_jwk, "ES256": ec_jwk, "RS256": rsa_jwk}
PAYLOAD = '{"iss":"https://as.example","sub":"alice"}'


def jws(header, payload=PAYLOAD, sign=None, join="."):
    """`header` as members, or as it stands."""
    text = header if isinstance(header, (str, bytes)) else json.dumps(header, separators=(",", ":"))
    signed = f"{b64(text)}{join}{b64(payload)}"
    sign = sign or SIGN[header["alg"]]
    return f"{signed}.{b64(sign(signed.encode()))}"


def jws_rows():
    rows = []

    def row(what, token, good, keys=None, theirs=None, why=None):
        one = {"what": what, "token": token, "keys": keys if keys is not None else [ed_jwk()], "good": good}
        if theirs is not None and theirs != good:
            one.update(theirs=theirs, why=why)
        rows.append(one)

    for alg in SIGN:
        row(f"{alg}, as it should be", jws({"alg": alg}), True, [JWKS[alg]()])
        row(f"{alg}, with type and key id", jws({"alg": alg, "typ": "JWT", "kid": "1"}), True, [JWKS[alg](kid="1")])
        row(f"{alg}, key id of another key", jws({"alg": alg, "kid": "2"}), False, [JWKS[alg](kid="1")])
        row(f"{alg}, key for encryption", jws({"alg": alg}), False, [JWKS[alg](use="enc")])
        row(f"{alg}, key whose operations are others", jws({"alg": alg}), False, [JWKS[alg](key_ops=["encrypt"])])
        row(f"{alg}, key whose operation it is", jws({"alg": alg}), True, [JWKS[alg](key_ops=["verify"])])
        row(f"{alg}, key of another algorithm", jws({"alg": alg}), False, [JWKS[alg](alg="PS256")])
        row(f"{alg}, no key", jws({"alg": alg}), False, [])
        token = jws({"alg": alg})
        row(f"{alg}, one byte of the signature changed", token[:-8] + ("A" if token[-8] != "A" else "B") + token[-7:], False, [JWKS[alg]()])
        row(f"{alg}, signature shortened", token[:-4], False, [JWKS[alg]()])
        row(f"{alg}, signature longer", token + "AAAA", False, [JWKS[alg]()])
        row(f"{alg}, no signature", token.rsplit(".", 1)[0] + ".", False, [JWKS[alg]()])
        row(f"{alg}, another payload", jws({"alg": alg}, sign=lambda _, a=alg: SIGN[a](b"other")), False, [JWKS[alg]()])
        row(f"{alg} under the name of none", jws({"alg": "none"}, sign=SIGN[alg]), False, [JWKS[alg]()])
        row(f"{alg} in other letters", jws({"alg": alg.lower()}, sign=SIGN[alg]), False, [JWKS[alg]()])

    good = jws({"alg": "EdDSA"})
    head, body, signature = good.split(".")
    for alg in ["none", "None", "NONE", ""]:
        row(f"algorithm `{alg}` without signature", f"{b64(json.dumps({'alg': alg}))}.{body}.", False)
    for name, secret in [("the public key's bytes", raw(ED)), ("its JWK", json.dumps(ed_jwk()).encode())]:
        import hmac
        token = jws({"alg": "HS256"}, sign=lambda message, s=secret: hmac.new(s, message, hashlib.sha256).digest())
        row(f"HS256 by {name}", token, False)
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    row("HS256 by an RSA key's PEM", jws({"alg": "HS256"}, sign=lambda m: __import__("hmac").new(pem, m, hashlib.sha256).digest()), False, [rsa_jwk()])
    row("EdDSA for a P-256 key", jws({"alg": "EdDSA"}), False, [ec_jwk()])
    row("ES256 for an RSA key", jws({"alg": "ES256"}), False, [rsa_jwk()])
    row("header without algorithm", jws({"typ": "JWT"}, sign=ED.sign), False)
    row("algorithm that is no text", jws('{"alg":1}', sign=ED.sign), False)
    row("algorithm in an array", jws('{"alg":["EdDSA"]}', sign=ED.sign), False)

    for crit in [["exp"], ["b64"], [], None, "b64", ["alg"], [""]]:
        members = {"alg": "EdDSA", "crit": crit, "exp": 1}
        row(f"critical: {json.dumps(crit)}", jws(members), False)
    unencoded = f"{b64(json.dumps({'alg': 'EdDSA', 'b64': False, 'crit': ['b64']}))}.x"
    row("payload that is not encoded (RFC 7797)", f"{unencoded}.{b64(ED.sign(unencoded.encode()))}", False, theirs=True, why="nothing critical is understood here")
    row("`b64: true`, not critical", jws({"alg": "EdDSA", "b64": True}), True)

    spelling = "each token has one text: others pass over what its base64url may not have (RFC 7515 2)"
    twice = "one reading alone: of a repeated member others take the last (RFC 7515 4)"
    row("algorithm twice", jws('{"alg":"none","alg":"EdDSA"}', sign=ED.sign), False, theirs=True, why=twice)
    row("key id twice", jws('{"alg":"EdDSA","kid":"2","kid":"1"}', sign=ED.sign), False, [ed_jwk(kid="1")], True, twice)
    row("type twice, once escaped", jws('{"alg":"EdDSA","typ":"a","t\\u0079p":"b"}', sign=ED.sign), False, theirs=True, why=twice)
    for what, header in [("an array", '["EdDSA"]'), ("a text", '"EdDSA"'), ("null", "null"), ("nothing", ""), ("two objects", '{"alg":"EdDSA"}{}')]:
        row(f"header is {what}", jws(header, sign=ED.sign), False)
    row("header with spaces", jws('{ "alg" : "EdDSA" }\n', sign=ED.sign), True)
    row("header in UTF-16", jws('{"alg":"EdDSA"}'.encode("utf-16"), sign=ED.sign), False)
    row("header with a byte order mark", jws(b'\xef\xbb\xbf{"alg":"EdDSA"}', sign=ED.sign), False, theirs=True, why="JSON has no byte order mark (RFC 8259 8.1)")
    row("header with what is no UTF-8", jws(b'{"alg":"EdDSA","x":"\xff"}', sign=ED.sign), False)
    row("header with its key", jws({"alg": "ES256", "jwk": ec_jwk(), "jku": "https://evil.example/jwks"}), False)
    row("header with a certificate", jws({"alg": "EdDSA", "x5c": ["MIIB"], "x5u": "https://evil.example"}), True)

    row("payload is empty", jws({"alg": "EdDSA"}, ""), True)
    row("payload is no JSON", jws({"alg": "EdDSA"}, b"\xff\x00"), True)
    row("nothing", "", False)
    row("two parts", f"{head}.{body}", False)
    row("four parts", f"{good}.{signature}", False)
    row("five parts", f"{head}..{body}.{signature}.{signature}", False)
    row("dots", "..", False)
    row("flattened JSON", json.dumps({"protected": head, "payload": body, "signature": signature}), False)
    for what, changed in [("before", f" {good}"), ("behind", f"{good} "), ("as a line", f"{good}\n"), ("in the signature", f"{head}.{body}.{signature[:20]} {signature[20:]}"),
                          ("in the payload", f"{head}.{body[:8]} {body[8:]}.{signature}"), ("in the header", f"{head[:4]}\n{head[4:]}.{body}.{signature}")]:
        row(f"white space {what}", changed, False, theirs=what in ("behind", "as a line", "in the signature"), why=spelling)
    row("padding behind", f"{good}==", False, theirs=True, why=spelling)
    row("padding in the header", f"{head}=.{body}.{signature}", False)
    row("padding in the payload", f"{head}.{body}==.{signature}", False)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    stray = alphabet[alphabet.index(signature[-1]) ^ 1]
    row("stray bits behind the signature", f"{head}.{body}.{signature[:-1]}{stray}", False, theirs=True, why=spelling)
    row("the other alphabet", f"{head}.{body}.{signature.replace('-', '+').replace('_', '/')}", "-" not in signature and "_" not in signature)

    def spelled(text):
        signed = f"{b64(json.dumps({'alg': 'EdDSA'}))}.{text}"
        return f"{signed}.{b64(ED.sign(signed.encode()))}"

    row("payload with stray bits, so signed", spelled("e31"), False, theirs=True, why=spelling)
    row("payload with padding, so signed", spelled("e30="), False, theirs=True, why=spelling)
    row("payload with a space, so signed", spelled("e 30"), False, theirs=True, why=spelling)
    row("payload in the other alphabet, so signed", spelled("+/8"), False)

    message = jws({"alg": "ES256"}).rsplit(".", 1)[0]
    r, s = (int.from_bytes(part, "big") for part in (es(message.encode())[:32], es(message.encode())[32:]))
    other_s = P256_ORDER - s
    row("ES256, the other one of two signatures", f"{message}.{b64(number(r, 32) + number(other_s, 32))}", True, [ec_jwk()])
    row("ES256 as DER", f"{message}.{b64(utils.encode_dss_signature(r, s))}", False, [ec_jwk()])
    row("ES256, both numbers nought", f"{message}.{b64(bytes(64))}", False, [ec_jwk()])
    row("ES256, r nought", f"{message}.{b64(bytes(32) + number(s, 32))}", False, [ec_jwk()])
    row("ES256, s is the order", f"{message}.{b64(number(r, 32) + number(P256_ORDER, 32))}", False, [ec_jwk()])
    row("ES256, with a nought before each number", f"{message}.{b64(number(r, 33) + number(s, 33))}", False, [ec_jwk()])
    row("ES256 by a P-384 key", jws({"alg": "ES256"}, sign=lambda m: es(m, P384, 48)), False, [ec_jwk(P384, "P-384", 48)])
    row("ES384", jws({"alg": "ES384"}, sign=lambda m: es(m, P384, 48, hashes.SHA384())), False, [ec_jwk(P384, "P-384", 48)])
    row("P-384 key under the name of P-256", jws({"alg": "ES256"}, sign=lambda m: es(m, P384, 48)), False, [ec_jwk(P384, "P-256", 48)])
    off = dict(ec_jwk(), y=b64(bytes([1] * 32)))
    row("point that is on no curve", jws({"alg": "ES256"}), False, [off])
    row("coordinate with a nought before it", jws({"alg": "ES256"}), False, [dict(ec_jwk(), x=b64(bytes(1) + base64.urlsafe_b64decode(ec_jwk()["x"] + "=")))], True, "coordinates have the length of the curve (RFC 7518 6.2.1.2)")

    ed_message = good.rsplit(".", 1)[0]
    sig = ED.sign(ed_message.encode())
    s = int.from_bytes(sig[32:], "little") + ED_ORDER
    row("EdDSA, s not reduced (RFC 8032 5.1.7)", f"{ed_message}.{b64(sig[:32] + s.to_bytes(32, 'little'))}", False)
    identity = bytes([1] + [0] * 31)
    row("EdDSA key of small order, signature for anything", f"{ed_message}.{b64(identity + bytes(32))}", False, [ed_jwk(x=b64(identity))], True, "such a key signs everything at once, so its signature says nothing")
    row("EdDSA key of 31 bytes", good, False, [ed_jwk(x=b64(raw(ED)[:31]))])
    row("X25519 key", good, False, [ed_jwk(crv="X25519")])

    row("RS256, key of 1024 bits", jws({"alg": "RS256"}, sign=lambda m: rs(m, WEAK_RSA)), False, [rsa_jwk(WEAK_RSA)])
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    row("PS256", jws({"alg": "PS256"}, sign=lambda m: RSA.sign(m, pss, hashes.SHA256())), False, [rsa_jwk()])
    row("RS256 with the padding of PS256", jws({"alg": "RS256"}, sign=lambda m: RSA.sign(m, pss, hashes.SHA256())), False, [rsa_jwk()])
    row("RS256 over SHA-1", jws({"alg": "RS256"}, sign=lambda m: rs(m, digest=hashes.SHA1())), False, [rsa_jwk()])
    row("RS512", jws({"alg": "RS512"}, sign=lambda m: rs(m, digest=hashes.SHA512())), False, [rsa_jwk()])
    row("RS256, signature with a nought before it", jws({"alg": "RS256"}, sign=lambda m: b"\0" + rs(m)), False, [rsa_jwk()])

    row("private key in the set", good, False, [ed_jwk(d=b64(bytes([7] * 32)))])
    row("secret in the set beside the key", good, True, [ed_jwk(), {"kty": "other"}])
    row("the second of two keys", good, True, [ec_jwk(kid="2"), ed_jwk(kid="1")])
    row("key without id for a header with one", jws({"alg": "EdDSA", "kid": "1"}), True, theirs=False, why="`kid` is a hint (RFC 7515 4.1.4), and this key may be meant")
    row("longer than 16 KiB", jws({"alg": "EdDSA"}, "x" * 20_000), False, theirs=True, why="bounded before it is looked at (RFC 8725)")
    return rows


# --- passkeys

PARTY, ORIGIN, CHALLENGE = "as.example", "https://as.example", "Y2hhbGxlbmdl"
ID = bytes([9] * 16)


def cose(alg, key=None, **changed):
    """A COSE_Key as canonical CBOR; `changed` by `_1` for the label -1."""
    if alg == -8:
        members = {1: 1, 3: -8, -1: 6, -2: raw(ED)}
    elif alg == -7:
        point = (key or P256).public_key().public_numbers()
        members = {1: 2, 3: -7, -1: 1, -2: number(point.x, 32), -3: number(point.y, 32)}
    else:
        numbers = (key or RSA).public_key().public_numbers()
        members = {1: 3, 3: -257, -1: number(numbers.n, (key or RSA).key_size // 8), -2: b"\1\0\1"}
    for label, value in changed.items():
        label = -int(label[1:]) if label.startswith("_") else int(label[1:])
        members = {k: v for k, v in members.items() if k != label} if value is None else {**members, label: value}
    return cbor2.dumps(members)


def der(key):
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


DEVICES = {-7: P256, -8: ED, -257: RSA}


def device_signs(alg, message):
    if alg == -8:
        return ED.sign(message)
    if alg == -7:
        return P256.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    return rs(message)


def said(kind, **changed):
    members = {"type": f"webauthn.{kind}", "challenge": CHALLENGE, "origin": ORIGIN, "crossOrigin": False, **changed}
    return json.dumps({name: value for name, value in members.items() if value is not ...}, separators=(",", ":"))


def data(flags, counter=6, party=PARTY, attested=b"", behind=b""):
    return hashlib.sha256(party.encode()).digest() + bytes([flags]) + number(counter, 4) + attested + behind


def new_key(alg=-7, key=None, ident=ID, model=bytes(16), **changed):
    return model + number(len(ident), 2) + ident + (key if key is not None else cose(alg, **changed))


EXTENSIONS = cbor2.dumps({"credProtect": 2})
CLIENT_DATA = [
    ("as it should be", {}, True, None, None),
    ("without crossOrigin", {"crossOrigin": ...}, True, None, None),
    ("more members", {"tokenBinding": {"status": "supported"}, "other_keys_can_be_added_here": "x"}, True, None, None),
    ("another challenge", {"challenge": "b3RoZXI"}, False, None, None),
    ("challenge with padding", {"challenge": CHALLENGE + "="}, False, True, "compared as text, as the page sent it"),
    ("challenge in an array", {"challenge": [CHALLENGE]}, False, True, "a text (5.8.1): others make one of it"),
    ("no challenge", {"challenge": ...}, False, None, None),
    ("another origin", {"origin": "https://evil.example"}, False, None, None),
    ("origin without TLS", {"origin": "http://as.example"}, False, None, None),
    ("origin with a port", {"origin": "https://as.example:8443"}, False, None, None),
    ("origin with its own port", {"origin": "https://as.example:443"}, False, None, None),
    ("origin with a slash", {"origin": "https://as.example/"}, False, None, None),
    ("origin in capitals", {"origin": "https://AS.example"}, False, None, None),
    ("origin below this one", {"origin": "https://a.as.example"}, False, None, None),
    ("origin that begins alike", {"origin": "https://as.example.evil.example"}, False, None, None),
    ("no origin", {"origin": ...}, False, None, None),
    ("origin is null", {"origin": None}, False, None, None),
    ("the other type", {"type": "other"}, False, None, None),
    ("type with more behind it", {"type": "webauthn.get.create"}, False, None, None),
    ("no type", {"type": ...}, False, None, None),
    ("in a frame of another site", {"crossOrigin": True}, False, True, "these pages are in no frame (7.1 step 10, 7.2 step 13)"),
    ("crossOrigin is a text", {"crossOrigin": "true"}, False, True, "these pages are in no frame, and this says neither yes nor no"),
    ("with the origin above", {"topOrigin": "https://evil.example"}, False, True, "these pages are in no frame (7.1 step 11, 7.2 step 14)"),
]
SPELLED = [
    ("no JSON", "x", False, None),
    ("an array", "[]", False, None),
    ("nothing", "", False, None),
    ("with a byte order mark", "\ufeff", False, "JSON has no byte order mark"),
    ("type twice", "twice", False, "one reading alone: others take the last of two members"),
    ("behind it something more", "more", False, None),
]
FLAGS = [
    ("present and verified", 0x05, True, None, None),
    ("not verified", 0x01, False, None, None),
    ("not present", 0x04, False, None, None),
    ("neither", 0x00, False, None, None),
    ("may be backed up", 0x0D, True, None, None),
    ("is backed up", 0x1D, True, None, None),
    ("backed up, though it cannot be", 0x15, False, None, None),
    ("a bit for later use", 0x07, True, None, None),
    ("another bit for later use", 0x25, True, None, None),
]


def spelled(kind, how):
    good = said(kind)
    if how == "\ufeff":
        return how + good
    if how == "twice":
        return good.replace("{", '{"type":"webauthn.other",', 1)
    return good + "{}" if how == "more" else how


def webauthn_rows():
    rows = []

    def row(kind, what, good, theirs=None, why=None, **members):
        one = {"kind": kind, "what": what, "good": good, **members}
        if theirs is not None and theirs != good:
            one.update(theirs=theirs, why=why)
        rows.append(one)

    def asserted(what, good, theirs=None, why=None, alg=-7, client=None, auth=None, sign=None, counter=5, key=None):
        client, auth = client if client is not None else said("get"), auth if auth is not None else data(0x05)
        message = auth + hashlib.sha256(client.encode()).digest()
        signature = sign(message) if sign else device_signs(alg, message)
        stored = {-8: raw(ED), -257: der(RSA)}.get(alg) or P256.public_key().public_bytes(
            serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
        row("get", what, good, theirs, why, alg=alg, counter=counter, key=b64(stored), cose=b64(key or cose(alg)),
            client_data=b64(client), authenticator_data=b64(auth), signature=b64(signature))

    def registered(what, good, theirs=None, why=None, alg=-7, client=None, auth=None, key=None, ident=ID, fmt="none", statement=None, public=None, flags=0x45):
        client = client if client is not None else said("create")
        auth = auth if auth is not None else data(flags, 0, attested=new_key(alg, key))
        if statement == "self":
            statement = {"alg": alg, "sig": device_signs(alg, auth + hashlib.sha256(client.encode()).digest())}
        row("create", what, good, theirs, why, alg=alg, id=b64(ident), client_data=b64(client), authenticator_data=b64(auth),
            public_key=b64(public if public is not None else der(DEVICES.get(alg, P256))), fmt=fmt, statement=b64(cbor2.dumps(statement or {})))

    for what, changed, good, theirs, why in CLIENT_DATA:
        asserted(what, good, theirs, why, client=said("get", **changed))
        registered(what, good, theirs, why, client=said("create", **changed))
    for what, how, good, why in SPELLED:
        asserted(what, good, why is not None, why, client=spelled("get", how))
        registered(what, good, why is not None, why, client=spelled("create", how))
    asserted("client data of a registration", False, client=said("create"))
    registered("client data of a log-in", False, client=said("get"))
    for what, flags, good, theirs, why in FLAGS:
        asserted(what, good, theirs, why, auth=data(flags))
        registered(what, good, theirs, why, flags=flags | 0x40)

    for alg in (-7, -8, -257):
        asserted(f"algorithm {alg}", True, alg=alg)
        asserted(f"algorithm {alg}, signature of something else", False, alg=alg, sign=lambda _, a=alg: device_signs(a, b"x"))
        asserted(f"algorithm {alg}, no signature", False, alg=alg, sign=lambda _: b"")
        asserted(f"algorithm {alg}, signature longer", False, alg=alg, sign=lambda m, a=alg: device_signs(a, m) + b"\0")
        asserted(f"algorithm {alg}, client data unhashed", False, alg=alg, sign=lambda _, a=alg: device_signs(a, data(5) + said("get").encode()))
        registered(f"algorithm {alg}", True, alg=alg)
        registered(f"algorithm {alg}, key of another", False, True, "what the browser shows must be the key (6.5.1): others do not look at it", alg=alg, public=der(DEVICES[-8 if alg == -7 else -7]))
    asserted("signature as two numbers, no DER", False, sign=es)
    asserted("signature over SHA-384", False, sign=lambda m: P256.sign(m, ec.ECDSA(hashes.SHA384(), deterministic_signing=True)))
    for what, party in [("of another site", "evil.example"), ("of a site below", "a.as.example"), ("of the site above", "example"), ("of the origin", ORIGIN), ("of no site", "")]:
        asserted(f"data {what}", False, auth=data(5, party=party))
        registered(f"data {what}", False, auth=data(0x45, 0, party=party, attested=new_key()))
    for what, counter, before, good, theirs in [("goes on", 6, 5, True, None), ("stands", 5, 5, False, None), ("goes back", 4, 5, False, None), ("back to nought", 0, 5, False, None),
                                                ("is not used", 0, 0, True, None), ("begins", 1, 0, True, None), ("is the largest", 2**32 - 1, 5, True, None), ("is behind the largest", 0, 2**32 - 1, False, None)]:
        asserted(f"counter {what}", good, theirs, auth=data(5, counter), counter=before)
    for what, behind, flags, good in [("extensions", EXTENSIONS, 0x85, True), ("no extensions, though it says so", b"", 0x85, False), ("extensions, though it says none", EXTENSIONS, 0x05, False),
                                      ("a byte more", b"\0", 0x05, False), ("a byte behind extensions", EXTENSIONS + b"\0", 0x85, False), ("empty extensions", b"\xa0", 0x85, True)]:
        asserted(what, good, auth=data(flags, behind=behind))
        registered(what, good, auth=data(flags | 0x40, 0, attested=new_key(), behind=behind))
    asserted("extensions that are no map", False, True, "extensions are a map (6.1)", auth=data(0x85, behind=b"\x01"))
    asserted("extensions of no end", False, auth=data(0x85, behind=b"\xbf\xff"))
    asserted("with a new key", True, auth=data(0x45, attested=new_key()))
    asserted("with half a new key", False, auth=data(0x45, attested=new_key()[:40]))
    for cut in (0, 31, 32, 33, 36):
        asserted(f"{cut} bytes of data", False, auth=data(5)[:cut])
        registered(f"{cut} bytes of data", False, auth=data(0x45, 0, attested=new_key())[:cut])
    registered("no new key, though it says so", False, auth=data(0x45, 0))
    registered("no new key", False, auth=data(0x05, 0))
    registered("a new key, though it says none", False, auth=data(0x05, 0, attested=new_key()))
    registered("the key cut short", False, auth=data(0x45, 0, attested=new_key()[:-1]))
    registered("another id", False, True, "the id in the authenticator data is what the browser must show (7.1): others do not compare", auth=data(0x45, 0, attested=new_key(ident=bytes([8] * 16))))
    registered("id of 15 bytes", False, True, "at least 16 bytes (6.1.2 of Level 3: 100 bits of randomness)", ident=ID[:15], auth=data(0x45, 0, attested=new_key(ident=ID[:15])))
    registered("id of 1023 bytes", True, ident=bytes(1023), auth=data(0x45, 0, attested=new_key(ident=bytes(1023))))
    registered("id of 1024 bytes", False, True, "at most 1023 bytes (7.1 step 25)", ident=bytes(1024), auth=data(0x45, 0, attested=new_key(ident=bytes(1024))))
    registered("a model of device", True, auth=data(0x45, 0, attested=new_key(model=bytes(range(16)))))
    for what, changed, theirs in [("no type", {"k1": None}, False), ("another type", {"k1": 1}, None), ("no algorithm", {"k3": None}, False), ("another algorithm", {"k3": -8}, None),
                                  ("ES384", {"k3": -35}, False), ("curve P-384", {"_1": 2}, None), ("no x", {"_2": None}, False), ("x of 31 bytes", {"_2": bytes(31)}, None),
                                  ("y of 33 bytes", {"_3": bytes(33)}, None), ("y as a sign", {"_3": True}, None), ("a point on no curve", {"_3": bytes([1] * 32)}, None)]:
        registered(f"COSE key: {what}", False, theirs is None, "the key is read when it is registered: others do not look at it until it is used", key=cose(-7, **changed))
    registered("COSE key: its private half", True, key=cose(-7, _4=bytes([1] * 32)))
    registered("COSE key: an id of its own", True, key=cose(-7, k2=b"x"))
    registered("RSA of 1024 bits", False, True, "RSA keys have 2048 bits", alg=-257, key=cose(-257, WEAK_RSA), public=der(WEAK_RSA))
    registered("COSE key: no map", False, key=cbor2.dumps([1, 2]))
    registered("an algorithm that is not taken", False, alg=-37, key=cose(-7, k3=-37))
    registered("attested by itself", True, fmt="packed", statement="self")
    registered("attested by itself, with another signature", True, False, "no attestation is asked for, and none is read", fmt="packed", statement={"alg": -7, "sig": b"x"})
    registered("attested in a way nobody knows", True, False, "no attestation is asked for, and none is read", fmt="unknown", statement={"x": 1})
    registered("attested as none, with a statement", True, statement={"x": 1})
    return rows


# --- addresses


def email_rows():
    good = """bob@bar.example Bob@Bar.Example bob@BAR.EXAMPLE bob+x@bar.example b.o.b@bar.example o'hara@bar.example a@b.cd
        !#$%&'*+-/=?^_`{|}~@bar.example bob@b\u00fccher.example bob@B\u00dcCHER.example bob@xn--bcher-kva.example
        bob@XN--BCHER-KVA.Example b\u00f6b@bar.example B\u00d6B@bar.example bob@fa\u00df.example bob@\u4f8b\u3048.example
        \u7528\u6237@\u4f8b\u3048.example bob@\u03b2\u03cc\u03bb\u03bf\u03c2.example bob@\u05d0\u05d1.example bob@a-b.example bob@a1.example bob@1a.example
        bob@sub.sub.sub.bar.example 1@bar.example -@bar.example""".split()
    bad = [
        "", "bob", "@", "bob@", "@bar.example", "bob@@bar.example", "bob@eve@bar.example", ".bob@bar.example", "bob.@bar.example", "b..ob@bar.example",
        "bob@.bar.example", "bob@bar.example.", "bob@bar..example", "bob@-bar.example", "bob@bar-.example", "bob@bar_baz.example", "bob@bar example",
        "b ob@bar.example", " bob@bar.example", "bob@bar.example ", "bob@bar.example\n", "bob\r\n@bar.example", "bob@bar.example\r\nBcc: eve@e.example",
        "\tbob@bar.example", "bob\0@bar.example", "bob@bar.example\0", "bob\x7f@bar.example", "<bob@bar.example>", "Bob <bob@bar.example>", "bob@bar.example,eve@e.example",
        "bob,eve@bar.example", "bob(x)@bar.example", "bob@bar.example(x)", "bob\\@bar.example", "bob:eve@bar.example", "bob;eve@bar.example", "\"bob\"@bar.example",
        "\"b ob\"@bar.example", "\"b@ob\"@bar.example", "\"\"@bar.example", "bob@[127.0.0.1]", "bob@[IPv6:::1]", "bob@127.0.0.1", "bob@1.2", "bob@xn--.example",
        "bob@xn--a.example", "bob@xn--bcher-kvb.example", "bob@\u2603.example", "bob@\u200dbar.example", "b\u200bob@bar.example", "bob\u202e@bar.example", "bob\u00a0@bar.example",
        "bob@ba\u00a0r.example", "bob@bar\u3002example", "bob\uff20bar.example", "bob@\uff42ar.example", "mike@mi\u212ae.example", "bob@\u0131xn.example", "bob@\ufb01r.example",
        "bob@bu\u0308cher.example", "bob@\u0308b.example", "bob@a\u0301.example", "bob@b\u0130r.example", "bob@" + "a" * 64 + ".example", "bob@" + "a." * 130 + "example", "b" * 65 + "@bar.example",
        "bob@ab--cd.example", "bob@\u05d0b.example", "bob@1\u05d0.example", "bob@\u00b7.example", "bob@l\u00b7l.example", "bob@\u30fb.example", "bob@\u0640.example", "bob@\u1e9e.example",
        "bob@\U0001f600.example", "bob@bar.example/x", "bob@bar.example:25", "bob@bar%2eexample", "bob%bar.example", "bob@bar\\.example", "bob@0x7f", "bob@bar.0x7f", "mailto:bob@bar.example",
        "b\u00ad@bar.example", "bob@ba\u00adr.example", "bo\ufeffb@bar.example", "\u2028@bar.example", "bob@bar.example\u3000",
    ]
    url, wide = "whoever opens it as a URL reaches an IPv4 address", "nothing is folded that is another letter (RFC 5891 5.3)"
    stricter = {"bob@127.0.0.1": url, "bob@1.2": url, "bob@0x7f": url, "bob@bar.0x7f": url}
    stricter |= dict.fromkeys(["bob@bar\u3002example", "bob@\uff42ar.example", "mike@mi\u212ae.example", "bob@\ufb01r.example", "bob@bu\u0308cher.example",
                               "bob@a\u0301.example", "bob@b\u0130r.example"], wide)
    return [{"address": one, **({"why": stricter[one]} if one in stricter else {})} for one in good + bad]


# --- DIDs

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data):
    left, text = int.from_bytes(data, "big"), ""
    while left:
        left, digit = divmod(left, 58)
        text = BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def did_rows():
    point = P256.public_key().public_bytes
    compressed = point(serialization.Encoding.X962, serialization.PublicFormat.CompressedPoint)
    whole = point(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    other_sign = bytes([compressed[0] ^ 1]) + compressed[1:]
    rows = []

    def row(what, did, why=None):
        rows.append({"what": what, "did": did, **({"why": why} if why else {})})

    def key(what, data, why=None):
        row(what, f"did:key:z{base58(data)}", why)

    # examples of the method's specification, W3C CCG did-key
    for example in ["z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp", "z6MkjchhfUsD6mmvni8mCdXHw216Xrm9bQe2mBH1P5RDjVJG", "z6MknGc3ocHs3zdPiJbnaaqDi58NGb4pk1Sp9WxWufuXSdxf",
                    "zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169", "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"]:
        row("published", f"did:key:{example}")
    other_kind = "keys of other kinds are not taken here"
    row("published: secp256k1", "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme", other_kind)
    row("published: X25519", "did:key:z6LSeu9HkHTSfLLeUs2nnzUSNedgDUevfNQgQjQC23ZCit6F")
    row("published: P-384", "did:key:z82Lm1MpAkeJcix9K8TMiLd5NMAhnwkjjCBeWHXyu3U4oT2MVJJKXkcVBgjGhnLBn2Kaau9", other_kind)
    ed = raw(ED)
    key("Ed25519", b"\xed\1" + ed)
    key("Ed25519, a byte short", b"\xed\1" + ed[:-1])
    key("Ed25519, a byte more", b"\xed\1" + ed + b"\0")
    key("Ed25519, kind not as a varint", b"\xed" + ed)
    key("Ed25519, kind as a longer varint", b"\xed\x81\0" + ed, "one spelling of each key")
    key("Ed25519, kind in two bytes from the left", b"\0\xed" + ed)
    key("Ed25519, no kind", ed)
    key("kind alone", b"\xed\1")
    key("Ed25519, private", b"\x80\x26" + ed)
    key("secp256k1", b"\xe7\1" + compressed, other_kind)
    key("BLS", b"\xeb\1" + bytes(96))
    key("RSA", b"\x85\x24" + bytes(256))
    key("P-256", b"\x80\x24" + compressed)
    key("P-256, the other point of this x", b"\x80\x24" + other_sign)
    key("P-256, not compressed", b"\x80\x24" + whole, "compressed alone: each key has one DID (did:key 3.1.2)")
    key("P-256, no sign", b"\x80\x24" + compressed[1:])
    key("P-256, sign of no kind", b"\x80\x24\5" + compressed[1:])
    key("P-256, an x on no curve", b"\x80\x24\2" + bytes([0xff] * 32))
    key("P-256, a byte more", b"\x80\x24" + compressed + b"\0")
    key("small order", b"\xed\1\1" + bytes(31))
    text = base58(b"\xed\1" + ed)
    for what, did in [("a one before", f"z1{text}"), ("letter that base58 has not", f"z{text[:-1]}0"), ("base64url", "u" + b64(b"\xed\1" + ed)), ("hex", "f" + (b"\xed\1" + ed).hex()),
                      ("no base", text), ("nothing", ""), ("base alone", "z"), ("space behind", f"z{text} "), ("fragment", f"z{text}#z{text}"), ("version before", f"1.1:z{text}"), ("small letters", f"z{text}".lower())]:
        why = "a DID, and no URL of its parts, names a credential" if what == "fragment" else None
        row(what, f"did:key:{did}", why)
    row("capitals", f"DID:KEY:z{text}")
    row("another method", f"did:kei:z{text}")
    # places, W3C CCG did-web
    for what, did, why in [
        ("published: a domain", "did:web:w3c-ccg.github.io", None),
        ("published: a path", "did:web:w3c-ccg.github.io:user:alice", None),
        ("published: a port", "did:web:example.com%3A3000", None),
        ("published: port and path", "did:web:example.com%3A3000:user:alice", None),
        ("deep path", "did:web:a.example:b:c:d-e_f.g", None),
        ("name of two scripts as A-label", "did:web:xn--bcher-kva.example", None),
        ("nothing", "did:web:", None),
        ("a path that begins with nothing", "did:web:a.example::b", "an empty segment leads elsewhere than it reads"),
        ("a path that ends in nothing", "did:web:a.example:", None),
        ("a slash", "did:web:a.example/b", "a DID, and no URL of its parts"),
        ("a slash, encoded", "did:web:a.example%2Fb", "a segment is one segment"),
        ("dots", "did:web:a.example:..:b", "no segment leads up"),
        ("dots, encoded", "did:web:a.example:%2e%2e:b", "no segment leads up"),
        ("dot", "did:web:a.example:.", "no segment leads up"),
        ("somebody before the domain", "did:web:u%40a.example", "nobody logs in to read a document"),
        ("a question", "did:web:a.example?b", "a DID, and no URL of its parts"),
        ("a question, encoded", "did:web:a.example%3Fb", "a document is a path"),
        ("a fragment", "did:web:a.example#b", "a DID, and no URL of its parts"),
        ("a backslash, encoded", "did:web:a%5Cb.example", "some read it as a slash"),
        ("a space, encoded", "did:web:a.example:b%20c", "plain segments alone, so that each document has one DID"),
        ("a letter, encoded", "did:web:%61.example", "plain segments alone, so that each document has one DID"),
        ("a port in small letters", "did:web:a.example%3a3000", "one spelling"),
        ("a port of nothing", "did:web:a.example%3A", "one spelling"),
        ("a port with a nought before it", "did:web:a.example%3A0443", "one spelling"),
        ("a port that is none", "did:web:a.example%3A99999", "there is no such port"),
        ("two ports", "did:web:a.example%3A1%3A2", "there is one port"),
        ("an address", "did:web:127.0.0.1", "domains alone (did:web 3.1)"),
        ("an address in one number", "did:web:0x7f000001", "domains alone (did:web 3.1)"),
        ("capitals", "did:web:A.Example", "one spelling"),
        ("another script", "did:web:b\u00fccher.example", None),
        ("broken escape", "did:web:a.example%zz", None),
    ]:
        row(what, did, why)
    return rows


write("jws", jws_rows())
write("did", did_rows())
write("webauthn", webauthn_rows())
write("email", email_rows())
