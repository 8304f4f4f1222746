//! Calls to an authorization server's or resource server's own API with an ordinary access token (PMT, RMT), bound by DPoP
//! where it is. Called by the relationship manager.

use crate::{Client, ClientError};
use outbound::{Method, Request, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use types::answer::Answer;
use types::error::ErrorBody;
use types::spelling::readable;
use url::Url;

/// Most pages of one list that are followed, most items, and most bytes of it: a list that does not end is none.
const MAX_PAGES: usize = 1_000;
const MAX_ITEMS: usize = 50_000;
const MAX_LIST_BYTES: usize = 48 * 1024 * 1024;
/// Most bytes in memory of one item: an honest server lets nobody write one that takes so many.
const MAX_ITEM_BYTES: usize = 1024 * 1024;
/// How long all pages of one list may take together.
const MAX_LIST_TIME: Duration = Duration::from_secs(120);

/// How much may yet be read of a server, over all of its lists, in bytes that it takes in memory.
#[derive(Debug)]
pub struct Room(AtomicUsize);

impl Room {
    /// Room for so many bytes.
    pub fn of(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Whether an item is no larger than one is. Takes the room that it needs; where there is none left, that is an error.
    pub fn take_in(&self, item: &Value) -> Result<bool, ClientError> {
        let weight = types::json::weight_of(item);
        if weight > MAX_ITEM_BYTES {
            return Ok(false);
        }
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(weight)) {
            Ok(_) => Ok(true),
            Err(_) => Err(ClientError::protocol("it lists more than is read here of one server")),
        }
    }
}

/// A call.
#[derive(Clone, Debug)]
pub struct ApiCall<'a> {
    pub method: Method,
    pub url: &'a str,
    pub token: &'a str,
    /// Whether the token is bound to this client's DPoP key.
    pub bound: bool,
    pub body: ApiBody<'a>,
    /// How long it may take.
    pub patience: Duration,
}

/// What goes with it.
#[derive(Clone, Copy, Debug)]
pub enum ApiBody<'a> {
    None,
    Json(&'a Value),
    /// A compact JWT, as this media type.
    Compact(&'static str, &'a str),
}

/// What came back.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    pub status: u16,
    pub body: Value,
    /// Where the list goes on.
    pub next: Option<String>,
    /// The head of the owner's chain of events, where one came with it (protocol.md 1.5).
    pub event_head: Option<String>,
    /// Length of the body in bytes.
    pub length: usize,
}

impl ApiAnswer {
    /// The error as the server put it.
    pub fn refusal(&self) -> String {
        let body = types::answer::read::<ErrorBody>(self.body.clone(), &[]).ok().map(|answer| answer.said);
        let said = body.map(|body| body.error_description.filter(|text| !text.is_empty()).unwrap_or(body.error));
        said.map_or_else(|| format!("it answered HTTP {}", self.status), |said| readable(&said))
    }
}

impl Client {
    /// One call; whatever the server answers in JSON is an answer.
    pub async fn api(&self, call: &ApiCall<'_>) -> Result<ApiAnswer, ClientError> {
        if !is_as_written(call.url) {
            return Err(ClientError::protocol(format!("`{}` is not what it says: nothing was asked", call.url)));
        }
        let first = Box::pin(self.api_once(call, None)).await?;
        let nonce = first.header("dpop-nonce").map(str::to_owned);
        let answer = match nonce {
            Some(nonce) if first.status == 401 && call.bound => Box::pin(self.api_once(call, Some(nonce))).await?,
            _ => first,
        };
        let next = next_of(call.url, &answer);
        let event_head = answer.header("event-head").map(str::to_owned);
        let length = answer.body.len();
        // what is no JSON says nothing, and is no empty list either
        let body = types::json::parse(&answer.body).unwrap_or_else(|_| Value::from(""));
        Ok(ApiAnswer { status: answer.status.as_u16(), body, next, event_head, length })
    }

    async fn api_once(&self, call: &ApiCall<'_>, nonce: Option<String>) -> Result<Response, ClientError> {
        let mut request = match call.body {
            ApiBody::None => Request { method: call.method.clone(), ..Request::get(call.url) },
            ApiBody::Json(body) => Request::json(call.method.clone(), call.url, body),
            ApiBody::Compact(media, text) => {
                let body = Some(text.as_bytes().to_vec());
                Request { method: call.method.clone(), body, ..Request::get(call.url) }.header("content-type", media)
            }
        };
        let scheme = if call.bound { "DPoP" } else { "Bearer" };
        request = request.header("authorization", &format!("{scheme} {}", call.token)).patience(call.patience);
        if call.bound
            && let Some(proof) = self.prove(call.method.as_str(), call.url, Some(call.token), nonce)?
        {
            request = request.header("dpop", &proof);
        }
        Ok(self.outbound.send(request).await?)
    }

    /// A public document.
    pub async fn fetch_json(&self, url: &str) -> Result<Value, ClientError> {
        let answer = self.outbound.send(Request::get(url)).await?;
        if answer.status != 200 {
            return Err(ClientError::protocol(format!("`{url}` answered HTTP {}", answer.status.as_u16())));
        }
        types::json::parse(&answer.body).map_err(|error| ClientError::protocol(format!("`{url}` does not read: {error}")))
    }

    /// The first page of a list, as far as there is room.
    pub async fn api_page<T: DeserializeOwned>(
        &self,
        call: &ApiCall<'_>,
        room: &Room,
    ) -> Result<Result<Listed<T>, ApiAnswer>, ClientError> {
        let answer = self.api(call).await?;
        if answer.status != 200 {
            return Ok(Err(answer));
        }
        let mut page = Listed { items: Vec::new(), unread: 0 };
        page.add(answer.body, room)?;
        Ok(Ok(page))
    }

    /// A whole list, page by page. `Err` with what the server said where it gave none. An item that does not read, or is larger
    /// than one is, is counted, and no other is lost for it.
    pub async fn api_list<T: DeserializeOwned>(
        &self,
        call: &ApiCall<'_>,
        room: &Room,
    ) -> Result<Result<Listed<T>, ApiAnswer>, ClientError> {
        let (mut all, mut url) = (Listed { items: Vec::new(), unread: 0 }, call.url.to_owned());
        let (begun, mut bytes) = (std::time::Instant::now(), 0_usize);
        for _ in 0..MAX_PAGES {
            let answer = self.api(&ApiCall { url: &url, ..call.clone() }).await?;
            if answer.status != 200 {
                return Ok(Err(answer));
            }
            bytes = bytes.saturating_add(answer.length);
            if bytes > MAX_LIST_BYTES || all.items.len() > MAX_ITEMS || begun.elapsed() > MAX_LIST_TIME {
                return Err(ClientError::protocol("a list is longer than is read here"));
            }
            all.add(answer.body, room)?;
            let Some(next) = answer.next else { return Ok(Ok(all)) };
            url = next;
        }
        Err(ClientError::protocol("a list does not end"))
    }
}

/// What a server lists.
#[derive(Clone, Debug)]
pub struct Listed<T> {
    pub items: Vec<Answer<T>>,
    /// How many items did not read.
    pub unread: usize,
}

impl<T: DeserializeOwned> Listed<T> {
    fn add(&mut self, page: Value, room: &Room) -> Result<(), ClientError> {
        let items = match page {
            // nothing, as some makers write it
            Value::Null => return Ok(()),
            Value::Array(items) => items,
            _ => return Err(ClientError::protocol("a list does not read: it is no array")),
        };
        for item in items {
            if !room.take_in(&item)? {
                self.unread = self.unread.saturating_add(1);
                continue;
            }
            match types::answer::read(item, &[]) {
                Ok(item) => self.items.push(item),
                Err(_) => self.unread = self.unread.saturating_add(1),
            }
        }
        Ok(())
    }
}

/// Whether this URL's path is the one that is asked for: a segment of dots alone, however they are written, leads to another place
/// (WHATWG URL 4.4), and what that answers is no word about this one.
fn is_as_written(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let is_dots = |segment: &str| [".", ".."].contains(&segment.to_ascii_lowercase().replace("%2e", ".").as_str());
    !path.split('/').any(is_dots)
}

/// `Link: <...>; rel="next"`, at the same origin: the token goes nowhere else.
fn next_of(url: &str, answer: &Response) -> Option<String> {
    let link = answer.header("link")?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    let next = Url::parse(url).ok()?.join(target).ok().filter(|_| rest.contains("rel=\"next\""))?;
    (next.origin() == Url::parse(url).ok()?.origin()).then(|| next.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn threat_46_a_large_item_is_unread_and_a_list_has_room() {
        let large = json!({"value": vec![1; 40_000]});
        let small = json!({"value": [1]});
        let mut listed: Listed<Value> = Listed { items: Vec::new(), unread: 0 };
        listed.add(json!([small, large, small]), &Room::of(1_000)).unwrap();
        assert_eq!((listed.items.len(), listed.unread), (2, 1));
        let refused = listed.add(json!([small, small, small, small]), &Room::of(200)).unwrap_err();
        assert!(refused.to_string().contains("more than is read here"), "{refused}");
    }

    /// What is not there at another place is no word about this one.
    #[test]
    fn threat_36_s03_a_call_goes_where_its_url_says() {
        for (url, is_asked) in [
            ("https://as.example/policies/p", true),
            ("https://as.example/policies/a%2Fb", true),
            ("https://as.example/policies/...", true),
            ("https://as.example/policies/", true),
            ("https://as.example/policies?atomic=true", true),
            ("https://as.example/policies/..", false),
            ("https://as.example/policies/%2E%2e", false),
            ("https://as.example/policies/.%2E?x=1", false),
            ("https://as.example/policies/%2e#x", false),
            ("https://rs.example/my-resources/%2E%2E/registrations", false),
        ] {
            assert_eq!(is_as_written(url), is_asked, "{url}");
        }
    }
}
