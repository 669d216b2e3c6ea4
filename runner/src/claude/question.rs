//! One question to a conversation that is over, by a claude that lives only for it.
//!
//! The conversation's transcript stays as it is, byte for byte: the process works on a fork that is not stored, and the
//! question is asked beside the conversation. Held by a test with the real CLI.

use std::process::Command;
use std::time::Duration;

use longshore_wire::claude::output::side_answer;
use longshore_wire::claude::{Input, Line, Request};
use tokio::time::timeout;

use super::process::{Process, Said};
use super::reaper::{Group, Reaper};
use crate::journal::Journal;

const INITIALIZE: &str = "longshore-initialize";
const QUESTION: &str = "longshore-question";
const LEAVE: &str = "longshore-leave";
/// Time to leave before it is killed.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks and waits for the answer. Whoever stops waiting kills the process.
pub async fn ask(command: Command, reaper: &Reaper, journal: Journal, question: &str) -> Result<String, String> {
    let mut process = Process::start(command, reaper, journal).map_err(|error| error.to_string())?;
    let group = Group(process.pid);
    let control = |request_id: &str, request| Input::Control {
        request_id: request_id.to_owned(),
        request,
    };
    let initialize = Request::Initialize {
        mcp_servers: Vec::new(),
    };
    process.write(control(INITIALIZE, initialize).encode(), 0);
    let question = question.to_owned();
    process.write(control(QUESTION, Request::SideQuestion { question }).encode(), 0);
    let answer = answer(&mut process).await;
    // It may be writing its settings, so it is asked to leave before it is made to.
    process.write(control(LEAVE, Request::EndSession).encode(), 0);
    let leaving = async { while process.said.recv().await.is_some() {} };
    let left = timeout(PATIENCE, leaving).await;
    drop(group);
    if left.is_err() {
        while process.said.recv().await.is_some() {}
    }
    answer
}

async fn answer(process: &mut Process) -> Result<String, String> {
    loop {
        let response = match process.said.recv().await {
            Some(Said::Line(Line::Response(response))) => response,
            Some(Said::Line(_)) => continue,
            Some(Said::Exited(exit)) => return Err(format!("claude ended ({exit}): {}", process.errors())),
            None => return Err("claude ended".to_owned()),
        };
        match (response.request_id.as_str(), response.outcome) {
            (QUESTION, Ok(reply)) => return side_answer(&reply),
            (_, Ok(_)) => {}
            (_, Err(error)) => return Err(error),
        }
    }
}
