//! What the condition `DiskPressure` says. Pure.
//!
//! Messages hold no figure that changes from look to look: a status is written for them.

use longshore_crds::PersistentSession;
use longshore_crds::conditions::{reasons, types};
use longshore_wire::api::Disk;

use super::observe::Observed;
use crate::conditions::{Verdict, find, no, yes};

/// While no runner is heard: a volume is as full as it was.
pub fn unheard(session: &PersistentSession) -> Verdict {
    let conditions = session.status.as_ref().map_or(&[][..], |status| &status.conditions);
    match find(conditions, types::DISK_PRESSURE) {
        Some(said) if said.status == "True" => nearly_full(),
        _ => enough(),
    }
}

/// By what the runner says of the topic's volume.
pub fn pressure(seen: &Observed, disk: &Disk) -> Verdict {
    match disk.is_nearly_full(seen.holds(types::DISK_PRESSURE)) {
        Some(true) => nearly_full(),
        Some(false) => enough(),
        None => unheard(&seen.session),
    }
}

fn nearly_full() -> Verdict {
    let message = "The topic's volume is nearly full; delete what is not needed, or enlarge its claim. When it is full, claude forgets the conversation";
    yes(types::DISK_PRESSURE, reasons::NEARLY_FULL, message)
}

fn enough() -> Verdict {
    let message = "There is room on the topic's volume, as far as anybody has looked";
    no(types::DISK_PRESSURE, reasons::ENOUGH_SPACE, message)
}
