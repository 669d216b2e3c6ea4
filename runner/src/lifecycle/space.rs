//! Free space on the topic's volume. claude goes on as if nothing were wrong when it is full and only loses its
//! conversation when it ends, so people are told before.

use longshore_wire::api::Disk;
use longshore_wire::event::{DiskLevel, Event};
use longshore_wire::notice::NoticeKind;

use super::Agent;
use super::pressure::bytes;

/// What the space does over time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Space {
    low: bool,
}

impl Space {
    /// What has become of it since the last look. A volume that cannot be looked at says nothing.
    fn look(&mut self, disk: &Disk) -> Option<DiskLevel> {
        let low = disk.is_nearly_full(self.low)?;
        let level = if low { DiskLevel::Low } else { DiskLevel::Normal };
        (std::mem::replace(&mut self.low, low) != low).then_some(level)
    }
}

fn sentence(level: DiskLevel, disk: &Disk) -> String {
    let left = format!("{} of {} are free", bytes(disk.free_bytes), bytes(disk.total_bytes));
    match level {
        DiskLevel::Low => format!(
            "The topic's volume is nearly full: {left}. Delete what is not needed or have it enlarged; when it is full, \
             claude forgets the conversation."
        ),
        DiskLevel::Normal => format!("The topic's volume has room again: {left}."),
    }
}

impl Agent {
    pub(super) fn look_at_space(&mut self) {
        let disk = self.parts.volume.disk();
        if let Some(level) = self.space.look(&disk) {
            let message = sentence(level, &disk);
            tracing::warn!(?level, message, "space");
            self.record(Event::Disk { level, message, disk });
            self.parts.notifier.post(NoticeKind::Disk);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(total_mib: u64, free_mib: &[u64], expected: &[Option<DiskLevel>]) {
        let mut space = Space::default();
        let looks = free_mib.iter().map(|free| {
            space.look(&Disk {
                free_bytes: free << 20,
                total_bytes: total_mib << 20,
            })
        });
        assert_eq!(looks.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn people_are_told_once_and_again_only_after_there_was_room() {
        let (low, normal) = (Some(DiskLevel::Low), Some(DiskLevel::Normal));
        check(
            1000,
            &[900, 50, 49, 10, 60, 99, 100, 49],
            &[None, None, low, None, None, None, normal, low],
        );
        // 5 % of a large disk are plenty.
        check(1 << 20, &[600, 499, 999, 1000], &[None, low, None, normal]);
        check(0, &[0], &[None]);
    }

    #[test]
    fn what_people_read() {
        let disk = Disk {
            free_bytes: 12 << 20,
            total_bytes: 10 << 30,
        };
        insta::assert_snapshot!(sentence(DiskLevel::Low, &disk), @"The topic's volume is nearly full: 12 MiB of 10.0 GiB are free. Delete what is not needed or have it enlarged; when it is full, claude forgets the conversation.");
        insta::assert_snapshot!(sentence(DiskLevel::Normal, &disk), @"The topic's volume has room again: 12 MiB of 10.0 GiB are free.");
    }
}
