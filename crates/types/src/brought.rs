//! The application that brought something in an owner's name (decision 0061): what it brought counts as long as she lets it act for
//! her, and longer only where she says so herself.

use crate::{ClientId, GrantId, Timestamp};
use serde::{Deserialize, Serialize};

/// Who brought it, and whether that counts by now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtBy {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientId>,
    /// What it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What she agreed to for it. None: her server does not say, and cannot be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    /// Who gave the token, and so knows that grant. None: it was brought before that was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The operator of her server vouches for it.
    #[serde(default)]
    pub declared: bool,
    pub at: Timestamp,
    #[serde(default)]
    pub standing: BroughtStanding,
}

/// Whether what was brought rests on its application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BroughtStanding {
    /// It counts as long as the application may act for her.
    #[default]
    WithApplication,
    /// She said in a browser of hers that it is her own.
    Kept,
    /// The application acts for her no more: it counts no more.
    Ended,
}

impl BroughtBy {
    /// What her server has to be asked about; none where that changes nothing.
    pub fn asked_about(&self) -> Option<&GrantId> {
        self.grant.as_ref().filter(|_| !self.declared && self.standing == BroughtStanding::WithApplication)
    }

    pub fn is_ended(&self) -> bool {
        self.standing == BroughtStanding::Ended
    }

    pub fn ended(&self) -> Self {
        Self { standing: BroughtStanding::Ended, ..self.clone() }
    }

    pub fn kept(&self) -> Self {
        Self { standing: BroughtStanding::Kept, ..self.clone() }
    }
}
