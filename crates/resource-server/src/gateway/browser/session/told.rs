//! At which servers she read that an application here sees her address, and went on. Tokens say it from then on, as long as her
//! session lasts; a page that needs it and comes before is not opened for her by what she held already.

use super::{MOST_GRANTS, Session, keep_newest};

impl Session {
    /// Whether she lets applications here see her address, as this server says it.
    pub(in super::super) fn shows_address_at(&self, issuer: &str) -> bool {
        self.told.iter().any(|told| told == issuer)
    }

    pub(in super::super) fn note_told(&mut self, issuer: &str) {
        if !self.shows_address_at(issuer) {
            self.told.push(issuer.to_owned());
            keep_newest(&mut self.told, MOST_GRANTS);
        }
    }
}
