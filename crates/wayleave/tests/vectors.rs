//! What others send, good and bad, judged by us and by other people's programs (`vectors/README.md`): both must say the same,
//! but where the row says why we differ.

use jose::webauthn::{Assertion, Passkey, Registration, RelyingParty, register};
use jose::{Algorithm, KeySet, UnverifiedJws, did};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn table<Row: DeserializeOwned>(kind: &str) -> Vec<Row> {
    let text = std::fs::read_to_string(root().join("vectors").join(format!("{kind}.json"))).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// What the other program says, a row each.
fn others(program: &str, script: &str, kind: &str) -> Vec<Value> {
    let table = root().join("vectors").join(format!("{kind}.json"));
    let output = Command::new(program).args([script, kind]).arg(table).current_dir(root().join("browser")).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run ({error}): `cargo xtask test` sets it up"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn python(kind: &str) -> Vec<Value> {
    others(&root().join("target/python/bin/python").display().to_string(), "vectors.py", kind)
}

fn node(kind: &str) -> Vec<Value> {
    others("node", "vectors.mjs", kind)
}

/// A row whose answer is yes or no.
#[derive(Deserialize)]
struct Judged<Row> {
    what: String,
    /// What is right.
    good: bool,
    /// What the others say, where it is something else.
    theirs: Option<bool>,
    #[serde(default)]
    why: String,
    #[serde(flatten)]
    row: Row,
}

fn judge<Row: DeserializeOwned>(kind: &str, theirs: &[Value], ours: impl Fn(&Row) -> bool) {
    let rows: Vec<Judged<Row>> = table(kind);
    assert_eq!(rows.len(), theirs.len());
    let mut wrong = Vec::new();
    for (row, theirs) in rows.iter().zip(theirs) {
        let ours = ours(&row.row);
        let expected = row.theirs.unwrap_or(row.good);
        if ours != row.good || *theirs != json!(expected) || (expected != row.good) == row.why.is_empty() {
            wrong.push(format!("{}: we say {ours}, they say {theirs}, {} is right", row.what, row.good));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[derive(Deserialize)]
struct Signed {
    token: String,
    keys: Value,
}

/// npm's `jose`.
#[test]
fn signed_tokens_are_judged_as_others_judge_them() {
    judge("jws", &node("jws"), |row: &Signed| {
        let keys = KeySet::from_json(&json!({"keys": row.keys}));
        keys.is_some_and(|keys| UnverifiedJws::parse(&row.token).is_ok_and(|jws| jws.verify(&keys).is_ok()))
    });
}

#[derive(Deserialize)]
struct Answered {
    kind: String,
    alg: i32,
    #[serde(default)]
    id: String,
    client_data: String,
    authenticator_data: String,
    #[serde(default)]
    public_key: String,
    #[serde(default)]
    key: String,
    #[serde(default)]
    counter: u32,
    #[serde(default)]
    signature: String,
}

/// PyPI's `webauthn`.
#[test]
fn passkeys_are_judged_as_others_judge_them() {
    let party = RelyingParty { id: "as.example", origin: "https://as.example" };
    judge("webauthn", &python("webauthn"), |row: &Answered| {
        let (client_data, authenticator_data) = (row.client_data.as_str(), row.authenticator_data.as_str());
        if row.kind == "create" {
            let sent =
                Registration { id: &row.id, client_data, authenticator_data, public_key: &row.public_key, algorithm: row.alg };
            return register(&sent, &party, "Y2hhbGxlbmdl").is_ok();
        }
        let kept = json!({"id": "CQkJCQkJCQkJCQkJCQkJCQ", "algorithm": row.alg, "key": row.key, "counter": row.counter});
        let passkey: Passkey = serde_json::from_value(kept).unwrap();
        let sent = Assertion { client_data, authenticator_data, signature: &row.signature };
        passkey.verify(&sent, &party, "Y2hhbGxlbmdl").is_ok()
    });
}

/// A row whose answer is a text, or none.
#[derive(Deserialize)]
struct Read {
    #[serde(alias = "did")]
    address: String,
    why: Option<String>,
}

fn compare(kind: &str, theirs: &[Value], ours: impl Fn(&str) -> Value) {
    let rows: Vec<Read> = table(kind);
    assert_eq!(rows.len(), theirs.len());
    let mut wrong = Vec::new();
    for (row, theirs) in rows.iter().zip(theirs) {
        let ours = ours(&row.address);
        // where a reason is given, one of both takes it
        let fits = if row.why.is_some() { ours.is_null() != theirs.is_null() } else { ours == *theirs };
        if !fits {
            wrong.push(format!("{:?}: we say {ours}, they say {theirs}", row.address));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// PyPI's `email-validator` and `idna`.
#[test]
fn addresses_are_read_as_others_read_them() {
    compare("email", &python("email"), |address| json!(types::email::normalize(address)));
}

/// npm's `key-did-resolver` and `web-did-resolver`.
#[test]
fn dids_are_read_as_others_read_them() {
    compare("did", &node("did"), |text| {
        if text.starts_with("did:web:") {
            return json!(did::document_url(text));
        }
        let keys = did::keys_of(text).unwrap_or_default();
        let key = [Algorithm::EdDsa, Algorithm::Es256].iter().find_map(|one| keys.candidates(None, one.as_str()).next());
        let Some(jwk) = key.map(|key| key.to_jwk()) else { return Value::Null };
        json!(["x", "y"].iter().filter_map(|name| jwk.get(name)).collect::<Vec<_>>())
    });
}

/// The examples of did:jwk's own specification.
#[test]
fn a_did_jwk_is_its_jwk() {
    let p256 = concat!(
        "did:jwk:eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6ImFjYklRaXVNczNpOF91c3pFakoydHBUdFJNNEVVM3l6OTFQSDZDZEgyVjAi",
        "LCJ5IjoiX0tjeUxqOXZXTXB0bm1LdG00NkdxRHo4d2Y3NEk1TEtncmwyR3pIM25TRSJ9"
    );
    let keys = did::keys_of(p256).unwrap();
    let named = format!("{p256}#0");
    let key = keys.candidates(Some(&named), "ES256").next().unwrap();
    assert_eq!(key.to_jwk()["x"], "acbIQiuMs3i8_uszEjJ2tpTtRM4EU3yz91PH6CdH2V0");
    let x25519 = concat!(
        "did:jwk:eyJrdHkiOiJPS1AiLCJjcnYiOiJYMjU1MTkiLCJ1c2UiOiJlbmMiLCJ4IjoiM3A3YmZYdDl3YlRUVzJIQzdPUTFOei1EUThoYmVHZE5yZngtRkctSUswOCJ9"
    );
    assert!(did::keys_of(x25519).is_err(), "a key for encryption");
}
