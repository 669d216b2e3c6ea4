//! `/model` and `/mode`: telling, offering and changing settings of a session.
//!
//! What is chosen is kept in the store until the runner has taken or refused it ([`hand_on`]), so it survives a restart of the bot
//! and reaches a session that sleeps when it wakes, before its next message does. The runner keeps it from then on.

use std::sync::Arc;
use std::time::Duration;

use longshore_crds::{PersistentSession, Role};
use longshore_routing::{PermissionMode, Setting};
use longshore_wire::api::{ModelChoice, Settings, Status};

use super::ask;
use crate::agent::{Door, RunnerError};
use crate::bot::Bot;
use crate::conversation::life;
use crate::conversation::menu::{self, Offered};
use crate::store::StoreError;
use crate::store::choices::Choice;
use crate::store::messages::MessageRow;
use crate::store::sessions::SessionState;
use crate::telegram::update::Press;
use crate::{door, words};

/// How often somebody who waits has it tried.
const TRIES: usize = 5;
/// How often a session that has come back has it tried; claude may still be starting.
const LATER_TRIES: usize = 60;
/// Models that claude knows under these names, for when it has not said which it has.
const ALIASES: [&str; 3] = ["opus", "sonnet", "haiku"];

/// Offers settings under the message that asked for them.
pub async fn offer(bot: &Bot, row: &MessageRow, session: &str, setting: &Setting) -> Result<(), StoreError> {
    let object = bot.cluster.session(session).filter(|object| !life::is_asleep(object));
    let runner = match &object {
        Some(object) => ask(bot, object).await,
        None => None,
    };
    let chosen = bot.store.choices(session).await?;
    let offered = match setting {
        Setting::Model(_) => {
            let current = current(runner.as_ref(), |status| status.claude.model.clone());
            let chosen = chosen.into_iter().find_map(|choice| match choice.setting {
                Setting::Model(model) => model,
                Setting::Permissions(_) => None,
            });
            Offered::models(models(runner.as_ref()), current, chosen)
        }
        Setting::Permissions(_) => {
            let current = current(runner.as_ref(), |status| status.claude.permission_mode.clone());
            let chosen = chosen.into_iter().find_map(|choice| match choice.setting {
                Setting::Permissions(mode) => mode,
                Setting::Model(_) => None,
            });
            Offered::modes(current, chosen)
        }
    };
    let content = menu::content(row.row, &offered);
    let options = offered.options.into_iter().map(|option| option.setting).collect();
    bot.store
        .offer_settings(row.row, session.to_owned(), options, content)
        .await
}

fn current(runner: Option<&Status>, of: impl Fn(&Status) -> Option<String>) -> Option<String> {
    runner.and_then(of)
}

fn models(runner: Option<&Status>) -> Vec<ModelChoice> {
    let told = runner.map(|status| status.claude.models.clone()).unwrap_or_default();
    match told.is_empty() {
        false => told,
        true => ALIASES
            .map(|alias| ModelChoice {
                value: alias.to_owned(),
                name: alias.to_owned(),
            })
            .to_vec(),
    }
}

/// Changes a setting that was written out. The store has it already.
pub async fn change(bot: &Bot, row: &MessageRow, session: &str) -> Result<(), StoreError> {
    let choices = bot.store.choices(session).await?;
    match choices.into_iter().find(|choice| choice.row == row.row) {
        Some(choice) => carry_out(bot, session, &choice).await.map(drop),
        // Taken meanwhile, and said so; or somebody has chosen something else.
        None => {
            let text = vec![crate::store::posts::Content::plain(words::SETTING_OVERTAKEN)];
            bot.store
                .answer(row.row, text, crate::outbox::pace::Priority::Answer)
                .await
        }
    }
}

/// Answers a pressed button of a menu.
pub async fn pressed(bot: &Bot, press: &Press, role: Role, row: i64, number: usize) -> Result<String, StoreError> {
    let Some(menu) = bot.store.menu(row).await? else {
        return Ok(words::MENU_USED.to_owned());
    };
    let session = bot.store.session(&menu.session).await?;
    let over = session.is_none_or(|session| session.state >= SessionState::Ending);
    let setting = menu.options.get(number).cloned();
    let (Some(setting), false) = (setting, over || menu.shown_at != (press.chat, Some(press.message))) else {
        return Ok(words::MENU_USED.to_owned());
    };
    let needs_approver = matches!(&setting, Setting::Permissions(Some(mode)) if mode.needs_approver());
    if needs_approver && role < Role::Approver {
        return Ok(words::MODE_NEEDS_APPROVER.to_owned());
    }
    let choice = Choice {
        setting,
        row,
        by: press.user_name.clone(),
    };
    if !bot.store.choose_from_menu(&menu.session, choice.clone()).await? {
        return Ok(words::MENU_USED.to_owned());
    }
    carry_out(bot, &menu.session, &choice).await
}

/// Sees to a choice that somebody waits for, for a short while, and says what came of it.
async fn carry_out(bot: &Bot, session: &str, choice: &Choice) -> Result<String, StoreError> {
    let mut text = words::SETTING_LATER;
    for attempt in 0..TRIES {
        // Read past the reflector, as somebody waits.
        let live = match bot.cluster.live_session(session).await {
            Ok(live) => live,
            Err(error) => {
                tracing::info!(session, %error, "a setting is tried again");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        if live.as_ref().is_some_and(life::is_asleep) {
            text = words::SETTING_ASLEEP;
            break;
        }
        let Some(door) = open(bot, live.as_ref(), attempt > 0).await else {
            text = words::SETTING_NOT_READY;
            break;
        };
        match hand_on(bot, session, &door).await? {
            Ok(said) => {
                return Ok(said
                    .into_iter()
                    .last()
                    .unwrap_or_else(|| words::ANSWER_TAKEN.to_owned()));
            }
            Err(error) => tracing::info!(session, %error, "a setting is tried again"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let text = format!("{} {text}", chosen(&choice.setting));
    bot.store.tell_kept(session, choice, text.clone()).await?;
    Ok(text)
}

async fn open(bot: &Bot, live: Option<&PersistentSession>, fresh: bool) -> Option<Door> {
    door::of_session(bot, live?, fresh).await
}

/// Hands what was chosen for a session to its runner. The outer error is the store's; the inner one says that it is still to be
/// done. What it says stands in the chat already.
pub async fn hand_on(bot: &Bot, session: &str, door: &Door) -> Result<Result<Vec<String>, RunnerError>, StoreError> {
    let mut said = Vec::new();
    if bot.store.choices(session).await?.is_empty() {
        return Ok(Ok(said));
    }
    let _one = bot.setting.lock().await;
    for choice in bot.store.choices(session).await? {
        let (text, refused) = match bot.runners.set(door, &settings(&choice.setting)).await {
            Ok(()) => (done(&choice), false),
            Err(RunnerError::Refused(why)) => (refusal(&choice.setting, &why), true),
            Err(error) => return Ok(Err(error)),
        };
        tracing::info!(session, refused, setting = ?choice.setting, "a setting was handed on");
        bot.store.settle_choice(session, choice, text.clone(), refused).await?;
        said.push(text);
    }
    if let Some(session) = bot.store.session(session).await? {
        bot.outbox.wake(session.place.chat);
    }
    Ok(Ok(said))
}

/// The same for a session that has come back, until its claude is there to take it.
pub async fn catch_up(bot: Arc<Bot>, session: String, door: Door) -> Result<(), StoreError> {
    for _ in 0..LATER_TRIES {
        match hand_on(&bot, &session, &door).await? {
            Err(RunnerError::Busy { .. }) => tokio::time::sleep(Duration::from_secs(1)).await,
            _ => return Ok(()),
        }
    }
    Ok(())
}

fn settings(setting: &Setting) -> Settings {
    match setting {
        Setting::Model(model) => Settings {
            model: model.clone(),
            permission_mode: None,
        },
        Setting::Permissions(mode) => Settings {
            model: None,
            permission_mode: mode.map(|mode| mode.of_claude().to_owned()),
        },
    }
}

fn chosen(setting: &Setting) -> String {
    match setting {
        Setting::Model(model) => format!("Model {}:", model.as_deref().unwrap_or_default()),
        Setting::Permissions(mode) => format!("Mode {}:", mode.map_or("", PermissionMode::word)),
    }
}

fn done(choice: &Choice) -> String {
    let by = &choice.by;
    match &choice.setting {
        Setting::Model(model) => words::model_set(model.as_deref().unwrap_or_default(), by),
        Setting::Permissions(mode) => words::mode_set(mode.unwrap_or(PermissionMode::Ask), by),
    }
}

fn refusal(setting: &Setting, why: &str) -> String {
    match setting {
        Setting::Model(model) => words::model_refused(model.as_deref().unwrap_or_default(), why),
        Setting::Permissions(mode) => words::mode_refused(mode.map_or("", PermissionMode::word), why),
    }
}
