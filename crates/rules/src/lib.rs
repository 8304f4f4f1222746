//! The rules of User-Managed Access, and nothing else: what a claim is worth, when a policy is in
//! force, how a ticket lives, what an assessment grants.
//!
//! No async, no I/O, no clock, no randomness: `now` and random bytes are arguments, and tokens come
//! in as `jose::Verified`. Called by `authorization-server` (which loads and saves) and
//! `resource-server`. Every rule can be tested in microseconds, and is.

pub mod access_request;
pub mod assessment;
pub mod authority;
pub mod claim;
pub mod clock;
pub mod delegation;
pub mod inbox;
pub mod pct;
pub mod policy;
pub mod resource;
pub mod rpt;
pub mod ticket;

pub use access_request::AccessRequest;
pub use assessment::{Assessment, Outcome, Question, assess};
pub use authority::Authority;
pub use claim::{AnotherPerson, Claim, Claims, RequestingParty};
pub use pct::Pct;
pub use policy::Policy;
pub use resource::Resource;
pub use rpt::Rpt;
pub use ticket::Ticket;
