//! Who there is in the world of the tests, as configuration.

pub(crate) const PEOPLE: &str = r#"
[server]
issuer = "http://127.0.0.1:8080"
[limits]
login_attempts_per_minute = 1000
requests_per_minute_per_client = 100000
[[account]]
username = "alice"
email = "alice@foo.example"
password = "alice-password"
[[account]]
username = "carol"
email = "carol@foo.example"
password = "carol-password"
[[client]]
client_id = "photos-rs"
client_secret = "photos-secret"
resource = "http://127.0.0.1:9000"
grant_types = ["client_credentials", "authorization_code", "refresh_token"]
scope = "uma_protection"
redirect_uris = ["http://127.0.0.1:9000/callback"]
acts_for = "alice"
[[client]]
client_id = "music-rs"
client_secret = "music-secret"
grant_types = ["client_credentials"]
scope = "uma_protection"
acts_for = "alice"
[[client]]
client_id = "carols-rs"
client_secret = "carols-secret"
grant_types = ["client_credentials"]
scope = "uma_protection"
acts_for = "carol"
[[client]]
client_id = "company"
client_secret = "company-secret"
grant_types = ["client_credentials"]
scope = "uma_protection"
acts_for = "self"
[[client]]
client_id = "manager"
client_secret = "manager-secret"
grant_types = ["client_credentials"]
scope = "uma_policy"
acts_for = "alice"
[[client]]
client_id = "carols-manager"
client_secret = "carols-secret"
grant_types = ["client_credentials"]
scope = "uma_policy"
acts_for = "carol"
[[client]]
client_id = "viewer"
client_secret = "viewer-secret"
name = "Viewer"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
scope = "download"
claims_redirect_uris = ["http://127.0.0.1:9001/claims"]
may_push_claims = true
[[client]]
client_id = "printer"
client_secret = "printer-secret"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
scope = "print"
redirect_uris = ["http://127.0.0.1:9003/oauth"]
claims_redirect_uris = ["http://127.0.0.1:9003/a", "http://127.0.0.1:9003/b?keep=1"]
may_push_claims = true
[[client]]
client_id = "phone"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
claims_redirect_uris = ["http://127.0.0.1:9004/claims"]
[[client]]
client_id = "jwt-viewer"
client_secret = "jwt-secret"
access_token_format = "jwt"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
may_push_claims = true
[[client]]
client_id = "nothing"
client_secret = "nothing-secret"
grant_types = ["client_credentials"]
"#;
