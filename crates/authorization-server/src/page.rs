//! Pages of lists of which not everybody sees everything: filtered first, then cut, so that a page comes out short only where
//! much of what it looked at is not seen (protocol.md 1.8).

use crate::store::Page;
use identity::Failure;
use std::pin::Pin;
use types::Timestamp;

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
/// Rows after which others get their turn.
const BREATH: usize = 32;

/// What comes of a read.
pub(crate) type Soon<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// A page of what is seen: `read` gives rows behind an id, `see` what of a row is to be seen. With the id behind which the
/// next page begins, if there is more to see - or to look at: a page ends behind so many rows, however few of them are seen,
/// since who writes them is often not who reads (threat 46).
pub(crate) async fn page_of_seen<'a, Row, Id: Clone, Seen>(
    page: &Page<Id>,
    id_of: impl Fn(&Row) -> Id,
    read: impl Fn(Page<Id>) -> Soon<'a, Vec<Row>>,
    see: impl Fn(Row) -> Soon<'a, Option<Seen>>,
) -> Result<(Vec<Seen>, Option<Id>), Failure> {
    let (mut seen, mut last_seen, mut after) = (Vec::new(), None, page.after.clone());
    let (at_once, mut looked_at) = (page.limit.saturating_add(1), 0_usize);
    loop {
        let rows = read(Page { after: after.clone(), limit: at_once }).await?;
        let is_last = rows.len() < at_once;
        for row in rows {
            let id = id_of(&row);
            after = Some(id.clone());
            looked_at = looked_at.saturating_add(1);
            if looked_at.is_multiple_of(BREATH) {
                // reads never wait: others get their turn
                tokio::task::yield_now().await;
            }
            let Some(one) = see(row).await? else { continue };
            if seen.len() == page.limit {
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
    }
}
