//! Assessment as tables and properties.

use super::*;
use crate::access_request::State;
use crate::claim::{Claim, Subject};
use crate::policy::Binding;
use proptest::prelude::*;
use serde_json::json;
use types::ResourceDescription;
use types::policy::ClaimCondition;

mod many;

const NOW: Timestamp = Timestamp(1_800_000_000);

fn scopes(text: &str) -> ScopeSet {
    ScopeSet::parse(text).unwrap()
}

fn resource(id: &str, available: &str) -> Resource {
    Resource {
        id: id.into(),
        owner: "alice".into(),
        resource_server: "photos".into(),
        description: ResourceDescription { resource_scopes: scopes(available), ..Default::default() },
        registered: NOW,
        unregistered: false,
        version: 0,
    }
}

fn policy(id: &str, resource: &str, on: &str, email: Option<&str>) -> Policy {
    let conditions = email.map(|address| ClaimCondition {
        name: "email".into(),
        issuer: vec![],
        value: vec![json!(address)],
        claim_token_format: vec![],
    });
    Policy {
        id: id.into(),
        owner: "alice".into(),
        version: 0,
        binding: Binding::Bound { resource: resource.into() },
        scopes: scopes(on),
        conditions: conditions.into_iter().collect(),
        clients: vec![],
        valid_from: None,
        expires_at: None,
        max_uses: None,
        uses: 0,
        purpose: None,
        on_missing: OnMissing::Gather,
        created: NOW,
        authority: None,
        delegation: None,
        receipt: None,
    }
}

fn bob() -> (RequestingParty, Claims) {
    let mut claims = Claims::default();
    claims.state(Claim {
        name: "email".into(),
        value: json!("bob@bar.example"),
        issuer: "https://idp.example".into(),
        format: types::token::ID_TOKEN_FORMAT.into(),
        auth_time: None,
    });
    let subject = Subject { iss: "https://idp.example".into(), sub: "bob".into() };
    (RequestingParty::of(subject), claims)
}

/// A question that tests change piece by piece.
struct Case {
    resources: Vec<(Resource, ScopeSet)>,
    registered: &'static str,
    requested: &'static str,
    party: RequestingParty,
    claims: Claims,
    policies: Vec<Policy>,
    requests: Vec<AccessRequest>,
    held: Vec<GrantedScope>,
    partial: bool,
    no_policy: NoPolicy,
    ask_owner: AskOwner,
    as_owner: Option<GrantId>,
    require_authority: bool,
}

impl Case {
    fn of(resources: &[(&str, &str, &str)], policies: Vec<Policy>) -> Self {
        let (party, claims) = bob();
        Self {
            resources: resources.iter().map(|(id, has, ticket)| (resource(id, has), scopes(ticket))).collect(),
            registered: "",
            requested: "",
            party,
            claims,
            policies,
            requests: vec![],
            held: vec![],
            partial: true,
            no_policy: NoPolicy::Deny,
            ask_owner: AskOwner::Yes,
            as_owner: None,
            require_authority: false,
        }
    }

    fn stranger(mut self) -> Self {
        self.party = RequestingParty::default();
        self.claims = Claims::default();
        self
    }

    fn assess(&self) -> Assessment {
        let asked: Vec<_> = self.resources.iter().map(|(resource, ticket_scopes)| Asked { resource, ticket_scopes }).collect();
        let policies: Vec<_> = self.policies.iter().cloned().map(Arc::new).collect();
        assess(&Question {
            client: &"viewer".into(),
            registered_scopes: &scopes(self.registered),
            requested_scopes: &scopes(self.requested),
            asked: &asked,
            requesting_party: &self.party,
            claims: &self.claims,
            policies: &policies,
            access_requests: &self.requests,
            held: &self.held,
            partial_grants: self.partial,
            no_policy: self.no_policy,
            ask_owner: self.ask_owner,
            as_owner: self.as_owner.as_ref(),
            require_authority: self.require_authority,
            jkt: None,
            now: NOW,
        })
    }

    /// `photo1/view ...`, sorted; a star where the grant is partial.
    fn granted(&self) -> String {
        match self.assess().outcome {
            Outcome::Granted { scopes, partial } => {
                let list: Vec<_> = scopes.iter().map(|g| format!("{}/{}", g.resource, g.scope)).collect();
                format!("{}{}", list.join(" "), if partial { " *" } else { "" })
            }
            other => format!("{other:?}"),
        }
    }
}

fn golden(policies: Vec<Policy>) -> Case {
    let photo = "view resize print download";
    let resources = [("album", "view edit download", "edit"), ("photo1", photo, "view"), ("photo2", photo, "view")];
    Case { registered: "download", requested: "download", ..Case::of(&resources, policies) }
}

/// Cases: G-3.3.4-8, G-3.3.4-1, G-3.3.4-2, G-3.3.4-11
#[test]
fn the_golden_album_of_the_standard() {
    let only_photo1 = golden(vec![policy("p", "photo1", "view", Some("bob@bar.example"))]);
    assert_eq!(only_photo1.granted(), "photo1/view *");
    assert_eq!(Case { partial: false, ..only_photo1 }.granted(), "Denied");
    let everything = ["album", "photo1", "photo2"].map(|r| policy(r, r, "view edit resize print download", None));
    assert_eq!(
        golden(everything.into()).granted(),
        "album/download album/edit photo1/download photo1/view photo2/download photo2/view"
    );
}

/// Cases: G-3.3.4-4, G-3.3.4-6, G-3.3.4-7
#[test]
fn what_was_not_requested_is_never_granted() {
    let all = || vec![policy("p", "album", "view edit", None)];
    assert_eq!(Case::of(&[("album", "view edit", "view")], all()).granted(), "album/view");
    let empty_ticket = Case::of(&[("album", "view edit", "")], all());
    assert_eq!(empty_ticket.assess().outcome, Outcome::InvalidScope { scope: None });
    let asked = Case { registered: "edit", requested: "edit", ..empty_ticket };
    assert_eq!(asked.granted(), "album/edit");
}

/// Cases: G-3.3.1-13, G-3.3.6-5, G-3.3.6-6
#[test]
fn scopes_that_do_not_exist_are_invalid_and_unregistered_ones_are_left_out() {
    let case = Case::of(&[("album", "view edit", "view")], vec![policy("p", "album", "view edit", None)]);
    let fly = Case { registered: "fly", requested: "fly", ..case };
    assert_eq!(fly.assess().outcome, Outcome::InvalidScope { scope: Scope::parse("fly").ok() });
    assert_eq!(Case { registered: "", requested: "edit", ..fly }.granted(), "album/view");
}

/// Cases: G-5.6-1
#[test]
fn nothing_passes_by_default() {
    let case = Case::of(&[("album", "view", "view")], vec![]);
    assert_eq!(case.assess().outcome, Outcome::Denied);
    let asking = Case { no_policy: NoPolicy::Ask, ..case };
    assert!(matches!(asking.assess().outcome, Outcome::Submitted { .. }));
    let Outcome::NeedInfo { required } = asking.stranger().assess().outcome else { panic!("a stranger is asked who he is") };
    assert_eq!(required[0].name.as_deref(), Some("email"));
}

#[test]
fn an_open_claim_gathers_and_a_wrong_one_does_not() {
    let resources = [("album", "view", "view")];
    let open = Case::of(&resources, vec![policy("p", "album", "view", Some("bob@bar.example"))]).stranger();
    assert!(matches!(open.assess().outcome, Outcome::NeedInfo { .. }));
    let wrong = Case::of(&resources, vec![policy("p", "album", "view", Some("eve@bar.example"))]);
    assert_eq!(wrong.assess().outcome, Outcome::Denied);
    let mut asks = policy("q", "album", "view", Some("eve@bar.example"));
    asks.on_missing = OnMissing::Ask;
    let wrong_but_asks = Case::of(&resources, vec![policy("p", "album", "view", Some("eve@bar.example")), asks]);
    assert!(matches!(wrong_but_asks.assess().outcome, Outcome::Submitted { .. }));
}

/// A share with Eve says nothing of Bob, who wants to ask: whether he may does not depend on it.
#[test]
fn a_share_with_somebody_else_keeps_nobody_from_asking() {
    let resources = [("album", "view", "view")];
    let eves = policy("p", "album", "view", Some("eve@bar.example"));
    let asking = |policies: Vec<Policy>| Case {
        no_policy: NoPolicy::Ask,
        ask_owner: AskOwner::Expressly,
        ..Case::of(&resources, policies)
    };
    assert!(matches!(asking(vec![eves.clone()]).assess().outcome, Outcome::Submitted { .. }));
    // who does not say that somebody wants it is refused, as the order of answers has it (protocol.md 1.2)
    for ask_owner in [AskOwner::Yes, AskOwner::Later] {
        let unsaid = Case { ask_owner, ..asking(vec![eves.clone()]) };
        assert_eq!(unsaid.assess().outcome, Outcome::Denied);
    }
    let signed = Case { require_authority: true, ..asking(vec![eves.clone()]) };
    assert!(matches!(signed.assess().outcome, Outcome::Submitted { .. }));
    // a stranger may be Eve
    assert!(matches!(asking(vec![eves.clone()]).stranger().assess().outcome, Outcome::NeedInfo { .. }));
    // what the owner said of everybody else, or of Bob, stands
    let mut closed = eves.clone();
    closed.on_missing = OnMissing::Deny;
    assert_eq!(asking(vec![closed]).assess().outcome, Outcome::Denied);
    let mut treats = policy("q", "album", "view", Some("bob@bar.example"));
    treats.conditions.push(ClaimCondition { name: "role".into(), value: vec![json!("nurse")], ..treats.conditions[0].clone() });
    let mut with_role = asking(vec![eves, treats]);
    let address = with_role.claims.iter().next().unwrap().clone();
    with_role.claims.state(Claim { name: "role".into(), value: json!("guest"), ..address });
    assert_eq!(with_role.assess().outcome, Outcome::Denied);
}

#[test]
fn policies_out_of_force_do_not_exist() {
    let resources = [("album", "view", "view")];
    let changes: [fn(&mut Policy); 5] = [
        |p| p.expires_at = Some(NOW),
        |p| p.valid_from = Some(NOW.plus(1)),
        |p| {
            p.max_uses = Some(2);
            p.uses = 2
        },
        |p| p.clients = vec!["printer".into()],
        |p| p.binding = Binding::Waiting { resource_server: "photos".into(), own_id: "album".into() },
    ];
    for change in changes {
        let mut policy = policy("p", "album", "view", None);
        change(&mut policy);
        assert_eq!(Case::of(&resources, vec![policy]).assess().outcome, Outcome::Denied);
    }
}

#[test]
fn a_partial_grant_comes_before_asking_and_once() {
    let policies = || vec![policy("p", "album", "view", None)];
    let case = Case { no_policy: NoPolicy::Ask, ..Case::of(&[("album", "view edit", "view edit")], policies()) };
    assert_eq!(case.granted(), "album/view *");
    let held = vec![GrantedScope { resource: "album".into(), scope: Scope::parse("view").unwrap(), basis: vec![] }];
    assert!(matches!(Case { held, ..case }.assess().outcome, Outcome::Submitted { .. }));
}

#[test]
fn an_approval_grants_what_it_names_and_refuses_the_rest() {
    let (party, claims) = bob();
    let asked = vec![PermissionRequest { resource_id: "album".into(), resource_scopes: scopes("view edit") }];
    let request = AccessRequest {
        id: "r".into(),
        owner: "alice".into(),
        client: "viewer".into(),
        requesting_party: party,
        claims,
        permissions: asked,
        created: NOW,
        expires_at: NOW.plus(60),
        state: State::Pending,
        delegation: None,
        instead_of: Vec::new(),
        message: None,
        network: None,
        version: 0,
    };
    let narrowed = vec![PermissionRequest { resource_id: "album".into(), resource_scopes: scopes("view") }];
    let decide = |d| request.clone().decide(d, NOW);
    use crate::access_request::Decision::{Approve, Deny};
    let approved = decide(Approve { permissions: Some(narrowed), until: NOW.plus(9) }).unwrap();
    let mut case = Case::of(&[("album", "view edit", "view edit")], vec![]);
    case.partial = false;
    case.no_policy = NoPolicy::Ask;
    case.requests = vec![approved];
    assert_eq!(case.granted(), "album/view *");
    case.requests = vec![decide(Deny { remember: true }).unwrap()];
    assert_eq!(case.assess().outcome, Outcome::Denied);
    let wider = vec![PermissionRequest { resource_id: "album".into(), resource_scopes: scopes("delete") }];
    assert!(decide(Approve { permissions: Some(wider), until: NOW.plus(9) }).is_err());
}

const SCOPES: [&str; 4] = ["view", "edit", "print", "delete"];

fn any_scopes() -> impl Strategy<Value = ScopeSet> {
    proptest::sample::subsequence(&SCOPES[..], 0..=4).prop_map(|list| scopes(&list.join(" ")))
}

fn any_policy() -> impl Strategy<Value = Policy> {
    (0..9u8, 0..3usize, any_scopes(), 0..3usize, 0..3u8, proptest::bool::ANY).prop_map(|(id, r, on, who, missing, expired)| {
        let mut made =
            policy(&format!("p{id}"), ["a", "b", "c"][r], "view", [None, Some("bob@bar.example"), Some("eve@bar.example")][who]);
        made.scopes = on;
        made.on_missing = [OnMissing::Gather, OnMissing::Ask, OnMissing::Deny][usize::from(missing)];
        made.expires_at = expired.then_some(NOW);
        made
    })
}

proptest! {
    /// Never wider than requested; deny by default; the order of policies does not matter.
    /// Threat 5. Cases: G-3.3.4-3, G-3.3.4-5, G-3.3.4-10
    #[test]
    fn threat_05_grants_are_within_the_request_and_the_policies(
        available in any_scopes(), ticket in any_scopes(), registered in any_scopes(), requested in any_scopes(),
        mut policies in proptest::collection::vec(any_policy(), 0..6), known in proptest::bool::ANY, partial in proptest::bool::ANY,
    ) {
        let (party, claims) = if known { bob() } else { Default::default() };
        let mut a = resource("a", "view");
        a.description.resource_scopes = available.clone();
        let mut b = resource("b", "view edit");
        b.description.resource_scopes.insert(Scope::parse("print").unwrap());
        let asked = [Asked { resource: &a, ticket_scopes: &ticket }, Asked { resource: &b, ticket_scopes: &ticket }];
        let ask = |policies: &[Policy]| assess(&Question {
            policies: &policies.iter().cloned().map(Arc::new).collect::<Vec<_>>(),
            client: &"viewer".into(), registered_scopes: &registered, requested_scopes: &requested, asked: &asked,
            requesting_party: &party, claims: &claims, access_requests: &[], held: &[],
            partial_grants: partial, no_policy: NoPolicy::Deny, ask_owner: AskOwner::Yes, as_owner: None, require_authority: false, jkt: None, now: NOW,
        }).outcome;
        let outcome = ask(&policies);
        if let Outcome::Granted { scopes, .. } = &outcome {
            for g in scopes {
                let r = if g.resource == a.id { &a } else { &b };
                prop_assert!(r.has_scope(&g.scope));
                prop_assert!(ticket.contains(&g.scope) || (registered.contains(&g.scope) && requested.contains(&g.scope)));
                let rests = policies.iter().any(|p| p.resource() == Some(&g.resource) && p.covers(&g.scope)
                    && p.expires_at.is_none() && p.standing(&claims) == Standing::Holds);
                prop_assert!(rests);
            }
        }
        if policies.is_empty() {
            let refused = matches!(outcome, Outcome::Denied | Outcome::InvalidScope { .. });
            prop_assert!(refused);
        }
        policies.dedup_by(|x, y| x.id == y.id);
        let forwards = ask(&policies);
        policies.reverse();
        let normal = |o: Outcome| match o {
            Outcome::Granted { mut scopes, partial } => { for g in &mut scopes { g.basis.sort(); } Outcome::Granted { scopes, partial } }
            o => o,
        };
        prop_assert_eq!(normal(forwards), normal(ask(&policies)));
    }
}

#[test]
fn whether_the_owner_could_be_asked_is_told_before_she_is() {
    let asking = |ask_owner| Case { no_policy: NoPolicy::Ask, ask_owner, ..Case::of(&[("album", "view", "view")], vec![]) };
    assert!(matches!(asking(AskOwner::Yes).assess().outcome, Outcome::Submitted { .. }));
    assert_eq!(asking(AskOwner::Later).assess().outcome, Outcome::MayAsk);
    assert_eq!(asking(AskOwner::Later).stranger().assess().outcome, Outcome::MayAsk);
    assert_eq!(asking(AskOwner::Over).assess().outcome, Outcome::Denied, "what was withdrawn is not asked again");
    let nothing_to_ask = Case { no_policy: NoPolicy::Deny, ..asking(AskOwner::Later) };
    assert_eq!(nothing_to_ask.assess().outcome, Outcome::Denied);
    let gathers = Case {
        ask_owner: AskOwner::Later,
        ..Case::of(&[("album", "view", "view")], vec![policy("p", "album", "view", Some("bob@bar.example"))])
    };
    assert!(matches!(gathers.stranger().assess().outcome, Outcome::NeedInfo { .. }), "first what policies ask for");
}

#[test]
fn an_owner_logged_in_holds_what_is_hers() {
    let own = Case { as_owner: Some(GrantId::from("c")), ..Case::of(&[("album", "view edit", "view edit")], vec![]) };
    let Outcome::Granted { scopes, partial: false } = own.assess().outcome else { panic!("it is hers") };
    assert!(scopes.iter().all(|granted| granted.basis == [Basis::Owner { consent: GrantId::from("c") }]));
    let signed_only = Case { require_authority: true, ..own };
    assert_eq!(signed_only.assess().outcome, Outcome::Denied, "she has demanded a signature herself");
}
