//! Delegations as signed objects (protocol.md 1.8): an owner says by her own key who may share or decide for her, of
//! what, and until when. Form and signature are checked here; what they allow is in `rules::delegation`.

use crate::jwk::KeySet;
use crate::jws::{UnverifiedJws, Verified};
use crate::key::{KeyError, SigningKey};
use crate::members::{self, Object, Wrong};
use crate::resource_owner_token::{MAX_BYTES, RotError, is_jti_value};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::delegation::{Covered, May};
use types::json::OneOrMany;
use types::{ScopeSet, Timestamp};

/// `typ` of a delegation.
pub const TYPE: &str = "delegation+jwt";
/// Most resources that one names.
pub const MAX_RESOURCES: usize = 16;

/// What the owner says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delegation {
    pub jti: String,
    /// The owner's credential, which signs.
    pub iss: String,
    /// The delegate's.
    pub sub: String,
    /// Resource servers and authorization servers that it is for.
    pub aud: OneOrMany,
    pub iat: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    pub exp: Timestamp,
    /// Resources by their servers' own ids.
    pub resources: Covered,
    pub resource_scopes: ScopeSet,
    pub may: Vec<May>,
    /// What a delegate of a delegate would carry: there is none.
    #[serde(default, skip_serializing)]
    pub delegation: Option<serde_json::Value>,
}

/// A delegation that nobody has checked yet.
pub struct UnverifiedDelegation(UnverifiedJws);

impl UnverifiedDelegation {
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

    /// Checks signature and form.
    pub fn verify(self, keys: &KeySet) -> Result<Verified<Delegation>, RotError> {
        let signed = self.0.verify(keys)?;
        let members = signed.claims::<Value>()?;
        check_members(&members).map_err(RotError::Content)?;
        let delegation = members.read::<Delegation>()?;
        check(&delegation)?;
        Ok(delegation)
    }
}

/// Each member by itself.
fn check_members(value: &Value) -> Result<(), Wrong> {
    let delegation = Object::of(value, "")?;
    delegation.check("jti", is_jti_value, members::JTI)?;
    delegation.check("iss", members::is_text, members::CREDENTIAL)?;
    delegation.check("sub", members::is_text, members::CREDENTIAL)?;
    delegation.check("aud", members::is_text_or_texts, members::AUDIENCE)?;
    delegation.check("iat", members::is_seconds, members::SECONDS)?;
    delegation.check_optional("nbf", members::is_seconds, members::SECONDS)?;
    delegation.check("exp", members::is_seconds, members::SECONDS)?;
    delegation.check("resources", are_resources, "`\"all\"`, or an array of 1 to 16 resource ids")?;
    for (at, one) in delegation.get("resources").and_then(Value::as_array).into_iter().flatten().enumerate() {
        if members::is_text(one) {
            continue;
        }
        let one = Object::of(one, &format!("resources[{at}]"))?;
        one.check_known(&["resource_server", "resource_id", "_resource_id"])?;
        one.check("resource_server", members::is_text, "the `resource` of its resource server")?;
        let id = if one.get("_resource_id").is_some() { "_resource_id" } else { "resource_id" };
        one.check(id, members::is_text, "the resource server's own id of it")?;
    }
    delegation.check("resource_scopes", members::are_scopes, members::SCOPES)?;
    let is_may = |one: &Value| matches!(one.as_str(), Some("approve" | "share"));
    let are_mays = |all: &Value| all.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_may));
    delegation.check("may", are_mays, "an array of `approve`, `share` or both")?;
    match delegation.get("delegation") {
        None => Ok(()),
        Some(_) => Err("`delegation` must be left out: a delegate cannot delegate".to_owned()),
    }
}

fn are_resources(value: &Value) -> bool {
    value == "all" || value.as_array().is_some_and(|all| (1..=MAX_RESOURCES).contains(&all.len()))
}

/// How the members go together.
fn check(delegation: &Delegation) -> Result<(), RotError> {
    let content = |fits: bool, what: &str| if fits { Ok(()) } else { Err(RotError::Content(what.to_owned())) };
    content(delegation.iat < delegation.exp, "`exp` must lie behind `iat`")?;
    content(delegation.nbf.is_none_or(|nbf| nbf < delegation.exp), "`nbf` must lie before `exp`")?;
    content(delegation.iss != delegation.sub, "`sub` must be somebody else than `iss`: a delegate is not the owner herself")
}

/// Signs a delegation with an owner's key, whose DID it then names as its key.
pub fn sign(key: &SigningKey, delegation: &Delegation) -> Result<String, KeyError> {
    key.sign_as(TYPE, &delegation.iss, delegation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, did};
    use serde_json::json;

    fn read(change: impl FnOnce(&mut Value)) -> Result<Verified<Delegation>, RotError> {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let mut claims = json!({
            "jti": "d1", "iss": did, "sub": "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp",
            "aud": ["https://rs.example", "https://as.example"], "iat": 1, "exp": 100, "resources": "all",
            "resource_scopes": ["view"], "may": ["share"],
        });
        change(&mut claims);
        let text = key.sign_as(TYPE, &did, &claims).unwrap();
        let unverified = UnverifiedDelegation::parse(&text)?;
        assert_eq!(unverified.issuer(), claims["iss"].as_str().map(str::to_owned));
        unverified.verify(&did::keys_of(&did).unwrap())
    }

    #[test]
    fn a_delegation_is_read_back_if_the_owner_signed_it() {
        assert_eq!(read(|_| {}).unwrap().resources, Covered::All);
        let named = read(|c| c["resources"] = json!(["ABC", {"resource_server": "https://rs.example", "resource_id": "X"}]));
        assert!(matches!(&named.unwrap().resources, Covered::Only(some) if some.len() == 2));
    }

    #[test]
    fn s41_what_is_wrong_with_a_delegation_is_said_by_its_member() {
        for (path, value) in [
            ("jti", json!(null)),
            ("jti", json!("a/b")),
            ("sub", json!(7)),
            ("aud", json!([])),
            ("iat", json!("x")),
            ("nbf", json!(1.5)),
            ("exp", json!(null)),
            ("exp", json!(1)),
            ("resources", json!("some")),
            ("resources", json!([])),
            ("resources[1]", json!(["A", 7])),
            ("resources[0].resource_server", json!([{"resource_id": "A"}])),
            ("resources[0].resource_id", json!([{"resource_server": "https://rs.example"}])),
            ("resources[0].color", json!([{"resource_server": "https://rs.example", "resource_id": "A", "color": 1}])),
            ("resource_scopes", json!([])),
            ("resource_scopes", json!("view")),
            ("may", json!([])),
            ("may", json!(["all"])),
            ("delegation", json!("e30")),
        ] {
            let member = path.split(['.', '[']).next().unwrap();
            let said = read(|claims| claims[member] = value.clone()).unwrap_err().to_string();
            assert!(said.contains(&format!("`{path}`")), "{path} {value}: {said}");
        }
    }

    #[test]
    fn what_is_missing_too_much_or_of_another_form_is_refused() {
        let changes: [fn(&mut Value); 10] = [
            |c| drop(c.as_object_mut().unwrap().remove("exp")),
            |c| c["exp"] = json!(1),
            |c| c["sub"] = c["iss"].clone(),
            |c| c["resources"] = json!("some"),
            |c| c["resources"] = json!([]),
            |c| c["resources"] = json!(vec!["A"; 17]),
            |c| c["resource_scopes"] = json!([]),
            |c| c["may"] = json!([]),
            |c| c["may"] = json!(["delegate"]),
            |c| c["delegation"] = json!("e30.e30.e30"),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            assert!(read(change).is_err(), "change {at}");
        }
    }
}
