//! What must be true of every parser of what others send, whatever they send. Each module has one function `holds`, which
//! takes any bytes and panics where its property is broken: the fuzz targets here call it, and so does the suite
//! (`crates/wayleave/tests/properties.rs`), with the same seeds.
#![allow(dead_code)]

pub(crate) mod call_of_proxy;
pub(crate) mod challenge;
pub(crate) mod cookie;
pub(crate) mod delegation;
pub(crate) mod did;
pub(crate) mod did_document;
pub(crate) mod dpop;
pub(crate) mod email;
pub(crate) mod form;
pub(crate) mod gateway_path;
pub(crate) mod json;
pub(crate) mod jwk;
pub(crate) mod jws;
pub(crate) mod metadata;
pub(crate) mod picture;
pub(crate) mod place;
pub(crate) mod range;
pub(crate) mod resource_owner_token;
pub(crate) mod sealed_ticket;
pub(crate) mod shared;
pub(crate) mod token_text;
pub(crate) mod webauthn;
pub(crate) mod webdav;
pub(crate) mod webfinger;
