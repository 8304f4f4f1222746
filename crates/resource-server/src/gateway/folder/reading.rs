//! Reading a folder: files, whole or in part, and the names in directories.

use super::active::Active;
use super::call::Call;
use super::conditions::{self, Verdict};
use super::ranges::Range;
use super::{Folder, answers, check_names};
use crate::gateway::Passing;
use crate::gateway::path::CanonicalPath;
use crate::watch::SMALL_BYTES;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, header};
use std::io;
use std::sync::{Arc, Mutex};

impl Folder {
    /// A file, whole or the part that was asked for, or nothing new since the client has it (RFC 9110 13, 14).
    pub(super) async fn read(&self, parts: &Parts, path: &CanonicalPath, passing: &Passing) -> io::Result<Response> {
        check_names(path)?;
        if self.files.find_version(path).await?.is_some_and(|version| version.is_directory) {
            return self.list(parts, path, passing).await;
        }
        let opened = self.files.open_file(path).await?;
        let (version, tag, is_active) = (opened.version.clone(), opened.version.tag(), opened.is_active(path));
        let call = self.call(parts, path, passing).ok_or(io::ErrorKind::InvalidInput)?;
        let current = version.as_current(&tag);
        match call.conditions.judge(Some(current)) {
            Verdict::Perform => {}
            Verdict::NotModified => return Ok(answers::not_modified(&version, call.now_seconds)),
            Verdict::Failed => return Ok(answers::changed()),
        }
        let range = match conditions::allows_range(&parts.headers, current) {
            true => Range::read(&parts.method, &parts.headers, version.length),
            false => Range::Whole,
        };
        let call = Call { opened: Mutex::new(Some(opened)), ..call };
        let mut request = self.request(parts, passing);
        match range {
            Range::Whole => {}
            Range::Unsatisfiable => return Ok(answers::unsatisfiable(version.length)),
            Range::Part { first, last } => {
                let value = HeaderValue::from_str(&format!("bytes={first}-{last}")).map_err(io::Error::other)?;
                request.insert(header::RANGE, value);
            }
        }
        let answer = self.hand_over(parts, request, path, Body::empty(), Arc::new(call), passing).await;
        let mut response = whole_if_small(answer).await?;
        answers::keep_inert(response.headers_mut(), is_active);
        if is_active {
            response.extensions_mut().insert(Active);
        }
        Ok(response)
    }

    /// A directory: the names in it, as JSON.
    async fn list(&self, parts: &Parts, path: &CanonicalPath, passing: &Passing) -> io::Result<Response> {
        let call = self.call(parts, path, passing).ok_or(io::ErrorKind::InvalidInput)?;
        let mut names = Vec::new();
        for (below, version) in self.files.list(path).await?.things {
            let name = below.segments().last().cloned();
            let called = if version.is_directory { below.with_slash() } else { below };
            if call.may_list(called).await {
                names.extend(name);
            }
        }
        Ok(axum::response::IntoResponse::into_response(axum::Json(names)))
    }
}

/// The answer, with all of a small file in it: then nobody has to watch it.
async fn whole_if_small(answer: Response) -> io::Result<Response> {
    let length = answer.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_none_or(|length| length > SMALL_BYTES) {
        return Ok(answer);
    }
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}
