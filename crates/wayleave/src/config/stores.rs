//! Where each party keeps things, where the configuration does not say: in `server.data_dir`, beside the key that seals them.

use super::{Config, Fault, StoreConfig, USUAL_DATA_DIR};

/// Where a party's store is said and lies.
struct PartyStore {
    table: &'static str,
    file: &'static str,
    needs_key: bool,
    /// Whether the configuration is that party's.
    is_there: bool,
}

impl Config {
    /// Fills in what is not given. A `[store]` that somebody may take for another party's is refused.
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        self.refuse_ignored_store()?;
        let folder = self.server.data_dir.trim_end_matches('/');
        let usual = |file: &str| StoreConfig { url: format!("sqlite:{folder}/{file}"), password_file: None };
        if self.store.url.is_empty() {
            self.store = usual("server.db");
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.store.get_or_insert_with(|| usual("gateway.db"));
        }
        if let Some(manager) = &mut self.manager {
            manager.store.get_or_insert_with(|| usual("manager.db"));
        }
        Ok(())
    }

    /// `[store]` is the authorization server's: a gateway or desk in the same file has one of its own, and passes over it.
    fn refuse_ignored_store(&self) -> Result<(), String> {
        if !self.source.says("store") {
            return Ok(());
        }
        let others = [("gateway", self.gateway.is_some()), ("manager", self.manager.is_some())];
        for (party, _) in others.into_iter().filter(|(_, is_there)| *is_there) {
            if !self.is_for_a_server() {
                return Err(format!("store: [store] is the authorization server's, and would be ignored: say [{party}.store]"));
            }
            if !self.source.says(&format!("{party}.store")) {
                return Err(format!(
                    "store: [store] is the authorization server's, and [{party}] beside it would ignore it: say [{party}.store] as well"
                ));
            }
        }
        Ok(())
    }

    /// A store that lies where earlier versions made it, whatever `data_dir` said, is not passed over: an empty one would be
    /// made in its place. A server's and a desk's key lies in `data_dir` then, and no store beside it.
    pub(super) fn refuse_left_behind(&self) -> Result<(), String> {
        let folder = self.path(&self.server.data_dir);
        if folder == self.path(USUAL_DATA_DIR) {
            return Ok(());
        }
        let has_key = folder.join("server.key").exists();
        for PartyStore { table, file, needs_key, is_there } in self.list_stores() {
            let (usual, place) = (self.path(USUAL_DATA_DIR).join(file), folder.join(file));
            let is_named = self.source.says(&format!("{table}.url"));
            if is_there && !is_named && (has_key || !needs_key) && !place.exists() && usual.exists() {
                let (usual, place) = (usual.display(), place.display());
                return Err(format!(
                    "server.data_dir: a store lies in {usual}, where earlier versions made it: move it to {place}, with the files \
                     beside it whose names begin like its own; or, if it is somebody else's, name this one's: [{table}] url"
                ));
            }
        }
        Ok(())
    }

    /// A desk or gateway in a file of its own has a key beside its store, and no server whose store it would be.
    fn list_stores(&self) -> [PartyStore; 3] {
        [
            PartyStore { table: "store", file: "server.db", needs_key: true, is_there: self.is_for_a_server() },
            PartyStore { table: "gateway.store", file: "gateway.db", needs_key: false, is_there: self.gateway.is_some() },
            PartyStore { table: "manager.store", file: "manager.db", needs_key: true, is_there: self.manager.is_some() },
        ]
    }
}
