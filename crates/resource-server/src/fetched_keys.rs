//! Keys of somebody else, read from a URL. Whoever needs a key that is known waits for nobody; one at a time reads them
//! anew, and a failure is remembered for a moment, so that a server which lets everybody wait does so once. Called by the
//! offline check, and by the gateway for discovery and management tokens.

use crate::protection::ProtectionError;
use jose::KeySet;
use outbound::{Outbound, OutboundError, Request};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long is waited for them.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct State {
    set: Arc<KeySet>,
    /// When they were last asked for, and whether that was answered.
    asked: Option<(Instant, bool)>,
}

/// The keys of one URL.
#[derive(Default)]
pub(crate) struct FetchedKeys {
    state: Mutex<State>,
    /// Held while they are read; nobody who has the key that she needs takes it.
    reading: tokio::sync::Mutex<()>,
}

impl FetchedKeys {
    /// What is known.
    pub(crate) fn known(&self) -> Arc<KeySet> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).set.clone()
    }

    /// The keys, asked for anew unless that was done, or failed, less than `at_most` ago.
    pub(crate) async fn read(&self, outbound: &Outbound, url: &str, at_most: Duration) -> Result<Arc<KeySet>, ProtectionError> {
        let _turn = self.reading.lock().await;
        {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((_, answered)) = state.asked.filter(|(when, _)| when.elapsed() < at_most) {
                return if answered { Ok(state.set.clone()) } else { Err(ProtectionError::Unreachable) };
            }
        }
        let answer = match outbound.send(Request::get(url).patience(PATIENCE)).await {
            // nobody was asked
            Err(OutboundError::Busy(_)) => return Err(ProtectionError::Busy),
            answer => answer.ok(),
        };
        let set = answer.and_then(|answer| types::json::parse::<Value>(&answer.body).ok());
        let set = set.and_then(|set| KeySet::from_json(&set)).map(Arc::new);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked = Some((Instant::now(), set.is_some()));
        let set = set.ok_or(ProtectionError::Unreachable)?;
        state.set = set.clone();
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Row 46: one reads them, a failure is remembered, and nobody who has her key waits.
    #[tokio::test]
    async fn threat_46_s23_keys_are_read_by_one_at_a_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let asked = Arc::<AtomicUsize>::default();
        let (count, (go, mut may_go)) = (asked.clone(), tokio::sync::watch::channel(false));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]).await;
                may_go.wait_for(|go| *go).await.unwrap();
                let body = "HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = stream.write_all(body.as_bytes()).await;
            }
        });
        let settings = outbound::Settings { allow_http: true, allow_private_networks: true, ..outbound::Settings::default() };
        let (outbound, keys) = (Outbound::new(settings).unwrap(), Arc::<FetchedKeys>::default());
        let read = || {
            let (outbound, keys, url) = (outbound.clone(), keys.clone(), url.clone());
            tokio::spawn(async move { keys.read(&outbound, &url, Duration::from_secs(60)).await })
        };
        let waiting: Vec<_> = (0..20).map(|_| read()).collect();
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert!(keys.known().is_empty(), "what is known is told while somebody reads");
        go.send(true).unwrap();
        for one in waiting {
            assert_eq!(one.await.unwrap().err(), Some(ProtectionError::Unreachable));
        }
        assert_eq!(read().await.unwrap().err(), Some(ProtectionError::Unreachable), "and for a moment afterwards");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
