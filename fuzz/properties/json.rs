//! Strict JSON is what everybody reads the same way: a repeated member is refused, and nothing else is.

use super::shared::alike;
use serde_json::Value;

pub(crate) fn holds(data: &[u8]) {
    let (strict, loose) = (types::json::parse::<Value>(data), serde_json::from_slice::<Value>(data));
    match (&strict, &loose) {
        (Ok(strict), Ok(loose)) => {
            assert_eq!(strict, loose);
            let again = types::json::parse::<Value>(strict.to_string().as_bytes()).expect("what was written is read");
            assert!(alike(strict, &again));
        }
        (Ok(_), Err(_)) => panic!("strict reads what is no JSON"),
        (Err(error), Ok(_)) => assert!(error.to_string().ends_with("is there twice"), "{error}"),
        (Err(error), Err(_)) => assert!(!error.to_string().contains("at line"), "{error}"),
    }
    // one member repeated is enough
    if let (Ok(Value::Object(_)), Some(text)) = (&strict, std::str::from_utf8(data).ok().map(str::trim)) {
        let inner = text.trim_start_matches('{');
        let doubled = format!("{{\"a\":1,\"a\":2{}{inner}", if inner.trim_start() == "}" { "" } else { "," });
        assert!(types::json::parse::<Value>(doubled.as_bytes()).is_err());
    }
}
