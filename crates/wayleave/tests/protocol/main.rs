//! The protocol over the real router, on every engine, with a clock that stands still: requests in,
//! answers out. Each test bears the ids of the cases it holds (`docs/conformance.md`).

mod authority;
mod claims;
mod clients;
mod consents;
mod crowd;
mod delegations;
mod discovery;
mod doors;
mod grant;
mod interaction;
mod isolation;
mod logging_in;
mod loopback;
mod oauth;
mod owner;
mod passkeys;
mod paths;
mod people;
mod permission;
mod persons;
mod policies;
mod receipts;
mod refresh;
mod registrations;
mod resources;
mod revocations;
mod rubbish;
mod tickets;
mod upgrade;
mod world;
