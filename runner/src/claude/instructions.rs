//! The instructions that claude reads at every start: `<config>/CLAUDE.md`.
//!
//! It holds what the class and the topic say, and imports the topic's state file and, unless claude loads that by itself, the workspace's own CLAUDE.md. claude reads
//! it anew on resume too, so a changed state file is seen.

use crate::settings::Settings;
use crate::volume::{Volume, VolumeError};
use longshore_wire::agent::AgentKind;

/// Writes the file.
pub fn write(settings: &Settings, volume: &Volume) -> Result<(), VolumeError> {
    let path = volume.claude_config().join("CLAUDE.md");
    std::fs::write(&path, compose(settings, volume)).map_err(|source| VolumeError { path, source })
}

fn compose(settings: &Settings, volume: &Volume) -> String {
    let agent = &settings.agent;
    let kind = match agent.kind {
        AgentKind::Session => "You keep a conversation with the people of this topic. They may write while you work.",
        AgentKind::Task => "You answer one request. Nobody can answer questions: decide, do it, and report.",
    };
    let place = match volume.scratch() {
        None => "it outlives this process and is all that is kept. Files that people send lie in its folder `inbox`."
            .to_owned(),
        Some(scratch) => format!(
            "it belongs to a session that runs beside you, so you can only read it, and it may change while you do. Write what you \
             need for your work below `{}`: that is gone with you, so give your results in the answer.",
            scratch.display()
        ),
    };
    let mut text = format!(
        "# Longshore\n\n\
         You work in the chat topic `{}`. People read your answers in a chat: be brief, use plain Markdown.\n{kind}\n\
         Your workspace is `{}`; {place}\n\n\
         What earlier sessions of this topic left behind:\n\n@{}\n",
        agent.topic,
        volume.workspace().display(),
        volume.state_file().display(),
    );
    let titles = ["The administrators say", "For this topic"];
    for (title, told) in titles.iter().zip(&settings.instructions) {
        if let Some(told) = told {
            text.push_str(&format!("\n{title}:\n\n{told}\n"));
        }
    }
    if !agent.trust_workspace_settings {
        text.push_str(&format!(
            "\nInstructions of the workspace:\n\n@{}\n",
            volume.workspace().join("CLAUDE.md").display()
        ));
    }
    text
}
