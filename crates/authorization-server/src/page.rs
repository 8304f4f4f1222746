//! Pages of lists of which not everybody sees everything: filtered first, then cut, so that a page comes out short only where
//! much of what it looked at is not seen (protocol.md 1.8).

use crate::store::Page;
use identity::Failure;
use serde::Serialize;
use std::pin::Pin;
use types::Timestamp;
use types::json::size_of;

/// Where something stands in a list that goes by time: its making, then its id.
pub fn place_of(made: Timestamp, id: &str) -> String {
    format!("{:012}.{id}", made.0.max(0))
}

/// A page of a list that is short enough to be read whole, in the order of its places; and the place behind which the next
/// one begins, if there is more.
pub(crate) fn page_of_all<Row>(
    mut all: Vec<Row>,
    place: impl Fn(&Row) -> String,
    page: &Page<String>,
) -> (Vec<Row>, Option<String>) {
    all.retain(|row| page.after.as_ref().is_none_or(|after| place(row) > *after));
    all.sort_by_cached_key(&place);
    let has_more = all.len() > page.limit;
    all.truncate(page.limit);
    let last = all.last().filter(|_| has_more).map(place);
    (all, last)
}

/// Most rows that one page looks at, and as many more as one read of it gives.
const LOOKED_AT: usize = 1_000;
/// Rows that are read at once, after which others get their turn: who asks for a thousand does not have them all in memory.
const BREATH: usize = 32;
/// A page that says so many bytes ends, as it does on the wire.
const PAGE_BYTES: usize = 512 * 1024;

/// What comes of a read.
pub(crate) type Soon<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// A page of what is seen: `read` gives rows behind an id, `see` what of a row is to be seen. With the id behind which the
/// next page begins, if there is more to see - or to look at: a page ends behind so many rows, however few of them are seen,
/// since who writes them is often not who reads, and behind so many bytes, of which no less than one item is (threat 46).
pub(crate) async fn page_of_seen<'a, Row, Id: Clone, Seen: Serialize>(
    page: &Page<Id>,
    id_of: impl Fn(&Row) -> Id,
    read: impl Fn(Page<Id>) -> Soon<'a, Vec<Row>>,
    see: impl Fn(Row) -> Soon<'a, Option<Seen>>,
) -> Result<(Vec<Seen>, Option<Id>), Failure> {
    let (mut seen, mut last_seen, mut after) = (Vec::new(), None, page.after.clone());
    let (at_once, mut looked_at, mut bytes) = (page.limit.saturating_add(1).min(BREATH), 0_usize, 0_usize);
    loop {
        let rows = read(Page { after: after.clone(), limit: at_once }).await?;
        let is_last = rows.len() < at_once;
        for row in rows {
            let id = id_of(&row);
            after = Some(id.clone());
            looked_at = looked_at.saturating_add(1);
            let Some(one) = see(row).await? else { continue };
            bytes = bytes.saturating_add(size_of(&one));
            if seen.len() == page.limit || (bytes > PAGE_BYTES && !seen.is_empty()) {
                return Ok((seen, last_seen));
            }
            seen.push(one);
            last_seen = Some(id);
        }
        if is_last {
            return Ok((seen, None));
        }
        if looked_at >= LOOKED_AT {
            return Ok((seen, after));
        }
        // reads never wait: others get their turn
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Rows 1 to 1000, each of so many bytes; how many were read, and the page.
    async fn page(size: usize, limit: usize) -> (usize, Vec<String>, Option<usize>) {
        let rows = AtomicUsize::new(0);
        let read = |page: Page<usize>| -> Soon<'_, Vec<usize>> {
            let first = page.after.unwrap_or(0) + 1;
            let all: Vec<usize> = (first..1_001).take(page.limit).collect();
            rows.fetch_add(all.len(), Ordering::Relaxed);
            Box::pin(async move { Ok(all) })
        };
        let see = |row: usize| -> Soon<'_, Option<String>> { Box::pin(async move { Ok((row > 2).then(|| "x".repeat(size))) }) };
        let (seen, next) = page_of_seen(&Page { after: None, limit }, |row| *row, read, see).await.unwrap();
        (rows.into_inner(), seen, next)
    }

    #[tokio::test]
    async fn threat_46_a_page_reads_a_few_rows_at_a_time_and_ends_where_it_is_full() {
        for (size, limit, most_read, seen, next) in [
            (10, 1_000, 1_000, 998, None),
            (10, 998, 1_000, 998, None),
            (10, 997, 1_000, 997, Some(999)),
            (10, 5, 12, 5, Some(7)),
            (128 * 1024, 1_000, 32, 3, Some(5)),
            (600 * 1024, 1_000, 32, 1, Some(3)),
        ] {
            let (read, all, last) = page(size, limit).await;
            assert!(read <= most_read, "{size} {limit}: {read}");
            assert_eq!((all.len(), last), (seen, next), "{size} {limit}");
        }
    }
}
