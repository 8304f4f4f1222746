use super::*;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// Of a folder that is not there: nobody can look.
fn gates() -> Gates {
    Gates::of(PathBuf::from("/nowhere"))
}

fn names(path: &str) -> Names {
    path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// `+` adds, `-` judges; then where.
fn enter(gates: &Gates, what: &'static str) -> BoxFuture<'static, io::Result<GatePass>> {
    let gates = gates.clone();
    async move {
        let (kind, places) = what.split_at(1);
        match kind {
            "+" => gates.add(&names(places)).await,
            _ => {
                let places: Vec<Names> = places.split(' ').map(names).collect();
                gates.judge(&places.iter().map(Vec::as_slice).collect::<Vec<_>>(), "bob").await
            }
        }
    }
    .boxed()
}

#[tokio::test]
async fn only_who_judges_a_place_keeps_others_out_of_it() {
    for (first, second, waits) in [
        ("+/a/b", "+/a/b", false),
        ("-/a", "+/a/b/c", true),
        ("-/a", "+/a", true),
        ("-/a", "+/ab", false),
        ("-/a/b", "+/a/c", false),
        ("-/a/b", "+/a", false),
        ("+/a/b/c", "-/a", true),
        ("+/a", "-/a/b", false),
        ("-/a", "-/a/b", true),
        ("-/a/b", "-/a", true),
        ("-/a /b", "-/c /b/d", true),
        ("-/a /b", "+/b/x", true),
        ("-/a", "-/b", false),
        ("-/caf\u{e9}", "+/Cafe\u{301}/1", true),
    ] {
        let gates = gates();
        let pass = enter(&gates, first).await.unwrap();
        let mut other = enter(&gates, second);
        let begun = other.as_mut().now_or_never();
        assert_eq!(begun.is_none(), waits, "{first} {second}");
        drop(pass);
        if waits {
            assert!(other.await.is_ok(), "{first} {second}");
        }
    }
}

/// However many judge one after another, who adds waits for one of them, and who judges is not kept waiting by who adds.
#[tokio::test]
async fn who_adds_waits_for_one_who_judges_at_most() {
    let gates = gates();
    let first = enter(&gates, "-/a").await.unwrap();
    let mut second = enter(&gates, "-/a");
    assert!(second.as_mut().now_or_never().is_none());
    let mut adds = enter(&gates, "+/a/1");
    assert!(adds.as_mut().now_or_never().is_none());
    drop(first);
    let added = adds.now_or_never().unwrap().unwrap();
    assert!(second.as_mut().now_or_never().is_none(), "who adds is in");
    let mut later = enter(&gates, "+/a/2");
    assert!(later.as_mut().now_or_never().is_none(), "who judges has waited longer");
    drop(added);
    let judges = second.now_or_never().unwrap().unwrap();
    assert!(later.as_mut().now_or_never().is_none());
    drop(judges);
    assert!(later.now_or_never().unwrap().is_ok());
    assert!(gates.state().entries.is_empty());
}

#[tokio::test]
async fn who_goes_away_while_waiting_stops_nobody() {
    let gates = gates();
    let adds = enter(&gates, "+/a/1").await.unwrap();
    let mut judges = enter(&gates, "-/a");
    assert!(judges.as_mut().now_or_never().is_none());
    let mut later = enter(&gates, "+/a/2");
    assert!(later.as_mut().now_or_never().is_none());
    drop(judges);
    assert!(later.now_or_never().unwrap().is_ok());
    drop(adds);
    assert_eq!(gates.state().entries.len(), 0);
}

#[tokio::test]
async fn one_caller_stands_in_the_way_of_others_so_often() {
    let gates = gates();
    let mut waiting = Vec::new();
    for _ in 0..MOST_OF_ONE {
        let mut judges = enter(&gates, "-/a");
        let begun = judges.as_mut().now_or_never();
        waiting.push((begun, judges));
    }
    let refused = enter(&gates, "-/a/b").now_or_never().unwrap();
    assert_eq!(refused.err().map(|error| error.kind()), Some(io::ErrorKind::ResourceBusy));
    assert!(enter(&gates, "-/b").now_or_never().unwrap().is_ok(), "elsewhere");
    let others = gates.judge(&[&names("/a")], "alice").now_or_never();
    assert!(others.is_none(), "another's waits for its turn");
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let gates = Gates { longest_wait: Duration::ZERO, ..gates() };
    let _first = enter(&gates, "-/a").await.unwrap();
    let late = enter(&gates, "+/a/1").await;
    assert_eq!(late.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
    assert_eq!(gates.count_waiting(), 0);
}

/// Names that are alike are one place only where one thing has them.
#[tokio::test]
async fn threat_46_who_judges_keeps_nobody_out_of_another_place_that_is_called_alike() {
    let random: [u8; 8] = jose::ambient::random(&jose::SystemRandomness);
    let root = std::env::temp_dir().join(format!("wayleave-gates-{}", jose::base64url::encode(random)));
    for place in ["alice/a", "Alice/a", "bob"] {
        std::fs::create_dir_all(root.join(place)).unwrap();
    }
    let inode = |name: &str| std::fs::metadata(root.join(name)).unwrap().ino();
    let are_two = inode("alice") != inode("Alice");
    let gates = Gates::of(root.clone());
    let within = |what: &'static str| tokio::time::timeout(Duration::from_millis(300), enter(&gates, what));
    for (first, second, waits) in [
        ("-/Alice/a", "+/alice/a/new", false),
        ("-/Alice", "-/alice", false),
        ("+/Alice/a/new", "-/alice/a", false),
        ("-/Alice/a", "+/Alice/a/new", true),
        // nobody can say of what is not there what it will be
        ("-/bob/New", "+/bob/new/x", true),
    ] {
        let pass = enter(&gates, first).await.unwrap();
        assert_eq!(within(second).await.is_err(), waits || !are_two, "{first} {second}");
        drop(pass);
    }
    // and who was kept out until somebody looked is let in by whoever looks
    let pass = enter(&gates, "-/Alice").await.unwrap();
    let (one, two) = tokio::join!(within("+/alice/a/1"), within("-/alice/b"));
    assert_eq!((one.is_ok(), two.is_ok()), (are_two, are_two));
    drop((pass, one, two));
    assert!(gates.state().entries.is_empty());
    let _ = std::fs::remove_dir_all(&root);
}
