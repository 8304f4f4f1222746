//! Open files: one that is read, and one that is being written.

use super::{Files, Told, Version, fs_error};
use crate::gateway::folder::call::Call;
use crate::gateway::part_files::Part;
use crate::gateway::path::CanonicalPath;
use bytes::{Buf, Bytes};
use dav_server::fs::{DavFile, DavMetaData, FsError, FsFuture};
use futures_util::FutureExt;
use std::fmt::{self, Debug, Formatter};
use std::io::{self, SeekFrom};
use std::sync::Arc;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

pub(super) struct Reading {
    file: File,
    told: Told,
}

impl Reading {
    pub(super) fn new(file: std::fs::File, told: Told) -> Self {
        Self { file: File::from_std(file), told }
    }
}

impl Debug for Reading {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a file that is read")
    }
}

fn not_for_this<'a, T: Send + 'a>() -> FsFuture<'a, T> {
    std::future::ready(Err(FsError::NotImplemented)).boxed()
}

impl DavFile for Reading {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let told: Box<dyn DavMetaData> = Box::new(self.told.clone());
        std::future::ready(Ok(told)).boxed()
    }

    fn write_buf(&mut self, _: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        not_for_this()
    }

    fn write_bytes(&mut self, _: Bytes) -> FsFuture<'_, ()> {
        not_for_this()
    }

    /// A file that has become shorter while it is read is not filled up with anything: the answer is cut.
    fn read_bytes(&mut self, count: usize) -> FsFuture<'_, Bytes> {
        async move {
            let mut bytes = Vec::with_capacity(count);
            let limit = u64::try_from(count).unwrap_or(u64::MAX);
            let read = (&mut self.file).take(limit).read_to_end(&mut bytes).await.map_err(|error| fs_error(&error))?;
            if read == 0 { Err(FsError::GeneralFailure) } else { Ok(bytes.into()) }
        }
        .boxed()
    }

    fn seek(&mut self, to: SeekFrom) -> FsFuture<'_, u64> {
        async move { self.file.seek(to).await.map_err(|error| fs_error(&error)) }.boxed()
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        std::future::ready(Ok(())).boxed()
    }
}

pub(super) struct Writing {
    files: Files,
    call: Arc<Call>,
    path: CanonicalPath,
    part: Part,
    written: Option<Version>,
}

impl Writing {
    pub(super) fn new(files: Files, call: Arc<Call>, path: CanonicalPath, part: Part) -> Self {
        Self { files, call, path, part, written: None }
    }

    async fn finish(&mut self) -> io::Result<()> {
        self.written = Some(self.files.put_in_place(&self.call, &self.path, &mut self.part).await?);
        Ok(())
    }
}

impl Debug for Writing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a file that is written")
    }
}

impl DavFile for Writing {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let told = self.written.clone().map(|version| Told::of(version, &self.call));
        async move {
            let told: Box<dyn DavMetaData> = Box::new(told.ok_or(FsError::NotImplemented)?);
            Ok(told)
        }
        .boxed()
    }

    fn write_buf(&mut self, mut buffer: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        self.write_bytes(bytes)
    }

    fn write_bytes(&mut self, bytes: Bytes) -> FsFuture<'_, ()> {
        async move { self.part.file.write_all(&bytes).await.map_err(|error| fs_error(&error)) }.boxed()
    }

    fn read_bytes(&mut self, _: usize) -> FsFuture<'_, Bytes> {
        not_for_this()
    }

    fn seek(&mut self, _: SeekFrom) -> FsFuture<'_, u64> {
        not_for_this()
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        async move { self.finish().await.map_err(|error| fs_error(&error)) }.boxed()
    }
}
