//! What is known about a place when a message is decided about, and deciding anew when that has changed.

use jiff::Timestamp;
use longshore_crds::names;
use longshore_routing::{ActiveSession, Decision, Explanation, Guest, Message, Mode, Router, Situation, TopicState};

use crate::bot::Bot;
use crate::chat::Place;
use crate::conversation::life;
use crate::outbox::pace::Priority;
use crate::store::StoreError;
use crate::store::messages::MessageRow;
use crate::store::posts::Content;
use crate::store::sessions::SessionRow;
use crate::telegram::update::FileRef;
use crate::words;

/// What is known now about a place, and about who writes there.
pub async fn situation(bot: &Bot, place: Place, user: i64) -> Result<Situation, StoreError> {
    let session = bot.store.active_session(bot.moved.place(place)).await?;
    with_session(bot, place, user, session).await
}

async fn with_session(
    bot: &Bot,
    place: Place,
    user: i64,
    session: Option<SessionRow>,
) -> Result<Situation, StoreError> {
    let place = bot.moved.place(place);
    let topic = match bot.cluster.topic_at(place) {
        Some(topic) => TopicState::Bound(kube::ResourceExt::name_any(topic.as_ref())),
        None if bot.settings.create_topics => TopicState::Creatable(names::telegram_topic(place.chat, place.thread)),
        None => TopicState::Missing,
    };
    let session = match session {
        Some(session) => {
            let (mut question, mut word) = (None, None);
            if let Some(uid) = &session.uid {
                question = bot.store.open_question(uid).await?.map(|question| question.prompt.row);
                word = bot.store.open_word(uid, user).await?.map(|denied| denied.prompt.row);
            }
            let asleep = bot
                .cluster
                .session(&session.name)
                .is_some_and(|seen| life::is_asleep(&seen));
            Some(ActiveSession {
                name: session.name,
                question,
                word,
                asleep,
            })
        }
        None => None,
    };
    let unanswered = bot.store.unanswered_in(place).await?;
    let task = unanswered
        .into_iter()
        .find(|row| matches!(row.decision.mode, Mode::Task { .. }))
        .and_then(|row| row.object)
        .or_else(|| running_task(bot, &topic));
    Ok(Situation {
        topic,
        session,
        task,
        guest: bot.store.guest(user, place.chat).await?,
    })
}

/// A task that no message asked for, such as a schedule's, while it runs.
fn running_task(bot: &Bot, topic: &TopicState) -> Option<String> {
    let TopicState::Bound(topic) = topic else { return None };
    let mut running = bot.cluster.unfinished_tasks(topic);
    running.retain(|task| task.status.as_ref().is_some_and(|status| status.endpoint.is_some()));
    let oldest = running
        .into_iter()
        .min_by_key(|task| kube::ResourceExt::creation_timestamp(task.as_ref()).map(|time| time.0));
    oldest.map(|task| kube::ResourceExt::name_any(task.as_ref()))
}

/// Whether somebody may be heard in a place at all.
pub async fn may_speak(bot: &Bot, place: Place, user: i64) -> Result<bool, StoreError> {
    let guest = bot.store.guest(user, place.chat).await?;
    let router = bot.policies.router().await;
    let chat = known_as(bot, &router, place.chat);
    let guest = guest.map(|guest| Guest { chat, ..guest });
    Ok(router.standing_with(user, chat, guest.as_ref()).is_some())
}

/// Decides about a message. Policies know a group that became a supergroup by its former id, until they name the new one.
pub fn decide(bot: &Bot, router: &Router, situation: &Situation, message: &Message<'_>) -> Explanation {
    let chat = known_as(bot, router, message.chat);
    let (mut situation, message) = (
        situation.clone(),
        Message {
            chat,
            ..message.clone()
        },
    );
    if let Some(guest) = &mut situation.guest {
        guest.chat = chat;
    }
    router.decide(&situation, &message, Timestamp::now())
}

/// The id by which policies know a chat.
pub fn known_as(bot: &Bot, router: &Router, chat: i64) -> i64 {
    let now = bot.moved.now(chat);
    match bot.moved.former(now) {
        Some(former) if !router.names_chat(now) => former,
        _ => now,
    }
}

/// Decides anew about a message that was taken before, by what is known now. Somebody waits for what becomes of it.
async fn decide_anew(
    bot: &Bot,
    row: &MessageRow,
    (text, file): (&str, bool),
    (since, instead): (&str, &str),
) -> Result<(Decision, Option<String>), StoreError> {
    // A session that a later message will start comes too late for this one: the lane gets to that message after this one.
    let session = bot.store.session_for(bot.moved.place(row.place), row.row).await?;
    let situation = with_session(bot, row.place, row.user, session).await?;
    let message = Message {
        user: row.user,
        chat: row.place.chat,
        thread: row.place.thread,
        content: Ok(text),
        file,
    };
    let router = bot.policies.router().await;
    let decision = decide(bot, &router, &situation, &message).decision;
    let decision = anew(decision, since, instead);
    let object = object(
        &decision,
        &situation,
        row.message,
        bot.moved.former(row.place.chat).is_some(),
    );
    tracing::info!(
        chat = row.place.chat,
        message_id = row.message,
        mode = decision.mode.in_words(),
        reason = decision.reason,
        "decided again"
    );
    Ok((decision, object))
}

/// A decision about a message that was taken before, since something has changed: what nobody would take is answered with `instead`.
pub fn anew(mut decision: Decision, since: &str, instead: &str) -> Decision {
    decision.reason = format!("{since}; {}", decision.reason);
    if matches!(decision.mode, Mode::Ignore | Mode::Offer) {
        decision.mode = Mode::Reply {
            text: instead.to_owned(),
        };
    }
    decision
}

/// What is known of a message once somebody has listened to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What was written and said.
    pub text: String,
    /// The files; of those that were understood it is noted.
    pub files: Vec<FileRef>,
    /// What to tell if not all was understood.
    pub trouble: Option<String>,
}

/// Decides about a message that somebody has listened to. Whether it is handed on.
pub async fn decide_heard(bot: &Bot, row: &MessageRow, heard: Heard) -> Result<bool, StoreError> {
    let said = (heard.text.as_str(), needs_session(&heard.files));
    let (decision, object) = decide_anew(bot, row, said, ("after listening", words::NOT_FOR_ME)).await?;
    if let Mode::Reply { text } = &decision.mode {
        let told = heard
            .trouble
            .iter()
            .chain([text])
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        let parts = vec![Content::plain(told)];
        bot.store.answer(row.row, parts, Priority::Answer).await?;
        return Ok(false);
    }
    bot.store.heard(row.row, heard.files, decision, object).await?;
    Ok(true)
}

/// Whether there is a file that only a session can be given: of one that was understood the text is enough.
pub fn needs_session(files: &[FileRef]) -> bool {
    files.iter().any(|file| !file.heard)
}

/// Decides anew about a message, since what it was for is over.
pub async fn decide_again(bot: &Bot, row: &MessageRow, text: &str) -> Result<(), StoreError> {
    let said = (text, needs_session(&row.files));
    let (decision, object) = decide_anew(bot, row, said, ("what it was for is over", words::NO_LONGER)).await?;
    if let Mode::Reply { text } = &decision.mode {
        let parts = vec![Content::plain(text)];
        return bot.store.answer(row.row, parts, Priority::Answer).await;
    }
    bot.store.decide_again(row.row, decision, object).await
}

/// Name of the task or session that a decision makes or is about.
/// Messages of a supergroup that was a group before are numbered anew.
pub fn object(decision: &Decision, situation: &Situation, message: i64, since_upgrade: bool) -> Option<String> {
    match (&decision.mode, &situation.topic) {
        (Mode::Task { .. } | Mode::StartSession { .. }, TopicState::Bound(topic) | TopicState::Creatable(topic)) => {
            Some(match since_upgrade {
                true => names::for_message_since_upgrade(topic, message),
                false => names::for_message(topic, message),
            })
        }
        (Mode::ToSession { session, .. } | Mode::WakeSession { session } | Mode::EndSession { session, .. }, _) => {
            Some(session.clone())
        }
        _ => None,
    }
}
