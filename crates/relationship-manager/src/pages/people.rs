//! Who can reach what: by person; withdrawing everything of somebody's; and who has confirmed it.

use super::things::{Again, host_of, told_again, troubles, who_query};
use super::{Desk, Fields, First, at_desk, error_page, page, posted, see_other};
use crate::Trouble;
use crate::holdings::Who;
use crate::task::Standing;
use crate::undoing::NoteShown;
use crate::words::readable;
use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;

struct PersonRow {
    name: String,
    query: String,
    count: usize,
}

/// What others share with her.
struct SharedRow {
    owner: String,
    name: String,
    place: String,
    may: String,
    open: Option<String>,
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage<'a> {
    people: First<PersonRow>,
    shared: First<SharedRow>,
    troubles: Vec<String>,
    again: Vec<Again>,
    csrf: &'a str,
}

pub(super) async fn list(State(manager): Desk, request: Request) -> Response {
    at_desk(manager, request.headers(), async |manager, person| {
        let holdings = manager.holdings(&person.owner).await?;
        let row = |(who, count): (Who, usize)| PersonRow { name: who.name().to_owned(), query: who_query(&who), count };
        let shared = holdings.servers.iter().flat_map(|known| &known.snapshot.shared_with_me).map(|shared| SharedRow {
            owner: readable(&shared.owner),
            name: shared.name.as_deref().map_or_else(|| "Something without a name".to_owned(), readable),
            place: host_of(shared.resource_server.as_str()),
            may: crate::words::scopes(&shared.resource_scopes),
            open: shared.resource_location.clone().filter(|url| url.starts_with("https://") || url.starts_with("http://")),
        });
        let (people, shared) = (First::of(holdings.people().into_iter().map(row)), First::of(shared));
        let (troubles, again) = (troubles(&holdings, &person.reader), told_again(&holdings));
        let body = ui::render(&PeoplePage { people, shared, troubles, again, csrf: &person.csrf });
        Ok(page(manager, Some(person), StatusCode::OK, "People", "/people", &body))
    })
    .await
}

struct ReachRow {
    key: String,
    name: String,
    place: String,
    may: Vec<String>,
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage<'a> {
    who: &'a str,
    who_key: String,
    rows: Vec<ReachRow>,
    shares: usize,
    /// They also decide for her.
    decides: bool,
    csrf: &'a str,
}

fn who_of(fields: &Fields) -> Result<Who, Trouble> {
    Who::of_key(fields.one("who")).ok_or_else(|| Trouble::Refused("Say whom you mean.".into()))
}

pub(super) async fn show(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let (holdings, who) = (manager.holdings(&person.owner).await?, who_of(&query)?);
        let mut rows = Vec::new();
        for thing in &holdings.things {
            let shares = thing.shares.iter().filter(|share| share.who == who).map(|share| share.in_words(&person.reader));
            let approved = thing.approvals.iter().filter(|one| one.who == who).map(|one| one.in_words(&person.reader));
            let may: Vec<String> = shares.chain(approved).collect();
            if !may.is_empty() {
                rows.push(ReachRow { key: thing.key.clone(), name: thing.name.clone(), place: host_of(&thing.server), may });
            }
        }
        // what a link says is no name of anybody: it stands on a page only where somebody has it (threat 36)
        if rows.is_empty() {
            let what = "Nobody of this name can reach anything of yours. What you took back stands under Withdrawals.";
            return Ok(error_page(manager, Some(person), StatusCode::NOT_FOUND, "Nobody here", what));
        }
        let shares = rows.iter().map(|row| row.may.len()).sum();
        let decides = holdings.decides(&who, manager.now());
        let body = ui::render(&PersonPage { who: who.name(), who_key: who.key(), rows, shares, decides, csrf: &person.csrf });
        Ok(page(manager, Some(person), StatusCode::OK, who.name(), "/people", &body))
    })
    .await
}

pub(super) async fn withdraw(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        if fields.one("sure") != "yes" {
            return Err(Trouble::Refused("Tick that you are sure: everything of this person's ends at once.".into()));
        }
        let who = who_of(fields)?;
        let decided = manager.holdings(&person.owner).await?.decides(&who, manager.now());
        let unread = manager.withdraw_everything(&person.owner, &who).await?;
        let also = if decided { ", and decides for you no more," } else { "" };
        let mut what = format!("Taken back: {} loses everything{also} at each server that has confirmed it.", who.name());
        for one in unread {
            let why = match one.has_answered {
                true => "lists what this desk cannot read: look on its own pages whether that lets them reach something.",
                false => "cannot be read right now: what else it shows them may stand. Do this again later.",
            };
            what.push_str(&format!(" {} {why}", host_of(&one.url)));
        }
        Ok(manager.tell(person, "/withdrawals", what, None))
    })
    .await
}

/// What a server still lists is told to it again.
pub(super) async fn tell_again(State(manager): Desk, request: Request) -> Response {
    posted(manager, request, async |manager, person, fields| {
        let word = Some(fields.one("word")).filter(|word| !word.is_empty());
        manager.tell_again(&person.owner, fields.one("again"), word).await?;
        Ok(see_other("/withdrawals"))
    })
    .await
}

struct TaskRow {
    what: String,
    place: String,
    state: String,
    class: &'static str,
    why: Option<String>,
}

struct Group {
    when: String,
    confirmed: usize,
    all: usize,
    tasks: First<TaskRow>,
}

#[derive(Template)]
#[template(path = "withdrawals.html")]
struct WithdrawalsPage<'a> {
    told: Option<NoteShown>,
    groups: Vec<Group>,
    csrf: &'a str,
}

fn task_row(task: &crate::task::Task, reader: &ui::Reader) -> TaskRow {
    let (state, class, why) = match &task.standing {
        Standing::Waiting { why } => ("not yet confirmed".to_owned(), "wait", why.clone()),
        Standing::Confirmed { at } => (format!("confirmed {}", reader.moment(*at)), "", None),
        Standing::Refused { why } => ("refused".to_owned(), "no", Some(why.clone())),
        Standing::Unheard { why } => ("not told".to_owned(), "no", Some(why.clone())),
    };
    TaskRow { what: task.what.clone(), place: host_of(&task.server), state, class, why }
}

/// What still may let somebody in stands at the top.
fn unconfirmed_first(tasks: &[crate::task::Task]) -> impl Iterator<Item = &crate::task::Task> {
    let is_confirmed = |task: &&crate::task::Task| matches!(task.standing, Standing::Confirmed { .. });
    let (confirmed, open): (Vec<_>, Vec<_>) = tasks.iter().partition(is_confirmed);
    open.into_iter().chain(confirmed)
}

pub(super) async fn withdrawals(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let query = Fields::of_query(&parts);
    at_desk(manager, &parts.headers, async |manager, person| {
        let tasks = manager.list_tasks(&person.owner).await?;
        let mut groups: Vec<(String, Vec<crate::task::Task>)> = Vec::new();
        for task in tasks {
            match groups.iter_mut().find(|(group, _)| *group == task.group) {
                Some((_, tasks)) => tasks.push(task),
                None => groups.push((task.group.clone(), vec![task])),
            }
        }
        let group = |(_, tasks): (String, Vec<crate::task::Task>)| Group {
            when: tasks.first().map(|task| person.reader.moment(task.created)).unwrap_or_default(),
            confirmed: tasks.iter().filter(|task| matches!(task.standing, Standing::Confirmed { .. })).count(),
            all: tasks.len(),
            tasks: First::of(unconfirmed_first(&tasks).map(|task| task_row(task, &person.reader))),
        };
        let body = ui::render(&WithdrawalsPage {
            told: manager.find_note(person, query.one("note")),
            groups: groups.into_iter().map(group).collect(),
            csrf: &person.csrf,
        });
        Ok(page(manager, Some(person), StatusCode::OK, "Withdrawals", "/people", &body))
    })
    .await
}
