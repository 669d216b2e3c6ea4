use super::*;
use longshore_wire::MessageId;

fn accepted(n: i64) -> Event {
    Event::Accepted {
        id: MessageId::from_telegram(1, n),
        author: None,
        text: format!("message {n} — with \"quotes\" and\nlines"),
        attachments: Vec::new(),
        context: None,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn flush(journal: &Journal) {
    block_on(journal.wait(journal.entries(), Duration::from_secs(20))).unwrap();
}

/// Opens it once the writer of its last life has let go.
fn open(path: &Path) -> (Journal, Vec<Entry>) {
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        match Journal::open(path) {
            Err(JournalError::InUse { .. }) if std::time::Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}

#[test]
fn a_journal_has_one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.jsonl");
    let (first, _) = open(&path);
    let second = Journal::open(&path).unwrap_err();
    assert!(second.to_string().contains("written by another agent"), "{second}");
    first.append(Timestamp::UNIX_EPOCH, accepted(1));
    drop(first);
    let (second, found) = open(&path);
    assert_eq!(found.len(), 1, "what was appended before the lock is released is there");
    assert_eq!(second.append(Timestamp::UNIX_EPOCH, accepted(2)).0.seq, 2);
}

#[test]
fn a_journal_reads_back_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.jsonl");
    {
        let (journal, found) = open(&path);
        assert!(found.is_empty());
        assert_eq!(journal.append(Timestamp::UNIX_EPOCH, accepted(1)).0.seq, 1);
        journal.mark(Mark::Acked { seq: 1 });
        assert_eq!(journal.append(Timestamp::UNIX_EPOCH, accepted(2)).0.seq, 2);
        flush(&journal);
        let records = journal.read_after(0, 1).unwrap();
        assert_eq!(records.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [1], "bounded");
        let records = journal.read_after(1, 1 << 20).unwrap();
        assert_eq!(records.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2]);
        assert!(journal.read_after(2, 1 << 20).unwrap().is_empty());
    }
    let (journal, found) = open(&path);
    assert_eq!(found.len(), 3);
    assert_eq!(found[1], Entry::Mark(Mark::Acked { seq: 1 }));
    assert_eq!(journal.append(Timestamp::UNIX_EPOCH, accepted(3)).0.seq, 3);
    flush(&journal);
    assert_eq!(journal.read_after(0, 1 << 20).unwrap().len(), 3);
}

#[test]
fn a_crash_at_any_byte_of_the_last_line_loses_only_that_line() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole.jsonl");
    let (journal, _) = open(&whole);
    for n in 1..=3 {
        journal.append(Timestamp::UNIX_EPOCH, accepted(n));
    }
    flush(&journal);
    let bytes = std::fs::read(&whole).unwrap();
    let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
    let cut = folder.path().join("cut.jsonl");
    for length in last..bytes.len() {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        let (journal, found) = open(&cut);
        assert_eq!(found.len(), 2, "cut at {length}");
        assert_eq!(
            journal.append(Timestamp::UNIX_EPOCH, accepted(9)).0.seq,
            3,
            "no gap after a cut at {length}"
        );
        flush(&journal);
        drop(journal);
        let (_, found) = open(&cut);
        assert_eq!(found.len(), 3, "whole again after a cut at {length}");
    }
}

#[test]
fn a_broken_line_in_the_middle_is_skipped_and_never_shifts_a_sequence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.jsonl");
    let (journal, _) = open(&path);
    for n in 1..=3 {
        journal.append(Timestamp::UNIX_EPOCH, accepted(n));
    }
    flush(&journal);
    drop(journal);
    let text = std::fs::read_to_string(&path).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[1] = "{broken";
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    let (journal, found) = open(&path);
    assert_eq!(found.len(), 2);
    assert_eq!(journal.append(Timestamp::UNIX_EPOCH, accepted(4)).0.seq, 4);
    flush(&journal);
    let seqs: Vec<u64> = journal
        .read_after(1, 1 << 20)
        .unwrap()
        .iter()
        .map(|(seq, _)| *seq)
        .collect();
    assert_eq!(seqs, [3, 4]);
}

#[test]
fn a_record_with_an_impossible_sequence_is_skipped_and_never_shifts_the_others() {
    for wrong in [0, 1, 4, 9, 4_000_000_000_000_000_000, u64::MAX] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j.jsonl");
        let record = |seq: u64| {
            let at = Timestamp::UNIX_EPOCH;
            let message = format!("record {seq}");
            let event = Event::Restarted { message };
            Entry::Record(Record { seq, at, event }).encode()
        };
        let lines = [record(1), record(2), record(wrong), record(3), record(4)];
        std::fs::write(&path, lines.concat()).unwrap();
        let (journal, found) = open(&path);
        let seqs: Vec<u64> = found
            .iter()
            .filter_map(|entry| match entry {
                Entry::Record(record) => Some(record.seq),
                Entry::Mark(_) => None,
            })
            .collect();
        assert_eq!(seqs, [1, 2, 3, 4], "with {wrong}");
        for limit in [1, 1 << 20] {
            let mut read = vec![1];
            while read.len() < 4 {
                let records = journal.read_after(read[read.len() - 1], limit).unwrap();
                assert!(!records.is_empty(), "with {wrong} after {read:?}");
                read.extend(records.iter().map(|(seq, _)| *seq));
            }
            assert_eq!(read, [1, 2, 3, 4], "with {wrong}");
        }
        assert_eq!(journal.append(Timestamp::UNIX_EPOCH, accepted(5)).0.seq, 5);
    }
}

#[test]
fn no_record_is_shorter_than_is_assumed() {
    let at = Timestamp::UNIX_EPOCH;
    let message = String::new();
    let event = Event::Restarted { message };
    let shortest = Entry::Record(Record { seq: 1, at, event }).encode();
    assert!(shortest.len() as u64 >= SHORTEST_RECORD, "{shortest}");
}

#[test]
fn many_appends_at_once_share_syncs_and_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder.path().join("j.jsonl"));
    let threads: Vec<_> = (0..8)
        .map(|thread| {
            let journal = journal.clone();
            std::thread::spawn(move || {
                for n in 0..50 {
                    journal.append(Timestamp::UNIX_EPOCH, accepted(thread * 1000 + n));
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    flush(&journal);
    let mut after = 0;
    loop {
        let records = journal.read_after(after, 4096).unwrap();
        if records.is_empty() {
            break;
        }
        for (seq, _) in records {
            assert_eq!(seq, after + 1);
            after = seq;
        }
    }
    assert_eq!(after, 400);
}
