//! Calls that turn into another protocol - WebSocket, most of all (RFC 9110 7.8): the gateway judges the call that asks
//! for it, and then carries bytes both ways for as long as the permission lasts.

use http::{HeaderMap, HeaderValue, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::time::Duration;

/// Both ends of one, when each has changed over.
#[derive(Clone)]
pub(super) struct Tunnel {
    pub(super) ours: OnUpgrade,
    pub(super) theirs: OnUpgrade,
}

/// The protocol that a call wants to change to.
pub(super) fn wanted(headers: &HeaderMap) -> Option<HeaderValue> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut names = values.flat_map(|list| list.split(','));
    let asks = names.any(|name| name.trim().eq_ignore_ascii_case("upgrade"));
    headers.get(header::UPGRADE).filter(|_| asks).cloned()
}

/// Asks for it of the next hop, or says that it is so.
pub(super) fn ask(headers: &mut HeaderMap, protocol: &HeaderValue) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, protocol.clone());
}

impl Tunnel {
    /// Carries bytes until one side ends, or `may_go_on` says no; it is asked each time that `interval` is over.
    pub(super) fn carry<F, L>(self, interval: Duration, may_go_on: F)
    where
        F: Fn() -> L + Send + Sync + 'static,
        L: Future<Output = bool> + Send,
    {
        tokio::spawn(async move {
            let (Ok(ours), Ok(theirs)) = tokio::join!(self.ours, self.theirs) else { return };
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            let carrying = tokio::io::copy_bidirectional(&mut ours, &mut theirs);
            let looking = async {
                loop {
                    tokio::time::sleep(interval).await;
                    if !may_go_on().await {
                        return;
                    }
                }
            };
            tokio::select! {
                ended = carrying => if let Err(error) = ended {
                    tracing::debug!(%error, "a tunnel ended");
                },
                () = looking => tracing::info!("the permission for a tunnel has ended"),
            }
        });
    }
}
