//! What a gateway says of itself to anybody: its protected-resource document (RFC 9728) and its public key.

use super::{DISCOVER, Gateway, JWKS, Route, discovery, management};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use types::ScopeSet;
use types::metadata::ProtectedResourceMetadata;

/// The path of its metadata.
pub(super) fn metadata_path(resource: &str) -> String {
    let url = types::path::inserted_well_known(resource, types::path::OAUTH_PROTECTED_RESOURCE);
    url::Url::parse(&url).map(|url| url.path().to_owned()).unwrap_or_default()
}

impl Gateway {
    pub(super) fn metadata_url(&self) -> String {
        types::path::inserted_well_known(&self.settings.resource, types::path::OAUTH_PROTECTED_RESOURCE)
    }

    pub(super) fn jwks_url(&self) -> String {
        format!("{}{JWKS}", self.settings.resource)
    }

    pub(super) fn jwks(&self) -> Response {
        let mut key = self.key.public().to_jwk();
        if let Some(members) = key.as_object_mut() {
            members.insert("use".into(), "sig".into());
        }
        readable_by_scripts(axum::Json(serde_json::json!({"keys": [key]})))
    }

    pub(super) fn metadata(&self) -> Response {
        let scopes: ScopeSet = self.routes().iter().flat_map(Route::all_scopes).collect();
        let managed = self.settings.management.as_ref();
        let document = ProtectedResourceMetadata {
            resource: self.settings.resource.clone(),
            authorization_servers: self.settings.authorization_servers.clone(),
            scopes_supported: scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
            bearer_methods_supported: vec!["header".to_owned()],
            jwks_uri: Some(self.jwks_url()),
            resource_management_endpoint: managed.map(|_| format!("{}{}", self.settings.resource, management::BASE)),
            resource_management_authorization_servers: managed.map(|by| by.issuer.clone()).into_iter().collect(),
            resource_owner_credentials_endpoint: managed
                .map(|_| format!("{}{}/my-credentials", self.settings.resource, management::BASE)),
            resource_discovery_endpoint: discovery::is_offered(self).then(|| format!("{}{DISCOVER}", self.settings.resource)),
        };
        readable_by_scripts(axum::Json(document))
    }
}

/// Without credentials, from any origin (operations.md).
fn readable_by_scripts(document: impl IntoResponse) -> Response {
    let mut response = document.into_response();
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}
