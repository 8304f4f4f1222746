//! A UMA challenge that was found is written again as the same one, whatever stands beside it.

use types::challenge::{UmaChallenge, parse};

pub(crate) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let all = parse(&text);
    assert!(all.iter().map(|one| one.parameters.len() + 1).sum::<usize>() <= text.len());
    assert!(all.iter().all(|one| !one.scheme.is_empty() && one.scheme.is_ascii()));
    let Some(found) = UmaChallenge::find([&*text]) else { return };
    let plain = |value: &str| value.chars().filter(|c| !c.is_control()).collect::<String>();
    let expected = UmaChallenge {
        realm: found.realm.as_deref().map(plain),
        as_uri: plain(&found.as_uri),
        ticket: plain(&found.ticket),
        resource_metadata: found.resource_metadata.as_deref().map(plain),
    };
    let written = found.to_string();
    assert!(!written.contains(char::is_control), "no line of a header can be broken");
    assert_eq!(UmaChallenge::find([written.as_str()]), Some(expected.clone()));
    let beside = format!("Bearer realm=\"x, y\", {written}, Basic realm=\"z\"");
    assert_eq!(UmaChallenge::find([beside.as_str()]), Some(expected));
}
