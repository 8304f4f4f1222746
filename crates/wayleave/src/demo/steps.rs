//! What `wayleave demo` tells: who is who, and the steps by which a person does what the story does, in a browser of hers.

use super::pictures::Album;
use super::{ALICE_PASSWORD, BOB, Places};
use crate::say;

/// Who is where, and what for.
pub(super) fn introduce(places: &Places) {
    say::line("Everybody is on this machine, and nothing stays when it ends.\n");
    for line in roles(places) {
        say::line(&line);
    }
}

fn roles(places: &Places) -> [String; 4] {
    let Places { issuer, gateway, viewer, .. } = places;
    [
        format!("Authorization server  {issuer}   says who may see what for Alice: log in as alice, password {ALICE_PASSWORD}"),
        format!(
            "Alice's pictures      {gateway}   the gateway before her pictures: it lets in whom that server lets in; link it at \
             {gateway}/.wayleave/link?owner=alice"
        ),
        format!("Viewer                {viewer}   a third party's web client, by which Bob ({BOB}) may open links, too"),
        format!("Outbox                {viewer}/outbox   the mails that would have been sent: Bob has no account anywhere"),
    ]
}

/// What to do, in this order, with nothing but a browser.
pub(super) fn print_steps(places: &Places, albums: &[Album]) {
    let Some(first) = albums.first() else { return };
    say::line("\nDo it yourself, in a browser:");
    for (number, step) in (1_u32..).zip(steps(places, first, albums.get(1))) {
        say::line(&format!("\n{number:2}. {}", step.replace('\n', "\n    ")));
    }
}

fn steps(places: &Places, first: &Album, other: Option<&Album>) -> Vec<String> {
    let Places { issuer, gateway, viewer, .. } = places;
    let shared = first.title();
    let mut steps = vec![
        format!(
            "You are Alice, and put your pictures under the protection of your server. Open\n{gateway}/.wayleave/link?owner=alice\n\
             log in as alice with {ALICE_PASSWORD}, and allow it."
        ),
        format!(
            "Share {shared} with Bob. Open\n{issuer}/my/resources\nand in it {shared}. Type {BOB}, press \"Mail it to them...\", and \
             then \"Share, and send it\"."
        ),
        format!(
            "Now you are Bob: go on in a private window. Open\n{viewer}/outbox\nand in Alice's mail the link. You are asked who you are: \
             type {BOB}.\nThe code lies in the outbox a moment later. Type it, tick \"Remember this\", show your address, and you see the album."
        ),
        format!("One of its pictures by itself, without a second code:\n{}", places.url_of(&[&first.folder, &first.picture])),
    ];
    if let Some(other) = other {
        steps.push(format!(
            "Still Bob: open what Alice has not shared,\n{}\nwrite her a sentence, and press \"Ask for access\". Leave that page open.",
            places.url_of(&[&other.folder, &other.picture])
        ));
        steps.push(format!(
            "Alice again, in the first window: open\n{issuer}/my/requests\nand press \"Allow for a week\". Bob's page shows the picture by \
             itself."
        ));
    }
    steps.push(format!(
        "She takes it back: open\n{issuer}/my/resources\nand in {shared} press \"Withdraw...\". Bob loads his page again: it is not shared \
         with him any more."
    ));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn places() -> Places {
        let url = |port: u32| format!("http://127.0.0.1:{port}");
        Places { issuer: url(1), gateway: url(2), viewer: url(3), outbox: Arc::default() }
    }

    fn album(folder: &str, picture: &str) -> Album {
        Album { folder: folder.into(), picture: picture.into() }
    }

    #[test]
    fn steps_name_what_is_in_the_folder() {
        let (trip, cats) = (album("My Trip", "a #1.jpg"), album("black_cats", "tom.jpg"));
        let all = steps(&places(), &trip, Some(&cats)).join("\n");
        for words in ["Share My Trip with", "http://127.0.0.1:2/My%20Trip/a%20%231.jpg", "http://127.0.0.1:2/black_cats/tom.jpg"]
        {
            assert!(all.contains(words), "{words}: {all}");
        }
        assert!(!all.to_lowercase().contains("holiday"), "{all}");
        let few = steps(&places(), &trip, None);
        assert!(few.len() == 5 && !few.join("").contains("Ask for access"), "there is nothing else to ask for: {few:?}");
    }
}
