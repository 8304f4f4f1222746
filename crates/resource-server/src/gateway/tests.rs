//! A gateway before an authorization server that the tests can slow down, count and switch off.

mod active;
mod asking;
mod brought;
mod browsers;
mod challenges;
mod collections;
mod crashing;
mod enrolling;
mod folders;
mod identifying;
mod linking;
mod origins;
mod paging;
mod public;
mod purposes;
mod questions;
mod scripting;
mod signed;
mod slow;
mod strangers;
mod unlisted;
mod unread;
mod unreadable;
mod viewing;
mod visitors;
mod whole;
pub(super) mod world;
