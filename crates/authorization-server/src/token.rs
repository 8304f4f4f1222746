//! UMA at the token endpoint: the grant itself, and what identity's doors ask of it.

mod answer;
mod issue;
pub mod jwt_bearer;
mod much;
pub(crate) mod parameters;
pub mod refresh;
mod taken;
pub mod uma_ticket;

pub use uma_ticket::Answer;
