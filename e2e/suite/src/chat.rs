//! A chat as its people see it: a forum with one topic, somebody who is on the allow-list and somebody who is not.

use anyhow::{Context as _, Result, bail, ensure};
use longshore_crds::names;
use longshore_telegram_emulator::Client;
use longshore_telegram_emulator::control::NewUser;
use longshore_telegram_emulator::control::view::{Shown, Wanted};
use longshore_telegram_emulator::limits::Limits;

use crate::install::{ALICE, DEADLINE, Install, MALLORY};

/// One topic of a forum.
pub struct Chat {
    /// Control of the emulator.
    pub telegram: Client,
    /// Chat id of the forum.
    pub forum: i64,
    /// Thread id of the topic.
    pub thread: i64,
    /// Name of the Topic that the bot makes for it.
    pub topic: String,
}

impl Chat {
    /// Makes the people, the forum and a topic in it.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn open(install: &Install, topic: &str) -> Result<Self> {
        let telegram = Client::new(&install.telegram_url()?);
        for (id, first_name) in [(ALICE, "Alice"), (MALLORY, "Mallory")] {
            telegram
                .add_user(&NewUser {
                    id: Some(id),
                    first_name: first_name.to_owned(),
                    username: None,
                })
                .await?;
        }
        telegram.set_limits(&Limits::none()).await?;
        let forum = telegram.forum("The team", ALICE).await?;
        let thread = telegram.topic(forum, ALICE, topic).await?;
        Ok(Self {
            telegram,
            forum,
            thread,
            topic: names::telegram_topic(forum, Some(thread)),
        })
    }

    /// Another topic of the same forum.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn another(&self, topic: &str) -> Result<Self> {
        let thread = self.telegram.topic(self.forum, ALICE, topic).await?;
        let (telegram, forum) = (self.telegram.clone(), self.forum);
        Ok(Self {
            telegram,
            forum,
            thread,
            topic: names::telegram_topic(forum, Some(thread)),
        })
    }

    /// Alice writes in the topic; the message's id.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn say(&self, text: &str) -> Result<i64> {
        Ok(self.telegram.say(self.forum, Some(self.thread), ALICE, text).await?)
    }

    /// Name of the task or session that the bot makes for a message.
    pub fn object(&self, message: i64) -> String {
        names::for_message(&self.topic, message)
    }

    /// The first message of the bot behind `after` that contains `text`.
    ///
    /// # Errors
    /// After [`DEADLINE`], with all that stands in the topic.
    pub async fn answer(&self, after: i64, text: &str) -> Result<Shown> {
        match self
            .telegram
            .wait_for(self.forum, Some(self.thread), after, text, DEADLINE)
            .await
        {
            Ok(shown) => Ok(shown),
            Err(error) => bail!("no answer with «{text}»: {error}\n{}", self.transcript().await?),
        }
    }

    /// The first message of the bot behind `after` with a button of this label.
    ///
    /// # Errors
    /// After [`DEADLINE`], with all that stands in the topic.
    pub async fn button(&self, after: i64, label: &str) -> Result<Shown> {
        let wanted = Wanted {
            thread: Some(self.thread),
            after,
            button: Some(label.to_owned()),
            ..Wanted::default()
        };
        match self.telegram.wait(self.forum, &wanted, DEADLINE).await {
            Ok(shown) => Ok(shown),
            Err(error) => bail!("no button «{label}»: {error}\n{}", self.transcript().await?),
        }
    }

    /// Presses a button of the bot's message, and returns the short words that Telegram shows for it.
    ///
    /// # Errors
    /// When there is no such button, or the bot has not answered after [`DEADLINE`].
    pub async fn press(&self, message: i64, user: i64, label: &str) -> Result<String> {
        let pressed = self.telegram.press(self.forum, message, user, label).await?;
        let answer = self.telegram.callback(&pressed.id, DEADLINE).await?.answer;
        Ok(answer.context("the press was not answered")?.text)
    }

    /// Alice writes, and the answer comes; it stands in exactly one message of the bot.
    ///
    /// # Errors
    /// As [`Self::answer`], or when the answer stands there more than once.
    pub async fn ask(&self, question: &str, expected: &str) -> Result<Shown> {
        let asked = self.say(question).await?;
        let shown = self.answer(asked, expected).await?;
        self.exactly_once(expected).await?;
        Ok(shown)
    }

    /// Fails unless this text stands in exactly one message of the bot.
    ///
    /// # Errors
    /// With all that stands in the topic.
    pub async fn exactly_once(&self, text: &str) -> Result<()> {
        let count = self
            .from_bot()
            .await?
            .iter()
            .filter(|shown| shown.text.contains(text))
            .count();
        ensure!(
            count == 1,
            "«{text}» stands there {count} times:\n{}",
            self.transcript().await?
        );
        Ok(())
    }

    /// Texts of the bot's replies to this message that contain one of these.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn replies(&self, message: i64, any_of: &[&str]) -> Result<Vec<String>> {
        let shown = self.from_bot().await?.into_iter();
        Ok(shown
            .filter(|shown| shown.reply_to == Some(message))
            .map(|shown| shown.text)
            .filter(|text| any_of.iter().any(|part| text.contains(part)))
            .collect())
    }

    /// When this message was sent, and when its answer first showed `text`; Unix milliseconds of the emulator.
    ///
    /// # Errors
    /// When the message is gone or the answer never showed the text.
    pub async fn seen_after(&self, asked: i64, answer: &Shown, text: &str) -> Result<(i64, i64)> {
        let all = self.telegram.messages(self.forum, Some(self.thread)).await?;
        let question = all
            .iter()
            .find(|shown| shown.message_id == asked)
            .context("the question is gone")?;
        let first = answer
            .history
            .iter()
            .find(|version| version.text.contains(text))
            .context("no look with text")?;
        Ok((question.sent_ms, first.at_ms))
    }

    /// What the bot wrote in the topic.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn from_bot(&self) -> Result<Vec<Shown>> {
        let all = self.telegram.messages(self.forum, Some(self.thread)).await?;
        Ok(all.into_iter().filter(|shown| shown.from_bot).collect())
    }

    /// The topic as text, for people.
    ///
    /// # Errors
    /// When the emulator does not answer.
    pub async fn transcript(&self) -> Result<String> {
        let all = self
            .telegram
            .messages(self.forum, Some(self.thread))
            .await
            .context("the chat cannot be read")?;
        let lines = all.iter().filter(|shown| shown.service.is_none()).map(|shown| {
            let buttons = shown
                .buttons
                .iter()
                .flatten()
                .map(|label| format!(" [{label}]"))
                .collect::<String>();
            format!(
                "{:>8}: {}{buttons}",
                shown.name,
                shown.text.replace('\n', "\n          ")
            )
        });
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}
