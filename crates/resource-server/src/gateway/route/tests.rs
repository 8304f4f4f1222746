use super::methods::READING;
use super::*;

pub(super) fn alice() -> OwnerOf {
    OwnerOf::Named("alice".into())
}

pub(super) fn scopes(of: &[(&str, &str)]) -> MethodScopes {
    let mut scopes = MethodScopes::default();
    for (name, set) in of {
        scopes.add(name, ScopeSet::parse(set).unwrap()).unwrap();
    }
    scopes
}

pub(super) fn guarded(path: &str, resource: &str, owner: OwnerOf) -> Route {
    let guarded = Guarded {
        resource: Pattern::parse(resource).unwrap(),
        also: vec![],
        owner,
        resource_type: None,
        name: None,
        scopes: scopes(&[("GET", "view")]),
        takes_web_sockets: false,
        tells_email: false,
    };
    Route { path: Pattern::parse(path).unwrap(), access: Access::Guarded(Box::new(guarded)) }
}

pub(super) fn public(path: &str, methods: &[&str]) -> Route {
    let methods = methods.iter().map(|method| (*method).to_owned()).collect();
    Route { path: Pattern::parse(path).unwrap(), access: Access::Public(methods) }
}

pub(super) fn with(route: Route, change: impl FnOnce(&mut Guarded)) -> Route {
    let Access::Guarded(mut guarded) = route.access else { panic!("it is public") };
    change(&mut guarded);
    Route { access: Access::Guarded(guarded), ..route }
}

/// Owner and id of what a path leads to.
fn found(routes: &[Route], path: &str) -> Option<(Option<String>, String)> {
    let path = CanonicalPath::parse(path).unwrap();
    match find(routes, &path)? {
        Matched::Guarded(matched) => Some((matched.owner, matched.own_id)),
        Matched::Public(_) => Some((None, "public".into())),
    }
}

fn owned(owner: &str, id: &str) -> Option<(Option<String>, String)> {
    Some((Some(owner.into()), id.into()))
}

#[test]
fn a_path_leads_to_one_resource_of_one_owner() {
    let routes = [
        guarded("/albums/{album}/{photo}", "/albums/{album}", alice()),
        guarded("/u/{user}/{file}", "/u/{user}/{file}", OwnerOf::Path("user".into())),
    ];
    assert_eq!(found(&routes, "/albums/holiday/1.jpg"), owned("alice", "/albums/holiday"));
    assert_eq!(found(&routes, "/u/bob/x"), owned("bob", "/u/bob/x"));
    assert_eq!(found(&routes, "/albums/holiday"), None);
    assert_eq!(found(&routes, "/albums/holiday/1.jpg/more"), None);
    assert_eq!(found(&routes, "/albums/holiday/1.jpg/"), None, "a slash at the end is a path of its own");
    assert!(guarded("/a/{x}", "/a/{y}", alice()).check().is_err());
    assert!(guarded("/a/{x}", "/a/{x}", OwnerOf::Path("user".into())).check().is_err());
}

#[test]
fn a_resource_has_a_page_where_a_route_leads_to_it() {
    let routes = [
        guarded("/albums/{album}", "/albums/{album}", alice()),
        guarded("/albums/{album}/{rest..}", "/albums/{album}", alice()),
        public("/drafts", &["GET"]),
        guarded("/drafts/{rest..}", "/drafts", alice()),
        guarded("/photos/{album}/{photo}", "/photos/{album}", alice()),
        guarded("/{folder}/{rest..}", "/{folder}", alice()),
        guarded("/{rest..}", "/", alice()),
    ];
    for (id, page) in [
        ("/albums/holiday", "/albums/holiday"),
        ("/drafts", "/drafts/"),
        ("/letters", "/letters/"),
        ("/photos/holiday", "/photos/holiday"),
        ("/", "/"),
    ] {
        assert_eq!(page_of(&routes, id).unwrap().encoded(), page, "{id}");
    }
}

#[test]
fn what_follows_is_one_name() {
    let routes = [
        public("/style.css", &["GET"]),
        guarded("/u/{user}/{rest..}", "/u/{user}", OwnerOf::Path("user".into())),
        guarded("/each/{rest..}", "/each/{rest..}", alice()),
        guarded("/album/", "/album", alice()),
        guarded("/{rest..}", "/all", alice()),
    ];
    assert_eq!(found(&routes, "/u/bob/"), owned("bob", "/u/bob"), "the empty rest, too");
    assert_eq!(found(&routes, "/u/bob/a/b/c.txt"), owned("bob", "/u/bob"));
    assert_eq!(found(&routes, "/u/bob/a/b/"), owned("bob", "/u/bob"));
    assert_eq!(found(&routes, "/u/bob"), owned("alice", "/all"), "not the place itself without its slash");
    assert_eq!(found(&routes, "/each/a/b"), owned("alice", "/each/a/b"));
    assert_eq!(found(&routes, "/each/a/b/"), owned("alice", "/each/a/b"), "with the slash it is the same thing");
    assert_eq!(found(&routes, "/each/"), owned("alice", "/each"));
    assert_eq!(found(&routes, "/album/"), owned("alice", "/album"));
    assert_eq!(found(&routes, "/album"), owned("alice", "/all"));
    assert_eq!(found(&routes, "/"), owned("alice", "/all"));
    assert_eq!(found(&routes, "/style.css"), Some((None, "public".into())));
    let all = guarded("/{rest..}", "/{rest..}", alice());
    assert_eq!(found(std::slice::from_ref(&all), "/"), owned("alice", "/"));
    assert_eq!(found(&[all], "/a/"), owned("alice", "/a"));
}

/// What an id is called again is what it was called when it was made.
#[test]
fn an_id_belongs_to_the_route_that_made_it() {
    let by_user = || OwnerOf::Path("user".into());
    let routes = [
        guarded("/u/{user}/{rest..}", "/u/{user}/{rest..}", by_user()),
        guarded("/{user}/", "/{user}/", by_user()),
        guarded("/{user}", "/{user}", by_user()),
    ];
    for (path, owner) in
        [("/u/bob/", "bob"), ("/u/bob/a/b", "bob"), ("/u/bob/a/", "bob"), ("/carol/", "carol"), ("/dora", "dora")]
    {
        let (_, own_id) = found(&routes, path).unwrap();
        let maker = routes.iter().find_map(|route| route.maker_of(&own_id)).unwrap();
        assert_eq!(maker.owner_of_id(&own_id).as_deref(), Some(owner), "{path} {own_id}");
    }
    for not_made in ["/u/bob/a/", "/", "/u/bob/", "//", "", "u/bob", "/u/", "/u/bob//a", "/u/bob/../a"] {
        assert!(routes[..1].iter().all(|route| route.maker_of(not_made).is_none()), "{not_made}");
    }
}

#[test]
fn what_cannot_be_read_is_said() {
    for (pattern, said) in [
        ("a/b", "begins with one slash"),
        ("/a/*", "{rest..}"),
        ("/a/**", "{rest..}"),
        ("/{*rest}", "letters, digits"),
        ("/{rest..}/a", "at the end"),
        ("/{rest..}/", "at the end"),
        ("/{a}/{a}", "twice"),
        ("/{a}/{a..}", "twice"),
        ("/{}", "letters, digits"),
        ("/{..}", "letters, digits"),
        ("/a//b", "in one way"),
        ("/a/../b", "in one way"),
        ("/a{b}c", "in one way"),
        ("/a%2fb", "in one way"),
        ("//", "one slash"),
    ] {
        let error = Pattern::parse(pattern).unwrap_err();
        // what is no path may be anything
        assert!(error.contains(said) && (error.contains(pattern) || said.contains("one slash")), "{pattern}: {error}");
    }
    let good = ["/", "/a", "/a/", "/{a}", "/{a}/", "/{rest..}", "/a/{b-c}/{d_e..}", "/Caf%C3%A9", "/Café"];
    assert!(good.iter().all(|pattern| Pattern::parse(pattern).is_ok()));
    assert!(guarded("/a/{x}", "/a/{x..}", alice()).check().is_err(), "one segment is not all that follows");
    assert!(guarded("/a/{x..}", "/a/{x}", alice()).check().is_err());
    assert!(guarded("/{x..}", "/a", OwnerOf::Path("x".into())).check().is_err(), "an owner is one segment");
}

#[test]
fn a_route_that_another_hides_whole_is_found() {
    let hides = |first: &str, second: &str| find_hidden(&[public(first, &["GET"]), public(second, &["GET"])]).is_some();
    for (first, second) in [
        ("/a", "/a"),
        ("/{x}", "/a"),
        ("/{x}", "/{y}"),
        ("/{rest..}", "/"),
        ("/{rest..}", "/a/b"),
        ("/{rest..}", "/a/{rest..}"),
        ("/a/{rest..}", "/a/"),
        ("/a/{rest..}", "/a/b/"),
        ("/a/{rest..}", "/a/{b}/{rest..}"),
        ("/{x}/{rest..}", "/a/b"),
    ] {
        assert!(hides(first, second), "{first} {second}");
    }
    for (first, second) in [
        ("/a", "/a/"),
        ("/a/", "/a"),
        ("/a", "/{x}"),
        ("/a/{rest..}", "/a"),
        ("/a/{rest..}", "/{rest..}"),
        ("/{x}", "/{rest..}"),
        ("/{x}/{rest..}", "/{rest..}"),
        ("/a/b", "/a/{rest..}"),
        ("/b/{rest..}", "/a/b"),
    ] {
        assert!(!hides(first, second), "{first} {second}");
    }
}

#[test]
fn a_method_needs_its_own_scopes_or_those_of_its_class() {
    let both = scopes(&[("read", "view"), ("write", "edit"), ("DELETE", "delete")]);
    let of = |method: &str| both.get(method).map(|scopes| scopes.to_string());
    for read in READING {
        assert_eq!(of(read).as_deref(), Some("view"), "{read}");
    }
    for write in ["PUT", "POST", "PATCH", "MKCOL", "MKCALENDAR", "PROPPATCH", "LOCK", "UNLOCK"] {
        assert_eq!(of(write).as_deref(), Some("edit"), "{write}");
    }
    assert_eq!(both.get("COPY"), ScopeSet::parse("edit view").ok(), "what is copied is read");
    assert_eq!(both.get("MOVE"), ScopeSet::parse("edit delete view").ok(), "what is moved is read elsewhere, and gone here");
    for other in ["PURGE", "TRACK", "BIND", "MERGE", "UPDATE", "get", "delete", "Put", "trace", ""] {
        assert_eq!(of(other), None, "{other}");
    }
    assert_eq!(of("DELETE").as_deref(), Some("delete"));
    assert!(NEVER.iter().all(|method| both.get(method).is_none()));
    let reading = scopes(&[("read", "view")]);
    assert!(reading.get("PUT").is_none() && reading.get("PROPFIND").is_some());
    assert_eq!(reading.allowed(), "GET, HEAD, OPTIONS, PROPFIND, REPORT, SEARCH");
    let view = || ScopeSet::parse("view").unwrap();
    for name in ["GETT", "CONNECT", "TRACE", "Read", "get post", ""] {
        assert!(MethodScopes::default().add(name, view()).is_err(), "{name}");
    }
    assert!(scopes(&[("get", "view")]).add("GET", view()).is_err(), "one method has one entry");
}

/// Row 26: whoever takes a thing to where she may read it, reads it.
#[test]
fn threat_26_what_takes_a_thing_elsewhere_needs_what_reading_it_needs() {
    let classes = [("read", "view"), ("write", "edit")];
    let own = [("GET", "view"), ("DELETE", "delete"), ("COPY", "copy"), ("MOVE", "move"), ("PUT", "put")];
    let box_of = [("write", "edit")];
    let opened = [("write", "edit"), ("MOVE", "move")];
    for (entries, method, here, there) in [
        (&classes[..], "COPY", "edit view", "edit view"),
        (&classes, "MOVE", "edit view", "edit"),
        (&own, "COPY", "copy", "copy put"),
        (&own, "MOVE", "move", "move put"),
        // nobody may read there, and so nobody takes anything from there; who may put something there still does
        (&box_of, "COPY", "", "edit"),
        (&box_of, "MOVE", "", "edit"),
        (&opened, "MOVE", "move", "edit move"),
    ] {
        let (scopes, parsed) = (scopes(entries), |set: &str| ScopeSet::parse(set).ok().filter(|set| !set.is_empty()));
        assert_eq!(scopes.get(method), parsed(here), "{entries:?} {method}");
        assert_eq!(scopes.get_at_destination(method), parsed(there), "{entries:?} {method} there");
    }
    assert!(!scopes(&box_of).allowed().contains("MOVE") && scopes(&opened).allowed().contains("MOVE"));
}

/// Row 26: a look at all that is below a path.
#[test]
fn threat_26_other_resources_below_a_path_are_seen() {
    let below = |path: &str, resource: &str, called: &str, judged: &str| {
        let called = CanonicalPath::parse(called).unwrap();
        !guarded(path, resource, alice()).find_below(&called, |own_id| own_id == judged).is_empty()
    };
    assert!(!below("/albums/{album}/{photo}", "/albums/{album}", "/albums/holiday", "/albums/holiday"));
    assert!(below("/albums/{album}/{photo}", "/albums/{album}/{photo}", "/albums/holiday", "/albums/holiday"));
    assert!(below("/albums/{album}/{photo}", "/albums/{album}", "/albums", "/albums"));
    assert!(below("/albums/{album}/{photo}", "/private", "/albums/holiday", "/albums/holiday"));
    assert!(!below("/albums/{album}/{photo}", "/albums/{album}", "/albums/holiday/1.jpg", "/albums/holiday"));
    assert!(!below("/other/{album}", "/other/{album}", "/albums", "/albums"));
    // the same for what follows
    assert!(!below("/files/{rest..}", "/files", "/files/a", "/files"));
    assert!(below("/files/{rest..}", "/files/{rest..}", "/files/a", "/files/a"));
    assert!(below("/files/{rest..}", "/files/{rest..}", "/", "/"));
    assert!(below("/{user}/{rest..}", "/{user}", "/", "/"));
    assert!(!below("/files/{rest..}", "/files/{rest..}", "/other", "/other"));
    // and for what a slash at the end makes another path of
    assert!(below("/files/", "/inside", "/files", "/files"));
    assert!(below("/files", "/outside", "/files/", "/files"));
    assert!(!below("/files/", "/files", "/files", "/files"));
}

#[test]
fn threat_26_ids_below_a_path_are_told_from_others() {
    let below = |path: &str, resource: &str, called: &str| {
        let called = CanonicalPath::parse(called).unwrap();
        guarded(path, resource, alice()).find_below(&called, |_| false).remove(0).pattern
    };
    let each = below("/files/{rest..}", "/files/{rest..}", "/files/a");
    for (id, is_below) in
        [("/files/a", true), ("/files/a/b", true), ("/files/a/b/c", true), ("/files/ab", false), ("/files", false)]
    {
        assert_eq!(is_made_by(&each, id), is_below, "{id}");
    }
    let all = below("/{rest..}", "/{rest..}", "/");
    assert!(["/", "/a", "/a/b"].iter().all(|id| is_made_by(&all, id)));
    let photos = below("/albums/{album}/{photo}", "/albums/{album}/{photo}", "/albums/holiday");
    for (id, is_below) in
        [("/albums/holiday/1", true), ("/albums/holiday", false), ("/albums/holiday/", false), ("/albums/garden/1", false)]
    {
        assert_eq!(is_made_by(&photos, id), is_below, "{id}");
    }
}

/// What a call needs of these routes: ids and scopes; nothing for what is public or not there.
pub(super) fn needed(routes: &[Route], path: &str) -> Vec<String> {
    let path = CanonicalPath::parse(path).unwrap();
    match find(routes, &path) {
        Some(Matched::Guarded(matched)) => {
            let needs = matched.needs(|route| route.scopes.get("GET")).unwrap();
            needs.iter().map(|need| need.resource.to_string()).collect()
        }
        _ => Vec::new(),
    }
}

/// Row 26: many services show the same with a slash at the end and without it, and some take capitals for small letters.
#[test]
fn threat_26_another_spelling_is_no_way_past_a_guarded_route() {
    let last = || public("/{rest..}", &["GET"]);
    let album = [guarded("/albums/{album}", "/albums/{album}", alice()), last()];
    for path in ["/albums/secret", "/albums/secret/", "/Albums/secret", "/ALBUMS/secret/"] {
        assert_eq!(needed(&album, path).len(), 1, "{path}");
    }
    assert_eq!(needed(&album, "/albums/secret/"), ["/albums/secret"]);
    assert!(needed(&album, "/albums/").is_empty() && needed(&album, "/albums/a/b").is_empty());
    let all = [guarded("/private/{rest..}", "/private", alice()), last()];
    for path in ["/private", "/private/", "/private/a", "/Private", "/PRIVATE/a/"] {
        assert_eq!(needed(&all, path), ["/private"], "{path}");
    }
    // what is in front does not hide it either, unless it names this very place
    let page = [public("/{page}", &["GET"]), guarded("/private/{rest..}", "/private", alice())];
    assert_eq!(needed(&page, "/private"), ["/private"]);
    let spoken = [public("/private", &["GET"]), guarded("/private/{rest..}", "/private", alice())];
    assert!(needed(&spoken, "/private").is_empty());
    let two = [guarded("/a", "/a", alice()), guarded("/a/", "/b", alice())];
    assert_eq!((needed(&two, "/a"), needed(&two, "/a/")), (vec!["/a".to_owned()], vec!["/b".to_owned()]));
    // behind another guarded route both are needed
    let both = [guarded("/secret/{file}", "/secret", alice()), guarded("/{rest..}", "/all", alice())];
    assert_eq!(needed(&both, "/secret/x/"), ["/all", "/secret"]);
    assert_eq!(needed(&both, "/SECRET/x"), ["/all", "/secret"]);
    assert_eq!(needed(&both, "/secret/x"), ["/secret"]);
    assert_eq!(needed(&both, "/other"), ["/all"]);
    // of another owner
    let owners =
        [guarded("/u/{user}/{file}", "/u/{user}/{file}", OwnerOf::Path("user".into())), guarded("/{rest..}", "/", alice())];
    let path = CanonicalPath::parse("/u/bob/diary/").unwrap();
    let Some(Matched::Guarded(matched)) = find(&owners, &path) else { panic!("it is guarded") };
    let named: Vec<_> = std::iter::once(&matched).chain(&matched.beside).map(|one| one.owner.as_deref()).collect();
    assert_eq!(named, [Some("alice"), Some("bob")]);
}

#[test]
fn threat_39_a_route_takes_no_tunnels_but_web_sockets_that_begin_with_get() {
    let checked = |method: &str, takes_web_sockets| {
        let scopes = [(method.to_owned(), ScopeSet::parse("view").unwrap())].into_iter().collect();
        let change = |guarded: &mut Guarded| (guarded.scopes, guarded.takes_web_sockets) = (scopes, takes_web_sockets);
        with(guarded("/a", "/a", alice()), change).check()
    };
    assert!(checked("GET", true).is_ok() && checked("POST", false).is_ok());
    for (method, takes_web_sockets) in [("CONNECT", false), ("TRACE", false), ("POST", true)] {
        assert!(checked(method, takes_web_sockets).is_err(), "{method}");
    }
}

/// Row 39: nobody's permission is asked there, so nothing may go from there to another place.
#[test]
fn threat_39_a_public_route_reaches_one_place() {
    assert!(public("/a", &["GET", "HEAD", "OPTIONS", "POST"]).check().is_ok());
    for method in ["COPY", "MOVE", "LOCK", "PROPFIND", "CONNECT", "TRACE"] {
        assert!(public("/a", &["GET", method]).check().is_err(), "{method}");
    }
    assert!(public("/a", &[]).check().is_err());
}

#[test]
fn threat_47_s20_an_owner_stands_in_a_header_that_cannot_be_folded() {
    let by = |name: &str| guarded("/a", "/a", OwnerOf::Header(name.into())).check();
    assert!(by("X-Owner").is_ok());
    for name in ["X_Owner", "X.Owner", "x-owner!", ""] {
        assert!(by(name).is_err(), "{name}");
    }
}
