use super::*;
use types::Timestamp;
use ui::Zone;

/// 1 December 2026, 14:05.
fn reader() -> Reader {
    Reader { zone: Zone::default(), now: Timestamp(1_796_133_900) }
}

#[test]
fn how_long_is_chosen_or_typed() {
    let reader = reader();
    for (lasts, until, words) in [
        ("", "", None),
        ("always", "", None),
        ("", "2026-12-05", Some("until and including 5 December")),
        ("always", "2026-12-05", Some("until and including 5 December")),
        ("date", "2026-12-01", Some("until and including 1 December")),
        ("day", "", Some("until and including 2 December")),
        ("week", "", Some("until and including 8 December")),
        ("month", "", Some("until and including 1 January 2027")),
    ] {
        let end = reader.chosen_end(lasts, until).unwrap();
        assert_eq!(end.map(|end| reader.until(end)).as_deref(), words, "{lasts} {until}");
    }
    for (lasts, until) in [
        ("", "2020-01-01"),
        ("date", "2026-11-30"),
        ("date", ""),
        ("date", "soon"),
        ("week", "2026-12-05"),
        ("year", ""),
        ("year", "2026-12-05"),
    ] {
        assert!(reader.chosen_end(lasts, until).is_err(), "{lasts} {until}");
    }
}

#[test]
fn a_sentence_is_short_and_one_line() {
    assert_eq!(sentence_of("  \n "), Ok(None));
    assert_eq!(sentence_of("Look\r\nat\u{202e} it").unwrap().as_deref(), Some("Look at it"));
    assert!(sentence_of(&"ä".repeat(280)).is_ok());
    assert!(sentence_of(&"ä".repeat(281)).unwrap_err().contains("281"));
}

#[test]
fn what_is_wrong_stands_at_its_field() {
    let form = ShareForm { until: "2020-01-01".into(), scopes: Some(vec![]), ..ShareForm::default() };
    let wrong = document_of(&ResourceId::new("1"), &form, &reader()).unwrap_err();
    assert!(wrong.email.is_some() && wrong.scope.is_some() && wrong.until.is_some() && wrong.message.is_none());
}
