//! The gateway's store on every engine: what is torn, what was sealed with another key, what runs out, and what is newer.

use super::*;
use crate::gateway::store::opening::StoreError;
use database::{KeyCheckError, OpenError};

/// Where a store is that outlives its process.
struct Place {
    location: Location,
    name: String,
}

/// An empty store on each engine; on PostgreSQL where the tests have one (`cargo xtask postgres`).
async fn each() -> Vec<(Store, Option<Place>)> {
    let name = format!("gateway_{}_{}", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
    let mut places = vec![Location::File(std::env::temp_dir().join(format!("wayleave-{name}.db")))];
    places.extend(std::env::var("WAYLEAVE_TEST_POSTGRES").ok().map(|url| Location::Postgres { url, password: None }));
    let mut all = vec![(Store::in_memory(), None)];
    for location in places {
        let place = Place { location, name: name.clone() };
        all.push((place.open(7).await.unwrap(), Some(place)));
    }
    all
}

impl Place {
    async fn open(&self, key: u8) -> Result<Store, StoreError> {
        Store::open_as(&self.location, &self.name, &[key; 32]).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let all = self.location.file().into_iter().flat_map(|file| database::file::companions(file).chain([file.clone()]));
        all.for_each(|file| drop(std::fs::remove_file(file)));
    }
}

/// The last byte of a body goes.
async fn tear(store: &Store, table: &'static Table, mut row: Row) {
    let Some(Value::Blob(body)) = row.last_mut() else { return };
    body.pop();
    store.write(Operation::Put { table, row }).await.unwrap();
}

#[tokio::test]
async fn threat_40_s22_what_is_torn_is_not_absent_on_any_engine() {
    for (store, _place) in each().await {
        filled(&store).await;
        assert_eq!(fails(&store).await, [false; 7]);
        for table in tables::TABLES {
            for row in store.records.rows(table, None, &[]).await.unwrap() {
                tear(&store, table, row).await;
            }
        }
        let store = Store { kept: Arc::default(), ..store };
        assert_eq!(fails(&store).await, [true; 7]);
        assert!(store.find_secret("key").await.is_err());
        assert_eq!(store.find_secret("another").await, Ok(None), "what is absent is absent");
    }
}

#[tokio::test]
async fn threat_40_s22_a_list_that_is_torn_in_its_middle_is_an_error_on_every_engine() {
    for (store, _place) in each().await {
        let all: Vec<_> = (0..1_200).map(|n| Registered { own_id: format!("/{n:04}").into(), ..registered() }).collect();
        store.change_registrations(&all, &[]).await.unwrap();
        assert_eq!(store.list_registrations("alice").await.unwrap().len(), 1_200);
        let key = ["alice".into(), "/0700".into(), "1".into()];
        let row = store.records.database.get(&tables::REGISTRATION, &key).await.unwrap().unwrap();
        tear(&store, &tables::REGISTRATION, row).await;
        let error = ReadError::DoesNotOpen { table: "registered", key: Some("alice, /0700, 1".into()) };
        assert_eq!(store.list_registrations("alice").await, Err(error));
    }
}

#[tokio::test]
async fn threat_40_s26_another_key_opens_no_store_on_any_engine() {
    for (store, place) in each().await {
        let Some(place) = place else { continue };
        filled(&store).await;
        drop(store);
        let other = place.open(8).await.err();
        assert!(matches!(other, Some(StoreError::Key(KeyCheckError::OtherKey))), "{other:?}");
        assert_eq!(fails(&place.open(7).await.unwrap()).await, [false; 7]);
    }
}

#[tokio::test]
async fn threat_46_s30_what_runs_out_goes_on_every_engine() {
    for (store, _place) in each().await {
        let listed = async || store.list_withdrawn("alice", None, 10).await.unwrap().len();
        for (jti, exp, now, left) in [("a", 5, 1, 1), ("b", 90_000, 86_405, 2), ("c", 90_001, 86_406, 2)] {
            store.withdraw("alice", &Withdrawn { jti: jti.into(), exp: Timestamp(exp) }, Timestamp(now)).await.unwrap();
            assert_eq!(listed().await, left, "{jti}: a day past its end it is forgotten");
        }
        let grant = |name: &str| types::GrantId::from(name);
        store.put_answered(&grant("old"), Timestamp(1)).await.unwrap();
        store.put_answered(&grant("new"), Timestamp(86_402)).await.unwrap();
        assert_eq!(store.find_answered(&grant("old")).await, Ok(None));
        assert_eq!(store.find_answered(&grant("new")).await, Ok(Some(Timestamp(86_402))));
    }
}

#[tokio::test]
async fn threat_40_s22_a_gateways_store_of_a_newer_form_is_not_touched() {
    let broken = Broken::new().await;
    filled(&broken.store).await;
    broken.run(1, "");
    let newer = Store::open(&Location::File(broken.path()), &[7; 32]).await.err();
    assert!(matches!(newer, Some(StoreError::Open(OpenError::Newer(_)))), "{newer:?}");
}
