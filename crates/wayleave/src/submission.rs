//! Mail by a submission server (`[mail]`; RFC 6409): reached as configured, never because a peer named it.
//! `smtps://` is TLS from the start, `smtp://` STARTTLS, which only a submission server on loopback may lack.

use crate::Exit;
use crate::config::{Config, MailConfig};
use async_trait::async_trait;
use authorization_server::mailer::{Mailer, Message, Unsent};
use lettre::message::Mailbox;
use lettre::transport::smtp;
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
        let from = mail.from.parse();
        // what stands there may be a password that lost its place
        let from = from.map_err(|_| wrong(&"from: write an e-mail address, as `Photos <no-reply@photos.example>`"))?;
        Ok(Self { transport: builder.build(), from })
    }
}

#[async_trait]
impl Mailer for Submission {
    async fn send(&self, message: Message) -> Result<(), Unsent> {
        let unfit = || Unsent::Refused("this address or text fits into no mail".to_owned());
        let to: Mailbox = message.to.parse().map_err(|_| unfit())?;
        let builder = lettre::Message::builder().from(self.from.clone()).to(to).subject(message.subject);
        let builder = builder.header(AutoSubmitted).message_id(None);
        let mail = builder.body(message.text).map_err(|_| unfit())?;
        // 4xx and 5xx are answers (RFC 5321 4.2.1); what cannot be said to this server was found out by asking it
        let was_asked =
            |error: &smtp::Error| error.is_permanent() || error.is_transient() || error.is_response() || error.is_client();
        self.transport.send(mail).await.map(drop).map_err(|error| match was_asked(&error) {
            true => Unsent::Refused(describe(&error)),
            false => Unsent::Unreached(describe(&error)),
        })
    }
}

/// What is said of an error in the log: of a mail server's own words the status and the enhanced code alone (RFC 3463), for the
/// rest of its answer names the person to whom the mail went.
fn describe(error: &smtp::Error) -> String {
    match error.status() {
        Some(status) => describe_answer(&status.to_string(), &error.to_string()),
        None if error.is_response() => "it gave an answer that does not read".to_owned(),
        None if error.is_client() => "it does not take what this mail needs".to_owned(),
        None => error.to_string(),
    }
}

fn describe_answer(status: &str, answer: &str) -> String {
    let is_code = |word: &&str| {
        let parts: Vec<&str> = word.split('.').collect();
        let is_number = |part: &&str| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        matches!(parts.as_slice(), ["2" | "4" | "5", ..]) && parts.len() == 3 && parts.iter().all(is_number)
    };
    match answer.split(|c: char| !c.is_ascii_alphanumeric() && c != '.').find(is_code) {
        Some(enhanced) => format!("status {status}, {enhanced}"),
        None => format!("status {status}"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_20_of_an_answer_of_a_mail_server_the_codes_are_said() {
        for (answer, said) in [
            ("permanent error (550): 5.1.1 <bob@bar.example>: Recipient address rejected", "status 550, 5.1.1"),
            ("transient error (550): <greylady@bar.example>: greylisted 4.7.1.", "status 550"),
            ("permanent error (550): mailbox bob@10.1.1.example of 5.bob.1 is full", "status 550"),
            ("permanent error (550): 5.1.1-bob 5.1.1234", "status 550, 5.1.1"),
            ("", "status 550"),
        ] {
            assert_eq!(describe_answer("550", answer), said, "{answer}");
        }
    }

    /// A mail server that says one thing to whoever is mailed to.
    async fn listen(answer: &'static str) -> std::net::SocketAddr {
        use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.write_all(b"220 mail.bar.example\r\n").await.unwrap();
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                let said = if line.starts_with("RCPT") { answer } else { "250 fine\r\n" };
                stream.write_all(said.as_bytes()).await.unwrap();
                line.clear();
            }
        });
        address
    }

    #[tokio::test]
    async fn threat_20_nobody_to_whom_a_mail_went_is_named() {
        for (answer, said) in [
            ("451 4.7.1 <greylady@bar.example>: greylisted\r\n", "the mail server refuses: status 451, 4.7.1"),
            ("550-5.1.1 greylady@bar.example\r\n550 5.1.1 is not here\r\n", "the mail server refuses: status 550, 5.1.1"),
            ("greylady@bar.example? no\r\n", "the mail server refuses: it gave an answer that does not read"),
        ] {
            let text = format!("[mail]\nsubmission = 'smtp://{}'\nfrom = 'no-reply@foo.example'\n", listen(answer).await);
            let config = Config::parse(&text, std::iter::empty(), "".into()).unwrap();
            let submission = Submission::new(&config, config.mail.as_ref().unwrap()).ok().unwrap();
            let message = Message::new("greylady@bar.example", "Your code", "12345678").ok().unwrap();
            assert_eq!(submission.send(message).await.unwrap_err().to_string(), said);
        }
    }
}
