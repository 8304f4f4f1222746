"""What PyPI's `webauthn`, `email-validator` and `idna` say about a table of `vectors/`: one answer a row, as JSON."""

import base64
import json
import sys

import cbor2
import idna
import webauthn
from email_validator import EmailNotValidError, validate_email
from webauthn.helpers.cose import COSEAlgorithmIdentifier as Algorithm

PARTY = {"expected_rp_id": "as.example", "expected_origin": "https://as.example", "require_user_verification": True}
CHALLENGE = b"challenge"
ALGORITHMS = [Algorithm(-8), Algorithm(-7), Algorithm(-257)]


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def passkey(row):
    if row["kind"] == "create":
        whole = {"fmt": row["fmt"], "attStmt": cbor2.loads(decoded(row["statement"])), "authData": decoded(row["authenticator_data"])}
        response = {"clientDataJSON": row["client_data"], "attestationObject": encoded(cbor2.dumps(whole))}
    else:
        response = {"clientDataJSON": row["client_data"], "authenticatorData": row["authenticator_data"], "signature": row["signature"]}
    ident = row.get("id", "CQkJCQkJCQkJCQkJCQkJCQ")
    credential = {"id": ident, "rawId": ident, "type": "public-key", "response": response}
    try:
        if row["kind"] == "create":
            webauthn.verify_registration_response(
                credential=credential, expected_challenge=CHALLENGE, supported_pub_key_algs=ALGORITHMS, **PARTY)
        else:
            webauthn.verify_authentication_response(
                credential=credential, expected_challenge=CHALLENGE, credential_public_key=decoded(row["cose"]),
                credential_current_sign_count=row["counter"], **PARTY)
        return True
    except Exception:
        return False


def address(row):
    """The address as we would write it: local part in lower-case ASCII, domain as A-label. `idna` must agree."""
    try:
        read = validate_email(row["address"], check_deliverability=False, globally_deliverable=False, strict=True)
        domain = idna.encode(read.domain, strict=True, std3_rules=True).decode().lower()
        local = "".join(c.lower() if c.isascii() else c for c in read.local_part)
        return f"{local}@{domain}" if domain == read.ascii_domain else None
    except (EmailNotValidError, idna.IDNAError):
        return None


if __name__ == "__main__":
    kind, table = sys.argv[1:]
    answer = {"webauthn": passkey, "email": address}[kind]
    print(json.dumps([answer(row) for row in json.load(open(table))]))
