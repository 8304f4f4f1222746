use super::super::connection::{SLOW_AFTER, UnderWay};
use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn is_open(all: &Connections, place: &Place) -> bool {
    all.open().by_number.contains_key(&place.number)
}

fn count(all: &Connections) -> usize {
    let open = all.open();
    assert!(open.of_network.values().map(|network| network.connections).sum::<usize>() <= open.by_number.len());
    open.by_number.len()
}

#[test]
fn threat_46_idle_connections_make_room_and_one_network_does_not_have_all() {
    let (all, now) = (Connections::with_room_for(8), Instant::now());
    let of = |n: u64, text: &str| all.admit(0, ip(text), false, now + Duration::from_secs(n));
    let mut first: Vec<_> = (0..4).map(|n| of(n, "192.0.2.1").unwrap()).collect();
    let _busy: Vec<_> = first[1..].iter().map(|place| place.connection.begin()).collect();
    // the fifth of one network takes the place of the one that carries nothing
    let fifth = of(4, "192.0.2.99").unwrap();
    assert!(count(&all) == 4 && !is_open(&all, &first[0]));
    let _fifth = fifth.connection.begin();
    assert!(of(5, "192.0.2.1").is_none(), "all of that network are busy");
    let others: Vec<_> = (6..10).map(|n| of(n, "198.51.100.1").unwrap()).collect();
    assert_eq!(count(&all), 8);
    // no room at all: whoever has been idle for longest goes, whosever it is
    let next = of(10, "203.0.113.1").unwrap();
    assert!(!is_open(&all, &others[0]));
    drop((others, next));
    assert_eq!(count(&all), 4, "places are given back");
    first.clear();
    drop(fifth);
    assert!(count(&all) == 0 && all.open().of_network.is_empty());
}

/// What each connection needs comes out of the files that there are, and some are left for the store and for whoever is asked.
#[test]
fn threat_46_there_are_files_for_whatever_connections_need() {
    for files in [64, 128, 256, 1_024, 4_096, 65_536, usize::MAX] {
        let places = places_within(files);
        assert!(places * 3 + 48 <= files && places <= MOST, "{files}: {places}");
        assert!(files < 128 || places >= 16, "{files}: {places}");
    }
    assert_eq!((places_within(1_024), places_within(65_536)), (298, MOST));
}

/// Several parties may run in one process: whoever ends takes no other's connections along.
#[tokio::test]
async fn threat_46_a_listener_that_ends_closes_its_own_connections() {
    let (all, now) = (Connections::with_room_for(8), Instant::now());
    let (one, other) = (all.number_listener(), all.number_listener());
    let places = [one, other].map(|listener| all.admit(listener, ip("192.0.2.1"), false, now).unwrap());
    all.close(one);
    assert_eq!(places[0].connection.is_over().await, End::Politely);
    assert!(futures_util::FutureExt::now_or_never(places[1].connection.is_over()).is_none());
}

/// Row 46: where there are places enough, what is kept in memory for clients that take nothing is bounded.
#[test]
fn threat_46_answers_that_nobody_takes_do_not_fill_the_memory() {
    use super::super::watched::Carried;
    let (all, now) = (Connections::with_room_for_bytes(100, 2 * 1_024 * 1_024), Instant::now());
    let stall = |last: u8, answers: usize| {
        let place = all.admit(0, IpAddr::from([192, 0, 2, last]), false, now).unwrap();
        let place = Arc::new(place);
        let body = || axum::body::Body::from(vec![0; 60_000]);
        let answer = |_| Carried::new(body(), place.connection.begin(), place.admit_request());
        let answers: Vec<_> = (0..answers).map(answer).collect();
        place.bound_memory();
        (place, answers)
    };
    let paused: Vec<_> = (1..=5).map(|last| stall(last, 1)).collect();
    let first = stall(10, 20);
    assert!(is_open(&all, &first.0) && all.kept.load(Relaxed) > 25 * 60_000);
    let more = stall(11, 10);
    assert!(!is_open(&all, &first.0) && is_open(&all, &more.0), "whoever keeps most goes");
    assert!(paused.iter().all(|(place, _)| is_open(&all, place)), "a download that pauses stays");
    drop((first, more, paused));
    assert_eq!(all.kept.load(Relaxed), 0, "everything is given back");
}

/// Row 46: looking at all of them is work, and is not done for each answer of a crowd that takes none.
#[test]
fn threat_46_answers_of_a_crowd_make_room_for_more_than_one() {
    use super::super::watched::Carried;
    let (all, mut now) = (Connections::with_room_for_bytes(200, 2_000_000), Instant::now());
    let stall = |n: u8, now: Instant| {
        let place = Arc::new(all.admit(0, IpAddr::from([10, n % 2, 0, n]), false, now).unwrap());
        let body = axum::body::Body::from(vec![0; 60_000]);
        let answer = Carried::new(body, place.connection.begin(), place.admit_request());
        (place, answer)
    };
    let crowd: Vec<_> = (0..29).map(|n| stall(n, now)).collect();
    for _ in 0..SLOW_AFTER.as_secs() {
        now += Duration::from_secs(1);
        all.look(now);
    }
    let new = stall(200, now);
    assert!(all.kept.load(Relaxed) > 2_000_000);
    new.0.bound_memory();
    let gone = crowd.iter().filter(|(place, _)| !is_open(&all, place)).count();
    assert!((4..=6).contains(&gone) && is_open(&all, &new.0), "{gone}");
    // of those that are not slow no more goes than must
    let (all, now) = (Connections::with_room_for_bytes(200, 2_000_000), Instant::now());
    let place = |n: u8| Arc::new(all.admit(0, IpAddr::from([10, n, 0, n]), false, now).unwrap());
    let places: Vec<_> = (0..3).map(place).collect();
    places.iter().for_each(|place| place.connection.keeps(700_000));
    places.iter().for_each(|place| place.bound_memory());
    assert_eq!(places.iter().filter(|place| is_open(&all, place)).count(), 2);
}

/// Row 46: one connection of HTTP/2 carries many requests, and each may need a file.
#[test]
fn threat_46_requests_have_places_as_connections_have() {
    let (all, begun) = (Connections::with_room_for(8), Instant::now());
    let connect = |text: &str| Arc::new(all.admit(0, ip(text), false, begun).unwrap());
    let mut now = begun;
    let (evil, other) = (connect("192.0.2.1"), connect("198.51.100.1"));
    let request = |place: &Arc<Place>| place.admit_request().map(|request| (place.connection.begin(), request));
    let mut stalled: Vec<_> = (0..4).filter_map(|_| request(&evil)).collect();
    assert!(stalled.len() == 4 && request(&evil).is_none(), "one network has half of them");
    let own: Vec<_> = (0..4).filter_map(|_| request(&other)).collect();
    let third = connect("203.0.113.1");
    let thirds: Vec<_> = (0..4).filter_map(|_| request(&third)).collect();
    assert!(own.len() == 2 && thirds.len() == 1, "and each of several as many as are left: there is one for who comes next");
    assert!(request(&connect("203.0.114.1")).is_some());
    drop((own, thirds, third));
    stalled.iter().for_each(|_| evil.connection.waits_for_client(true));
    for _ in 0..SLOW_AFTER.as_secs() {
        now += Duration::from_secs(1);
        all.look(now);
    }
    // whoever comes next of that network takes the place of those that are not taken
    let next = connect("192.0.2.7");
    assert!(request(&next).is_some() && !is_open(&all, &evil) && is_open(&all, &other));
    stalled.clear();
    drop((evil, next, other));
    all.look(now);
    assert!(all.requests.load(Relaxed) == 0 && all.open().of_network.is_empty());
}

/// Row 46: the same, of connections that carry one request each.
#[test]
fn threat_46_networks_whose_connections_wait_leave_one_for_the_next() {
    let (all, now) = (Connections::with_room_for(100), Instant::now());
    let mut held = Vec::new();
    for n in 0..4_u8 {
        let before = held.len();
        for _ in 0..100 {
            let Some(place) = all.admit(0, IpAddr::from([10, n, 0, 1]), false, now) else { break };
            held.push((place.connection.begin(), place));
        }
        assert!(held.len() > before, "network {n}, after {before}");
    }
    assert!(held.len() < 100);
    // those that carry nothing are in nobody's way
    let (all, later) = (Connections::with_room_for(8), now + Duration::from_secs(5));
    let admit = |text: &str, now: Instant| all.admit(0, ip(text), false, now);
    let idle: Vec<_> = (1..6).filter_map(|n| admit(&format!("10.{n}.0.1"), now)).collect();
    let busy: Vec<_> = (0..4).filter_map(|_| admit("192.0.2.1", later)).map(|place| (place.connection.begin(), place)).collect();
    assert_eq!((idle.len(), busy.len()), (5, 4));
}

/// Row 46: networks that take all they can leave something for the next one, and come to have as much as each other.
#[test]
fn threat_46_networks_that_wait_leave_a_place_for_the_next() {
    let (all, now) = (Connections::with_room_for(900), Instant::now());
    let mut held = Vec::new();
    for n in 0..8_u8 {
        let place = Arc::new(all.admit(0, IpAddr::from([10, n, 0, 1]), false, now).unwrap());
        let requests: Vec<_> = (0..900).map_while(|_| place.admit_request()).collect();
        assert!(!requests.is_empty(), "the eighth that comes one after the other, and no request ends");
        held.push((place, requests));
    }
    for n in 8..20_u8 {
        let place = all.admit(0, IpAddr::from([10, n, 0, 1]), false, now).unwrap();
        held.push((Arc::new(place), Vec::new()));
    }
    for _ in 0..50 {
        for (place, requests) in &mut held {
            requests.truncate(requests.len() * 3 / 4);
            requests.extend((0..900).map_while(|_| place.admit_request()));
        }
    }
    let least = held.iter().map(|(_, requests)| requests.len()).min();
    assert!(least >= Some(900 / 40) && all.requests.load(Relaxed) < 900, "{least:?}");
}

#[test]
fn threat_46_a_trusted_proxy_stands_for_everybody() {
    let (all, now) = (Connections::with_room_for(8), Instant::now());
    let places: Vec<_> = (0..8).filter_map(|_| all.admit(0, ip("192.0.2.1"), true, now)).collect();
    let busy: Vec<_> = places.iter().map(|place| place.connection.begin()).collect();
    assert_eq!(busy.len(), 8);
    assert!(all.admit(0, ip("192.0.2.1"), true, now).is_none());
}

/// Two networks whose answers stall have all places: whoever comes gets one of theirs, of the larger network first, and
/// those that came by an honest request keep theirs.
#[test]
fn threat_46_answers_that_stall_make_room() {
    let (all, mut now) = (Connections::with_room_for(8), Instant::now());
    let stalled = |text: &str, count: usize, now: Instant| -> Vec<(Place, UnderWay)> {
        let places = (0..count).map(|_| all.admit(0, ip(text), false, now).unwrap());
        let stall = |place: Place| {
            let request = place.connection.begin();
            place.connection.waits_for_client(true);
            (place, request)
        };
        places.map(stall).collect()
    };
    let (_proxied, evil, more) = (
        all.admit(0, ip("198.51.100.200"), true, now).map(|place| (place.connection.begin(), place)),
        stalled("192.0.2.1", 4, now),
        ["203.0.113.1", "203.0.114.1", "203.0.115.1"].into_iter().flat_map(|text| stalled(text, 1, now)).collect::<Vec<_>>(),
    );
    assert!(all.admit(0, ip("198.51.100.1"), false, now).is_none(), "for some seconds nobody knows that they stall");
    for _ in 0..SLOW_AFTER.as_secs() {
        now += Duration::from_secs(1);
        all.look(now);
    }
    let one = all.admit(0, ip("198.51.100.1"), false, now).unwrap();
    assert_eq!(count(&all), 8);
    assert_eq!(evil.iter().filter(|(place, _)| is_open(&all, place)).count(), 3, "one of the larger network went");
    // a second one does not take the place of the first, whose request is on its way
    let two = all.admit(0, ip("198.51.100.2"), false, now).unwrap();
    assert!(is_open(&all, &one) && is_open(&all, &two));
    assert_eq!(evil.iter().chain(&more).filter(|(place, _)| is_open(&all, place)).count(), 5);
    assert_eq!(count(&all), 8);
}

/// A request that begins at the moment when its connection is chosen goes on, and is counted.
#[tokio::test]
async fn threat_46_a_request_that_has_begun_is_not_cut() {
    let (all, now) = (Connections::with_room_for(2), Instant::now());
    let place = all.admit(0, ip("192.0.2.1"), false, now).unwrap();
    let _next = all.admit(0, ip("192.0.2.2"), false, now).unwrap();
    let _request = place.connection.begin();
    assert_eq!(place.connection.is_over().await, End::IfIdle);
    assert!(place.connection.is_busy());
    place.keep();
    place.keep();
    assert_eq!(count(&all), 2);
    assert_eq!(all.open().count(place.connection.network.as_ref()), 2);
    // who comes next waits for both to be idle, so that there are not more and more
    assert!(all.admit(0, ip("192.0.2.3"), false, now).is_none());
}
