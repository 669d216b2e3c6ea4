//! The only writer of the file: a thread that commits in groups.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

use nix::fcntl::Flock;
use tokio::sync::watch;

use super::Durable;

/// Pause before a failed write is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// One line on its way to the disk, and the watermark once it is there.
#[derive(Debug)]
pub struct Chunk {
    pub line: String,
    pub entries: u64,
    pub seq: u64,
}

/// Starts the thread. It ends when the sender is dropped, and the lock with it.
pub fn start(file: Flock<File>, start: Durable) -> (mpsc::Sender<Chunk>, watch::Receiver<Durable>) {
    let (sender, chunks) = mpsc::channel();
    let (durable, watermark) = watch::channel(start);
    let spawned = std::thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || run(file, &chunks, &durable));
    if let Err(error) = spawned {
        tracing::error!(%error, "the journal's writer cannot be started");
    }
    (sender, watermark)
}

fn run(mut file: Flock<File>, chunks: &mpsc::Receiver<Chunk>, durable: &watch::Sender<Durable>) {
    while let Ok(first) = chunks.recv() {
        let mut batch = first.line;
        let (mut entries, mut seq) = (first.entries, first.seq);
        // Whatever gathered during the last sync shares the next one.
        while let Ok(more) = chunks.try_recv() {
            batch.push_str(&more.line);
            (entries, seq) = (more.entries, more.seq);
        }
        let good = durable.borrow().bytes;
        while let Err(error) = commit(&mut file, batch.as_bytes()) {
            tracing::error!(%error, "the journal cannot be written; trying again");
            durable.send_modify(|durable| durable.failure = Some(error.to_string()));
            // A part of the batch may be there: cut it off, so that no line is doubled or torn.
            if let Err(error) = file.set_len(good) {
                tracing::error!(%error, "the journal cannot be cut to its last good line");
            }
            std::thread::sleep(RETRY);
        }
        durable.send_modify(|durable| {
            *durable = Durable {
                entries,
                seq,
                bytes: good + batch.len() as u64,
                failure: None,
            };
        });
    }
}

fn commit(file: &mut File, batch: &[u8]) -> std::io::Result<()> {
    file.write_all(batch)?;
    file.sync_data()
}
