//! A token's text says where its row is, and each row has one text.

use super::shared::choose;
use identity::token_text::{End, FIRST_SECOND, LAST_SECOND, TICKS, TokenKind, key_of, mint};
use jose::{Randomness, SystemClock};
use std::sync::Mutex;
use types::Timestamp;

const KINDS: [TokenKind; 5] = [TokenKind::Rpt, TokenKind::Access, TokenKind::Refresh, TokenKind::Pct, TokenKind::Code];

/// Randomness that is the input.
struct Chosen(Mutex<Vec<u8>>);

impl Randomness for Chosen {
    fn fill(&self, bytes: &mut [u8]) {
        let mut own = self.0.lock().unwrap();
        for byte in bytes {
            *byte = own.pop().unwrap_or(0);
        }
    }
}

pub(crate) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let fitting: Vec<TokenKind> = KINDS.into_iter().filter(|kind| key_of(*kind, &text).is_some()).collect();
    assert!(fitting.len() <= 1, "a token is of one kind");
    for kind in fitting {
        let key = key_of(kind, &text).unwrap();
        assert!(text.is_ascii() && [47, 51, 52].contains(&(text.len() - kind.prefix().len())));
        assert!((0..4096).contains(&key.shard) && (0..1 << 42).contains(&key.end));
    }
    let (choice, rest) = choose(data);
    let kind = KINDS[usize::from(choice) % KINDS.len()];
    let expires = Timestamp(rest.iter().take(8).fold(0, |number, byte| number << 8 | i64::from(*byte)));
    let minted = mint(kind, &text, expires, &SystemClock, &Chosen(Mutex::new(rest.to_vec())));
    let key = key_of(kind, &minted).expect("what is minted is found");
    let End::Tick(tick) = End::of(key.end) else { panic!("{key:?} is of an earlier release") };
    let (second, known) = (tick / TICKS + FIRST_SECOND, expires.0.clamp(FIRST_SECOND, LAST_SECOND));
    assert!(second == known || (second > known && End::of(tick - TICKS) != End::Tick(tick - TICKS)), "{second} for {known}");
    assert!(KINDS.iter().all(|other| *other == kind || key_of(*other, &minted).is_none()));
}
