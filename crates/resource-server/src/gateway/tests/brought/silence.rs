//! Nobody answers whether what an application brought stands (decision 66).

use super::*;

/// Nobody says for a day whether her word stands: what rests on it waits for an answer, and nothing of it is taken away.
#[tokio::test]
async fn what_an_application_brought_counts_for_a_day_without_an_answer() {
    let (world, word) = (World::new(Store::in_memory(), &["a.jpg"]).await, Arc::new(Word::default()));
    let (place, clock) = (world.folder.join(".gateway.db"), Arc::new(Hours::default()));
    let gateway = open_with(&world, &word, crate::gateway::store::tests::open_file(&place).await, clock.clone()).await;
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    assert_eq!(bring(&gateway, "helper", &key).await, 201);
    bring_server(&world, &gateway, "helper").await;
    let stands = async |gateway: &Arc<Gateway>| {
        gateway.rmts.grants.forget();
        let counts = (counting(gateway, &key).await, challenge(gateway).await.contains("ticket="));
        assert_eq!(counts.0, counts.1, "keys and servers alike");
        counts.0
    };
    clock.0.store(100, Ordering::SeqCst);
    assert!(stands(&gateway).await, "it was brought days ago, and is answered for");
    word.is_away.store(true, Ordering::SeqCst);
    clock.0.store(123, Ordering::SeqCst);
    assert!(stands(&gateway).await, "what was known holds for a day");
    clock.0.store(124, Ordering::SeqCst);
    assert!(!stands(&gateway).await, "and no longer");
    assert_eq!(challenge(&gateway).await, "403 Forbidden", "nobody is told that she had linked nothing");
    // nothing was taken away, and nothing new is told to that server
    let link = gateway.store.find_link("alice", &world.issuer).await.unwrap().unwrap();
    assert!(link.state == LinkState::Active && !link.by.as_ref().unwrap().is_ended());
    assert!(gateway.store.list_registrations("alice").await.unwrap().iter().all(|one| one.standing == Standing::Active));
    assert_eq!(gateway.find_place_for_new("alice").await, Err(ProtectionError::Unreachable));
    drop((gateway, link));
    // a restart begins no other day
    let again = open_with(&world, &word, crate::gateway::store::tests::open_file(&place).await, clock.clone()).await;
    assert!(!stands(&again).await);
    clock.0.store(123, Ordering::SeqCst);
    assert!(stands(&again).await, "nor ends it");
    clock.0.store(124, Ordering::SeqCst);
    // it counts again when that is said again, without any step of hers, and as soon as it is asked about anew
    word.is_away.store(false, Ordering::SeqCst);
    assert!(stands(&again).await);
    // an end is an end, whoever answers afterwards
    word.is_away.store(true, Ordering::SeqCst);
    clock.0.store(200, Ordering::SeqCst);
    assert!(!stands(&again).await);
    word.is_away.store(false, Ordering::SeqCst);
    word.end(&again, "helper");
    assert!(!stands(&again).await);
    word.is_away.store(true, Ordering::SeqCst);
    assert!(
        !stands(&again).await
            && again.store.find_link("alice", &world.issuer).await.unwrap().unwrap().by.as_ref().unwrap().is_ended()
    );
}

/// Of two servers that guard a thing, one that she linked herself goes on while nobody answers for the other.
#[tokio::test]
async fn a_server_of_her_own_guards_on_while_nobody_answers_for_another() {
    let (world, word) = (World::new(Store::in_memory(), &["a.jpg"]).await, Arc::new(Word::default()));
    let clock = Arc::new(Hours::default());
    let gateway = open_with(&world, &word, Store::in_memory(), clock.clone()).await;
    bring_server(&world, &gateway, "helper").await;
    assert!(challenge(&gateway).await.contains("ticket="));
    let own_id = types::OwnResourceId::from("/a.jpg");
    let brought = gateway.store.registrations("alice", &own_id).await.unwrap()[0].clone();
    let own = store::Registered { issuer: "https://own.example".into(), id: "own".into(), ..brought };
    gateway.store.change_registrations(std::slice::from_ref(&own), &[]).await.unwrap();
    word.is_away.store(true, Ordering::SeqCst);
    for (hours, guards) in [(23, 2), (24, 1)] {
        clock.0.store(hours, Ordering::SeqCst);
        gateway.rmts.grants.forget();
        let guarding = vec![gateway.store.registrations("alice", &own_id).await.unwrap()];
        let Ok(Servers::Guard { all_but }) = gateway.check_servers("alice", &guarding).await else { panic!("none is lost") };
        let left = Servers::leave(&all_but, guarding);
        assert_eq!(left[0].len(), guards, "{hours}");
        assert!(left[0].contains(&own), "{hours}");
    }
}
