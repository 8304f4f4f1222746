//! A request and its answer.

use crate::{Party, TIMEOUT};
use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use std::time::Duration;

/// A request to send.
pub struct Request<'a> {
    pub method: Method,
    pub url: &'a str,
    pub headers: HeaderMap,
    pub body: Option<Vec<u8>>,
    /// How long the whole may take.
    pub patience: Duration,
    /// For whom, within the name in which the client calls: they take turns where many call one place.
    pub party: Party,
}

impl<'a> Request<'a> {
    fn new(method: Method, url: &'a str, body: Option<Vec<u8>>) -> Self {
        Self { method, url, headers: HeaderMap::new(), body, patience: TIMEOUT, party: Party::default() }
    }

    pub fn get(url: &'a str) -> Self {
        Self::new(Method::GET, url, None)
    }

    /// For an answer that is known to take its time: a long poll.
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// For these, who take turns with others.
    pub fn by(self, party: Party) -> Self {
        Self { party, ..self }
    }

    /// With this header; a value that no header can hold is left out.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(HeaderName::from_static(name), value);
        }
        self
    }

    /// A form post.
    pub fn form(url: &'a str, form: String) -> Self {
        Self::new(Method::POST, url, Some(form.into_bytes())).header("content-type", "application/x-www-form-urlencoded")
    }

    /// A JSON body.
    pub fn json(method: Method, url: &'a str, body: &serde_json::Value) -> Self {
        Self::new(method, url, Some(body.to_string().into_bytes())).header("content-type", "application/json")
    }
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Response {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Response {
    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
