//! Row 26: paths in other letters, with another slash, or both, and what a service may take them for.

use super::tests::{alice, guarded, needed, public};
use super::*;

fn routes() -> [Vec<Route>; 5] {
    let by_user = OwnerOf::Path("user".into());
    [
        vec![public("/{page}", &["GET"]), guarded("/admin/{rest..}", "/admin", alice())],
        vec![public("/{area}/{page}", &["GET"]), guarded("/app/admin/{rest..}", "/admin", alice())],
        vec![guarded("/caf\u{e9}/{file}", "/cafe", alice()), public("/{rest..}", &["GET"])],
        vec![guarded("/keys/", "/keys", alice()), guarded("/Stra\u{df}e", "/street", alice()), public("/{rest..}", &["GET"])],
        vec![guarded("/u/{user}/{f}", "/u/{user}/{f}", by_user), guarded("/{rest..}", "/", alice())],
    ]
}

#[test]
fn threat_26_a_path_in_other_letters_needs_what_it_may_be_taken_for() {
    let [page, area, accents, signs, users] = routes();
    for (routes, path, expected) in [
        (&page, "/admin", &["/admin"][..]),
        (&page, "/admin/", &["/admin"]),
        (&page, "/ADMIN", &["/admin"]),
        (&page, "/ADMIN/", &[]),
        (&page, "/Admin.", &["/admin"]),
        (&page, "/\u{e4}dmin", &["/admin"]),
        (&page, "/about", &[]),
        (&area, "/app/admin", &["/admin"]),
        (&area, "/app/ADMIN", &["/admin"]),
        (&area, "/APP/admin", &["/admin"]),
        (&area, "/APP/Admin%20", &["/admin"]),
        (&area, "/app/about", &[]),
        (&accents, "/Cafe%CC%81/menu", &["/cafe"]),
        (&accents, "/CAFE/menu/", &["/cafe"]),
        (&accents, "/CAF%C3%89./menu", &["/cafe"]),
        (&accents, "/caf/menu", &[]),
        (&signs, "/%E2%84%AAeys", &["/keys"]),
        (&signs, "/KEYS", &["/keys"]),
        (&signs, "/STRASSE/", &["/street"]),
        (&signs, "/street", &[]),
        (&users, "/U/bob/diary", &["/", "/u/bob/diary"]),
        (&users, "/U/bob/diary/", &["/", "/u/bob/diary"]),
        (&users, "/U/bob", &["/"]),
    ] {
        assert_eq!(needed(routes, path), expected, "{path}");
    }
}

/// What is below a path is below it in whatever letters that is written.
#[test]
fn threat_26_other_letters_hide_nothing_that_is_below() {
    let [page, area, accents, _, users] = routes();
    let below = |routes: &[Route], path: &str| -> Vec<String> {
        let path = CanonicalPath::parse(path).unwrap();
        let all = routes.iter().flat_map(|route| route.find_below(&path, |own_id| own_id == "/"));
        all.map(|below| format!("{} {}", below.owner.unwrap_or_default(), below.pattern.replace('\0', "?"))).collect()
    };
    for (routes, path, expected) in [
        (&users, "/u", &[" /u/?/?"][..]),
        (&users, "/U", &[" /u/?/?"]),
        (&users, "/U/", &[" /u/?/?"]),
        (&users, "/u./bob", &["bob /u/bob/?"]),
        (&users, "/U/bob", &["bob /u/bob/?"]),
        (&users, "/V", &[]),
        (&page, "/ADMIN", &["alice /admin"]),
        (&area, "/APP", &["alice /admin"]),
        (&accents, "/CAFE", &["alice /cafe"]),
    ] {
        let found: Vec<_> =
            below(routes, path).into_iter().filter(|found| !found.ends_with(" /??") && !found.ends_with(" /")).collect();
        assert_eq!(found, expected, "{path}");
    }
}

/// Every pattern of at most two segments, each of them a name or one text.
fn patterns() -> Vec<String> {
    let segments = |names: [&str; 2]| names.map(|name| ["/a".to_owned(), name.to_owned()]);
    let [first, second] = segments(["/{x}", "/{y}"]);
    let two = first.iter().flat_map(|one| second.iter().map(move |two| format!("{one}{two}")));
    let parts: Vec<String> = std::iter::once(String::new()).chain(first.iter().cloned()).chain(two).collect();
    let ended = |end: &'static str| parts.iter().map(move |one| format!("{one}{end}"));
    ended("").chain(ended("/")).chain(ended("/{rest..}")).filter(|one| !one.is_empty()).collect()
}

/// Every path of at most two of these segments.
fn paths(segments: &[&str]) -> Vec<String> {
    let one = segments.iter().map(|one| format!("/{one}"));
    let two = segments.iter().flat_map(|one| segments.iter().map(move |two| format!("/{one}/{two}")));
    let all: Vec<String> = one.chain(two).collect();
    all.iter().cloned().chain(all.iter().map(|path| format!("{path}/"))).chain(["/".to_owned()]).collect()
}

/// Whether a service may take one path for the other.
fn may_be(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}

/// Of any two routes and any path: what the first route for a path that it may be taken for needs, is needed, unless the route
/// of the path itself goes before that one (it is earlier and says as much, or is for this very place), or the other is for
/// this path as it is written, where the first match wins.
#[test]
fn threat_26_no_spelling_needs_less_than_the_guarded_route_that_it_may_be_taken_for() {
    let (patterns, paths) = (patterns(), paths(&["a", "A", "b"]));
    let paths: Vec<CanonicalPath> = paths.iter().map(|path| CanonicalPath::parse(path).unwrap()).collect();
    let mut looked = 0;
    for (first, second) in patterns.iter().flat_map(|first| patterns.iter().map(move |second| (first, second))) {
        for routes in [
            [public(first, &["GET"]), guarded(second, "/second", alice())],
            [guarded(first, "/first", alice()), public(second, &["GET"])],
            [guarded(first, "/first", alice()), guarded(second, "/second", alice())],
        ] {
            let exact: Vec<_> =
                paths.iter().map(|path| find_as(&routes, path, Spelling::AsItIs).next().map(|(at, ..)| at)).collect();
            for (path, own) in paths.iter().zip(&exact) {
                let Some(own) = own.map(|at| &routes[at]) else { continue };
                let needed = needed(&routes, path.encoded());
                for other in paths.iter().zip(&exact).filter(|(other, _)| may_be(path.encoded(), other.encoded())) {
                    let Some(guarded) = other.1.map(|at| &routes[at]).filter(|route| route.guarded().is_some()) else { continue };
                    let is_before = std::ptr::eq(guarded, &routes[0]) || guarded.path.is_more_particular_than(&own.path);
                    let is_its = guarded.path.fit(path, Spelling::AsItIs).is_some() && !std::ptr::eq(guarded, own);
                    if is_its || !std::ptr::eq(guarded, own) && (!is_before || own.path.names_place_of(&guarded.path)) {
                        continue;
                    }
                    let id = guarded.guarded().unwrap().resource.to_string();
                    assert!(needed.contains(&id), "{first} {second}: {} is taken for {}", path.encoded(), other.0.encoded());
                    looked += 1;
                }
            }
        }
    }
    assert!(looked > 10_000, "{looked}");
}
