//! ScheduledTasks: runs come by themselves, and their answers reach the topic whether the bot is there or not.

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use kube::api::ListParams;
use longshore_crds::{ContainerTask, PersistentSession, ScheduledTask, SessionPhase};
use longshore_e2e::chat::Chat;
use longshore_e2e::install::{Install, Options, RELEASE, with_install};
use longshore_e2e::kinds::{list, schedule, task, topic};
use serde_json::json;

const BOT: &str = "app.kubernetes.io/component=bot";

async fn scale_bot(install: &Install, replicas: u8) -> Result<()> {
    let (deployment, replicas) = (format!("deployment/{RELEASE}-bot"), format!("--replicas={replicas}"));
    install.kubectl(&["scale", &deployment, &replicas]).await.map(drop)
}

/// Tasks of a schedule's runs.
async fn runs(install: &Install, schedule: &str) -> Result<Vec<ContainerTask>> {
    let of_schedule = ListParams::default().labels(&format!("longshore.dev/schedule={schedule}"));
    Ok(install.api::<ContainerTask>().list(&of_schedule).await?.items)
}

fn is_complete(task: &ContainerTask) -> bool {
    task.status.as_ref().is_some_and(|status| status.result.is_some())
}

/// What stands above the answer of a run.
fn heading(run: &ContainerTask) -> Result<String> {
    let at = run
        .annotations()
        .get("longshore.dev/scheduled-for")
        .context("a run says what it was scheduled for")?;
    let minute = at.get(..16).context("a time has 16 characters and more")?;
    Ok(format!("⏰ tick, {}", minute.replace('T', " ")))
}

async fn ready(install: &Install, name: &'static str, reason: &'static str) -> Result<ScheduledTask> {
    install
        .wait_for(name, reason, move |object: Option<&ScheduledTask>| {
            object
                .and_then(|schedule| schedule.status.as_ref())
                .is_some_and(|status| status.conditions.iter().any(|one| one.reason == reason))
        })
        .await
}

#[tokio::test]
async fn a_schedule_fires_while_the_bot_is_down_and_its_answer_arrives_once_when_it_is_back() -> Result<()> {
    with_install(Options::named("schedule"), async |install| {
        let chat = Chat::open(install, "reports").await?;
        chat.ask("Are you there? [[say I am here.]]", "I am here.").await?;
        scale_bot(install, 0).await?;
        install
            .kubectl(&["wait", "--for=delete", "--timeout=120s", "pod", "-l", BOT])
            .await?;

        let mut paused = schedule("paused", &chat.topic, "* * * * *", "[[say never]]");
        paused["spec"]["suspend"] = json!(true);
        let tick = schedule("tick", &chat.topic, "* * * * *", "[[say Tick from the model.]]");
        install.apply(&list(vec![paused, tick])).await?;
        let ran = async || Ok(runs(install, "tick").await?.iter().any(is_complete));
        install.until("a run is complete", ran).await?;
        let pause = json!({"spec": {"suspend": true}}).to_string();
        install
            .kubectl(&["patch", "st", "tick", "--type=merge", "-p", &pause])
            .await?;
        ready(install, "tick", "Suspended").await?;
        ensure!(chat.from_bot().await?.len() == 1, "{}", chat.transcript().await?);

        let over = async || Ok(runs(install, "tick").await?.iter().all(is_complete));
        install.until("no run is under way", over).await?;
        scale_bot(install, 1).await?;
        let told = async || {
            let delivered = |run: &ContainerTask| run.annotations().contains_key("longshore.dev/delivered");
            Ok(runs(install, "tick").await?.iter().all(delivered))
        };
        install.until("every answer is in the chat", told).await?;
        let ran = runs(install, "tick").await?;
        for run in &ran {
            chat.exactly_once(&heading(run)?).await?;
        }
        let shown = chat.from_bot().await?;
        let answers = shown.iter().filter(|one| one.text.contains("Tick from the model."));
        ensure!(answers.count() == ran.len(), "{}", chat.transcript().await?);
        ensure!(
            runs(install, "paused").await?.is_empty(),
            "a suspended schedule has started a run"
        );
        ready(install, "paused", "Suspended").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_schedule_says_when_it_runs_next_and_what_to_write_instead() -> Result<()> {
    let kubectl_only = Options::named("cron").with(json!({"bot": {"enabled": false}}));
    with_install(kubectl_only, async |install| {
        let mut zone = schedule("zone", "docs", "0 9 * * *", "[[say never]]");
        zone["spec"]["timeZone"] = json!("Europe/Atlantis");
        let never = schedule("never", "docs", "0 0 31 2 *", "[[say never]]");
        let lost = schedule("lost", "nowhere", "0 0 1 1 *", "[[say never]]");
        let good = schedule("good", "docs", "0 0 1 1 *", "[[say never]]");
        install
            .apply(&list(vec![topic("docs"), zone, never, lost, good]))
            .await?;
        let says = |schedule: ScheduledTask| {
            let status = schedule.status.unwrap_or_default();
            status.conditions.into_iter().map(|one| one.message).collect::<String>()
        };
        let message = says(ready(install, "zone", "InvalidTimeZone").await?);
        ensure!(
            message.contains("write an IANA name such as Europe/Berlin"),
            "{message}"
        );
        let message = says(ready(install, "never", "InvalidSchedule").await?);
        ensure!(message.contains("never comes true"), "{message}");
        let message = says(ready(install, "lost", "TopicNotFound").await?);
        ensure!(message.contains("Topic nowhere does not exist"), "{message}");
        let next = ready(install, "good", "Scheduled").await?.status.unwrap_or_default();
        ensure!(next.next_schedule_time.is_some(), "{next:?}");
        let shown = install.kubectl(&["get", "st"]).await?;
        let words: Vec<&str> = shown.lines().next().unwrap_or_default().split_whitespace().collect();
        let columns = [
            "NAME", "TOPIC", "SCHEDULE", "TIMEZONE", "SUSPEND", "ACTIVE", "LAST", "NEXT", "REASON", "AGE",
        ];
        ensure!(words == columns, "{shown}");
        ensure!(shown.contains("-01-01T00:00:00Z"), "{shown}");
        let correct = json!({"spec": {"timeZone": "Europe/Berlin"}}).to_string();
        install
            .kubectl(&["patch", "st", "zone", "--type=merge", "-p", &correct])
            .await?;
        ready(install, "zone", "Scheduled").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_schedule_wakes_the_topics_session_which_answers_in_its_conversation_once() -> Result<()> {
    let class = json!({"agentClass": {"session": {"idleTimeoutSeconds": 12}}});
    with_install(Options::named("to-session").with(class), async |install| {
        let chat = Chat::open(install, "standup").await?;
        let asked = chat.say("/deep Remember guillemot [[say Noted.]]").await?;
        chat.answer(asked, "Noted.").await?;
        let name = chat.object(asked);
        let asleep = |found: Option<&PersistentSession>| {
            let phase = found.and_then(|session| session.status.as_ref()?.phase);
            phase == Some(SessionPhase::Suspended)
        };
        install.wait_for(&name, "asleep", asleep).await?;
        install.gone("pod", &format!("ls-{}-0", chat.topic)).await?;

        let mut tick = schedule("tick", &chat.topic, "* * * * *", "What was the first thing? [[recall]]");
        tick["spec"]["whileSessionActive"] = json!("ToSession");
        install.apply(&tick).await?;
        let taken = |found: Option<&ScheduledTask>| {
            let status = found.and_then(|schedule| schedule.status.as_ref());
            status.is_some_and(|status| status.last_schedule_time.is_some())
        };
        let tick: ScheduledTask = install.wait_for("tick", "with a run that was taken", taken).await?;
        let pause = json!({"spec": {"suspend": true}}).to_string();
        install
            .kubectl(&["patch", "st", "tick", "--type=merge", "-p", &pause])
            .await?;
        ready(install, "tick", "Suspended").await?;

        let status = tick.status.context("status")?;
        let minute = status.last_schedule_time.context("a run was taken")?.0;
        let heading = format!("⏰ tick, {}", minute.strftime("%Y-%m-%d %H:%M"));
        let shown = chat.answer(asked, &heading).await?;
        let remembers = async || {
            let all = chat.from_bot().await?;
            Ok(all
                .iter()
                .any(|one| one.message_id == shown.message_id && one.text.contains("guillemot")))
        };
        install.until("the session remembers", remembers).await?;
        chat.exactly_once(&heading).await?;
        ensure!(runs(install, "tick").await?.is_empty(), "the run was a task, too");
        let session = install.api::<PersistentSession>().get(&name).await?;
        let wish = session
            .annotations()
            .get("longshore.dev/wake")
            .context("it was woken")?;
        ensure!(wish.starts_with("schedule/"), "{wish}");
        chat.ask("And again? [[say Still here.]]", "Still here.").await?;
        Ok(())
    })
    .await
}

/// Says no while there is no file `news` in the workspace, and prints it otherwise.
const LOOK: &str = "test -e news || { echo nothing new; exit 1; }; cat news";

/// A run of the schedule `tick` that is complete for this reason.
async fn tick_that_was(install: &Install, reason: &'static str) -> Result<ContainerTask> {
    let is_so = |task: &ContainerTask| {
        let status = task.status.as_ref();
        status.is_some_and(|status| status.completion_time.is_some() && status.reason.as_deref() == Some(reason))
    };
    let ran = async || Ok(runs(install, "tick").await?.iter().any(is_so));
    install.until(reason, ran).await?;
    let found = runs(install, "tick").await?.into_iter().find(is_so);
    found.context("the newest of its kind is kept")
}

/// What a task's condition says.
fn message(task: &ContainerTask, condition: &str) -> String {
    let conditions = task.status.iter().flat_map(|status| &status.conditions);
    let told = conditions.filter(|one| one.type_ == condition);
    told.map(|one| one.message.as_str()).collect()
}

/// A run finds nothing to do.
async fn nothing_happens(install: &Install, chat: &Chat) -> Result<()> {
    let run = tick_that_was(install, "NotNeeded").await?;
    let why = message(&run, "Complete");
    ensure!(why.contains("exit status 1, and said last: nothing new"), "{why}");
    let usage = run.status.and_then(|status| status.usage);
    ensure!(usage.as_ref().is_none_or(|usage| usage.turns == 0), "{usage:?}");
    let shown = install.kubectl(&["get", "ct"]).await?;
    ensure!(shown.contains("NotNeeded"), "{shown}");
    let asked = install.model_requests("What is new?").await?;
    ensure!(asked.is_empty(), "the model was asked: {asked:?}");
    ensure!(chat.from_bot().await?.len() == 1, "{}", chat.transcript().await?);
    Ok(())
}

/// A command that cannot be run is a failure of its task.
async fn a_broken_command_is_told(install: &Install, chat: &Chat) -> Result<()> {
    let mut broken = task("broken", &chat.topic, "What is new? [[say never]]");
    broken["spec"]["when"] = json!({"command": ["no-such-program"]});
    install.apply(&broken).await?;
    let failed = install.task("broken", "Failed", "True").await?;
    let why = message(&failed, "Failed");
    ensure!(why.contains("`no-such-program` cannot be started"), "{why}");
    let reason = failed.status.and_then(|status| status.reason);
    ensure!(reason.as_deref() == Some("WhenFailed"), "{reason:?}");
    Ok(())
}

#[tokio::test]
async fn a_schedule_with_nothing_to_do_asks_no_model_and_tells_no_chat_until_there_is_something() -> Result<()> {
    let class = json!({"agentClass": {"permissions": {"allowedTools": ["Bash"]}}});
    with_install(Options::named("when").with(class), async |install| {
        let chat = Chat::open(install, "news").await?;
        chat.ask("Are you there? [[say I am here.]]", "I am here.").await?;
        let mut tick = schedule(
            "tick",
            &chat.topic,
            "* * * * *",
            "What is new? [[say I read: {{printed}}]]",
        );
        tick["spec"]["when"] = json!({"command": ["sh", "-c", LOOK], "timeoutSeconds": 30});
        install.apply(&tick).await?;
        nothing_happens(install, &chat).await?;

        let bring = "Bring news [[bash echo three gulls > news]] [[say Brought.]]";
        chat.ask(bring, "Brought.").await?;
        let run = tick_that_was(install, "Completed").await?;
        let pause = json!({"spec": {"suspend": true}}).to_string();
        install
            .kubectl(&["patch", "st", "tick", "--type=merge", "-p", &pause])
            .await?;
        let heading = heading(&run)?;
        let told = async || {
            let posted = chat.from_bot().await?;
            Ok(posted.iter().filter(|one| one.text.starts_with(&heading)).count() == 1)
        };
        install.until("its answer is in the chat", told).await?;
        let result = run.status.and_then(|status| status.result).context("a result")?;
        for piece in ["I read: [Longshore]", "> three gulls"] {
            ensure!(result.text.contains(piece), "{piece}: {result:?}");
        }
        let transcript = chat.transcript().await?;
        ensure!(!transcript.contains("was not asked"), "{transcript}");
        a_broken_command_is_told(install, &chat).await
    })
    .await
}
