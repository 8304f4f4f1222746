//! A folder in the place of a mail server: each message is a file. For the demo and for tests, and
//! where `[mail]` is not configured.

use async_trait::async_trait;
use authorization_server::mailer::{Mailer, Message, Unsent};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder.
pub struct Outbox {
    pub folder: PathBuf,
    count: AtomicU64,
}

impl Outbox {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, count: AtomicU64::new(0) }
    }

    /// Messages in it, newest first: file name and text.
    pub fn read(&self) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| name.ends_with(".eml"));
        let mut messages: Vec<_> =
            names.filter_map(|name| std::fs::read_to_string(self.folder.join(&name)).ok().map(|text| (name, text))).collect();
        messages.sort();
        messages.reverse();
        messages
    }
}

#[async_trait]
impl Mailer for Outbox {
    async fn send(&self, message: Message) -> Result<(), Unsent> {
        let unreached = |error: std::io::Error| Unsent::Unreached(error.to_string());
        // codes and invitations are in them: for the eyes of this server's user alone
        tokio::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).await.map_err(unreached)?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let now = jose::Clock::now_millis(&jose::SystemClock);
        let text = format!("To: {}\nSubject: {}\n\n{}", message.to, message.subject, message.text);
        let place = self.folder.join(format!("{now:014}-{number:04}.eml"));
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(place).await.map_err(unreached)?;
        tokio::io::AsyncWriteExt::write_all(&mut file, text.as_bytes()).await.map_err(unreached)?;
        tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(unreached)
    }
}
