//! A form is read, written and read again alike; a parameter that is there twice is never one.

use identity::Form;

pub(crate) fn holds(data: &[u8]) {
    let Ok(form) = Form::parse(data) else { return };
    let again = Form::parse(form.encode().as_bytes()).expect("what is written is read");
    let names: Vec<&str> = form.iter().map(|(name, _)| name).collect();
    assert_eq!(names, again.iter().map(|(name, _)| name).collect::<Vec<_>>());
    let mut values = 0;
    for name in &names {
        assert_eq!(form.all(name), again.all(name));
        values += form.all(name).len();
        match form.all(name) {
            [one] => assert_eq!(form.one(name).unwrap(), Some(one.as_str()).filter(|one| !one.is_empty())),
            _ => assert!(form.one(name).is_err() && (form.check_unrepeated().is_err() || *name == "resource")),
        }
    }
    assert!(values <= 256);
    let mut set = form.clone();
    set.set("state", "a");
    assert_eq!(set.one("state").unwrap(), Some("a"));
    set.remove("state");
    assert!(set.all("state").is_empty());
}
