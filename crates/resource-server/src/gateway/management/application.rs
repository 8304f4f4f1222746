//! The application by which an owner manages: what it brings in her name rests on her word for it (decision 0061).

use types::brought::{BroughtBy, BroughtStanding};
use types::introspection::Introspection;
use types::{ClientId, GrantId, Timestamp};

/// Longest name of each kind that is kept.
const MAX_BYTES: usize = 1_024;

/// The application that holds a token, as whoever gave it says.
#[derive(Clone, Debug)]
pub struct Application {
    pub client: Option<ClientId>,
    pub name: Option<String>,
    /// What its owner agreed to, where that can be asked about.
    pub grant: Option<GrantId>,
    /// Whether an operator vouches for it.
    pub declared: bool,
}

impl Application {
    pub(super) fn of(answer: &Introspection) -> Self {
        let told = answer.client.as_ref();
        Self {
            client: answer.client_id.clone().filter(|client| client.as_str().len() <= MAX_BYTES),
            name: told.and_then(|client| client.name.clone()).filter(|name| name.len() <= MAX_BYTES),
            grant: answer.grant.clone().filter(|grant| grant.as_str().len() <= MAX_BYTES),
            declared: told.is_some_and(|client| client.verified),
        }
    }

    /// What it brings now, by a token of this issuer.
    pub(super) fn brings(self, issuer: &str, at: Timestamp) -> BroughtBy {
        let Self { client, name, grant, declared } = self;
        let issuer = Some(issuer.to_owned());
        BroughtBy { client, name, grant, issuer, declared, at, standing: BroughtStanding::default() }
    }
}
