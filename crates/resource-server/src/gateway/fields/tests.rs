use super::*;

pub(super) fn kept(names: &[&str], is_trusted_proxy: bool) -> Vec<String> {
    let mut headers = HeaderMap::new();
    for name in names {
        headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
    }
    let owner_headers = ["X-Owner".to_owned()];
    let pass_headers = ["X-App-Tenant".to_owned(), "x_odd".to_owned()];
    keep_for_service(&mut headers, Sender { is_trusted_proxy, owner_headers: &owner_headers, pass_headers: &pass_headers });
    headers.keys().map(|name| name.as_str().to_owned()).collect()
}

#[test]
fn threat_47_s20_what_is_folded_behind_the_gateway_goes_nowhere() {
    for name in [
        "X_HTTP_Method_Override",
        "X_Original_URL",
        "X_Wayleave_Owner",
        "X_Owner",
        "x-owner_",
        "Content_Length",
        "Transfer_Encoding",
        "Remote_User",
        "X.Real.IP",
        "X-Forwarded.For",
        "X!Owner",
        "X~Owner",
        "X+Forwarded+For",
        "x|y",
    ] {
        for is_trusted_proxy in [false, true] {
            assert_eq!(kept(&[name], is_trusted_proxy), [""; 0], "{name}");
        }
    }
    assert_eq!(folded("X_Real.IP"), "x-real-ip");
}

#[test]
fn threat_47_s20_nobody_makes_a_call_another_one() {
    for name in [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Original-URI",
        "X-Original-Host",
        "X-Rewrite-URL",
        "X-Envoy-Original-Path",
        "X-Host",
        "X-Script-Name",
        "Script-Name",
        "Path-Info",
        "X-Sendfile-Type",
        "X-Accel-Mapping",
        "X-Wayleave-Subject",
        "Content-Location",
        "Authorization",
        "DPoP",
        "Proxy",
        "Proxy-Authorization",
        "Upgrade",
        "HTTP2-Settings",
        "TE",
        "Content-Length",
        "Expect",
        "HTTP-Method-Override",
        "Request-Method",
        "Request-URI",
        "X-Replaced-Path",
        "X-WAWS-Unencoded-URL",
        "X-HTTP-Path-Override",
        "Path-Translated",
        "Query-String",
        "X-Amz-Copy-Source",
        "X-Ms-Rename-Source",
        "X-Copy-From",
        "X-Object-Manifest",
        "X-Symlink-Target",
        "Upload-Concat",
        "Rename-To",
        "X-Move-To",
        "X-WOPI-Override",
        "X-RestLi-Method",
        "X-Tunnel-Method",
        "X-Verb",
        "X-Override",
    ] {
        for is_trusted_proxy in [false, true] {
            assert_eq!(kept(&[name], is_trusted_proxy), [""; 0], "{name}");
        }
    }
}

#[test]
fn threat_47_s40_who_calls_is_believed_of_trusted_proxies_alone() {
    for name in [
        "Forwarded",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Prefix",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Forwarded-Ssl",
        "X-Forwarded-Scheme",
        "X-Forwarded-User",
        "X-Forwarded-Tomorrow",
        "X-Real-IP",
        "X-Client-IP",
        "Client-IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "Remote-User",
        "X-Remote-User",
        "X-Auth-Request-Email",
        "X-Webauth-User",
        "X-SSL-Client-Cert",
        "Client-Cert",
        "X-Owner",
        "User",
        "Auth-User",
        "X-User",
        "X-Consumer-Username",
        "X-LDAP-User",
        "X-Grafana-User",
        "X-Endpoint-API-UserInfo",
        "X-Pomerium-JWT-Assertion",
        "Tailscale-User-Login",
        "Impersonate-Group",
        "Shib-Identity",
        "OIDC-Claim-Sub",
        "eppn",
        "Fly-Client-IP",
        "DO-Connecting-IP",
        "HTTPS",
    ] {
        assert_eq!(kept(&[name], false), [""; 0], "{name}");
        assert_eq!(kept(&[name], true), [name.to_ascii_lowercase()]);
    }
}

#[test]
fn what_is_the_clients_own_goes_on() {
    let own = ["accept", "cookie", "content-type", "if-match", "range", "user-agent", "x-request-id", "x-user-agent", "via"];
    for name in own {
        assert_eq!(kept(&[name], false), [name]);
    }
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("close, X-One-Hop, upgrade"));
    headers.insert("x-one-hop", HeaderValue::from_static("x"));
    headers.insert("proxy-authenticate", HeaderValue::from_static("x"));
    headers.insert("etag", HeaderValue::from_static("x"));
    keep_for_client(&mut headers);
    assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
}

#[test]
fn threat_47_s39_via_names_the_version_and_us() {
    let mut headers = HeaderMap::new();
    headers.insert(VIA, HeaderValue::from_static("1.0 fred"));
    add_via(&mut headers, Version::HTTP_2);
    let all: Vec<_> = headers.get_all(VIA).iter().collect();
    assert_eq!(all, ["1.0 fred", "2.0 wayleave"]);
}

fn unfit(fields: &[(&'static str, &'static str)]) -> Option<Unfit> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_static(value));
    }
    find_unfit(&headers, &["X-Owner".to_owned()])
}

#[test]
fn threat_47_what_is_said_twice_is_said_to_be() {
    assert_eq!(unfit(&[("depth", "0"), ("accept", "a/b"), ("accept", "c/d")]), None);
    for name in SINGLE {
        assert_eq!(unfit(&[(name, "0"), (name, "infinity")]), Some(Unfit::Doubled), "{name}");
    }
    assert_eq!(unfit(&[("expect", "100-Continue")]), None);
    for other in ["200-ok", "100-continue, x", "x 100-continue", ""] {
        assert_eq!(unfit(&[("expect", other)]), Some(Unfit::Expected), "{other}");
    }
}

#[test]
fn threat_47_s20_connection_takes_nothing_from_the_service() {
    for fine in ["close", "keep-alive, Upgrade", "te", "upgrade, http2-settings", "x-of-one-hop", "proxy-authorization", ""] {
        assert_eq!(unfit(&[("connection", fine)]), None, "{fine}");
    }
    for name in [
        "x-owner",
        "close, X-Owner",
        "X_Owner",
        "cookie",
        "host",
        "authorization",
        "dpop",
        "if",
        "if-match",
        "if-none-match",
        "range",
        "content-length",
        "content-type",
        "transfer-encoding",
        "destination",
        "overwrite",
        "depth",
        "x-forwarded-for",
        "x-real-ip",
        "remote-user",
        "x-wayleave-subject",
        "cache-control",
    ] {
        assert_eq!(unfit(&[("connection", "keep-alive"), ("connection", name)]), Some(Unfit::TakenAway), "{name}");
    }
}

/// S40's kind: a list of what is refused never ends.
#[test]
fn threat_47_s40_who_calls_is_told_by_trusted_proxies_alone() {
    for name in [
        "Tailscale-User-Login",
        "X-Tailscale-User",
        "X-Consumer-Username",
        "X-Credential-Identifier",
        "X-Anonymous-Consumer",
        "X-Userinfo",
        "X-Access-Token",
        "X-Id-Token",
        "X-Vouch-User",
        "X-Pomerium-Jwt-Assertion",
        "X-Goog-Iap-Jwt-Assertion",
        "X-Ms-Token-Aad-Id-Token",
        "Oidc-Claim-Sub",
        "Eppn",
        "Shib-Identity-Provider",
        "Kc-User",
        "X-Token-Subject",
        "X-Token-User-Name",
        "X-Email",
        "X-Groups",
        "X-Roles",
        "X-Tenant",
        "X-Grafana-User",
        "X-Clientcert-Dn",
        "Impersonate-User",
        "X-Up-Calling-Line-Id",
        "X-Middleware-Subrequest",
        "From",
        "Tomorrows-Proxy-Person",
        "X-Scope-OrgID",
        "X-Grafana-Org-Id",
        "Iv-Creds",
        "X-MSISDN",
        "X-Nokia-Msisdn",
        "SMUSER",
        "X-Auth",
        "X-Auth-Name",
        "X-Authorization",
        "X-Serverless-Authorization",
        "X-ZUMO-AUTH",
        "X-Amzn-Request-Context",
        "X-Apigateway-Event",
        "X-Sandstorm-Permissions",
        "X-Internal",
        "X-Authz-Scopes",
        "X-Uid",
        "X-Sub",
        "X-Upn",
        "X-Ldap-Dn",
        "Uid",
        "Cn",
        "Displayname",
        "GivenName",
        "Unscoped-Affiliation",
        "Persistent-Id",
        "X-On-Behalf-Of",
        "X-Act-As",
        "Sudo",
        "X-Jwt",
        "X-Actor",
        "X-Caller",
        "X-Client-Id",
        "X-Customer-Id",
        "X-Authn-Context",
        "Grpc-Metadata-Authorization",
        "Grpc-Metadata-X-Rank",
        "Sec-Token-Binding",
        "Sec-Provided-Token-Binding-ID",
        "X-Ingress-Path",
        "X-Base-Url",
        "X-Prefix",
        "X-Nginx-Uri",
        "X-Orig-Host",
        "X-Destination",
        "X-File-Path",
        "securitytenant",
        "sgtenant",
        "l5d-dtab",
        "dapr-app-id",
        "X-Odoo-Database",
        "X-Vault-Namespace",
        "eduPersonPrincipalName",
        "isMemberOf",
        "preferredUsername",
        "REMOTEUSER",
        "X-Authuser",
        "Useremail",
    ] {
        assert_eq!(kept(&[name], false), [""; 0], "{name}");
        assert_eq!(kept(&[name], true), [name.to_ascii_lowercase()]);
    }
    assert_eq!(kept(&["X-App-Tenant"], false), ["x-app-tenant"], "the operator names it");
}

/// What browsers, and applications that are not changed for this gateway, send for themselves.
#[test]
fn fields_of_ordinary_applications_pass() {
    for name in [
        "x-kept",
        "x-app-version",
        "my-own",
        "x-auth-token",
        "accept-language",
        "access-control-request-method",
        "cache-control",
        "content-disposition",
        "content-range",
        "depth",
        "git-protocol",
        "grpc-timeout",
        "hx-request",
        "if-none-match",
        "if-schedule-tag-match",
        "last-event-id",
        "lock-token",
        "oc-checksum",
        "ocs-apirequest",
        "origin",
        "overwrite",
        "prefer",
        "priority",
        "referer",
        "sec-fetch-site",
        "sec-websocket-key",
        "slug",
        "timeout",
        "traceparent",
        "tus-resumable",
        "upload-offset",
        "x-csrf-token",
        "x-expected-entity-length",
        "x-grpc-web",
        "x-oc-mtime",
        "x-requested-with",
        "x-xsrf-token",
        "hx-current-url",
        "sec-fetch-dest",
        "user-agent",
        "upload-length",
        "upload-metadata",
        "x-api-key",
        "x-file-name",
        "x-gitlab-token",
        "x-ms-client-request-id",
        "x-wp-nonce",
        "mcp-session-id",
        "accept-profile",
        "soapaction",
    ] {
        assert_eq!(kept(&[name], false), [name]);
    }
}
