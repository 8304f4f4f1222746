//! What may be called, and by whom.

use super::*;

fn with(settings: Settings, url: &str) -> bool {
    Outbound::new(settings).unwrap().client_for(&Url::parse(url).unwrap()).is_ok()
}

/// Threat 17.
#[test]
fn threat_17_private_places_plain_http_and_odd_schemes_are_not_called() {
    for url in [
        "http://idp.example/jwks",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "ftp://idp.example/",
        "file:///etc/passwd",
        "https://u:p@idp.example/",
    ] {
        assert!(!with(Settings::default(), url), "{url}");
    }
    assert!(with(Settings::default(), "https://idp.example/jwks"));
}

/// Something that counts who connects, and answers everybody.
async fn listen() -> (SocketAddr, Arc<std::sync::atomic::AtomicUsize>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::<std::sync::atomic::AtomicUsize>::default());
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
        }
    });
    (address, count)
}

const CHILD: &str = "WAYLEAVE_TEST_BEHIND_PROXY";

/// Row 43. The environment of a process is its own: the test runs itself in another.
#[tokio::test]
async fn threat_43_s24_a_proxy_of_the_environment_changes_nothing() {
    if std::env::var_os(CHILD).is_some() {
        let outbound = Outbound::new(Settings { allow_http: true, ..Settings::default() }).unwrap();
        for url in ["http://localhost:1/", "http://secret.internal.invalid/", "https://localhost:1/"] {
            assert!(outbound.send(Request::get(url)).await.is_err(), "{url}");
        }
        return;
    }
    let (proxy, asked) = listen().await;
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "tests::threat_43_s24_a_proxy_of_the_environment_changes_nothing"]).env(CHILD, "1");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, format!("http://{proxy}"));
    }
    assert!(child.env("NO_PROXY", "").env("no_proxy", "").status().await.unwrap().success());
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0, "nobody asked the proxy");
}

#[tokio::test]
async fn threat_43_s24_the_configured_proxy_is_used_for_names_that_may_be_called() {
    let (proxy, asked) = listen().await;
    let hosts = HashMap::from([("fixed.example".to_owned(), SocketAddr::from(([10, 0, 0, 1], 80)))]);
    let settings = Settings { allow_http: true, hosts, proxy: Some(format!("http://{proxy}")), ..Settings::default() };
    let outbound = Outbound::new(settings).unwrap();
    for url in ["http://localhost/", "http://127.0.0.1/", "http://nowhere.invalid/"] {
        let sent = outbound.send(Request::get(url)).await;
        assert!(matches!(sent, Err(OutboundError::NotAllowed(_))), "{url}");
    }
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 0);
    assert_eq!(outbound.send(Request::get("http://fixed.example/")).await.unwrap().body, "ok");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1);
    assert!(Outbound::new(Settings { proxy: Some("proxy:3128".into()), ..Settings::default() }).is_err());
}

#[test]
fn a_configured_origin_is_exactly_that_origin() {
    let settings = || Settings { configured: vec!["http://127.0.0.1:8080/x".into()], ..Settings::default() };
    assert!(with(settings(), "http://127.0.0.1:8080/jwks"));
    assert!(!with(settings(), "http://127.0.0.1:8081/jwks"));
    assert!(!with(settings(), "http://localhost:8080/jwks"));
}

/// Threat 17: a place is listed for one purpose, and what others name is another.
#[test]
fn threat_17_a_listed_origin_counts_for_calls_to_what_is_listed_alone() {
    let (server, look_up) = ("http://127.0.0.1:8080/as", "http://127.0.0.1:7704/owner?path={path}");
    let all = Outbound::new(Settings { configured: vec![server.into(), look_up.into()], ..Settings::default() }).unwrap();
    let calls = |outbound: &Outbound, url: &str| outbound.client_for(&Url::parse(url).unwrap()).is_ok();
    let strangers = all.for_strangers();
    for url in ["http://127.0.0.1:8080/as", "http://127.0.0.1:7704/u/alice"] {
        assert!(calls(&all, url) && !calls(&strangers, url), "{url}");
    }
    assert!(calls(&strangers, "https://evil.example/"));
    let at_server = strangers.for_listed(server);
    assert!(calls(&at_server, "http://127.0.0.1:8080/jwks") && !calls(&at_server, "http://127.0.0.1:7704/u/alice"));
    assert!(calls(&strangers.for_listed(look_up), "http://127.0.0.1:7704/owner?path=%2Fu"));
    for url in ["http://127.0.0.1:8080", "http://127.0.0.1:8080/as/", "http://127.0.0.1:8080/other", "http://127.0.0.1:7704/"] {
        assert!(!calls(&strangers.for_listed(url), url), "{url} is not listed");
    }
}

/// Row 46: whoever has many calls made here does not have all connections of the process, and keeps nobody from another
/// place; what strangers name takes no place of what is listed.
#[tokio::test]
async fn threat_46_calls_to_one_place_have_so_many_connections() {
    let listed = "http://127.0.0.1:1/as";
    let all = Outbound::new(Settings { configured: vec![listed.into()], ..Settings::default() }).unwrap();
    let strangers = Outbound::new(Settings { allow_http: true, allow_private_networks: true, ..Settings::default() }).unwrap();
    let strangers = Outbound { under_way: all.under_way.clone(), ..strangers.for_strangers() };
    let at_listed = all.for_strangers().for_listed(listed);
    let to = strangers.line_to(&Url::parse(listed).unwrap());
    let mut held = Vec::new();
    for _ in 0..AT_ONE_PLACE.inside {
        held.push(all.under_way.enter(&to, AT_ONE_PLACE, &Party::default(), Duration::from_millis(10)).await.unwrap());
    }
    let ask = |url: &'static str| Request::get(url).patience(Duration::from_millis(20));
    // nobody listens there: who got a place hears that
    let busy = strangers.send(ask(listed)).await;
    assert!(matches!(busy, Err(OutboundError::Busy(_))), "{busy:?}");
    for (outbound, url) in [(&at_listed, listed), (&strangers, "http://127.0.0.1:2/")] {
        let sent = outbound.send(ask(url)).await;
        assert!(matches!(sent, Err(OutboundError::Unreachable(_))), "{sent:?}");
    }
    held.pop();
    assert!(matches!(strangers.send(ask(listed)).await, Err(OutboundError::Unreachable(_))));
}

/// Row 46: servers of one side name another's place as theirs, and have it called as often as they can. Who calls there in that
/// other's name has the next turn; who has to leave the line is not told so at once.
#[tokio::test]
async fn threat_46_calls_in_one_name_keep_nobody_elses() {
    let settings = Settings { allow_http: true, allow_private_networks: true, ..Settings::default() };
    let (outbound, place) = (Outbound::new(settings).unwrap(), "http://127.0.0.1:1/introspect");
    let to = outbound.line_to(&Url::parse(place).unwrap());
    let mut held = Vec::new();
    for _ in 0..AT_ONE_PLACE.inside {
        let party = Party::default().within(&outbound.in_name_of("https://mallory.example/1").whom);
        held.push(outbound.under_way.enter(&to, AT_ONE_PLACE, &party, Duration::from_secs(1)).await.unwrap());
    }
    let mallorys = |n: usize| outbound.in_name_of(&format!("https://mallory.example:{}", 1_000 + n % 44));
    let send = |by: Outbound, patience: u64| async move {
        let begun = Instant::now();
        (by.send(Request::get(place).patience(Duration::from_millis(patience))).await, begun.elapsed())
    };
    let flood: Vec<_> = (0..AT_ONE_PLACE.waiting + 60).map(|n| tokio::spawn(send(mallorys(n), 3_000))).collect();
    while outbound.under_way.waiting_for(&to) < AT_ONE_PLACE.waiting {
        tokio::task::yield_now().await;
    }
    let hers = tokio::spawn(send(outbound.in_name_of("http://127.0.0.1:1"), 9_000));
    while !outbound.under_way.knows(&to, &outbound.in_name_of("http://127.0.0.1:1").whom) {
        tokio::task::yield_now().await;
    }
    assert!(!hers.is_finished());
    held.pop();
    // nobody listens there: who got a place hears that
    let (sent, took) = hers.await.unwrap();
    assert!(matches!(sent, Err(OutboundError::Unreachable(_))) && took < Duration::from_secs(8), "{sent:?} {took:?}");
    let (mut soonest, mut busy) = (Duration::MAX, 0);
    for one in flood {
        if let (Err(OutboundError::Busy(_)), took) = one.await.unwrap() {
            (soonest, busy) = (soonest.min(took), busy + 1);
        }
    }
    assert!(busy >= 60 && soonest >= REFUSED_AFTER, "{busy} {soonest:?}");
}

/// What a call waits here before anybody is asked is told apart from what the other side takes.
#[tokio::test]
async fn threat_46_the_time_in_line_is_not_the_other_sides() {
    let outbound = Outbound::new(Settings { allow_http: true, allow_private_networks: true, ..Settings::default() }).unwrap();
    // nobody listens there
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/");
    let (answer, in_line) = with_time_in_line(outbound.send(Request::get(&url))).await;
    assert!(matches!(answer, Err(OutboundError::Unreachable(_))) && in_line < Duration::from_millis(500), "{in_line:?}");
    let mut all = Vec::new();
    for _ in 0..AT_ONE_PLACE.inside {
        let to = outbound.line_to(&Url::parse(&url).unwrap());
        all.push(outbound.under_way.enter(&to, AT_ONE_PLACE, &Party::default(), TIMEOUT).await.unwrap());
    }
    let waits = Duration::from_millis(1_000);
    let freed = async {
        tokio::time::sleep(waits).await;
        drop(all);
    };
    let begun = Instant::now();
    let ((answer, in_line), ()) = tokio::join!(with_time_in_line(outbound.send(Request::get(&url))), freed);
    let took = begun.elapsed().saturating_sub(in_line);
    assert!(matches!(answer, Err(OutboundError::Unreachable(_))) && in_line >= waits, "{in_line:?}");
    assert!(took < waits, "{took:?}");
}
