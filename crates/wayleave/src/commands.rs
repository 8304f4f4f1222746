//! The subcommands, a module each.

pub mod backup;
pub mod bench;
pub mod config;
pub mod credential;
pub mod gateway;
pub mod get;
pub mod handbook;
pub mod looks;
pub mod manager;
pub mod server;
pub mod store;
pub mod thumbnail;
