//! Resource owner tokens as signed objects (protocol.md 3): what an owner says with her own key about who may do what
//! with which of her resources. Their form and signature are checked here; what they allow is in
//! `rules::authority`.

use crate::jwk::KeySet;
use crate::jws::{JwsError, UnverifiedJws, Verified};
use crate::key::{KeyError, SigningKey};
use crate::members::{self, Object, Wrong};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::json::OneOrMany;
use types::{OwnResourceId, ResourceServerId, ScopeSet, Timestamp};

/// `typ` of a resource owner token.
pub const TYPE: &str = "rot+jwt";
/// Longest token.
pub const MAX_BYTES: usize = 4 * 1024;
/// Most resources in one.
pub const MAX_RESOURCES: usize = 16;
const MAX_ID: usize = 128;

/// What the owner says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceOwnerToken {
    /// Also the id of the policy that it is.
    pub jti: String,
    /// The credential that signs.
    pub iss: String,
    /// Resource servers and authorization servers that it is for.
    pub aud: OneOrMany,
    pub iat: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    pub exp: Timestamp,
    /// The owner's credential; `iss`, unless a delegate signs.
    pub resource_owner_id: String,
    pub resources: Vec<AllowedResource>,
    /// Who may; empty: anyone.
    pub allowed_rqp: AllowedParty,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
}

/// One resource, by the name its resource server has for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedResource {
    pub resource_server: ResourceServerId,
    pub resource_id: OwnResourceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_location: Option<String>,
    pub allowed_scopes: ScopeSet,
}

/// The requesting party that a token is for. Values are one or several, any of which will do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowedParty {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<OneOrMany>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

/// The key that the requesting party must prove.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmation {
    pub jkt: String,
}

/// Why a token is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RotError {
    #[error("a resource owner token has at most 4 KiB")]
    TooLong,
    #[error("{}", say(*.0))]
    Jws(#[from] JwsError),
    /// One sentence that names the member.
    #[error("{0}")]
    Content(String),
}

/// The same of the header and of the whole, in words of whoever signs.
fn say(error: JwsError) -> String {
    match error {
        JwsError::Type => "`typ` in the header must be `rot+jwt` of a token, `delegation+jwt` of a delegation".to_owned(),
        JwsError::NoKey => "`kid` and `alg` in the header must be those of a key of `iss`".to_owned(),
        JwsError::Signature => "the signature is not by the key that `iss` and `kid` name".to_owned(),
        JwsError::Critical => "`crit` in the header is not understood: leave it out".to_owned(),
        JwsError::Payload => "the payload must be a JSON object in which no member stands twice".to_owned(),
        other => other.to_string(),
    }
}

/// A token that nobody has checked yet.
pub struct UnverifiedToken(UnverifiedJws);

impl UnverifiedToken {
    /// Bounds its size, and looks at its type.
    pub fn parse(text: &str) -> Result<Self, RotError> {
        if text.len() > MAX_BYTES {
            return Err(RotError::TooLong);
        }
        Ok(Self(UnverifiedJws::parse(text)?.expect_type(TYPE)?))
    }

    /// The credential that it says it is signed by; to find its keys and for nothing else.
    pub fn issuer(&self) -> Option<String> {
        self.0.claimed("iss")
    }

    /// The delegation that it says it rests on; to find whose keys to verify it by.
    pub fn delegation(&self) -> Option<String> {
        self.0.claimed("delegation")
    }

    /// Checks signature and form.
    pub fn verify(self, keys: &KeySet) -> Result<Verified<ResourceOwnerToken>, RotError> {
        let signed = self.0.verify(keys)?;
        let members = signed.claims::<Value>()?;
        check_members(&members).map_err(RotError::Content)?;
        let token = members.read::<ResourceOwnerToken>()?;
        check(&token)?;
        Ok(token)
    }
}

/// Whether it can name a token, a policy and a delegation: it is a segment of the path by which that is ended, and `.` and `..`
/// are none, however they are written (WHATWG URL 4.4).
pub(crate) fn is_jti(text: &str) -> bool {
    ![".", ".."].contains(&text)
        && (1..=MAX_ID).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.~".contains(c))
}

pub(crate) fn is_jti_value(value: &Value) -> bool {
    value.as_str().is_some_and(is_jti)
}

/// Each member by itself.
fn check_members(value: &Value) -> Result<(), Wrong> {
    let token = Object::of(value, "")?;
    token.check("jti", is_jti_value, members::JTI)?;
    token.check("iss", members::is_text, members::CREDENTIAL)?;
    token.check("aud", members::is_text_or_texts, members::AUDIENCE)?;
    token.check("iat", members::is_seconds, members::SECONDS)?;
    token.check_optional("nbf", members::is_seconds, members::SECONDS)?;
    token.check("exp", members::is_seconds, members::SECONDS)?;
    token.check("resource_owner_id", members::is_text, members::CREDENTIAL)?;
    let fits = |all: &Value| all.as_array().is_some_and(|all| (1..=MAX_RESOURCES).contains(&all.len()));
    token.check("resources", fits, "an array of 1 to 16 resources")?;
    for (at, one) in token.get("resources").and_then(Value::as_array).into_iter().flatten().enumerate() {
        let one = Object::of(one, &format!("resources[{at}]"))?;
        one.check("resource_server", members::is_text, "the `resource` of its resource server")?;
        one.check("resource_id", members::is_text, "the resource server's own id of it")?;
        one.check_optional("resource_location", members::is_text, "its URL")?;
        one.check("allowed_scopes", members::are_scopes, members::SCOPES)?;
    }
    token.check("allowed_rqp", Value::is_object, "an object: who may, or `{}` for anyone")?;
    token.check_optional("delegation", members::is_text, "the text of a signed delegation")?;
    check_party(&Object::of(token.get("allowed_rqp").unwrap_or(&Value::Null), "allowed_rqp")?)
}

fn check_party(party: &Object<'_>) -> Result<(), Wrong> {
    party.check_known(&["client_id", "claims", "issuer", "cnf"])?;
    party.check_optional("client_id", members::is_text_or_texts, "a client id, or an array of them")?;
    let are_texts = |all: &Value| all.as_array().is_some_and(|all| all.iter().all(members::is_text));
    party.check_optional("issuer", are_texts, "an array of issuers")?;
    party.check_optional("claims", Value::is_object, "an object: a value or an array of values by the name of each claim")?;
    if let Some(cnf) = party.get("cnf") {
        let cnf = Object::of(cnf, "allowed_rqp.cnf")?;
        cnf.check_known(&["jkt"])?;
        cnf.check("jkt", members::is_text, "the thumbprint of a key (RFC 7638)")?;
    }
    let Some(claims) = party.get("claims") else { return Ok(()) };
    let claims = Object::of(claims, "allowed_rqp.claims")?;
    for name in claims.names() {
        claims.check(name, is_one_or_several, "a text, a number, `true` or `false`, or an array of one or more of these")?;
        if name == "email" {
            claims.check(name, are_addresses, "an e-mail address, or an array of them")?;
        }
    }
    Ok(())
}

fn is_one_or_several(value: &Value) -> bool {
    match value {
        Value::Array(all) => !all.is_empty() && all.iter().all(|one| !one.is_array() && !one.is_object() && !one.is_null()),
        Value::Object(_) | Value::Null => false,
        _ => true,
    }
}

fn are_addresses(value: &Value) -> bool {
    let is_address = |one: &Value| one.as_str().and_then(types::email::normalize).is_some();
    value.as_array().map_or_else(|| is_address(value), |all| all.iter().all(is_address))
}

/// How the members go together.
fn check(token: &ResourceOwnerToken) -> Result<(), RotError> {
    let content = |fits: bool, what: &str| if fits { Ok(()) } else { Err(RotError::Content(what.to_owned())) };
    content(token.iat < token.exp, "`exp` must lie behind `iat`")?;
    content(token.nbf.is_none_or(|nbf| nbf < token.exp), "`nbf` must lie before `exp`")?;
    content(
        token.delegation.is_some() || token.iss == token.resource_owner_id,
        "`iss` must equal `resource_owner_id`, unless there is a `delegation`",
    )?;
    let one_server = token.allowed_rqp.client_id.is_none() || authorization_servers(token) == 1;
    content(
        one_server,
        "`aud` must name exactly one authorization server where there is `allowed_rqp.client_id`: client ids are its own",
    )
}

/// Audiences that are none of the resource servers.
fn authorization_servers(token: &ResourceOwnerToken) -> usize {
    let servers: Vec<&str> = token.resources.iter().map(|one| one.resource_server.as_str()).collect();
    token.aud.iter().filter(|aud| !servers.contains(aud)).count()
}

/// Signs a token with an owner's key, whose DID it then names as its key.
pub fn sign(key: &SigningKey, token: &ResourceOwnerToken) -> Result<String, KeyError> {
    key.sign_as(TYPE, &token.iss, token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, did};
    use serde_json::json;

    fn token(change: impl FnOnce(&mut Value)) -> (SigningKey, Value) {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let mut claims = json!({
            "jti": "p1", "iss": did, "aud": ["https://rs.example", "https://as.example"], "iat": 1, "exp": 100,
            "resource_owner_id": did,
            "resources": [{"resource_server": "https://rs.example", "resource_id": "ABC", "allowed_scopes": ["view"]}],
            "allowed_rqp": {"claims": {"email": "bob@bar.example"}},
        });
        change(&mut claims);
        (key, claims)
    }

    fn read(key: &SigningKey, claims: &Value, typ: &str) -> Result<Verified<ResourceOwnerToken>, RotError> {
        let header = json!({"typ": typ, "alg": "EdDSA", "kid": claims["iss"]});
        let text = key.sign_with_header(&header, claims).unwrap();
        let unverified = UnverifiedToken::parse(&text)?;
        let keys = did::keys_of(&unverified.issuer().unwrap()).unwrap();
        unverified.verify(&keys)
    }

    /// What it is called is how it is ended: by a segment of a path.
    #[test]
    fn threat_36_s03_dots_alone_are_no_name() {
        for (jti, is_taken) in [(".", false), ("..", false), ("...", true), (".p", true), ("p..", true), ("%2e%2e", false)] {
            let (key, claims) = token(|claims| claims["jti"] = json!(jti));
            assert_eq!(read(&key, &claims, TYPE).is_ok(), is_taken, "{jti}");
        }
    }

    #[test]
    fn an_owners_word_is_read_back_if_she_signed_it() {
        let (key, claims) = token(|_| {});
        let read_back = read(&key, &claims, TYPE).unwrap();
        assert_eq!(read_back.resources[0].resource_id.as_str(), "ABC");
        let again = sign(&key, &read_back).unwrap();
        let keys = did::keys_of(&read_back.iss).unwrap();
        assert_eq!(UnverifiedToken::parse(&again).unwrap().verify(&keys).unwrap(), read_back);
        let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
        assert!(matches!(read(&stranger, &claims, TYPE), Err(RotError::Jws(JwsError::Signature))));
        assert!(matches!(read(&key, &claims, "at+jwt"), Err(RotError::Jws(JwsError::Type))));
    }

    /// Each mistake has its sentence, which names the member.
    #[test]
    fn s41_what_is_wrong_with_a_token_is_said_by_its_member() {
        let cases: Vec<(&str, Value)> = vec![
            ("jti", json!(null)),
            ("jti", json!(7)),
            ("jti", json!("")),
            ("jti", json!("a b")),
            ("jti", json!("x".repeat(129))),
            ("iss", json!(null)),
            ("iss", json!(7)),
            ("iss", json!("")),
            ("aud", json!(null)),
            ("aud", json!([])),
            ("aud", json!("")),
            ("aud", json!([7])),
            ("aud", json!({})),
            ("aud", json!([""])),
            ("iat", json!(null)),
            ("iat", json!("1")),
            ("iat", json!(1.5)),
            ("nbf", json!("1")),
            ("nbf", json!(100)),
            ("exp", json!(null)),
            ("exp", json!("tomorrow")),
            ("exp", json!(1)),
            ("resource_owner_id", json!(null)),
            ("resource_owner_id", json!(7)),
            ("resource_owner_id", json!("did:key:other")),
            ("resources", json!(null)),
            ("resources", json!({})),
            ("resources", json!([])),
            ("resources", json!(vec![1; 17])),
            ("resources[0]", json!(["ABC"])),
            ("resources[0].resource_server", json!([{"resource_id": "A", "allowed_scopes": ["view"]}])),
            ("resources[0].resource_server", json!([{"resource_server": 7, "resource_id": "A", "allowed_scopes": ["view"]}])),
            ("resources[0].resource_id", json!([{"resource_server": "https://rs.example", "allowed_scopes": ["view"]}])),
            (
                "resources[0].resource_id",
                json!([{"resource_server": "https://rs.example", "resource_id": "", "allowed_scopes": ["view"]}]),
            ),
            (
                "resources[0].resource_location",
                json!([{"resource_server": "https://rs.example", "resource_id": "A", "resource_location": 7, "allowed_scopes": ["view"]}]),
            ),
            ("resources[0].allowed_scopes", json!([{"resource_server": "https://rs.example", "resource_id": "A"}])),
            (
                "resources[0].allowed_scopes",
                json!([{"resource_server": "https://rs.example", "resource_id": "A", "allowed_scopes": []}]),
            ),
            (
                "resources[0].allowed_scopes",
                json!([{"resource_server": "https://rs.example", "resource_id": "A", "allowed_scopes": "view"}]),
            ),
            (
                "resources[0].allowed_scopes",
                json!([{"resource_server": "https://rs.example", "resource_id": "A", "allowed_scopes": ["a b"]}]),
            ),
            ("allowed_rqp", json!(null)),
            ("allowed_rqp", json!("anyone")),
            ("allowed_rqp.everybody", json!({"everybody": true})),
            ("allowed_rqp.client_id", json!({"client_id": 7})),
            ("allowed_rqp.client_id", json!({"client_id": []})),
            ("allowed_rqp.claims", json!({"claims": ["email"]})),
            ("allowed_rqp.claims.email", json!({"claims": {"email": []}})),
            ("allowed_rqp.claims.email", json!({"claims": {"email": "bob"}})),
            ("allowed_rqp.claims.email", json!({"claims": {"email": "a@b.example\r\nBcc: c@d.example"}})),
            ("allowed_rqp.claims.name", json!({"claims": {"name": {}}})),
            ("allowed_rqp.claims.name", json!({"claims": {"name": null}})),
            ("allowed_rqp.issuer", json!({"issuer": "https://idp.example"})),
            ("allowed_rqp.issuer", json!({"issuer": [7]})),
            ("allowed_rqp.cnf", json!({"cnf": "key"})),
            ("allowed_rqp.cnf.jkt", json!({"cnf": {}})),
            ("allowed_rqp.cnf.jwk", json!({"cnf": {"jkt": "k", "jwk": {}}})),
            ("delegation", json!(7)),
        ];
        let mut sentences = std::collections::BTreeSet::new();
        for (path, value) in &cases {
            let member = path.split(['.', '[']).next().unwrap();
            let (key, signed) = token(|claims| claims[member] = value.clone());
            let header = json!({"typ": TYPE, "alg": "EdDSA"});
            let text = key.sign_with_header(&header, &signed).unwrap();
            let keys = KeySet::new(vec![key.public().clone()]);
            let said = UnverifiedToken::parse(&text).unwrap().verify(&keys).unwrap_err().to_string();
            assert!(said.contains(&format!("`{path}`")), "{path} {value}: {said}");
            assert!(!said.ends_with('.') && said.len() < 200, "{said}");
            sentences.insert(said);
        }
        assert!(sentences.len() > 30, "{}", sentences.len());
    }

    #[test]
    fn what_is_missing_too_much_or_of_another_form_is_refused() {
        let changes: [fn(&mut Value); 14] = [
            |c| drop(c.as_object_mut().unwrap().remove("allowed_rqp")),
            |c| drop(c.as_object_mut().unwrap().remove("exp")),
            |c| c["exp"] = json!(1),
            |c| c["nbf"] = json!(100),
            |c| c["jti"] = json!("a/b"),
            |c| c["jti"] = json!(""),
            |c| c["aud"] = json!([]),
            |c| c["resources"] = json!([]),
            |c| c["resources"] = Value::Array(vec![c["resources"][0].clone(); 17]),
            |c| c["resources"][0]["allowed_scopes"] = json!([]),
            |c| c["resource_owner_id"] = json!("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"),
            |c| c["allowed_rqp"] = json!({"everybody": true}),
            |c| c["allowed_rqp"] = json!({"claims": {"email": []}}),
            |c| {
                c["allowed_rqp"] = json!({"client_id": "viewer"});
                c["aud"] = json!(["https://rs.example", "https://as.example", "https://other.example"]);
            },
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let (key, claims) = token(change);
            assert!(read(&key, &claims, TYPE).is_err(), "change {at}: {claims}");
        }
        let (key, claims) = token(|c| c["padding"] = json!("x".repeat(5_000)));
        assert_eq!(read(&key, &claims, TYPE).unwrap_err(), RotError::TooLong);
        let (key, anyone) = token(|c| c["allowed_rqp"] = json!({}));
        assert!(read(&key, &anyone, TYPE).is_ok(), "an empty one is anyone");
    }
}
