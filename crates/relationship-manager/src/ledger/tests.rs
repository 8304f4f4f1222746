use super::*;
use crate::holdings::{Basis, Holdings, Known, Thing};
use crate::store::{Link, Place};
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use types::available_resource::RegistrationState;

const NOW: Timestamp = Timestamp(1_000_000);
const KEEPER: &str = "https://photos.example";
const GUARD: &str = "https://as.example";

/// A key, and tokens by it about the album that the keeper has.
struct Signer {
    key: SigningKey,
    did: String,
}

impl Signer {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        Self { did: did::of_key(key.public()), key }
    }

    fn claims(&self, changes: &Value) -> Value {
        let mut claims = json!({"jti": "j1", "iss": self.did, "resource_owner_id": self.did, "aud": [KEEPER, GUARD], "iat": NOW.0 - 10,
            "exp": NOW.0 + 1_000, "allowed_rqp": {"claims": {"email": "bob@bar.example"}},
            "resources": [{"resource_server": KEEPER, "resource_id": "/a", "allowed_scopes": ["view"]}]});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims
    }

    fn signs(&self, changes: &Value) -> String {
        self.key.sign_as("rot+jwt", &self.did, &self.claims(changes)).unwrap()
    }

    fn word(&self, changes: &Value) -> Word {
        let token = serde_json::from_value(self.claims(changes)).unwrap();
        word_of(Said::Share(token), self.signs(changes), "Holiday", vec![GUARD.into()], NOW.plus(-10))
    }

    fn hers(&self) -> Hers {
        Hers { vault: BTreeSet::from([self.did.clone()]), ..Hers::default() }
    }
}

fn link(id: &str, place: Place) -> Link {
    Link {
        id: id.into(),
        place,
        account: None,
        access_token: String::new(),
        bound: false,
        renew_from: Timestamp(0),
        refresh_token: None,
        renewal_asked: None,
        ended: false,
        added: Timestamp(0),
        told: None,
        offers: std::collections::BTreeMap::new(),
    }
}

fn known(link: Link, snapshot: Value) -> Known {
    let mut whole = json!({"asked": NOW, "answered": NOW, "error": null});
    whole.as_object_mut().unwrap().extend(snapshot.as_object().unwrap().clone());
    Known { link, snapshot: serde_json::from_value(whole).unwrap() }
}

/// The keeper, and its guard with these policies.
fn servers(policies: &Value) -> Vec<Known> {
    let place = Place::ResourceServer { resource: KEEPER.into(), management: format!("{KEEPER}/manage"), issuer: KEEPER.into() };
    let registrations = json!([{"_id": "r", "authorization_server": GUARD, "authorization_server_resource_id": "A",
        "registered_scopes": ["view"], "state": "active"}]);
    let available =
        json!([{"resource_scopes": ["view"], "name": "Holiday", "_resource_id": "/a", "registrations": registrations}]);
    let guarded = json!([{"_id": "A", "resource_server": KEEPER, "resource_scopes": ["view"], "_resource_id": "/a"}]);
    let guard = Place::AuthorizationServer { issuer: GUARD.into() };
    let snapshot = json!({"guarded": guarded, "policies": policies, "policy_endpoint": format!("{GUARD}/policies")});
    vec![known(link("rs", place), json!({"available": available})), known(link("as", guard), snapshot)]
}

/// As an honest guard lists what she signed.
fn listed(text: &str, changes: &Value) -> Value {
    let mut policy = json!({"_id": "j1", "resource_id": "A", "resource_scopes": ["view"], "authority": text, "expires_at": NOW.0 + 1_000,
        "required_claims": [{"name": "email", "value": ["bob@bar.example"]}]});
    policy.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    policy
}

fn holiday(all: &Holdings) -> &Thing {
    all.things.iter().find(|thing| thing.name == "Holiday").unwrap()
}

/// What a server shows as signed by her is hers where one of her keys signed it, and nothing else is.
#[test]
fn threat_36_s01_a_text_is_evidence_of_nothing_until_a_key_of_hers_signed_it() {
    let (alice, mallory) = (Signer::new(), Signer::new());
    let good = alice.signs(&json!({}));
    let mut parts: Vec<String> = good.split('.').map(str::to_owned).collect();
    parts[2] = base64url::encode([0; 64]);
    let zeros = parts.join(".");
    let forged =
        SigningKey::generate(Algorithm::EdDsa).unwrap().sign_as("rot+jwt", &alice.did, &alice.claims(&json!({}))).unwrap();
    let of_mallory = json!({"iss": mallory.did, "resource_owner_id": mallory.did});
    let typed = alice.key.sign_as("at+jwt", &alice.did, &alice.claims(&json!({}))).unwrap();
    let policies: Vec<PolicyDocument> =
        [&zeros, &forged, &mallory.signs(&json!({})), &mallory.signs(&of_mallory), &typed, "rubbish"]
            .iter()
            .map(|text| serde_json::from_value(listed(text, &json!({}))).unwrap())
            .collect();
    let shown = |policies: &[PolicyDocument], ledger: &Ledger, hers: &Hers| {
        ledger.find_unknown(&Listed { issuer: GUARD, policies, delegations: &[], keepers: &[KEEPER] }, hers, NOW)
    };
    assert_eq!(shown(&policies, &Ledger::default(), &alice.hers()), []);
    let honest: PolicyDocument = serde_json::from_value(listed(&good, &json!({}))).unwrap();
    let honest = [honest];
    let found = shown(&honest, &Ledger::default(), &alice.hers());
    assert_eq!((found.len(), found[0].guards.clone(), found[0].origin), (1, vec![GUARD.to_owned()], Origin::Found));
    // what she took back does not come back because a server still shows it
    let gone = Ledger::of(found.into_iter().map(|word| Word { withdrawn: Some(NOW), ..word }));
    assert_eq!(shown(&honest, &gone, &alice.hers()), []);
    // an old key: where the keeper of the thing counts it as hers, and for that keeper's things alone
    let at_keeper = |keeper: &str| Hers {
        at_keeper: HashMap::from([(keeper.to_owned(), BTreeSet::from([alice.did.clone()]))]),
        ..Hers::default()
    };
    assert_eq!(shown(&honest, &Ledger::default(), &at_keeper(KEEPER)).len(), 1);
    assert_eq!(shown(&honest, &Ledger::default(), &at_keeper("https://evil.example")).len(), 0);
    let two = json!({"resources": [{"resource_server": KEEPER, "resource_id": "/a", "allowed_scopes": ["view"]},
        {"resource_server": "https://papers.example", "resource_id": "/l", "allowed_scopes": ["view"]}]});
    let both: PolicyDocument = serde_json::from_value(listed(&alice.signs(&two), &json!({}))).unwrap();
    assert_eq!(shown(&[both], &Ledger::default(), &at_keeper(KEEPER)).len(), 0, "not for what others keep");
}

/// Shown as what it is: the server's word. Nothing is proposed to be signed by it, and nothing withdrawn in its name.
#[test]
fn threat_36_s01_a_forged_text_is_shown_as_not_signed_and_never_renewed() {
    let (alice, mallory) = (Signer::new(), Signer::new());
    let soon = json!({"iat": NOW.0 - 80 * 86_400, "exp": NOW.0 + 10 * 86_400});
    for text in [mallory.signs(&soon), "e30.e30.AAAA".to_owned()] {
        let all = Holdings::of(servers(&json!([listed(&text, &json!({}))])), Ledger::default(), &alice.hers(), NOW);
        let share = &holiday(&all).shares[0];
        assert!(!share.is_signed() && share.listed().unwrap().not_signed);
        assert_eq!(all.ending_words(NOW).len(), 0);
    }
    let word = alice.word(&soon);
    let all = Holdings::of(servers(&json!([])), Ledger::of([word]), &alice.hers(), NOW);
    assert_eq!(all.ending_words(NOW).len(), 1, "her own record is");
}

/// However a guard lists it - or not at all -, what she signed is shown once, as she signed it, and withdrawn by what she
/// signed; the difference is told.
#[test]
fn threat_36_s03_shares_are_shown_and_withdrawn_by_the_ledger() {
    let alice = Signer::new();
    let (word, text) = (alice.word(&json!({})), alice.signs(&json!({})));
    let other_jti = alice.signs(&json!({"jti": "another"}));
    let tampered = {
        let stranger = Signer::new();
        stranger.key.sign_as("rot+jwt", &alice.did, &alice.claims(&json!({"jti": "j9"}))).unwrap()
    };
    for (policies, says) in [
        (json!([listed(&text, &json!({}))]), ""),
        (json!([]), "does not list what you signed"),
        (json!([listed(&text, &json!({"authority": null}))]), "without what you signed"),
        (json!([listed(&tampered, &json!({"_id": "j9"}))]), "does not list what you signed"),
        (json!([listed(&text, &json!({"required_claims": []}))]), "as if it were for somebody else"),
        (json!([listed(&text, &json!({"resource_scopes": ["view", "delete"]}))]), "let more pass"),
        (json!([listed(&text, &json!({"expires_at": NOW.0 + 9_999}))]), "ended later"),
        (json!([listed(&text, &json!({"_id": "renamed"}))]), ""),
        (json!([listed(&other_jti, &json!({}))]), "without what you signed"),
    ] {
        let all = Holdings::of(servers(&policies), Ledger::of([word.clone()]), &alice.hers(), NOW);
        let signed: Vec<_> = holiday(&all).shares.iter().filter(|share| share.is_signed()).collect();
        assert_eq!((signed.len(), signed[0].who.name(), signed[0].id.as_str()), (1, "bob@bar.example", "j1"), "{policies}");
        let Basis::Signed { word: id } = &signed[0].basis else { panic!() };
        let told = all.told_of(id, all.word(id).unwrap(), "Bob");
        let told: Vec<(String, String)> =
            told.into_iter().map(|one| (one.url, one.body.unwrap_or_default().to_string())).collect();
        let at_keeper = json!({"jti": "j1", "exp": NOW.0 + 1_000}).to_string();
        let keeper = (format!("{KEEPER}/manage/my-withdrawn-tokens"), at_keeper);
        assert_eq!(told, [keeper, (format!("{GUARD}/policies/j1"), "null".to_owned())], "{policies}");
        let doubts: Vec<&str> = all.doubts.iter().map(|doubt| doubt.words.as_str()).collect();
        match says {
            "" => assert!(doubts.is_empty(), "{policies}: {doubts:?}"),
            says => assert!(doubts.iter().any(|words| words.contains(says)), "{policies}: {doubts:?}"),
        }
    }
}

/// The places that must hear are those that stand in what she signed. One that is not linked is not told, and says so.
#[test]
fn threat_36_s03_a_place_that_is_not_linked_is_shown_as_not_told() {
    let alice = Signer::new();
    let far = json!({"aud": ["https://far.example", "https://gone.example"],
        "resources": [{"resource_server": "https://far.example", "resource_id": "/d", "allowed_scopes": ["view"]}]});
    let word = Word { guards: vec!["https://gone.example".into()], ..alice.word(&far) };
    let all = Holdings::of(servers(&json!([])), Ledger::of([word.clone()]), &alice.hers(), NOW);
    let thing = all.things.iter().find(|thing| thing.server == "https://far.example").unwrap();
    assert!(thing.shares[0].is_signed() && !thing.is_vouched, "shown, although nobody lists it");
    let told = all.told_of(&id_of(&word.text), &word, "Bob");
    let named: Vec<(&str, bool)> = told.iter().map(|one| (one.server.as_str(), one.link.is_empty())).collect();
    assert_eq!(named, [("https://far.example", true), ("https://gone.example", true)]);
}

/// Names are a path's segment, whatever a server makes of them.
#[test]
fn threat_36_s03_an_id_is_one_segment_of_a_path() {
    for (id, path) in [("a/b", "a%2Fb"), ("..", "%2E%2E"), ("j1", "j1"), ("a b?x#y", "a%20b%3Fx%23y"), (".", "%2E")] {
        assert_eq!(crate::share::segment(id), path);
    }
}

/// A thing moves: what was a guard is none any more, also where it goes on saying so.
#[test]
fn threat_36_s02_a_guard_that_was_left_guards_nothing() {
    let alice = Signer::new();
    let mut servers = servers(&json!([]));
    servers[0].snapshot.available[0].registrations[0].authorization_server = "https://new.example".into();
    let all = Holdings::of(servers, Ledger::default(), &alice.hers(), NOW);
    let guards: Vec<(&str, bool)> =
        holiday(&all).guards.iter().map(|guard| (guard.issuer.as_str(), guard.state == RegistrationState::Active)).collect();
    assert_eq!(guards, [("https://new.example", true)]);
    assert!(all.doubts.iter().any(|doubt| doubt.server == GUARD), "{:?}", all.doubts);
}

/// A delegation was found while the server that keeps her things was not linked yet. It is told of the end all the same, once
/// it is; and whoever still lists what she took back is shown.
#[test]
fn threat_36_s03_the_end_of_a_delegation_reaches_a_keeper_that_was_linked_later() {
    let alice = Signer::new();
    let exp = NOW.0 + 1_000;
    let claims = json!({"jti": "d1", "iss": alice.did, "sub": "did:key:carol", "aud": [KEEPER, GUARD], "iat": NOW.0 - 10, "exp": exp,
        "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
    let text = alice.key.sign_as("delegation+jwt", &alice.did, &claims).unwrap();
    let document = json!({"_id": "d1", "delegate": {"resource_owner_id": "did:key:carol"}, "resources": "all", "resource_scopes": ["view"],
        "may": ["share"], "expires_at": exp, "delegation": text});
    let delegations: Vec<DelegationDocument> = vec![serde_json::from_value(document.clone()).unwrap()];
    let listed = Listed { issuer: GUARD, policies: &[], delegations: &delegations, keepers: &[] };
    let found = Ledger::default().find_unknown(&listed, &alice.hers(), NOW);
    assert_eq!(found.len(), 1, "{text}");
    let withdrawn = Word { withdrawn: Some(NOW.plus(-100)), ..found[0].clone() };
    let mut servers = servers(&json!([]));
    servers[1].snapshot.delegations = delegations;
    servers[1].snapshot.delegations_endpoint = Some(format!("{GUARD}/delegations"));
    let all = Holdings::of(servers, Ledger::of([withdrawn]), &alice.hers(), NOW);
    let (id, word) = all.ledger.iter().next().unwrap();
    let told: Vec<(String, String)> = all.told_of(id, word, "x").into_iter().map(|wanted| (wanted.link, wanted.url)).collect();
    let (keeper, guard) = (format!("{KEEPER}/manage/my-withdrawn-tokens"), format!("{GUARD}/delegations/d1"));
    assert_eq!(told, [("rs".to_owned(), keeper), ("as".to_owned(), guard)]);
    let said: Vec<&str> = all.doubts.iter().map(|doubt| doubt.words.as_str()).collect();
    assert!(said.iter().any(|words| words.contains("still lists what you took back")), "{said:?}");
}

/// A key that a keeper alone counts as hers signs for that keeper's things, to the server that shows it, and for a time that she can
/// survey; what is listed of it never makes the desk end what another server has.
#[test]
fn threat_36_s01_a_key_that_a_keeper_counts_reaches_no_other_server() {
    let stranger = Signer::new();
    let counted =
        Hers { at_keeper: HashMap::from([(KEEPER.to_owned(), BTreeSet::from([stranger.did.clone()]))]), ..Hers::default() };
    let shown = |changes: &Value| {
        let policy: PolicyDocument = serde_json::from_value(listed(&stranger.signs(changes), &json!({}))).unwrap();
        Ledger::default()
            .find_unknown(&Listed { issuer: GUARD, policies: &[policy], delegations: &[], keepers: &[KEEPER] }, &counted, NOW)
            .len()
    };
    assert_eq!(shown(&json!({})), 1);
    assert_eq!(shown(&json!({"aud": [KEEPER, GUARD, "https://lawyer.example"]})), 0, "another server stands in it");
    assert_eq!(shown(&json!({"aud": [KEEPER, "https://lawyer.example"]})), 0);
    assert_eq!(shown(&json!({"iat": NOW.0, "exp": NOW.0 + 100 * 366 * 86_400})), 0, "a hundred years");
    let many: Vec<PolicyDocument> = (0..600)
        .map(|n| serde_json::from_value(listed(&stranger.signs(&json!({"jti": n.to_string()})), &json!({}))).unwrap())
        .collect();
    let all = Ledger::default().find_unknown(
        &Listed { issuer: GUARD, policies: &many, delegations: &[], keepers: &[KEEPER] },
        &counted,
        NOW,
    );
    assert_eq!(all.len(), MAX_COUNTED_ELSEWHERE);
    // and takes no room of another keeper's
    let other = "https://other.example";
    let both = Hers {
        at_keeper: HashMap::from([KEEPER, other].map(|keeper| (keeper.to_owned(), BTreeSet::from([stranger.did.clone()])))),
        ..Hers::default()
    };
    let elsewhere = json!({"aud": [other, GUARD], "resources": [{"resource_server": other, "resource_id": "/x", "allowed_scopes": ["view"]}]});
    let policy: PolicyDocument = serde_json::from_value(listed(&stranger.signs(&elsewhere), &json!({}))).unwrap();
    let full = Ledger::of(all);
    assert_eq!(
        full.find_unknown(
            &Listed { issuer: GUARD, policies: &[policy], delegations: &[], keepers: &[KEEPER, other] },
            &both,
            NOW
        )
        .len(),
        1
    );
    assert_eq!(
        full.find_unknown(&Listed { issuer: GUARD, policies: &many, delegations: &[], keepers: &[KEEPER] }, &counted, NOW),
        []
    );
}

/// Only a server that keeps something of a word has a say in whether it was taken back.
#[test]
fn threat_36_s03_a_word_is_for_its_own_keepers() {
    let alice = Signer::new();
    let word = alice.word(&json!({}));
    assert!(word.is_for(KEEPER) && !word.is_for("https://other.example") && !word.is_for(GUARD));
}

/// Whose a word is at a server: as it was kept; else by a link that is older than the word; else by what the server lists.
#[test]
fn threat_36_s03_a_word_stands_at_the_account_that_it_was_placed_as() {
    let alice = Signer::new();
    let word = alice.word(&json!({}));
    let guard =
        |id: &str, added: i64| Link { added: Timestamp(added), ..link(id, Place::AuthorizationServer { issuer: GUARD.into() }) };
    let placed = |id: &str| Word { placed: vec![PlacedAs::of(&guard(id, 0))], ..word.clone() };
    let other = |id: &str| Account::Other(Some(id.to_owned()));
    let newer = word.since.0 + 1;
    for (word, link, account) in [
        (placed("a.alice"), guard("a.alice", newer), Account::Same),
        (placed("a.alice"), guard("b.alice", newer), Account::Same),
        (placed("a.alice"), guard("b.carol", 0), other("a.alice")),
        (placed("a"), guard("a", newer), Account::Same),
        (placed("a"), guard("b.carol", 0), Account::Unknown),
        (word.clone(), guard("a", word.since.0), Account::Same),
        (word.clone(), guard("a.alice", newer), Account::Unknown),
        (Word { origin: Origin::Found, guards: vec!["x".into(), GUARD.into()], ..word.clone() }, guard("a", 0), Account::Unknown),
    ] {
        assert_eq!(word.account_at(&link), account, "{:?} {}", word.placed, link.id);
        // the end of a link keeps what is known, and nothing twice
        let kept = word.with_end_of(&link);
        assert_eq!(kept.is_some(), word.placed.is_empty() && account == Account::Same, "{:?} {}", word.placed, link.id);
        assert!(kept.is_none_or(|kept| kept.placed == [PlacedAs::of(&link)]));
    }
    let listed_or_not = |policies: Value| {
        let mut servers = servers(&policies);
        servers[1].link = guard("b.carol", newer);
        let all = Holdings::of(servers, Ledger::of([word.clone()]), &alice.hers(), NOW);
        all.told_of(&id_of(&word.text), &word, "Bob").into_iter().map(|one| one.account).collect::<Vec<_>>()
    };
    assert_eq!(listed_or_not(json!([])), [Account::Same, Account::Unknown]);
    assert_eq!(listed_or_not(json!([listed(&word.text, &json!({}))])), [Account::Same, Account::Same]);
}

/// A keeper that keeps none of the things for whoever is linked has the account of somebody else; one that has not answered yet
/// says nothing of it.
#[test]
fn threat_36_s03_a_keeper_says_by_its_list_whose_account_it_is() {
    let alice = Signer::new();
    let word = Word { origin: Origin::Found, ..alice.word(&json!({})) };
    for (answered, keeps, account) in [
        (json!(NOW), true, Account::Same),
        (Value::Null, true, Account::Same),
        (json!(NOW), false, Account::Other(None)),
        (Value::Null, false, Account::Unknown),
    ] {
        let mut servers = servers(&json!([]));
        servers[0].snapshot.answered = serde_json::from_value(answered).unwrap();
        if !keeps {
            servers[0].snapshot.available.clear();
        }
        let all = Holdings::of(servers, Ledger::of([word.clone()]), &alice.hers(), NOW);
        let told = all.told_of(&id_of(&word.text), &word, "Bob").swap_remove(0);
        let is_asked = !told.link.is_empty();
        assert_eq!((is_asked, &told.account), (!matches!(account, Account::Other(_)), &account));
    }
}

/// One URL that keeps and guards: whichever of the two is linked no more is shown as not told, and not passed over.
#[test]
fn threat_36_s03_a_delegation_ends_at_both_that_one_url_is() {
    let alice = Signer::new();
    let claims = json!({"jti": "d1", "iss": alice.did, "sub": "did:key:carol", "aud": [GUARD], "iat": NOW.0 - 10, "exp": NOW.0 + 1_000,
        "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
    let said = Said::Delegation(serde_json::from_value(claims).unwrap());
    let keeper = Place::ResourceServer { resource: GUARD.into(), management: format!("{GUARD}/m"), issuer: GUARD.into() };
    let links = [link("as.alice", Place::AuthorizationServer { issuer: GUARD.into() }), link("rs.alice", keeper)];
    let placed = links.iter().map(PlacedAs::of).collect();
    let word = Word { placed, ..word_of(said, "d".into(), "", vec![GUARD.into()], NOW.plus(-10)) };
    for (linked, asked) in
        [(vec![], [false, false]), (vec![0], [false, true]), (vec![1], [true, false]), (vec![0, 1], [true, true])]
    {
        let snapshot = json!({"delegations_endpoint": format!("{GUARD}/delegations")});
        let servers = linked.iter().map(|at: &usize| known(links[*at].clone(), snapshot.clone())).collect();
        let all = Holdings::of(servers, Ledger::of([word.clone()]), &alice.hers(), NOW);
        let told: Vec<_> = all.told_of("d", &word, "x").iter().map(|one| (one.of_keeper, !one.link.is_empty())).collect();
        assert_eq!(told, [(Some(true), asked[0]), (Some(false), asked[1])], "{linked:?}");
    }
}
