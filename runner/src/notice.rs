//! Notices to the operator: hints to look now. Fire and forget; a notice that cannot be delivered is given up after a few
//! tries, because the operator looks by itself too, only later.

use std::time::Duration;

use longshore_wire::AgentConfig;
use longshore_wire::notice::{NOTICE_PATH, Notice, NoticeKind};

/// Pauses between tries.
const PAUSES_MS: [u64; 6] = [0, 100, 300, 1000, 3000, 10_000];
const TIMEOUT: Duration = Duration::from_secs(3);

/// Posts notices.
#[derive(Clone, Debug)]
pub struct Notifier {
    client: reqwest::Client,
    target: Option<(String, Notice)>,
}

impl Notifier {
    /// A notifier for this agent.
    pub fn new(client: reqwest::Client, agent: &AgentConfig) -> Self {
        let target = agent.notice_url.as_ref().map(|url| {
            let notice = Notice {
                kind: agent.kind,
                namespace: agent.namespace.clone(),
                name: agent.name.clone(),
                uid: agent.uid,
                what: NoticeKind::Announce,
            };
            (format!("{}{NOTICE_PATH}", url.trim_end_matches('/')), notice)
        });
        Self { client, target }
    }

    /// Posts a notice in the background.
    pub fn post(&self, what: NoticeKind) {
        let Some((url, notice)) = self.target.clone() else {
            return;
        };
        let client = self.client.clone();
        tokio::spawn(async move {
            let notice = Notice { what, ..notice };
            for pause in PAUSES_MS {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let sent = client.post(&url).timeout(TIMEOUT).json(&notice).send().await;
                match sent.and_then(reqwest::Response::error_for_status) {
                    Ok(_) => return,
                    Err(error) => tracing::debug!(?what, %error, "a notice was not taken"),
                }
            }
            tracing::warn!(?what, "the operator took no notice; it will find out by itself");
        });
    }
}
