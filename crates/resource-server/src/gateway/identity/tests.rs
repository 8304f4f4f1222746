use super::super::tests::world::route_with;
use super::*;
use jose::{Algorithm, KeySet, UnverifiedJws};
use serde_json::{Value, json};
use types::introspection::Introspection;
use types::{GrantedPermission, ResourceId, ScopeSet};

const NOW: Timestamp = Timestamp(1_000_000);

fn identities() -> Identities {
    let key = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
    Identities::new("https://photos.example", "http://127.0.0.1:9900/app", key)
}

fn who(subject: &str) -> Who<'_> {
    let (subject, client) = (Some(subject.into()), Some("viewer".into()));
    Who { subject, client, scopes: "edit view".into(), email: Some("bob@bar.example".into()) }
}

fn written(identity: &Identity) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [SUBJECT, CLIENT, SCOPES, EMAIL, IDENTITY] {
        headers.append(name, HeaderValue::from_static("mallory"));
    }
    identity.write(&mut headers);
    headers
}

fn claims(identities: &Identities, identity: &Identity) -> Value {
    let jwt = written(identity).get(IDENTITY).unwrap().to_str().unwrap().to_owned();
    let keys = KeySet::from_json(&json!({"keys": [identities.key.public().to_jwk()]})).unwrap();
    UnverifiedJws::parse(&jwt).unwrap().verify(&keys).unwrap().claims::<Value>().unwrap().into_inner()
}

#[test]
fn a_service_is_told_who_calls_in_fields_and_signed() {
    let identities = identities();
    let identity = identities.tell(&who("pair-7"), NOW);
    let headers = written(&identity);
    for (name, value) in [(SUBJECT, "pair-7"), (CLIENT, "viewer"), (SCOPES, "edit view"), (EMAIL, "bob@bar.example")] {
        assert_eq!(headers.get_all(&name).iter().collect::<Vec<_>>(), [value], "{name}");
    }
    let expected = json!({"iss": "https://photos.example", "aud": "http://127.0.0.1:9900/app", "sub": "pair-7",
        "client_id": "viewer", "scope": "edit view", "email": "bob@bar.example", "iat": NOW.0, "exp": NOW.0 + 60});
    assert_eq!(claims(&identities, &identity), expected);
    let nobody = identities.tell(&Who::default(), NOW);
    let expected = json!({"iss": "https://photos.example", "aud": "http://127.0.0.1:9900/app", "scope": "",
        "iat": NOW.0, "exp": NOW.0 + 60});
    assert_eq!(claims(&identities, &nobody), expected);
}

#[test]
fn one_is_signed_in_ten_seconds_for_each_who_calls() {
    let identities = identities();
    let at = |who: Who<'_>, seconds: i64| written(&identities.tell(&who, NOW.plus(seconds))).get(IDENTITY).cloned();
    let first = at(who("a"), 0);
    assert_eq!(at(who("a"), 9), first);
    assert_ne!(at(who("b"), 0), first);
    assert_ne!(at(who("a"), 10), first);
    assert_ne!(at(who("a"), -5), first, "a clock that was set back");
    let other = Who { scopes: "view".into(), ..who("a") };
    assert_ne!(at(other, 0), first);
}

/// What is no plain text is in no field: nothing can be added by it, and nobody is mistaken.
#[test]
fn threat_47_names_add_no_fields() {
    let identities = identities();
    for name in ["bob\r\nX-Wayleave-Scopes: all", "bob\0", "b\u{f6}b", "\u{202e}bob", " bob", "bob\t", "bob\u{7f}"] {
        let identity = identities.tell(&Who { email: None, ..who(name) }, NOW);
        let headers = identity.fields.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        assert_eq!(headers, [CLIENT, SCOPES, IDENTITY], "{name:?}");
        assert_eq!(claims(&identities, &identity)["sub"], *name);
    }
}

#[test]
fn a_server_that_nobody_listed_names_nobody_of_another() {
    let (one, other) = ("https://as.example", "https://mallory.example");
    assert_ne!(name_of_stranger(other, "bob"), name_of_stranger(one, "bob"));
    assert_ne!(name_of_stranger("https://a.example", "b\0c"), name_of_stranger("https://a.example\0b", "c\0"));
    assert_eq!(name_of_stranger(other, "bob").len(), 43);
}

#[test]
fn scopes_are_those_that_hold_now_for_all_that_is_needed() {
    let permission = |id: &str, scopes: &str, exp: Option<i64>| GrantedPermission {
        resource_id: id.into(),
        resource_scopes: ScopeSet::parse(scopes).unwrap(),
        exp: exp.map(Timestamp),
        iat: None,
        nbf: None,
        authority: None,
    };
    let routes = vec![route_with("/a", |guarded| {
        guarded.scopes.add("PUT", ScopeSet::parse("edit").unwrap()).unwrap();
        guarded.scopes.add("DELETE", ScopeSet::parse("delete").unwrap()).unwrap();
    })];
    let need = |id: &str| Need { resource: ResourceId::new(id), scopes: ScopeSet::parse("view").unwrap() };
    let held = |permissions: Vec<GrantedPermission>, needs: Vec<Need>| {
        let answer = Arc::new(Introspection { permissions: Some(permissions), ..Introspection::default() });
        let admitted = Admitted {
            owner: "alice".into(),
            needs: needs.into(),
            issuer: "https://as.example".into(),
            answer,
            caller: None,
            is_change: false,
        };
        held_scopes(&admitted, &routes, NOW).into_owned()
    };
    let over = Some(NOW.0);
    assert_eq!(held(vec![permission("a", "view edit", None)], vec![need("a")]), "edit view");
    assert_eq!(held(vec![permission("a", "view", None), permission("a", "edit", over)], vec![need("a")]), "view");
    assert_eq!(held(vec![permission("a", "view", None), permission("b", "delete", None)], vec![need("a")]), "view");
    assert_eq!(held(vec![permission("a", "view edit", None), permission("b", "view", None)], vec![need("a"), need("b")]), "view");
    assert_eq!(held(vec![permission("a", "view admin", None)], vec![need("a")]), "view", "no word of hers");
    assert_eq!(held(vec![], vec![need("a")]), "");
}
