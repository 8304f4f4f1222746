//! Whose epochs a commit raises ([`database::Epochs`]): those of owners, with every change that can take something away; a change whose
//! owner is not in it raises them all. And what waits for the sealer.

use authorization_server::event::Unsealed;
use authorization_server::{Changes, Event, Requirement, Write};
use database::CommitError;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;
use types::OwnerId;

/// The numbers, and what else this process knows of what is written.
#[derive(Default)]
pub(crate) struct Epochs {
    pub(crate) numbers: database::Epochs,
    /// Events that nobody has sealed yet.
    unsealed: Mutex<Unsealed>,
    /// Another process has changed keys.
    pub(crate) keys_changed: Notify,
}

/// Whose epochs a commit raises.
#[derive(Default)]
pub(crate) struct Touched {
    owners: Vec<OwnerId>,
    pub(crate) everybody: bool,
}

impl Epochs {
    /// The epoch of an owner.
    pub(crate) fn of(&self, owner: &OwnerId) -> u64 {
        self.numbers.of(&[owner.as_str()])
    }

    /// Clients belong to nobody: theirs is the epoch that every change of a client raises.
    pub(crate) fn of_clients(&self) -> u64 {
        self.numbers.of(&[""])
    }

    pub(crate) fn take_unsealed(&self) -> Unsealed {
        std::mem::take(&mut *self.unsealed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was committed waits for the sealer. Where nobody knows whether it was, the sealer must look.
    pub(crate) fn note(&self, events: Vec<Event>, committed: &Result<(), CommitError>) {
        if events.is_empty() {
            return;
        }
        let mut unsealed = self.unsealed.lock().unwrap_or_else(PoisonError::into_inner);
        match committed {
            Ok(()) => unsealed.events.extend(events),
            Err(CommitError::Unavailable(_)) => unsealed.doubtful.extend(events.into_iter().map(|event| event.owner)),
            Err(CommitError::Broken(_) | CommitError::Taken(_) | CommitError::Unkept(_)) => {}
        }
    }

    pub(crate) fn raise(&self, touched: &Touched) {
        match touched.everybody {
            true => self.numbers.raise_all(),
            false => touched.slots().into_iter().for_each(|slot| self.numbers.raise(slot)),
        }
    }
}

impl Touched {
    /// Where their epochs are, each once.
    pub(crate) fn slots(&self) -> Vec<usize> {
        let mut slots: Vec<usize> = self.owners.iter().map(|owner| database::Epochs::slot_of(&[owner.as_str()])).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Whose things the changes rest on: what is kept of theirs is old where a requirement does not hold.
    pub(crate) fn under(changes: &Changes) -> Self {
        let mut owners: Vec<OwnerId> = changes.identity.accounts().cloned().collect();
        owners.extend(changes.requires.iter().filter_map(|requirement| match requirement {
            Requirement::LinkUnchanged { owner, .. }
            | Requirement::InboxUnchanged { owner, .. }
            | Requirement::DelegationStands { owner, .. }
            | Requirement::SearchStands { owner, .. }
            | Requirement::CredentialStands { owner, .. } => Some(owner.clone()),
            _ => None,
        }));
        owners.extend(changes.writes.iter().filter_map(|write| match write {
            Write::AppendEvent(event) => Some(event.owner.clone()),
            Write::CreateResource(resource) | Write::PutResource(resource) => Some(resource.owner.clone()),
            Write::PutPolicy(policy) => Some(policy.owner.clone()),
            Write::PutAccessRequest(request) => Some(request.owner.clone()),
            _ => None,
        }));
        owners.sort();
        owners.dedup();
        Self { owners, everybody: false }
    }

    /// Reads it off the changes; what only adds raises nothing.
    pub(crate) fn by(changes: &Changes) -> Self {
        let mut touched = Self { owners: changes.identity.accounts().cloned().collect(), everybody: false };
        for write in &changes.identity.writes {
            use identity::Write as W;
            let takes_away = matches!(
                write,
                W::DeleteAccessToken(_) | W::EndFamily(_) | W::PutClient(_) | W::DeleteClient(_) | W::PutAccount(_)
            );
            touched.everybody |= takes_away;
        }
        for write in &changes.writes {
            match write {
                Write::DeleteCredential { owner, .. } => touched.owners.push(owner.clone()),
                Write::PutOwnerSettings(owner, _) => touched.owners.push(owner.clone()),
                Write::PutResource(resource) => touched.owners.push(resource.owner.clone()),
                Write::PutPolicy(policy) => touched.owners.push(policy.owner.clone()),
                Write::PutAccessRequest(request) => touched.owners.push(request.owner.clone()),
                Write::RaiseLink { owner, .. } => touched.owners.push(owner.clone()),
                Write::DeleteResource { owner, .. }
                | Write::DeletePolicy { owner, .. }
                | Write::DeleteAccessRequest { owner, .. }
                | Write::DeleteRpt { owner, .. } => touched.owners.push(owner.clone()),
                _ => {}
            }
        }
        touched
    }
}
