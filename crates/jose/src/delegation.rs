//! Delegations as signed objects (protocol.md 1.8): an owner says by her own key who may share or decide for her, of
//! what, and until when. Form and signature are checked here; what they allow is in `rules::delegation`.

use crate::jwk::KeySet;
use crate::jws::{UnverifiedJws, Verified};
use crate::key::{KeyError, SigningKey};
use crate::resource_owner_token::{MAX_BYTES, RotError};
use serde::{Deserialize, Serialize};
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
        let delegation = self.0.verify(keys)?.claims::<Delegation>()?;
        check(&delegation)?;
        Ok(delegation)
    }
}

fn check(delegation: &Delegation) -> Result<(), RotError> {
    let content = |fits: bool, what| if fits { Ok(()) } else { Err(RotError::Content(what)) };
    content(crate::resource_owner_token::is_jti(&delegation.jti), "`jti` must be 1 to 128 of A-Z a-z 0-9 - _ . ~")?;
    content(!delegation.aud.is_empty(), "`aud` must name who it is for")?;
    content(
        delegation.iat < delegation.exp && delegation.nbf.is_none_or(|nbf| nbf < delegation.exp),
        "`exp` must lie behind `iat` and `nbf`",
    )?;
    content(delegation.delegation.is_none(), "a delegate cannot delegate")?;
    content(delegation.iss != delegation.sub, "a delegate is somebody else: `sub` is the owner herself")?;
    content(!delegation.resource_scopes.is_empty(), "`resource_scopes` must name at least one scope")?;
    content(!delegation.may.is_empty(), "`may` must name `approve` or `share`")?;
    let fits = match &delegation.resources {
        Covered::All => true,
        Covered::Only(some) => (1..=MAX_RESOURCES).contains(&some.len()),
    };
    content(fits, "`resources` must be `\"all\"`, or 1 to 16 of them")
}

/// Signs a delegation with an owner's key, whose DID it then names as its key.
pub fn sign(key: &SigningKey, delegation: &Delegation) -> Result<String, KeyError> {
    key.sign_as(TYPE, &delegation.iss, delegation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, did};
    use serde_json::{Value, json};

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
