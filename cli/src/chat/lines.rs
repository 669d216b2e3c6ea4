//! Lines that a person types, or that another program writes.

use std::io::BufRead;

use tokio::sync::mpsc;

/// A line, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line without its end.
    Text(String),
    /// There are no more.
    End,
    /// Ctrl-C.
    Interrupt,
}

/// Lines of standard input; in a terminal, Ctrl-C too. The thread that reads is left behind when the program ends: it cannot be woken.
pub fn of_standard_input(terminal: bool) -> mpsc::Receiver<Line> {
    let (sender, receiver) = mpsc::channel(1);
    if terminal {
        let interrupts = sender.clone();
        tokio::spawn(async move {
            while tokio::signal::ctrl_c().await.is_ok() && interrupts.send(Line::Interrupt).await.is_ok() {}
        });
    }
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        let mut bytes = Vec::new();
        while input.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&bytes)
                .trim_end_matches(['\n', '\r'])
                .to_owned();
            if sender.blocking_send(Line::Text(text)).is_err() {
                return;
            }
            bytes.clear();
        }
        // Nobody listens any more.
        let _ = sender.blocking_send(Line::End);
    });
    receiver
}
