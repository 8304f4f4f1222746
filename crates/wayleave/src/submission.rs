//! Mail by a submission server (`[mail]`; RFC 6409): reached as configured, never because a peer named it.
//! `smtps://` is TLS from the start, `smtp://` STARTTLS, which only a submission server on loopback may lack.

use crate::Exit;
use crate::config::{Config, MailConfig};
use async_trait::async_trait;
use authorization_server::mailer::{Mailer, Message, Unsent};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::net::IpAddr;
use std::time::Duration;
use url::Url;

const TIMEOUT: Duration = Duration::from_secs(15);

/// The submission server.
pub struct Submission {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Submission {
    /// Connects to nothing yet; exit 2 where the settings cannot work.
    pub fn new(config: &Config, mail: &MailConfig) -> Result<Self, Exit> {
        let wrong = |what: &dyn std::fmt::Display| Exit::usage(format!("mail: {what}"));
        let url = Url::parse(&mail.submission).map_err(|error| wrong(&format!("submission: {error}")))?;
        let host = url.host_str().ok_or_else(|| wrong(&"submission: it names no host"))?;
        let name = host.trim_matches(['[', ']']).to_owned();
        let local = name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        let mut parameters = TlsParameters::builder(name.clone());
        if let Some(file) = &config.outbound.ca_file {
            let pem = std::fs::read(config.path(file)).map_err(|error| Exit::usage(format!("outbound.ca_file: {error}")))?;
            parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| wrong(&error))?);
        }
        let parameters = parameters.build().map_err(|error| wrong(&error))?;
        let (tls, usual) = match url.scheme() {
            "smtps" => (Tls::Wrapper(parameters), 465),
            _ if local => (Tls::Opportunistic(parameters), 587),
            _ => (Tls::Required(parameters), 587),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(name)
            .port(url.port().unwrap_or(usual))
            .tls(tls)
            .timeout(Some(TIMEOUT));
        let password = config.secret("mail.password", mail.password.as_ref(), mail.password_file.as_ref())?;
        if let (Some(username), Some(password)) = (&mail.username, password) {
            builder = builder.credentials(Credentials::new(username.clone(), password));
        }
        let from = mail.from.parse().map_err(|error| wrong(&format!("from: `{}`: {error}", mail.from)))?;
        Ok(Self { transport: builder.build(), from })
    }
}

#[async_trait]
impl Mailer for Submission {
    async fn send(&self, message: Message) -> Result<(), Unsent> {
        let unfit = |error: &dyn std::fmt::Display| Unsent::Refused(error.to_string());
        let to: Mailbox = message.to.parse().map_err(|error| unfit(&error))?;
        let builder = lettre::Message::builder().from(self.from.clone()).to(to).subject(message.subject);
        let builder = builder.header(AutoSubmitted).message_id(None);
        let mail = builder.body(message.text).map_err(|error| unfit(&error))?;
        // 4xx and 5xx are answers (RFC 5321 4.2.1); what cannot be said to this server was found out by asking it
        let was_asked = |error: &lettre::transport::smtp::Error| {
            error.is_permanent() || error.is_transient() || error.is_response() || error.is_client()
        };
        self.transport.send(mail).await.map(drop).map_err(|error| match was_asked(&error) {
            true => Unsent::Refused(error.to_string()),
            false => Unsent::Unreached(error.to_string()),
        })
    }
}

/// Nobody's auto-reply answers what a program sent (RFC 3834 5).
#[derive(Clone)]
struct AutoSubmitted;

impl lettre::message::header::Header for AutoSubmitted {
    fn name() -> lettre::message::header::HeaderName {
        lettre::message::header::HeaderName::new_from_ascii_str("Auto-Submitted")
    }
    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }
    fn display(&self) -> lettre::message::header::HeaderValue {
        lettre::message::header::HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}
