//! Named gates that hold an answer until somebody opens them.
//!
//! A gate comes into being when it is first named, closed. Waiting has no limit of its own: it ends with the gate, or
//! when the caller is dropped because its client went away.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

#[derive(Debug, Default)]
pub struct Gates(Mutex<BTreeMap<String, watch::Sender<Gate>>>);

/// The state of one gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    pub open: bool,
    /// Answers held by it right now.
    pub waiting: usize,
}

impl Gates {
    pub fn set(&self, name: &str, open: bool) {
        self.sender(name).send_modify(|gate| gate.open = open);
    }

    /// Closes and forgets all gates nobody waits at.
    pub fn clear(&self) {
        self.lock().retain(|_, gate| gate.borrow().waiting > 0);
    }

    pub fn all(&self) -> BTreeMap<String, Gate> {
        self.lock()
            .iter()
            .map(|(name, gate)| (name.clone(), *gate.borrow()))
            .collect()
    }

    /// Returns when the gate is open.
    pub async fn pass(&self, name: &str) {
        let sender = self.sender(name);
        let _waiting = Waiting::at(&sender);
        let _ = sender.subscribe().wait_for(|gate| gate.open).await;
    }

    /// Returns when at least `count` answers are held.
    pub async fn held(&self, name: &str, count: usize) -> Gate {
        let sender = self.sender(name);
        let mut receiver = sender.subscribe();
        receiver
            .wait_for(|gate| gate.waiting >= count)
            .await
            .map(|gate| *gate)
            .unwrap_or_default()
    }

    fn sender(&self, name: &str) -> watch::Sender<Gate> {
        self.lock().entry(name.to_owned()).or_default().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<Gate>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Waiting(watch::Sender<Gate>);

impl Waiting {
    fn at(sender: &watch::Sender<Gate>) -> Self {
        sender.send_modify(|gate| gate.waiting += 1);
        Waiting(sender.clone())
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.send_modify(|gate| gate.waiting -= 1);
    }
}
