//! A person's browser as the stories and their tests need it: cookies, redirects, forms. No JavaScript, because our
//! pages need none.

use outbound::{HeaderMap, HeaderName, HeaderValue, Method, Outbound, Request};
use std::collections::BTreeMap;
use url::Url;

/// A browser with its cookies.
pub struct Browser {
    outbound: Outbound,
    /// By path and name.
    cookies: BTreeMap<(String, String), String>,
    /// A URL that begins like this is handed back instead of opened: the program itself is there.
    pub stop_at: Option<String>,
}

/// A page that a browser shows.
pub struct Shown {
    pub url: Url,
    pub status: u16,
    pub html: String,
}

type Told<T> = Result<T, String>;

impl Browser {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, cookies: BTreeMap::new(), stop_at: None }
    }

    /// Opens a URL and follows redirects.
    pub async fn open(&mut self, url: &str) -> Told<Shown> {
        self.go(Method::GET, url.to_owned(), None).await
    }

    /// Sends the form whose action contains `action`, its hidden fields and these.
    pub async fn submit(&mut self, page: &Shown, action: &str, fields: &[(&str, &str)]) -> Told<Shown> {
        let form = forms(&page.html).find(|form| form.action.contains(action));
        let form = form.ok_or_else(|| format!("{} has no form for {action}", page.url))?;
        let target = page.url.join(&form.action).map_err(|error| error.to_string())?;
        let hidden = form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(hidden).extend_pairs(fields).finish();
        self.go(Method::POST, target.into(), Some(body)).await
    }

    async fn go(&mut self, mut method: Method, mut url: String, mut body: Option<String>) -> Told<Shown> {
        for _ in 0..12 {
            let parsed = Url::parse(&url).map_err(|error| error.to_string())?;
            if self.stop_at.as_ref().is_some_and(|stop| url.starts_with(stop)) {
                return Ok(Shown { url: parsed, status: 0, html: String::new() });
            }
            let mut headers = HeaderMap::new();
            put(&mut headers, "accept", "text/html,application/xhtml+xml,*/*;q=0.8");
            put(&mut headers, "cookie", &self.cookies_for(parsed.path()));
            if body.is_some() {
                put(&mut headers, "content-type", "application/x-www-form-urlencoded");
                put(&mut headers, "origin", &parsed.origin().ascii_serialization());
            }
            let body = body.take().map(String::into_bytes);
            let request = Request { method: method.clone(), headers, body, ..Request::get(&url) };
            let answer = self.outbound.send(request).await.map_err(|error| error.to_string())?;
            self.take_cookies(&answer.headers);
            match answer.header("location") {
                Some(next) if answer.status.is_redirection() => {
                    url = parsed.join(next).map_err(|error| error.to_string())?.into();
                    method = Method::GET;
                }
                _ => {
                    let html = String::from_utf8_lossy(&answer.body).into_owned();
                    return Ok(Shown { url: parsed, status: answer.status.as_u16(), html });
                }
            }
        }
        Err(format!("{url} redirects in a circle"))
    }

    /// The `Cookie` header for a path; longer paths come first (RFC 6265 5.4).
    pub fn cookies_for(&self, path: &str) -> String {
        let mut here: Vec<_> = self.cookies.iter().filter(|((of, _), _)| path.starts_with(of.as_str())).collect();
        here.sort_by_key(|((of, _), _)| std::cmp::Reverse(of.len()));
        here.into_iter().map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn take_cookies(&mut self, headers: &HeaderMap) {
        for line in headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok()) {
            let pair = line.split(';').next().unwrap_or_default();
            let Some((name, value)) = pair.split_once('=') else { continue };
            let attributes = line.split(';').skip(1).filter_map(|attribute| attribute.trim().split_once('='));
            let path = attributes.filter(|(name, _)| name.eq_ignore_ascii_case("path")).map(|(_, path)| path).last();
            let key = (path.unwrap_or("/").to_owned(), name.trim().to_owned());
            // a cookie is taken away by an empty one
            if value.trim().is_empty() {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.trim().to_owned());
            }
        }
    }
}

fn put(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let (Ok(value), false) = (HeaderValue::from_str(value), value.is_empty()) {
        headers.insert(HeaderName::from_static(name), value);
    }
}

/// A form of a page.
pub struct Form {
    pub action: String,
    hidden: Vec<(String, String)>,
}

/// The forms of a page of ours, in order.
pub fn forms(html: &str) -> impl Iterator<Item = Form> + '_ {
    html.split("<form ").skip(1).map(|rest| {
        let whole = rest.split("</form>").next().unwrap_or(rest);
        let hidden = whole.split("<input ").skip(1).filter(|input| input.starts_with("type=\"hidden\""));
        Form {
            action: attribute(whole, "action"),
            hidden: hidden.map(|input| (attribute(input, "name"), attribute(input, "value"))).collect(),
        }
    })
}

/// An attribute's text, its entities undone.
pub fn attribute(tag: &str, name: &str) -> String {
    let start = format!("{name}=\"");
    let text =
        tag.split_once(start.as_str()).and_then(|(_, rest)| rest.split_once('"')).map(|(text, _)| text).unwrap_or_default();
    text.replace("&#34;", "\"").replace("&#39;", "'").replace("&#60;", "<").replace("&#62;", ">").replace("&#38;", "&")
}
