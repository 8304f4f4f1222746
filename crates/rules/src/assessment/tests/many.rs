//! Many policies and many scopes: what a scope rests on, and how long it takes to judge.

use super::*;
use crate::authority::Authority;

/// A scope that many policies let pass rests on a few: those that are signed, then those that last longest.
#[test]
fn threat_46_a_scope_rests_on_a_few_policies() {
    let end = |n: usize| Some(NOW.plus(i64::try_from(n).unwrap() + 1));
    let mut policies: Vec<Policy> =
        (0..650).map(|n| Policy { expires_at: end(n), ..policy(&format!("p{n:03}"), "a", "view", None) }).collect();
    policies.push(policy("unending", "a", "view", None));
    let token = Authority { token: "t".into(), id: "t".into(), parts: 1, credential: "k".into(), delegated_by: None, cnf: None };
    policies.push(Policy { expires_at: end(0), authority: Some(token), ..policy("signed", "a", "view", None) });
    let question = Case::of(&[("a", "view", "view")], policies);
    let assessment = question.assess();
    let Outcome::Granted { scopes, .. } = assessment.outcome else { panic!("{assessment:?}") };
    let bases: Vec<&str> =
        scopes[0].basis.iter().map(|basis| if let Basis::Policy { id, .. } = basis { id.as_str() } else { "" }).collect();
    assert_eq!(bases, ["signed", "unending", "p649", "p648", "p647", "p646", "p645", "p644"]);
    assert_eq!(assessment.reasons.len(), 652);
}

/// Many scopes of a thing and many shares of it: each share is looked at once, and what it asks for is told once.
#[test]
fn threat_46_what_is_judged_is_a_sum_and_no_product() {
    let all: Vec<String> = (0..2_000).map(|n| format!("s{n}")).collect();
    let shares = |address: Option<&str>| all.iter().map(|scope| policy(&format!("p {scope}"), "a", scope, address)).collect();
    let everything = all.join(" ");
    let named: Vec<Policy> = shares(Some("bob@bar.example"));
    let case = Case::of(&[("a", &everything, &everything)], named).stranger();
    let Outcome::NeedInfo { required } = case.assess().outcome else { panic!("{:?}", case.assess().outcome) };
    assert_eq!(required.len(), 1, "{required:?}");
    let open = Case::of(&[("a", &everything, &everything)], shares(None));
    let Outcome::Granted { scopes, partial: false } = open.assess().outcome else { panic!("{:?}", open.assess().outcome) };
    assert_eq!(scopes.len(), 2_000);
    assert!(scopes.iter().all(|scope| scope.basis.len() == 1));
    // four times as much takes about four times as long, and not sixteen times
    let measure = |count: usize| {
        let all = all.get(..count).unwrap();
        let shares = all.iter().map(|scope| policy(&format!("p {scope}"), "a", scope, Some("bob@bar.example"))).collect();
        let case = Case::of(&[("a", &all.join(" "), &all.join(" "))], shares);
        let take = || {
            let begun = std::time::Instant::now();
            assert!(matches!(case.assess().outcome, Outcome::Granted { .. }));
            begun.elapsed()
        };
        (0..5).map(|_| take()).min().unwrap()
    };
    let (few, many) = (measure(500), measure(2_000));
    assert!(many < few * 10, "{few:?} for 500 scopes, {many:?} for 2,000");
}
