//! Signed and sealed forms: JWS, JWK, JWK sets, DPoP proofs, and sealing for the server's own
//! eyes. Called by `rules` (which only sees `Verified<_>`), `identity`, `authorization-server`,
//! `client` and `resource-server`.
//!
//! Two rules answer the attacks that RFC 8725 lists. The algorithm belongs to the key, never to the
//! token: [`PublicKey`] knows its one algorithm, and a header that says anything else is refused.
//! And [`Verified`] is made by verification alone, so code that forgot to check does not compile.
//! No I/O here: keys come in as arguments, and nothing is ever fetched because a token says so.

pub mod ambient;
pub mod base64url;
mod cbor;
pub mod delegation;
pub mod did;
pub mod digest;
pub mod dpop;
pub mod event_chain;
mod htu;
pub mod jwk;
pub mod jws;
pub mod key;
mod members;
pub mod possession;
pub mod resource_owner_token;
pub mod seal;
pub mod webauthn;

pub use ambient::{Clock, Randomness, SystemClock, SystemRandomness};
pub use delegation::{Delegation, UnverifiedDelegation};
pub use dpop::DpopProof;
pub use jwk::{Algorithm, BadKeySet, KeySet, PublicKey};
pub use jws::{Header, Jws, JwsError, UnverifiedJws, Verified};
pub use key::{KeyError, SigningKey};
pub use resource_owner_token::{ResourceOwnerToken, UnverifiedToken};
