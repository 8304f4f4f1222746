//! C-6: names that are odd, and names all the same.

use super::super::*;
use super::world::World;
use types::OwnResourceId;

/// C-6: whatever a name is that a path can hold, its thing is registered with all that can be done with it, is found where the
/// server sends people, and opens.
#[tokio::test]
async fn c06_things_of_odd_names_are_registered_and_open() {
    let long = "n".repeat(200);
    let names = [
        "50% off",
        "100%",
        "%",
        "%ugly",
        "a+b",
        "a#b",
        "a?b",
        "a&b",
        "a=b",
        "a b",
        " a",
        "it's",
        "\"a\"",
        "a'b\"c",
        "<b>",
        "{a}",
        "[a]",
        "a|b",
        "a^b",
        "a`b",
        "~a",
        "a:b",
        "a@b",
        "a,b",
        "a!b",
        "$a",
        "(a)",
        "a*b",
        "a.",
        "..a",
        "a..b",
        "Caf\u{e9}",
        "Cafe\u{301}",
        "\u{1f468}\u{200d}\u{1f469}",
        "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
        "CON",
        &long,
    ];
    let names: Vec<&str> = names.into_iter().filter(|name| !name.starts_with('.')).collect();
    let world = World::new(Store::in_memory(), &names).await;
    let enrolled = world.link_and_enrol("alice").await;
    assert_eq!(enrolled, enrolment::Enrolled { registered: names.len(), goes_on: false });
    let registered = world.registered();
    for name in names {
        let own_id = format!("/{name}");
        let number = registered.iter().position(|one| *one == own_id).unwrap_or_else(|| panic!("{name}")) + 1;
        let description = world.gateway.description("alice", &OwnResourceId::from(own_id.as_str())).await.unwrap();
        assert!(!description.resource_scopes.is_empty(), "{name}: nothing can be done with it");
        let place = description.resource_location.unwrap_or_else(|| panic!("{name}: nowhere"));
        let path = place.strip_prefix("https://photos.example").unwrap();
        let rpt = world.rpt(&format!("r{number}"));
        assert_eq!((world.status(path, Some(&rpt)).await, world.status(path, None).await), (200, 401), "{name} at {path}");
    }
}
