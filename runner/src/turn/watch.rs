//! The watchdog: silence, requests to the model that only fail, and a claude that does not answer its start.

use jiff::{SignedDuration, Timestamp};
use longshore_wire::claude::Request;

use super::finish::{self, End};
use super::{COMPACTING_PATIENCE, Machine, Output, Pending, Place, SETTLING};

/// Signs of life.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    last_sign: Option<Timestamp>,
    retrying_since: Option<Timestamp>,
    /// The process was started then; none once it was told to be killed for not answering.
    starting_since: Option<Timestamp>,
    /// claude makes its conversation shorter; it says nothing meanwhile.
    pub compacting: bool,
}

impl Watch {
    /// Something moved.
    pub fn sign(&mut self, now: Timestamp) {
        self.last_sign = Some(now);
    }

    /// The process exists.
    pub fn starts(&mut self, now: Timestamp) {
        self.starting_since = Some(now);
    }

    /// A request to the model failed.
    pub fn retried(&mut self, now: Timestamp) {
        self.retrying_since.get_or_insert(now);
    }

    /// A request to the model was answered, or the turn is over.
    pub fn answered(&mut self) {
        self.retrying_since = None;
    }
}

/// A turn that was told to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// What its messages are told.
    pub end: End,
    since: Timestamp,
    killed: bool,
}

impl Stopping {
    pub fn new(end: End, since: Timestamp) -> Self {
        Self {
            end,
            since,
            killed: false,
        }
    }
}

impl Machine {
    pub(super) fn tick(&mut self, now: Timestamp, upstream: Option<Timestamp>, out: &mut Vec<Output>) {
        self.approvals.expire(now, out);
        self.settling = self.settling.filter(|since| now.duration_since(*since) < SETTLING);
        if let Some(stopping) = &mut self.stopping {
            if !stopping.killed && now.duration_since(stopping.since) >= self.limits.obey {
                stopping.killed = true;
                out.push(Output::Kill("it did not stop when it was told to"));
            }
            return;
        }
        let over = |since: Option<Timestamp>, limit: SignedDuration| {
            since.is_some_and(|since| now.duration_since(since) >= limit)
        };
        if !self.ready && over(self.watch.starting_since, self.limits.start) {
            self.watch.starting_since = None;
            out.push(Output::StartRefused("it does not answer when it is started".to_owned()));
            out.push(Output::Kill("it does not answer when it is started"));
        }
        if !self.ready || self.winding.is_some() {
            return;
        }
        if self.turn.is_some() && over(self.watch.retrying_since, self.limits.retries) {
            self.stop(now, finish::retries(), out);
        } else if self.must_move() && over(self.watch.last_sign.max(upstream), self.patience()) {
            self.stop(now, finish::silence(), out);
        }
    }

    /// Something is under way that claude itself must bring forward: no tool runs and no person is waited for.
    fn must_move(&self) -> bool {
        let sent = self.unfinished.iter().any(|open| open.place != Place::Waiting);
        let waits = !self.approvals.is_empty() || self.turn.as_ref().is_some_and(|turn| !turn.tools.is_empty());
        (self.turn.is_some() || sent) && !waits
    }

    fn patience(&self) -> SignedDuration {
        if self.watch.compacting {
            self.limits.silence.saturating_mul(COMPACTING_PATIENCE)
        } else {
            self.limits.silence
        }
    }

    /// Tells claude to stop, and its messages why. If it does not obey, the next ticks kill it.
    pub(super) fn stop(&mut self, now: Timestamp, end: End, out: &mut Vec<Output>) {
        if self.stopping.is_none() {
            self.stopping = Some(Stopping::new(end, now));
            self.control(Request::Interrupt { cancel_queued: false }, Pending::Unanswered, out);
        }
    }
}
