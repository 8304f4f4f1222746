//! What `dav-server` asks of a file system, in terms of the folder.

use super::file::{Reading, Writing};
use super::{Files, Opened, Told, Version, canonical, fs_error};
use crate::gateway::folder::call::Call;
use crate::gateway::path::CanonicalPath;
use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavMetaData, DavProp, FsError, FsFuture, FsResult, FsStream, GuardedFileSystem, OpenOptions,
    ReadDirMeta,
};
use futures_util::{FutureExt, StreamExt, stream};
use http::StatusCode;
use std::io;
use std::pin::Pin;
use std::sync::Arc;

/// A name in a directory.
struct Entry {
    name: String,
    told: Told,
}

impl DavDirEntry for Entry {
    fn name(&self) -> Vec<u8> {
        self.name.clone().into_bytes()
    }

    fn metadata(&self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let told: Box<dyn DavMetaData> = Box::new(self.told.clone());
        std::future::ready(Ok(told)).boxed()
    }
}

impl GuardedFileSystem<Arc<Call>> for Files {
    fn open<'a>(&'a self, path: &'a DavPath, options: OpenOptions, call: &'a Arc<Call>) -> FsFuture<'a, Box<dyn DavFile>> {
        async move {
            let path = canonical(path)?;
            let opened = match (options.write, options.truncate) {
                (false, _) => self.read(call, &path).await,
                (true, true) => self.write(call, path).await,
                // a lock on what is not there yet makes it (RFC 4918 7.3)
                (true, false) => self.write_nothing(call, path).await,
            };
            opened.map_err(|error| fs_error(&error))
        }
        .boxed()
    }

    fn read_dir<'a>(
        &'a self,
        path: &'a DavPath,
        _: ReadDirMeta,
        call: &'a Arc<Call>,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        async move {
            let path = canonical(path)?;
            let things = match call.removes(&path) {
                true => Vec::new(),
                false => self.list(&path).await.map_err(|error| fs_error(&error))?.things,
            };
            let mut entries: Vec<FsResult<Box<dyn DavDirEntry>>> = Vec::new();
            for (below, version) in things {
                let Some(name) = below.segments().last().cloned() else { continue };
                let called = if version.is_directory { below.with_slash() } else { below };
                if call.may_list(called).await {
                    entries.push(Ok(Box::new(Entry { name, told: Told::of(version, call) })));
                }
            }
            Ok(stream::iter(entries).boxed())
        }
        .boxed()
    }

    fn metadata<'a>(&'a self, path: &'a DavPath, call: &'a Arc<Call>) -> FsFuture<'a, Box<dyn DavMetaData>> {
        async move {
            let path = canonical(path)?;
            let version = match call.version_opened(&path) {
                Some(version) => Some(version),
                None => self.find_version(&path).await.map_err(|error| fs_error(&error))?,
            };
            let told: Box<dyn DavMetaData> = Box::new(Told::of(version.ok_or(FsError::NotFound)?, call));
            Ok(told)
        }
        .boxed()
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath, call: &'a Arc<Call>) -> FsFuture<'a, ()> {
        async move { done(self.make_directory(call, &canonical(path)?).await) }.boxed()
    }

    fn remove_dir<'a>(&'a self, path: &'a DavPath, call: &'a Arc<Call>) -> FsFuture<'a, ()> {
        async move { done(self.remove(call, &canonical(path)?, true).await) }.boxed()
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath, call: &'a Arc<Call>) -> FsFuture<'a, ()> {
        async move { done(self.remove(call, &canonical(path)?, false).await) }.boxed()
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath, call: &'a Arc<Call>) -> FsFuture<'a, ()> {
        async move { done(self.move_to(call, &canonical(from)?, &canonical(to)?).await) }.boxed()
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath, call: &'a Arc<Call>) -> FsFuture<'a, ()> {
        async move { done(self.copy_file(call, &canonical(from)?, &canonical(to)?).await) }.boxed()
    }

    fn have_props<'a>(&'a self, _: &'a DavPath, _: &'a Arc<Call>) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        std::future::ready(true).boxed()
    }

    fn patch_props<'a>(
        &'a self,
        path: &'a DavPath,
        patch: Vec<(bool, DavProp)>,
        call: &'a Arc<Call>,
    ) -> FsFuture<'a, Vec<(StatusCode, DavProp)>> {
        async move { self.patch_properties(call, &canonical(path)?, patch).await }.boxed()
    }

    fn get_props<'a>(&'a self, path: &'a DavPath, do_content: bool, call: &'a Arc<Call>) -> FsFuture<'a, Vec<DavProp>> {
        async move { self.list_properties(call, &canonical(path)?, do_content).await }.boxed()
    }

    fn get_prop<'a>(&'a self, path: &'a DavPath, prop: DavProp, call: &'a Arc<Call>) -> FsFuture<'a, Vec<u8>> {
        async move { self.find_property(call, &canonical(path)?, &prop).await }.boxed()
    }
}

fn done(result: io::Result<()>) -> FsResult<()> {
    result.map_err(|error| fs_error(&error))
}

impl Files {
    async fn read(&self, call: &Call, path: &CanonicalPath) -> io::Result<Box<dyn DavFile>> {
        let Opened { file, version, .. } = match call.take_opened(path) {
            Some(opened) => opened,
            None => self.open_file(path).await?,
        };
        Ok(Box::new(Reading::new(file, Told::of(version, call))))
    }

    async fn write(&self, call: &Arc<Call>, path: CanonicalPath) -> io::Result<Box<dyn DavFile>> {
        let part = self.begin(call, &path).await?;
        Ok(Box::new(Writing::new(self.clone(), call.clone(), path, part)))
    }

    async fn write_nothing(&self, call: &Arc<Call>, path: CanonicalPath) -> io::Result<Box<dyn DavFile>> {
        let mut part = self.begin(call, &path).await?;
        self.put_in_place(call, &path, &mut part).await?;
        Ok(Box::new(Writing::new(self.clone(), call.clone(), path, part)))
    }
}

impl Told {
    pub(super) fn of(version: Version, call: &Call) -> Self {
        Self { version, now_seconds: call.now_seconds, is_quoted: call.method.as_str() == "PROPFIND" }
    }
}
