//! What a field's name says, whoever sent it (threats 26 and 47): whether it can make a call another one than was judged, or
//! tells who calls. Each product tells services who calls in a field of its own, so names are known by their words as well.

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// Something of the caller's own.
    Ordinary,
    /// By it a call could be read as another one: it passes from nobody.
    AnotherCall,
    /// What proxies tell a service: who calls, from where, and under which name the service is reached. It passes from
    /// trusted proxies alone.
    WhoCalls,
}

/// By these a call could be read as another one than was judged.
const OVERRIDES: [&str; 16] = [
    "x-http-",
    "x-method",
    "x-original-",
    "x-rewrite-",
    "x-override",
    "x-verb",
    "x-envoy-original-",
    "x-host",
    "x-url",
    "x-script-",
    "script-name",
    "path-info",
    "x-accel-",
    "x-sendfile",
    "x-wayleave",
    "content-location",
];

/// The same, wherever in a name it stands.
const OVERRIDES_WITHIN: [&str; 20] = [
    "method-override",
    "http-method",
    "http-path",
    "request-method",
    "request-ur",
    "original-method",
    "original-path",
    "original-ur",
    "rewrite-",
    "replaced-path",
    "unencoded-url",
    "path-info",
    "path-translated",
    "script-name",
    "query-string",
    "object-manifest",
    "upload-concat",
    "restli-method",
    "tunnel-method",
    "wopi-override",
];

/// One of these words before one of those names another thing than is called, as `Destination` does: what to copy from
/// (`X-Amz-Copy-Source`), or where to move to (`X-Upyun-Move-Source` moves what it names to the place that is called).
const TAKES: [&str; 6] = ["clone", "copy", "link", "move", "rename", "symlink"];
const OTHER_PLACES: [&str; 5] = ["destination", "from", "source", "target", "to"];

/// One of these words before one of those is where a caller is (`X-Client-Port`).
const CALLERS: [&str; 13] = [
    "caller",
    "client",
    "connecting",
    "forwarded",
    "origin",
    "originating",
    "peer",
    "real",
    "remote",
    "source",
    "src",
    "user",
    "visitor",
];
const WHERE: [&str; 3] = ["addr", "address", "port"];

/// A browser asks by these whether it may send a method: nobody reads them as one.
const PREFLIGHT: &str = "access-control-request-";

/// Beginnings of what proxies and log-in services write.
const FAMILIES: [&str; 64] = [
    "forwarded",
    "x-forwarded",
    "x-forwarder",
    "x-forward-",
    "x-real-",
    "x-client-ip",
    "x-client-id",
    "x-client-cert",
    "x-client-verify",
    "x-client-dn",
    "x-cluster-",
    "x-originating-",
    "x-orig-",
    "x-remote-",
    "x-proxy",
    "x-scheme",
    "x-ssl",
    "x-tls-",
    "x-authentik-",
    "x-webauth-",
    "x-sso-",
    "x-envoy-",
    "x-arr-",
    "x-azure-",
    "x-appengine-",
    "x-ms-client-principal",
    "x-goog-authenticated-",
    "x-goog-iap-",
    "x-amzn-oidc-",
    "x-amzn-request-",
    "x-amzn-lambda-",
    "x-apigateway-",
    "x-sandstorm-",
    "x-vouch-",
    "x-authelia-",
    "x-oidc-",
    "x-saml-",
    "x-jwt-",
    "x-consumer-",
    "x-credential-",
    "x-up-",
    "remote-",
    "client-ip",
    "client-cert",
    "true-client-",
    "cf-",
    "fastly-",
    "ssl-",
    "tailscale-",
    "oidc-",
    "saml-",
    "shib-",
    "mellon-",
    "impersonate-",
    "akamai-",
    "iv-",
    "sm-",
    "smuser",
    "grpc-metadata-",
    "sudo",
    "l5d-",
    "dapr-",
    "eduperson",
    "remoteuser",
];

/// The same, wherever in a name it stands.
const WITHIN: [&str; 29] = [
    "access-token",
    "id-token",
    "token-binding",
    "calling-line",
    "subrequest",
    "client-cert",
    "client-ip",
    "connecting-ip",
    "real-ip",
    "source-ip",
    "remote-ip",
    "peer-ip",
    "user-ip",
    "client-addr",
    "remote-addr",
    "forwarded-",
    "jwt-assertion",
    "url-scheme",
    "request-context",
    "act-as",
    "on-behalf",
    "display-name",
    "given-name",
    "full-name",
    "last-name",
    "common-name",
    "persistent-id",
    "pairwise-id",
    "targeted-id",
];

/// Words that name somebody, what somebody is and may, where somebody is, or for whom a service works.
const SOMEBODY: [&str; 105] = [
    "account",
    "actor",
    "addr",
    "admin",
    "affiliation",
    "assertion",
    "auth",
    "authenticated",
    "authn",
    "authorization",
    "authuser",
    "authz",
    "caller",
    "cert",
    "certificate",
    "claim",
    "claims",
    "clientcert",
    "clientid",
    "cn",
    "consumer",
    "credential",
    "credentials",
    "creds",
    "customer",
    "database",
    "dbname",
    "displayname",
    "dn",
    "email",
    "employee",
    "entitlement",
    "entitlements",
    "eppn",
    "gid",
    "givenname",
    "group",
    "groups",
    "ident",
    "identifier",
    "identity",
    "impersonate",
    "imsi",
    "internal",
    "ip",
    "ipaddr",
    "ipaddress",
    "ips",
    "ipv4",
    "ipv6",
    "ismemberof",
    "jwt",
    "login",
    "mail",
    "member",
    "memberof",
    "msisdn",
    "nameid",
    "namespace",
    "nginx",
    "oidc",
    "org",
    "organisation",
    "organization",
    "orgid",
    "owner",
    "permission",
    "permissions",
    "person",
    "preferredusername",
    "principal",
    "privilege",
    "privileges",
    "proxied",
    "proxy",
    "role",
    "roles",
    "saml",
    "scope",
    "scopes",
    "securitytenant",
    "sgtenant",
    "shib",
    "sn",
    "spiffe",
    "sub",
    "subject",
    "subscriber",
    "surname",
    "tenant",
    "tenantid",
    "tenantname",
    "tenants",
    "uid",
    "upn",
    "user",
    "useremail",
    "userid",
    "userinfo",
    "usermail",
    "username",
    "users",
    "verified",
    "viewer",
    "webauth",
];

/// Words that name a place: where proxies write under which path and name a service is reached, and where applications let a
/// caller name another thing than is called.
const PLACES: [&str; 10] = ["dest", "destination", "dir", "host", "hostname", "path", "prefix", "uri", "url", "urls"];

/// Names that are one of these as a whole.
const WHOLE: [&str; 5] = ["from", "front-end-https", "x-true-ip", "https", "x-https"];

/// Names with such a word that are a caller's own: what a browser or a library is, where a page was, and secrets that the service
/// itself looks at, of which nobody can make one up.
const OWN: [&str; 6] = ["user-agent", "x-user-agent", "hx-current-url", "sec-fetch-dest", "x-auth-token", "x-emby-authorization"];

/// What nearly every call has: judged at once.
const EVERYDAY: [&str; 29] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-encoding",
    "content-type",
    "cookie",
    "date",
    "dnt",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "sec-ch-ua",
    "sec-ch-ua-mobile",
    "sec-ch-ua-platform",
    "sec-fetch-mode",
    "sec-fetch-site",
    "sec-fetch-user",
    "traceparent",
    "tracestate",
    "upgrade-insecure-requests",
    "via",
];

/// What a name in its folded form says.
pub(super) fn read(name: &str) -> Says {
    if EVERYDAY.binary_search(&name).is_ok() || OWN.contains(&name) {
        return Says::Ordinary;
    }
    let begins = |with: &[&str]| with.iter().any(|one| name.starts_with(one));
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    let is_preflight = name.starts_with(PREFLIGHT);
    let follows = |first: &[&str], second: &[&str]| {
        let pairs = name.split('-').zip(name.split('-').skip(1));
        pairs.into_iter().any(|(one, next)| first.contains(&one) && second.contains(&next))
    };
    if begins(&OVERRIDES) || !is_preflight && (has(&OVERRIDES_WITHIN) || follows(&TAKES, &OTHER_PLACES)) {
        return Says::AnotherCall;
    }
    let says = |word: &str| SOMEBODY.binary_search(&word).is_ok() || PLACES.binary_search(&word).is_ok();
    let is_told = begins(&FAMILIES) || WHOLE.contains(&name) || has(&WITHIN) || follows(&CALLERS, &WHERE);
    match is_told || name.split('-').any(says) {
        true => Says::WhoCalls,
        false => Says::Ordinary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_by_halves_is_in_its_order() {
        for list in [&EVERYDAY[..], &SOMEBODY, &PLACES] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
