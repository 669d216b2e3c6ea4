//! A volume that fills up.

use longshore_wire::event::{DiskLevel, Event};

use crate::support::{Rig, Setup, id};

fn at_level(wanted: DiskLevel) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Disk { level, .. } if *level == wanted)
}

#[tokio::test]
async fn people_are_told_when_the_volume_is_nearly_full_and_when_there_is_room_again() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not tested: only root may mount a small volume");
        return;
    }
    let rig = Rig::start(Setup {
        volume_mib: Some(64),
        ..Setup::default()
    })
    .await;
    rig.runner.ask(id(1), "one").await;
    let before = rig.runner.status().await;
    let big = rig.path("workspace/big");
    let size = usize::try_from(before.disk.free_bytes - (2 << 20)).unwrap();
    std::fs::write(&big, vec![b'x'; size]).unwrap();
    let mut events = rig.runner.events(0).await;
    let low = events.wait("the news", at_level(DiskLevel::Low)).await;
    assert!(
        matches!(&low.event, Event::Disk { message, disk, .. } if message.contains("of 64 MiB") && disk.free_bytes < 4 << 20),
        "{low:?}"
    );
    let told = rig.runner.status().await;
    assert_eq!(told.last_activity, before.last_activity, "a full disk is no activity");
    std::fs::remove_file(big).unwrap();
    events.wait("relief", at_level(DiskLevel::Normal)).await;
}
