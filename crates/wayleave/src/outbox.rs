//! A folder in the place of a mail server: each message is a file. For the demo and for tests, and
//! where `[mail]` is not configured.

use async_trait::async_trait;
use authorization_server::mailer::{Mailer, Message, Unsent};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder.
pub struct Outbox {
    pub folder: PathBuf,
    /// By whom mails say that they were sent.
    from: String,
    count: AtomicU64,
}

impl Outbox {
    /// `name` and `issuer` are the server's: mails are from nobody at its host.
    pub fn new(folder: PathBuf, name: &str, issuer: &str) -> Self {
        let host = url::Url::parse(issuer).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        let host = match host {
            Some(url::Host::Domain(name)) => name,
            Some(url::Host::Ipv4(ip)) => format!("[{ip}]"),
            Some(url::Host::Ipv6(ip)) => format!("[IPv6:{ip}]"),
            None => "localhost".to_owned(),
        };
        let name: String = types::spelling::visible(name).chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        Self { folder, from: format!("\"{name}\" <no-reply@{host}>"), count: AtomicU64::new(0) }
    }

    /// As a mail program reads it (RFC 5322, RFC 6532, RFC 2045), and a person in an editor: the text as it is.
    fn in_mail(&self, message: &Message, now: types::Timestamp) -> String {
        let (Message { to, subject, text }, from, date) = (message, &self.from, ui::in_mail(now));
        format!(
            "To: {to}\nSubject: {subject}\nFrom: {from}\nDate: {date}\nMIME-Version: 1.0\nContent-Type: text/plain; \
             charset=utf-8\nContent-Transfer-Encoding: 8bit\nAuto-Submitted: auto-generated\n\n{text}"
        )
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
        let text = self.in_mail(&message, jose::Clock::now(&jose::SystemClock));
        let place = self.folder.join(format!("{now:014}-{number:04}.eml"));
        let mut options = tokio::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(place).await.map_err(unreached)?;
        tokio::io::AsyncWriteExt::write_all(&mut file, text.as_bytes()).await.map_err(unreached)?;
        tokio::io::AsyncWriteExt::flush(&mut file).await.map_err(unreached)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_can_be_read_by_a_mail_program() {
        let message = Message::new("bob@bar.example", "Jürgen shares something", "“Sommer & See”\n").unwrap();
        for (name, issuer, from) in [
            ("Alice's server", "http://127.0.0.1:8080", "\"Alice's server\" <no-reply@[127.0.0.1]>"),
            ("a\"b\\c\nd", "https://as.example/one", "\"abc d\" <no-reply@as.example>"),
            ("x", "http://[::1]:1", "\"x\" <no-reply@[IPv6:::1]>"),
        ] {
            let outbox = Outbox::new(PathBuf::new(), name, issuer);
            let mail = outbox.in_mail(&message, types::Timestamp(1_796_133_900));
            let (head, text) = mail.split_once("\n\n").unwrap();
            assert_eq!(text, message.text);
            let fields = [
                "To: bob@bar.example",
                "Subject: Jürgen shares something",
                &format!("From: {from}"),
                "Date: Tue, 01 Dec 2026 14:05:00 +0000",
                "MIME-Version: 1.0",
                "Content-Type: text/plain; charset=utf-8",
                "Content-Transfer-Encoding: 8bit",
                "Auto-Submitted: auto-generated",
            ];
            assert_eq!(head.lines().collect::<Vec<_>>(), fields);
        }
    }
}
