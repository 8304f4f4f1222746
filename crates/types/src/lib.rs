//! The words of Wayleave: identifiers, scopes, JSON messages, metadata, URL paths and the one
//! catalogue of wire errors. Every other crate speaks in these; this one knows none of them.
//! And what all parties count callers by ([`peer`], [`throttle`]).
//!
//! Nothing here decides anything else. Rules about these words live in `rules`, their signed forms in
//! `jose`.

pub mod access_request;
pub mod answer;
pub mod available_resource;
pub mod brought;
pub mod challenge;
pub mod client;
pub mod consent_receipt;
pub mod credential;
pub mod delegation;
pub mod discovery;
pub mod email;
pub mod error;
pub mod event;
pub mod id;
mod idna2008;
pub mod introspection;
pub mod json;
pub mod linked_manager;
pub mod metadata;
pub mod origin;
pub mod path;
pub mod peer;
pub mod permission;
pub mod policy;
pub mod reading;
pub mod resource;
pub mod revocations;
pub mod scope;
pub mod spelling;
pub mod throttle;
pub mod time;
pub mod token;
pub mod webfinger;

pub use error::{ErrorCode, Refusal};
pub use id::*;
pub use permission::{GrantedPermission, PermissionRequest};
pub use reading::ReadError;
pub use resource::ResourceDescription;
pub use scope::{Scope, ScopeSet};
pub use time::Timestamp;
