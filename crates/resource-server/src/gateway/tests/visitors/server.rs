//! An authorization server that says what the tests want, and keeps what it was asked.

use super::*;

/// What a server answers to somebody whom it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    Yes,
    AsksHerOwner,
    No,
}

/// What happened at a server, and how it behaves.
#[derive(Default)]
pub(super) struct Known {
    pub(super) own_url: OnceLock<String>,
    /// It says whose answer it gives.
    pub(super) says_issuer: bool,
    pub(super) registers_clients: bool,
    /// Registered clients, and resources by the gateway's own ids.
    pub(super) clients: StdMutex<Vec<Value>>,
    pub(super) resources: StdMutex<Vec<String>>,
    pub(super) tickets: AtomicUsize,
    /// For which resource and scopes a ticket is, and who came with it.
    pub(super) asked: StdMutex<HashMap<String, Permission>>,
    pub(super) shown: StdMutex<HashMap<String, String>>,
    /// Tokens, and for which resource each is.
    pub(super) granted: StdMutex<HashMap<String, String>>,
    /// All that a token opens.
    pub(super) permissions: StdMutex<HashMap<String, Vec<Permission>>>,
    /// What may be edited, by the gateway's own ids.
    pub(super) may_edit: StdMutex<Vec<String>>,
    /// It gives refresh tokens; what is had for each, good once.
    pub(super) gives_refresh_tokens: AtomicBool,
    pub(super) refreshed: StdMutex<HashMap<String, Vec<Permission>>>,
    /// Whom it knows again has to show once more who she is.
    pub(super) proofs_ended: AtomicBool,
    /// By resource; where nothing is said, yes.
    pub(super) says: StdMutex<HashMap<String, Says>>,
    pub(super) traded: StdMutex<Vec<String>>,
    /// Tokens that it was asked about.
    pub(super) introspected: StdMutex<Vec<String>>,
    pub(super) revoked: StdMutex<Vec<String>>,
    /// It gives PCTs.
    pub(super) knows_again: AtomicBool,
    /// Who read at its claims page that the application sees an address, and tokens that say it.
    pub(super) told: StdMutex<Vec<String>>,
    pub(super) with_email: StdMutex<Vec<String>>,
    pub(super) interval: AtomicI64,
}

/// Scopes of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permission {
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
}

pub(super) fn field(form: &[u8], name: &str) -> String {
    let mut pairs = form_urlencoded::parse(form).into_owned();
    pairs.find(|(own, _)| own == name).map(|(_, value)| value).unwrap_or_default()
}

impl Known {
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.own_url.get().unwrap())
    }

    /// Nobody else gives the same.
    pub(super) fn new_text(&self, what: &str) -> String {
        let port = self.own_url.get().unwrap().rsplit(':').next().unwrap();
        format!("{what}-{port}-{}", self.tickets.fetch_add(1, Ordering::SeqCst))
    }

    pub(super) fn new_ticket(&self, wanted: &Permission) -> String {
        let ticket = self.new_text("ticket");
        self.asked.lock().unwrap().insert(ticket.clone(), wanted.clone());
        ticket
    }

    pub(super) fn count_traded(&self) -> usize {
        self.traded.lock().unwrap().len()
    }

    /// Whether somebody gets this.
    pub(super) fn says_of(&self, wanted: &Permission) -> Says {
        let own_id = self.resources.lock().unwrap()[wanted.resource[1..].parse::<usize>().unwrap()].clone();
        let is_edited = wanted.scopes.iter().any(|scope| scope == "edit");
        match is_edited && !self.may_edit.lock().unwrap().contains(&own_id) {
            true => Says::AsksHerOwner,
            false => self.says.lock().unwrap().get(&own_id).copied().unwrap_or(Says::Yes),
        }
    }

    /// Somebody shows there who she is.
    pub(super) fn shows(&self, ticket: &str, who: &str) -> String {
        let wanted = self.asked.lock().unwrap().remove(ticket).unwrap();
        let next = self.new_ticket(&wanted);
        self.shown.lock().unwrap().insert(next.clone(), who.to_owned());
        next
    }

    /// A token for all of this.
    fn new_token(&self, who: &str, all: Vec<Permission>) -> Value {
        let token = self.new_text(who);
        let mut answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3_600});
        if self.gives_refresh_tokens.load(Ordering::SeqCst) {
            let refresh = self.new_text("refresh");
            self.refreshed.lock().unwrap().insert(refresh.clone(), all.clone());
            answer["refresh_token"] = json!(refresh);
        }
        self.permissions.lock().unwrap().insert(token, all);
        answer
    }

    fn refresh(&self, form: &[u8]) -> (StatusCode, Value) {
        let found = self.refreshed.lock().unwrap().remove(&field(form, "refresh_token"));
        match found {
            Some(all) => (StatusCode::OK, self.new_token("bob", all)),
            None => (StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"})),
        }
    }

    pub(super) fn trade(&self, form: &[u8]) -> (StatusCode, Value) {
        if field(form, "grant_type") == "refresh_token" {
            return self.refresh(form);
        }
        let ticket = field(form, "ticket");
        self.traded.lock().unwrap().push(ticket.clone());
        let Some(wanted) = self.asked.lock().unwrap().remove(&ticket) else {
            return (StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"}));
        };
        let pct = field(form, "pct").strip_prefix("pct-").map(str::to_owned);
        if pct.is_some() && self.proofs_ended.load(Ordering::SeqCst) {
            let (ticket, page) = (self.new_ticket(&wanted), self.at("/claims"));
            return (StatusCode::FORBIDDEN, json!({"error": "need_info", "ticket": ticket, "redirect_user": page}));
        }
        let Some(who) = self.shown.lock().unwrap().get(&ticket).cloned().or(pct) else {
            let answer =
                json!({"error": "need_info", "ticket": self.new_ticket(&wanted), "required_claims": [{"name": "email"}]});
            return (StatusCode::FORBIDDEN, answer);
        };
        // she comes from the page that told her
        let is_told = self.shown.lock().unwrap().contains_key(&ticket) && self.told.lock().unwrap().contains(&who);
        match self.says_of(&wanted) {
            Says::Yes => {
                // what was held goes on in the new one, and the old one ends
                let mut all = self.permissions.lock().unwrap().remove(&field(form, "rpt")).unwrap_or_default();
                let resource = wanted.resource.clone();
                all.push(wanted);
                let mut answer = self.new_token(&who, all);
                let token = answer["access_token"].as_str().unwrap().to_owned();
                if field(form, "disclose") == "email" && self.told.lock().unwrap().contains(&who) || is_told {
                    self.with_email.lock().unwrap().push(token.clone());
                }
                self.granted.lock().unwrap().insert(token, resource);
                if self.knows_again.load(Ordering::SeqCst) {
                    answer["pct"] = json!(format!("pct-{who}"));
                }
                (StatusCode::OK, answer)
            }
            Says::AsksHerOwner if field(form, "ask_owner") == "true" => {
                let next = self.new_ticket(&wanted);
                self.shown.lock().unwrap().insert(next.clone(), who);
                let interval = self.interval.load(Ordering::SeqCst);
                (StatusCode::FORBIDDEN, json!({"error": "request_submitted", "ticket": next, "interval": interval}))
            }
            Says::AsksHerOwner | Says::No => (StatusCode::FORBIDDEN, json!({"error": "request_denied"})),
        }
    }

    pub(super) fn introspect(&self, form: &[u8]) -> Value {
        let token = field(form, "token");
        self.introspected.lock().unwrap().push(token.clone());
        match self.permissions.lock().unwrap().get(&token) {
            Some(all) => {
                let permissions: Vec<Value> =
                    all.iter().map(|one| json!({"resource_id": one.resource, "resource_scopes": one.scopes})).collect();
                let who = token.split('-').next();
                let mut answer = json!({"active": true, "sub": who, "client_id": "browsers", "permissions": permissions,
                    "_is_owner": who == Some("owner")});
                if self.with_email.lock().unwrap().contains(&token) {
                    answer["email"] = json!(format!("{}@bar.example", who.unwrap()));
                }
                answer
            }
            None => json!({"active": false}),
        }
    }

    pub(super) fn register_client(&self, metadata: Value) -> (StatusCode, Value) {
        if !self.registers_clients {
            return (StatusCode::FORBIDDEN, json!({"error": "access_denied"}));
        }
        let mut all = self.clients.lock().unwrap();
        all.push(metadata);
        (StatusCode::CREATED, json!({"client_id": format!("c{}", all.len()), "client_secret": "secret"}))
    }

    pub(super) fn document(&self) -> Value {
        let mut document = json!({"issuer": self.at(""), "token_endpoint": self.at("/token"), "jwks_uri": self.at("/jwks"),
            "authorization_endpoint": self.at("/authorize"), "permission_endpoint": self.at("/perm"),
            "introspection_endpoint": self.at("/introspect"), "resource_registration_endpoint": self.at("/rreg"),
            "registration_endpoint": self.at("/register"), "claims_interaction_endpoint": self.at("/claims"),
            "revocation_endpoint": self.at("/revoke"), "end_session_endpoint": self.at("/logout")});
        if self.says_issuer {
            document["claims_response_iss_parameter_supported"] = json!(true);
        }
        document
    }

    /// Serves it.
    pub(super) async fn start(self) -> Arc<Self> {
        let known = Arc::new(self);
        let all = || known.clone();
        let (a, b, c, d, e, f, g) = (all(), all(), all(), all(), all(), all(), all());
        let router = Router::new()
            .route("/.well-known/uma2-configuration", get(move || async move { Json(a.document()) }))
            .route(
                "/token",
                post(async move |body: axum::body::Bytes| {
                    let (status, answer) = b.trade(&body);
                    (status, Json(answer))
                }),
            )
            .route("/introspect", post(async move |body: axum::body::Bytes| Json(c.introspect(&body))))
            .route(
                "/register",
                post(async move |body: Json<Value>| {
                    let (status, answer) = d.register_client(body.0);
                    (status, Json(answer))
                }),
            )
            .route(
                "/perm",
                post(async move |body: Json<Value>| {
                    let one = if body.is_array() { &body[0] } else { &*body };
                    let scopes = one["resource_scopes"].as_array().unwrap().iter();
                    let wanted = Permission {
                        resource: one["resource_id"].as_str().unwrap().to_owned(),
                        scopes: scopes.map(|scope| scope.as_str().unwrap().to_owned()).collect(),
                    };
                    (StatusCode::CREATED, Json(json!({"ticket": e.new_ticket(&wanted)})))
                }),
            )
            .route(
                "/rreg",
                post(async move |body: Json<Value>| {
                    let mut all = f.resources.lock().unwrap();
                    all.push(body["_resource_id"].as_str().unwrap().to_owned());
                    (StatusCode::CREATED, Json(json!({"_id": format!("r{}", all.len() - 1)})))
                }),
            )
            .route(
                "/rreg/{id}",
                get(async move |PathOf(id): PathOf<String>| Json(json!({"_id": id, "resource_scopes": ["view", "edit"]}))),
            )
            .route(
                "/revoke",
                post(async move |body: axum::body::Bytes| {
                    g.revoked.lock().unwrap().push(field(&body, "token"));
                    StatusCode::OK
                }),
            );
        known.own_url.set(serve(router).await).unwrap();
        known
    }
}
