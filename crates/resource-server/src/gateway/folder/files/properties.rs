//! Properties that clients give to things of their own accord (RFC 4918 4, "dead" ones). They are kept in an extended attribute
//! of the file itself: they go with it where it is moved, copied or backed up. A disk that knows none keeps none.

use super::{Files, beneath, fs_error};
use crate::gateway::folder::call::Call;
use crate::gateway::path::CanonicalPath;
use dav_server::fs::{DavProp, FsError, FsResult};
use http::StatusCode;
use rustix::fs::{XattrFlags, getxattr, removexattr, setxattr};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::{Arc, PoisonError};

const ATTRIBUTE: &str = "user.wayleave.properties";
/// Bytes of all properties of one thing; some disks keep hardly more of them.
const MOST_BYTES: usize = 3_500;

/// All of one thing.
pub(in crate::gateway::folder) type Properties = Arc<[Property]>;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::gateway::folder) struct Property {
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    /// The whole element.
    xml: String,
}

impl Property {
    fn of(property: &DavProp) -> Option<Self> {
        let xml = String::from_utf8(property.xml.clone()?).ok()?;
        let DavProp { name, prefix, namespace, .. } = property.clone();
        Some(Self { namespace, name, prefix, xml })
    }

    fn is(&self, property: &DavProp) -> bool {
        self.name == property.name && self.namespace == property.namespace
    }

    fn told(&self, has_content: bool) -> DavProp {
        let Self { namespace, name, prefix, xml } = self.clone();
        DavProp { name, prefix, namespace, xml: has_content.then(|| xml.into_bytes()) }
    }
}

/// The attribute as it is kept; none where there is none, or can be none.
fn read_kept(place: &Path) -> io::Result<Option<Vec<u8>>> {
    let mut kept = vec![0_u8; MOST_BYTES];
    match getxattr(place, ATTRIBUTE, &mut kept[..]) {
        Ok(length) => {
            kept.truncate(length);
            Ok(Some(kept))
        }
        Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(place: &Path) -> io::Result<Vec<Property>> {
    match read_kept(place)? {
        Some(kept) => serde_json::from_slice(&kept).map_err(io::Error::from),
        None => Ok(Vec::new()),
    }
}

/// Gives a thing the properties of another one.
pub(super) fn copy(from: &Path, to: &Path) {
    let kept = read_kept(from).and_then(|kept| match kept {
        Some(kept) => setxattr(to, ATTRIBUTE, &kept, XattrFlags::empty()).map_err(io::Error::from),
        None => Ok(()),
    });
    if let Err(error) = kept {
        tracing::warn!(%error, "properties of a file cannot be kept");
    }
}

/// Sets and removes all, or nothing; what is said of each.
fn patch(place: &Path, changes: &[(bool, DavProp)]) -> io::Result<StatusCode> {
    let mut all = read(place)?;
    for (is_set, property) in changes {
        all.retain(|one| !one.is(property));
        all.extend(Property::of(property).filter(|_| *is_set));
    }
    let kept = serde_json::to_vec(&all)?;
    let done = match all.is_empty() {
        _ if kept.len() > MOST_BYTES => return Ok(StatusCode::INSUFFICIENT_STORAGE),
        true => removexattr(place, ATTRIBUTE),
        false => setxattr(place, ATTRIBUTE, &kept, XattrFlags::empty()),
    };
    match done {
        Ok(()) | Err(Errno::NODATA) => Ok(StatusCode::OK),
        // to remove what is not there is no error, wherever it would be
        Err(Errno::OPNOTSUPP) if all.is_empty() => Ok(StatusCode::OK),
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS) => Ok(StatusCode::FORBIDDEN),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::RANGE | Errno::TOOBIG) => Ok(StatusCode::INSUFFICIENT_STORAGE),
        Err(error) => Err(error.into()),
    }
}

impl Files {
    pub(super) async fn patch_properties(
        &self,
        call: &Call,
        path: &CanonicalPath,
        changes: Vec<(bool, DavProp)>,
    ) -> FsResult<Vec<(StatusCode, DavProp)>> {
        if !call.is_still_allowed().await {
            return Err(FsError::Forbidden);
        }
        let work = async {
            let _turn = self.turn(path).await?;
            let found = beneath::find(&self.0.root, path).await?;
            beneath::on_a_thread_of_its_own(move || Ok((patch(&found.place(), &changes)?, changes))).await
        };
        let (status, changes) = work.await.map_err(|error| fs_error(&error))?;
        Ok(changes.into_iter().map(|(_, property)| (status, DavProp { xml: None, ..property })).collect())
    }

    /// All of them, where a call does not name which.
    pub(super) async fn list_properties(&self, call: &Call, path: &CanonicalPath, has_content: bool) -> FsResult<Vec<DavProp>> {
        if call.named.is_some() {
            return Ok(Vec::new());
        }
        let all = self.properties_of(call, path).await?;
        Ok(all.iter().map(|property| property.told(has_content)).collect())
    }

    pub(in crate::gateway::folder) async fn find_property(
        &self,
        call: &Call,
        path: &CanonicalPath,
        asked: &DavProp,
    ) -> FsResult<Vec<u8>> {
        let all = self.properties_of(call, path).await?;
        let found = all.iter().find(|one| one.is(asked)).ok_or(FsError::NotFound)?;
        Ok(found.xml.clone().into_bytes())
    }

    /// Reads them once for a call and a thing, however many of them it names.
    async fn properties_of(&self, call: &Call, path: &CanonicalPath) -> FsResult<Properties> {
        let known = call.properties.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((_, properties)) = known.filter(|(of, _)| of == path) {
            return Ok(properties);
        }
        let found = beneath::find(&self.0.root, path).await.map_err(|error| fs_error(&error))?;
        let read = beneath::on_a_thread_of_its_own(move || read(&found.place())).await;
        let properties = Properties::from(read.map_err(|error| fs_error(&error))?);
        *call.properties.lock().unwrap_or_else(PoisonError::into_inner) = Some((path.clone(), properties.clone()));
        Ok(properties)
    }
}
