//! What somebody could do, asked of the very rules that grant.

use super::resource::{Extra, Supposed, render};
use super::words::least_first;
use super::{acting, posted};
use crate::Shared;
use authorization_server::simulation::{Fate, Simulation};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use serde_json::json;
use std::collections::BTreeMap;
use types::spelling::readable;
use types::{PermissionRequest, ResourceId, Scope, path};

/// What becomes of a wish, for the owner.
fn in_words(fate: Fate) -> &'static str {
    match fate {
        Fate::Granted => "yes, you shared it",
        Fate::MustShow => "they would be asked who they are",
        Fate::Asked => "they would ask you",
        Fate::Refused => "no",
    }
}

/// `POST /my/resources/{id}/what-if`: what would somebody with this address get?
pub(super) async fn what_if(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    posted(app, request, format!("{}/{id}", path::MY_RESOURCES), async |app, visit, owner, form| {
        let id = ResourceId::new(id);
        let email = form.one("email")?.unwrap_or_default().trim().to_owned();
        let thing = app.authorization_server.read_owned_resource(&acting(owner), &id).await?;
        let scopes = thing.description.resource_scopes;
        let (permissions, stated) = (
            vec![PermissionRequest { resource_id: id.clone(), resource_scopes: scopes.clone() }],
            (!email.is_empty()).then(|| ("email".to_owned(), json!(email))),
        );
        let simulation = Simulation { permissions, client_id: None, claims: stated.into_iter().collect() };
        let found = app.authorization_server.simulate_each(&acting(owner), simulation).await?;
        let found: BTreeMap<Scope, Fate> = found.into_iter().collect();
        let fate = |scope: Scope| Some((readable(scope.as_str()), *found.get(&scope)?));
        let fates: Vec<(String, Fate)> = least_first(&scopes).into_iter().filter_map(fate).collect();
        let asked = email.clone();
        render(app, visit, owner, &id, Extra { supposed: Some(supposed(&email, &fates)), asked, ..Extra::default() }).await
    })
    .await
}

fn supposed(email: &str, fates: &[(String, Fate)]) -> Supposed {
    let who = if email.is_empty() { "Somebody unknown".to_owned() } else { readable(email) };
    let of = |fate: Fate| {
        let names = fates.iter().filter(|(_, of)| *of == fate).map(|(name, _)| name.as_str());
        names.collect::<Vec<_>>().join(", ")
    };
    let answer = match of(Fate::Granted).as_str() {
        "" => format!("{who} could do nothing."),
        some => format!("{who} could {some}."),
    };
    let each = [Fate::Granted, Fate::MustShow, Fate::Asked, Fate::Refused].map(|fate| (of(fate), fate));
    let reasons = each.into_iter().filter(|(names, _)| !names.is_empty());
    let reasons = reasons.map(|(names, fate)| crate::browser::sentence(&format!("{names}: {}", in_words(fate)))).collect();
    Supposed { answer, reasons }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_happen_is_said_to_the_owner() {
        let fates = [("view", Fate::Granted), ("edit", Fate::Asked), ("delete", Fate::Asked)];
        let fates: Vec<_> = fates.map(|(name, fate)| (name.to_owned(), fate)).into();
        let said = supposed("bob@bar.example", &fates);
        assert_eq!(said.answer, "bob@bar.example could view.");
        assert_eq!(said.reasons, ["View: yes, you shared it.", "Edit, delete: they would ask you."]);
        assert_eq!(supposed("", &[("view".into(), Fate::MustShow)]).answer, "Somebody unknown could do nothing.");
    }
}
