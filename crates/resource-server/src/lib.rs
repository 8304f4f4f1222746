//! The guarding side of UMA: a `tower` layer that puts any HTTP service under an authorization
//! server's protection, and (feature `gateway`) a gateway that does it without code.
//!
//! [`Protection`] speaks the protection API; [`Guard`] judges a presented RPT, by introspection or
//! ([`offline`]) by itself; [`challenge`] writes
//! the 401; [`layer::UmaLayer`] puts them before a service. `examples/notes.rs` is a whole protected
//! service in sixty lines; [`OwnersWord`] lets it believe its owner instead of the authorization server.

pub mod challenge;
mod fetched_keys;
#[cfg(feature = "gateway")]
pub mod gateway;
pub mod guard;
pub mod layer;
#[cfg(feature = "gateway")]
pub mod matching;
pub mod offline;
mod own_pat;
pub mod owners_word;
mod path;
pub mod presentation;
pub mod protection;
pub mod watch;

pub use guard::{Guard, Need, Verdict};
pub use layer::UmaLayer;
pub use offline::{Offline, PatSource};
pub use owners_word::OwnersWord;
pub use protection::{Protection, ProtectionError};
