use super::*;

/// Looks once a second, for so many seconds, and what was asked of the connection meanwhile.
fn look_for(connection: &Connection, now: &mut Instant, seconds: u64) -> Option<End> {
    (0..seconds).find_map(|_| {
        *now += Duration::from_secs(1);
        connection.look(*now);
        connection.seen().end.take()
    })
}

fn rank(connection: &Connection, now: Instant) -> Option<Rank> {
    connection.rank(now).map(|(rank, _)| rank)
}

#[test]
fn threat_46_a_connection_that_says_nothing_ends() {
    let mut now = Instant::now();
    for protocol in [Protocol::Unknown, Protocol::Http1, Protocol::Http2] {
        let connection = Connection::new(0, None, now);
        connection.speaks(protocol);
        assert_eq!(rank(&connection, now), Some(Rank::Fresh), "its request may be on the way");
        assert_eq!(look_for(&connection, &mut now, 9), None, "{protocol:?}");
        assert_eq!(rank(&connection, now), Some(Rank::Idle));
        assert_eq!(look_for(&connection, &mut now, 1), Some(End::IfIdle), "{protocol:?}");
    }
}

#[test]
fn threat_46_between_requests_http_2_has_more_time_and_a_goodbye() {
    let mut now = Instant::now();
    for (protocol, seconds) in [(Protocol::Http1, 10), (Protocol::Http2, 60)] {
        let connection = Arc::new(Connection::new(0, None, now));
        connection.speaks(protocol);
        let request = connection.begin();
        assert_eq!(look_for(&connection, &mut now, 600), None, "while we are waited for, it stays");
        assert_eq!(rank(&connection, now), None, "and makes no room");
        drop(request);
        connection.count_idle_from(now);
        assert_eq!(look_for(&connection, &mut now, seconds - 1), None);
        let end = look_for(&connection, &mut now, 1);
        if protocol == Protocol::Http1 {
            assert_eq!(end, Some(End::IfIdle));
            continue;
        }
        assert_eq!(end, Some(End::Politely));
        assert_eq!(look_for(&connection, &mut now, 10), Some(End::IfIdle), "whoever does not hear it goes all the same");
    }
}

/// Row 46: an answer that is not taken, or a byte now and then, makes room where there is none, and is not cut before.
#[test]
fn threat_46_who_moves_nothing_makes_room_and_is_not_cut_before() {
    let mut now = Instant::now();
    for (bytes_a_second, is_slow) in [(0, true), (1, true), (SLOW_BYTES - 1, true), (SLOW_BYTES, false), (1 << 20, false)] {
        let connection = Arc::new(Connection::new(0, None, now));
        let _request = connection.begin();
        connection.waits_for_client(true);
        for _ in 0..SLOW_AFTER.as_secs() {
            assert_eq!(rank(&connection, now), None, "it has some seconds");
            connection.moves(usize::try_from(bytes_a_second).unwrap());
            assert_eq!(look_for(&connection, &mut now, 1), None);
        }
        assert_eq!(rank(&connection, now), is_slow.then_some(Rank::Slow), "{bytes_a_second}");
        assert_eq!(look_for(&connection, &mut now, 3_600), None, "an hour's pause is nobody's harm where there is room");
        connection.moves(1 << 20);
        assert_eq!(look_for(&connection, &mut now, SLOW_AFTER.as_secs()), None);
        assert_eq!(rank(&connection, now), None, "it goes on, and is not slow any more");
    }
}

#[test]
fn threat_46_who_waits_for_us_is_not_slow() {
    let mut now = Instant::now();
    let connection = Arc::new(Connection::new(0, None, now));
    let (_slow, ours) = (connection.begin(), connection.begin());
    connection.waits_for_client(true);
    assert_eq!(look_for(&connection, &mut now, 60), None);
    assert_eq!(rank(&connection, now), None, "one of two is ours to answer");
    drop(ours);
    look_for(&connection, &mut now, SLOW_AFTER.as_secs());
    assert_eq!(rank(&connection, now), Some(Rank::Slow));
    // where something else than HTTP goes on, nobody knows who waits for whom
    connection.is_handed_over();
    assert_eq!(rank(&connection, now), None);
}

/// The end of an answer that waits in the socket is part of it.
#[test]
fn threat_46_what_waits_in_the_socket_is_under_way() {
    let mut now = Instant::now();
    let connection = Connection::new(0, None, now);
    connection.speaks(Protocol::Http1);
    connection.wrote(false);
    assert_eq!(look_for(&connection, &mut now, 3_600), None);
    assert_eq!(rank(&connection, now), Some(Rank::Slow));
    connection.wrote(true);
    assert_eq!(look_for(&connection, &mut now, 10), Some(End::IfIdle));
}

#[tokio::test]
async fn threat_46_a_connection_hears_that_it_is_let_go() {
    let connection = Connection::new(0, None, Instant::now());
    connection.let_go(End::Politely);
    connection.let_go(End::AtOnce);
    assert_eq!(connection.is_over().await, End::AtOnce, "the last word counts");
}
