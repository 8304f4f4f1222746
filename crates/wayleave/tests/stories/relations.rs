//! The relationship manager over real processes: Alice's one desk over two resource servers and two authorization
//! servers that know nothing of each other.

use crate::choosing::{LABORATORY, open_gateway};
use crate::gateway::{Guarded, challenge_of, raw};
use crate::processes::{Folder, Process, Server, free_port, until, until_out};
use client::{Called, Client, Credentials, Rpt, TicketRequest, Traded};
use jose::{SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Settings};
use serde_json::Value;
use std::sync::Arc;
use types::token::ID_TOKEN_FORMAT;
use wayleave::demo::browser::{Browser, Shown, attribute};

/// A manager that logs people in by itself.
pub(crate) struct Desk {
    pub(crate) url: String,
    process: Process,
    folder: Folder,
}

impl Desk {
    pub(crate) fn start() -> Self {
        Self::at("127.0.0.1", "")
    }

    /// At a name of this machine, and with more in its configuration.
    pub(crate) fn at(host: &str, more: &str) -> Self {
        let (folder, port) = (Folder::new(), free_port());
        let url = format!("http://{host}:{port}");
        let account = |name: &str| format!("[[account]]\nusername = \"{name}\"\npassword = \"{name}-desk-password\"\n");
        let text = format!(
            "[manager]\nlisten = \"127.0.0.1:{port}\"\nurl = \"{url}\"\nname = \"Alice's desk\"\nstore = {{ url = \"sqlite:manager.db\" }}\n\
             [outbound]\nallow_private_networks = true\nallow_http = true\n{}{}{}{more}",
            account("alice"),
            account("carol"),
            account("mallory")
        );
        std::fs::write(folder.0.join("wayleave.toml"), text).unwrap();
        Self { process: Process::start(&["manager"], &folder.0), url, folder }
    }

    fn run_again(&mut self) {
        self.process.kill();
        self.process = Process::start(&["manager"], &self.folder.0);
    }
}

pub(crate) fn open_outbound() -> Outbound {
    Outbound::new(Settings { allow_private_networks: true, allow_http: true, ..Settings::default() }).unwrap()
}

/// Somebody at the desk, in a browser.
pub(crate) struct Sitting {
    name: String,
    pub(crate) browser: Browser,
    url: String,
}

impl Sitting {
    pub(crate) async fn of(desk: &Desk, name: &str) -> Self {
        let mut browser = Browser::new(open_outbound());
        let page = browser.open(&desk.url).await.unwrap();
        assert_eq!(page.status, 200, "{}", page.html);
        let password = format!("{name}-desk-password");
        let page = browser.submit(&page, "/login", &[("username", name), ("password", &password)]).await.unwrap();
        let page = match page.html.contains("/authorize/decision") {
            true => browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.unwrap(),
            false => page,
        };
        assert!(page.status == 200 && page.html.contains("Your things"), "{}: {}", page.url, page.html);
        Self { name: name.to_owned(), browser, url: desk.url.clone() }
    }

    pub(crate) async fn open(&mut self, path: &str) -> Shown {
        let page = self.browser.open(&format!("{}{path}", self.url)).await.unwrap();
        assert_eq!(page.status, 200, "{path}: {}", page.html);
        page
    }

    pub(crate) async fn json(&mut self, path: &str) -> Value {
        serde_json::from_str(&self.open(path).await.html).unwrap()
    }

    /// Finds a server, goes there, logs in, and lets the desk act for her.
    pub(crate) async fn link(&mut self, typed: &str) -> Shown {
        let page = self.open("/servers").await;
        let page = self.browser.submit(&page, "/servers", &[("server", typed)]).await.unwrap();
        let to = page.html.split("class=\"button\" ").nth(1).map(|tag| attribute(tag, "href"));
        let to = to.unwrap_or_else(|| panic!("{}", page.html));
        let mut page = self.browser.open(&to).await.unwrap();
        let password = format!("{}-password", self.name);
        for _ in 0..3 {
            page = if page.html.contains("/authorize/decision") {
                // acting for her takes her password once more
                let fields = [("decision", "approve"), ("password", password.as_str())];
                self.browser.submit(&page, "/authorize/decision", &fields).await.unwrap()
            } else if page.html.contains("name=\"password\"") {
                let fields = [("username", self.name.as_str()), ("password", password.as_str())];
                self.browser.submit(&page, "/login", &fields).await.unwrap()
            } else {
                break;
            };
        }
        assert!(page.html.contains("Your servers"), "{}: {}", page.url, page.html);
        page
    }

    pub(crate) async fn things(&mut self) -> Vec<Value> {
        self.json("/api/things").await["things"].as_array().unwrap().clone()
    }

    /// Shares everything that `query` chooses.
    pub(crate) async fn share(&mut self, query: &str, scope: &str) -> Shown {
        let page = self.open(&format!("/share?{query}")).await;
        let fields = [("email", "Bob@bar.example"), ("scope", scope), ("step", "review")];
        let page = self.browser.submit(&page, "/share", &fields).await.unwrap();
        assert!(page.html.contains("Whoever proves the address bob@bar.example may view"), "{}", page.html);
        self.browser.submit(&page, "/share", &[("step", "confirm")]).await.unwrap()
    }

    async fn withdraw_everything(&mut self, who: &str) -> Shown {
        let page = self.open(&format!("/people/show?who=address%3A{who}")).await;
        self.browser.submit(&page, "/people/withdraw", &[("sure", "yes")]).await.unwrap()
    }
}

/// Viewer, a client that every server of these stories knows.
pub(crate) fn viewer() -> Client {
    Client {
        outbound: open_outbound(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret("viewer", "viewer-secret"),
        dpop_key: None,
    }
}

/// What Bob gets at a gateway without anybody's help.
pub(crate) async fn bob_at(server: &Server, guarded: &Guarded, serial: u32) -> Result<Rpt, String> {
    let client = viewer();
    let Called::Challenged(challenge) = client.call(Method::GET, &guarded.photo(), None).await.unwrap() else { panic!() };
    let metadata = client.discover(&challenge.issuer).await.unwrap();
    let token = server.id_token(serial);
    let resource = Some(challenge.resource.as_str());
    let request =
        TicketRequest { ticket: &challenge.ticket, resource, claim: Some((&token, ID_TOKEN_FORMAT)), ..TicketRequest::default() };
    match client.trade(&metadata, &request).await.map_err(|error| error.to_string())? {
        Traded::Granted(tokens) => Ok(client.rpt(&tokens, &challenge).unwrap()),
        Traded::Denied { error, .. } => Err(error),
        Traded::Spent { .. } => Err("invalid_grant".into()),
        Traded::Submitted { .. } => Err("request_submitted".into()),
        Traded::NeedInfo { .. } => Err("need_info".into()),
    }
}

/// What was withdrawn lets him in no more.
pub(crate) async fn is_out(guarded: &Guarded, rpt: &Rpt) {
    until_out(async || reads(guarded, rpt).await == 401).await;
}

pub(crate) async fn reads(guarded: &Guarded, rpt: &Rpt) -> u16 {
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await.status.as_u16()
}

/// The whole laboratory: two worlds, each with a resource server and an authorization server.
pub(crate) async fn laboratory() -> (Vec<Server>, Vec<Guarded>) {
    let servers = vec![Server::start(LABORATORY), Server::start(LABORATORY)];
    let mut guarded = Vec::new();
    for server in &servers {
        let gateway = open_gateway(server, |text| text);
        challenge_of(&raw(Method::GET, &gateway.photo(), &[]).await);
        guarded.push(gateway);
    }
    (servers, guarded)
}

#[tokio::test]
async fn one_desk_over_four_servers_that_know_nothing_of_each_other() {
    let (mut servers, guarded) = laboratory().await;
    let mut desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    assert!(alice.open("/").await.html.contains("Link your first server"));
    for place in [&servers[0].issuer, &servers[1].issuer, &guarded[0].url, &guarded[1].url] {
        let page = alice.link(place).await;
        assert!(page.html.contains("alice@foo.example"), "{}", page.html);
    }
    let things = alice.things().await;
    assert_eq!(things.len(), 2, "each album once, whoever speaks of it: {things:?}");
    for (thing, guard) in things.iter().zip([0, 1].map(|n| &guarded[n])) {
        assert_eq!((thing["name"].as_str(), thing["guards"][0]["linked"].as_bool()), (Some("Holiday"), Some(true)), "{thing}");
        assert!(things.iter().any(|one| one["resource_server"] == guard.url.as_str()));
    }
    assert_eq!(bob_at(&servers[0], &guarded[0], 1).await.err().as_deref(), Some("request_submitted"));
    // both at once, in one go
    let page = alice.share("all=yes", "view").await;
    assert!(page.html.contains("<h1>Shared") && page.html.contains("may view Holiday and Holiday"), "{}", page.html);
    let mut rpts = Vec::new();
    for at in [0, 1] {
        rpts.push(bob_at(&servers[at], &guarded[at], 2).await.unwrap());
        assert_eq!(reads(&guarded[at], &rpts[at]).await, 200);
    }
    let page = alice.open("/people").await;
    assert!(page.html.contains("bob@bar.example") && page.html.contains("2 things"), "{}", page.html);
    // somebody else at the same desk sees nothing of it
    let mut mallory = Sitting::of(&desk, "mallory").await;
    assert!(mallory.things().await.is_empty());
    // one server is down; everything of Bob's goes all the same, and stops where a server is up
    servers[1].process.as_mut().unwrap().kill();
    let page = alice.withdraw_everything("bob%40bar.example").await;
    assert!(page.html.contains("not yet confirmed") && page.html.contains(">confirmed "), "{}", page.html);
    is_out(&guarded[0], &rpts[0]).await;
    // the desk falls over, too: what it was told is not lost
    desk.run_again();
    servers[1].run();
    let mut alice = Sitting::of(&desk, "alice").await;
    until("all is confirmed", async || {
        let all = alice.json("/api/withdrawals").await;
        all.as_array().unwrap().iter().all(|task| task["state"] == "confirmed")
    })
    .await;
    // it stops when its server comes back
    is_out(&guarded[1], &rpts[1]).await;
    assert!(alice.open("/withdrawals").await.html.contains("2 of 2 confirmed"));
}

const PASSPHRASE: &str = "correct horse battery staple";

impl Sitting {
    async fn key(&mut self, fields: &[(&str, &str)]) -> Shown {
        let page = self.open("/keys").await;
        self.browser.submit(&page, "/keys", fields).await.unwrap()
    }

    /// The review page of a signed share of everything with Bob.
    async fn about_to_sign(&mut self) -> Shown {
        let page = self.open("/share?all=yes").await;
        let fields = [("email", "bob@bar.example"), ("scope", "view"), ("sign", "yes"), ("step", "review")];
        self.browser.submit(&page, "/share", &fields).await.unwrap()
    }
}

/// Both gateways let nobody in by a server's word alone. She signs, and sees exactly what; both check it by themselves.
#[tokio::test]
async fn threat_19_she_signs_what_she_was_shown_and_nothing_else() {
    let servers = [Server::start(LABORATORY), Server::start(LABORATORY)];
    let mut guarded = Vec::new();
    for server in &servers {
        let gateway = open_gateway(server, |text| text.replace("trust = \"any\"", "trust = \"rot-required\""));
        challenge_of(&raw(Method::GET, &gateway.photo(), &[]).await);
        guarded.push(gateway);
    }
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &servers[1].issuer, &guarded[0].url, &guarded[1].url] {
        alice.link(place).await;
    }
    let again = |second: &'static str| [("what", "new"), ("passphrase", PASSPHRASE), ("again", second)];
    assert_eq!(alice.key(&again("another")).await.status, 400);
    assert_eq!(alice.key(&[("what", "new"), ("passphrase", "short"), ("again", "short")]).await.status, 400);
    let page = alice.key(&again(PASSPHRASE)).await;
    assert!(page.html.contains("Not registered yet at") && page.html.contains("It is open"), "{}", page.html);
    let did = page.html.split("name=\"did\" value=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#58;", ":");
    let page = alice.key(&[("what", "register"), ("did", &did)]).await;
    assert!(page.status == 200 && !page.html.contains("Not registered yet at"), "{}", page.html);
    alice.key(&[("what", "close"), ("did", &did)]).await;
    // what she is shown: two tokens, each for one thing, its server and one authorization server
    let page = alice.about_to_sign().await;
    for at in [0, 1] {
        assert!(page.html.contains(&guarded[at].url) && page.html.contains(&servers[at].issuer), "{}", page.html);
    }
    assert_eq!(page.html.matches("allowed_rqp").count(), 2);
    let confirm = |passphrase: &'static str| [("step", "confirm"), ("passphrase", passphrase)];
    assert_eq!(alice.browser.submit(&page, "/share", &confirm("a wrong one altogether")).await.unwrap().status, 400);
    // somebody else cannot have it signed, nor can it be signed twice
    let mut mallory = Sitting::of(&desk, "mallory").await;
    let foreign = mallory.browser.submit(&page, "/share", &confirm(PASSPHRASE)).await.unwrap();
    assert_eq!(foreign.status, 403, "{}", foreign.html);
    let done = alice.browser.submit(&page, "/share", &confirm(PASSPHRASE)).await.unwrap();
    assert!(done.html.contains("<h1>Shared"), "{}", done.html);
    let twice = alice.browser.submit(&page, "/share", &[("step", "confirm")]).await.unwrap();
    assert!(twice.status == 400 && twice.html.contains("signed before"), "{}", twice.html);
    let things = alice.things().await;
    assert!(things.iter().all(|thing| thing["shares"][0]["signed"] == true), "{things:?}");
    let mut rpts = Vec::new();
    for at in [0, 1] {
        rpts.push(bob_at(&servers[at], &guarded[at], 1).await.unwrap_or_else(|error| panic!("{error}")));
        assert_eq!(reads(&guarded[at], &rpts[at]).await, 200, "checked by the gateway itself");
    }
    // withdrawn: told to the servers that hold the things as well, so that no authorization server can keep it alive
    let page = alice.withdraw_everything("bob%40bar.example").await;
    assert!(page.html.contains("4 of 4 confirmed"), "{}", page.html);
    for at in [0, 1] {
        assert_eq!(reads(&guarded[at], &rpts[at]).await, 401);
    }
    // the key goes with her, sealed
    let exported = alice.open(&format!("/keys/export?did={did}")).await.html;
    assert!(!exported.contains("PRIVATE") && exported.contains(&did));
    let import = |text: &str| {
        [("what", "import"), ("passphrase", PASSPHRASE), ("exported", text)].map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    let tampered = exported.replace("\"passes\": 3", "\"passes\": 2");
    for (text, status) in [(tampered.as_str(), 400), ("rubbish", 400), (exported.as_str(), 200)] {
        let fields = import(text);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(mallory.key(&fields).await.status, status, "{text}");
    }
    // her word alone, from now on: the server stops what she did not sign
    let page = alice.open("/keys").await;
    let link = page.html.split("name=\"link\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let page = alice.browser.submit(&page, "/keys", &[("what", "demand"), ("on", "yes"), ("link", &link)]).await.unwrap();
    assert!(page.html.contains("Turn it off"), "{}", page.html);
}

/// Somebody asks; the desk knows at once, because Alice linked it there. What others say to it changes nothing.
#[tokio::test]
async fn threat_31_a_desk_is_told_by_the_servers_that_were_linked_and_by_nobody_else() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    // nobody else can tell it anything
    let key = jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap();
    let forged = key.sign("access-request+jwt", &serde_json::json!({"sub": "x", "iss": servers[0].issuer})).unwrap();
    for text in ["rubbish", forged.as_str()] {
        let request =
            outbound::Request { method: Method::POST, body: Some(text.as_bytes().to_vec()), ..outbound::Request::get("x") };
        let url = format!("{}/notify", desk.url);
        let answer = open_outbound().send(outbound::Request { url: &url, ..request }).await.unwrap();
        assert_eq!(answer.status, 400, "{text}");
    }
    assert_eq!(bob_at(&servers[0], &guarded[0], 1).await.err().as_deref(), Some("request_submitted"));
    until("his request is there", async || alice.open("/requests").await.html.contains("bob@bar.example")).await;
    let page = alice.open("/requests").await;
    assert!(page.html.contains("asks to view Holiday, with “"), "{}", page.html);
    let grant = attribute(page.html.split("name=\"grant\"").nth(1).unwrap(), "value");
    let answer = [("decision", "approve"), ("remember", "yes"), ("grant", grant.as_str())];
    let page = alice.browser.submit(&page, "/requests", &answer).await.unwrap();
    assert!(page.html.contains("Nobody is waiting for you"), "{}", page.html);
    // a policy, just in time: Bob's next call gets through
    let rpt = bob_at(&servers[0], &guarded[0], 2).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reads(&guarded[0], &rpt).await, 200);
    // unlinked, it is told nothing more
    let mut page = alice.open("/servers").await;
    while page.html.contains("/servers/unlink") {
        page = alice.browser.submit(&page, "/servers/unlink", &[]).await.unwrap();
    }
    assert!(alice.things().await.is_empty());
    let owner = crate::desk::Desk::open(&servers[0]).await;
    let url = owner.metadata.linked_managers_endpoint.clone().unwrap();
    let (_, left) = owner.api(Method::GET, &url, &owner.pmt, Value::Null).await.unwrap();
    assert_eq!(left, serde_json::json!([]));
    for (wrong, what) in [
        (serde_json::json!({"issuer": "nowhere", "sub": "x"}), "no URL"),
        (serde_json::json!({"issuer": "https://m.example", "sub": ""}), "no name"),
        (serde_json::json!({"issuer": "https://m.example", "sub": "x", "notification_endpoint": "ftp://m.example"}), "no place"),
        (serde_json::json!({"issuer": "https://m.example", "sub": "x", "color": "red"}), "unknown"),
    ] {
        assert_eq!(owner.api(Method::POST, &url, &owner.pmt, wrong).await.unwrap().0, 400, "{what}");
    }
}
