//! The command line and the environment of claude.
//!
//! The environment starts empty: claude's Bash tool inherits all of it, so nothing of the runner's own may be in it. Of
//! the class's variables only those named for tools are passed on.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use longshore_wire::api;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::settings::{Credential, Settings};
use crate::turn::desk;
use crate::volume::Volume;

/// Where programs are found.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Which conversation claude takes up. The CLI refuses `--session-id` when its transcript exists, and `--resume` when not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conversation {
    /// `--session-id`.
    New,
    /// `--resume`.
    Resumed,
    /// A fork of this other session's, of which nothing is stored.
    ForkOf(Uuid),
}

/// The command that starts claude. `changed` are the settings that people changed at run time.
pub fn command(
    settings: &Settings,
    volume: &Volume,
    proxy: &Proxy,
    conversation: Conversation,
    changed: &api::Settings,
) -> Command {
    let mut command = Command::new(&settings.flags.claude);
    command.args(arguments(settings, conversation, changed));
    if let Some(scratch) = volume.scratch() {
        command.arg("--add-dir").arg(scratch);
    }
    command.current_dir(volume.workspace());
    command.env_clear();
    // First, so that none of them can take the place of one of ours.
    command.envs(settings.for_tools.clone());
    command.envs(environment(settings, volume, proxy));
    command
}

fn arguments(settings: &Settings, conversation: Conversation, changed: &api::Settings) -> Vec<OsString> {
    let agent = &settings.agent;
    let mut arguments: Vec<String> = [
        "-p",
        "--input-format",
        "stream-json",
        "--output-format",
        "stream-json",
        "--verbose",
        "--include-partial-messages",
        "--replay-user-messages",
        "--permission-prompt-tool",
        "stdio",
    ]
    .map(str::to_owned)
    .to_vec();
    if matches!(conversation, Conversation::ForkOf(_)) {
        arguments.extend(["--fork-session", "--no-session-persistence"].map(str::to_owned));
    }
    let mut flag = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
    match conversation {
        Conversation::New => flag("--session-id", agent.uid.to_string()),
        Conversation::Resumed => flag("--resume", agent.uid.to_string()),
        Conversation::ForkOf(other) => flag("--resume", other.to_string()),
    }
    let mode = changed.permission_mode.as_ref().unwrap_or(&agent.permission_mode);
    flag("--permission-mode", mode.clone());
    if let Some(model) = changed.model.as_ref().or(agent.model.as_ref()) {
        flag("--model", model.clone());
    }
    if !agent.trust_workspace_settings {
        // Hooks, settings and MCP files of the workspace run without asking in -p mode.
        flag("--setting-sources", "user".to_owned());
        arguments.push("--strict-mcp-config".to_owned());
    }
    if agent.permission_mode == "bypassPermissions" {
        arguments.push("--allow-dangerously-skip-permissions".to_owned());
    }
    // These two take any number of values, so each value is bound to its flag.
    arguments.extend(
        agent
            .allowed_tools
            .iter()
            .map(String::as_str)
            .chain(desk::rules(agent))
            .map(|tool| format!("--allowedTools={tool}")),
    );
    arguments.extend(
        agent
            .disallowed_tools
            .iter()
            .map(|tool| format!("--disallowedTools={tool}")),
    );
    arguments.into_iter().map(OsString::from).collect()
}

/// The environment of a command that is not claude's but meets what claude's tools meet. It cannot even ask the model.
pub fn of_command(settings: &Settings, volume: &Volume) -> Vec<(OsString, OsString)> {
    let places = places(settings, volume).into_iter();
    let places = places.map(|(name, value)| (OsString::from(name), value));
    settings.for_tools.iter().cloned().chain(places).collect()
}

fn places(settings: &Settings, volume: &Volume) -> Vec<(&'static str, OsString)> {
    vec![
        ("PATH", OsString::from(PATH)),
        ("HOME", volume.claude_config().into_os_string()),
        ("TMPDIR", settings.flags.tmp.clone().into_os_string()),
        ("LANG", OsString::from("C.UTF-8")),
    ]
}

fn environment(settings: &Settings, volume: &Volume, proxy: &Proxy) -> Vec<(&'static str, OsString)> {
    let config = volume.claude_config();
    let text = |text: &str| OsString::from(text);
    let path = |path: &Path| path.as_os_str().to_owned();
    let key = match settings.credential {
        Credential::OAuthToken(_) => "CLAUDE_CODE_OAUTH_TOKEN",
        Credential::ApiKey(_) | Credential::None => "ANTHROPIC_API_KEY",
    };
    let mut environment = places(settings, volume);
    environment.extend([
        ("CLAUDE_CONFIG_DIR", path(&config)),
        ("CLAUDE_CODE_TMPDIR", path(&settings.flags.tmp)),
        ("ANTHROPIC_BASE_URL", text(&proxy.url)),
        (key, text(&proxy.dummy)),
        // The user's message is on disk before the first request: the restart rule depends on it.
        ("CLAUDE_CODE_EAGER_FLUSH", text("1")),
        // Joins text deltas, which is what a chat can show anyway.
        ("CLAUDE_CODE_STREAM_EVENT_HOLD_MS", text("300")),
        ("CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS", text("1")),
        ("CLAUDE_CODE_STARTUP_FAILURE_RESULTS", text("1")),
        ("CLAUDE_CODE_DISABLE_FILE_MENTIONS", text("1")),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", text("1")),
        ("DISABLE_TELEMETRY", text("1")),
        ("DISABLE_ERROR_REPORTING", text("1")),
        ("DISABLE_AUTOUPDATER", text("1")),
    ]);
    if settings.agent.permission_mode == "bypassPermissions" {
        // The pod is the sandbox; without this the CLI refuses that mode to root.
        environment.push(("IS_SANDBOX", text("1")));
    }
    environment
}
