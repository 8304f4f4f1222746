//! A ticket is packed and unpacked alike, opens under its own server and day alone, and not when a bit of it was changed.

use super::shared::{choose, tamper};
use authorization_server::sealed_ticket::{MAX_CHARACTERS, PREFIX, pack, split, unpack};
use jose::base64url;
use jose::seal::SealingKey;

struct Fixed;

impl jose::Randomness for Fixed {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(3);
    }
}

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    match choice % 2 {
        0 => sent(&String::from_utf8_lossy(rest)),
        _ => packed(choice, rest),
    }
}

/// Any text.
fn sent(text: &str) {
    let Some(sealed) = split(text, 20_000) else { return };
    assert!(text.len() <= MAX_CHARACTERS && text.starts_with(PREFIX) && (19_997..=20_000).contains(&sealed.day));
    assert!(text.ends_with(&base64url::encode(&sealed.body)), "one spelling");
    assert!(key().open(&sealed.body, b"ticket").is_none_or(|plain| unpack(&plain).is_some() || plain.is_empty()));
}

fn key() -> SealingKey {
    SealingKey::new(&[5; 32]).unwrap()
}

/// Any plain text, as if it had been sealed.
fn packed(choice: u8, plain: &[u8]) {
    let Some(ticket) = unpack(plain) else { return };
    let again = pack(&ticket).unwrap();
    assert_eq!(unpack(&again), Some(ticket));
    let body = key().seal(&again, b"ticket", &Fixed).unwrap();
    let text = format!("{PREFIX}{}{}", 20_000 % 4, base64url::encode(&body));
    let Some(sealed) = split(&text, 20_000) else {
        assert!(text.len() > MAX_CHARACTERS);
        return;
    };
    assert_eq!(key().open(&sealed.body, b"ticket"), Some(again));
    assert!(key().open(&sealed.body, b"ticket of another").is_none());
    let other = tamper(&text, PREFIX.len() + 1 + usize::from(choice).wrapping_mul(plain.len()) % 200);
    if let (false, Some(changed)) = (other == text, split(&other, 20_000)) {
        assert!(changed.day != 20_000 || key().open(&changed.body, b"ticket").is_none());
    }
}
