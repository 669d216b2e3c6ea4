//! A transcription by a program: the recording on its standard input, the text on its standard output.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{NotTranscribed, TRANSCRIPT};

/// What is told of the errors of a program, in bytes.
const STDERR: u64 = 2048;

/// Runs it without a shell, and with nothing of the bot's own environment, which holds the token. It is killed when nobody waits
/// any more.
pub async fn text(command: &[String], name: &str, audio: Vec<u8>) -> Result<String, NotTranscribed> {
    let (program, arguments) = command.split_first().ok_or(NotTranscribed::NotStarted)?;
    let spawned = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LANG", "C.UTF-8")
        .env("AUDIO_NAME", name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawned.map_err(|error| {
        tracing::error!(program, %error, "the command for transcriptions cannot be started");
        NotTranscribed::NotStarted
    })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // One that does not want all of it is no failure.
            let _ = stdin.write_all(&audio).await;
        }
    };
    let read = async {
        let mut text = Vec::new();
        if let Some(stdout) = stdout {
            let _ = stdout.take(TRANSCRIPT as u64 + 1).read_to_end(&mut text).await;
        }
        text
    };
    let complain = async {
        let mut text = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = (&mut stderr).take(STDERR).read_to_end(&mut text).await;
            // The rest must not hold it up.
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
        }
        text
    };
    // More than the bound closes the pipe, which ends most programs; the timeout ends the others.
    let ((), text, complaint) = tokio::join!(write, read, complain);
    if text.len() > TRANSCRIPT {
        return Err(NotTranscribed::TooLong);
    }
    let ended = child.wait().await.map_err(|_| NotTranscribed::Failed(None))?;
    if !ended.success() {
        tracing::warn!(program, %ended, stderr = %String::from_utf8_lossy(&complaint), "a transcription failed");
        return Err(NotTranscribed::Failed(ended.code()));
    }
    String::from_utf8(text).map_err(|_| NotTranscribed::NotUnderstood)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::transcribe::{Plugged, Transcriber};

    async fn run(script: &str, audio: &[u8]) -> Result<String, NotTranscribed> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let transcriber = Transcriber {
            by: Plugged::Command(command),
            at_most: Duration::from_secs(20),
        };
        transcriber.text("voice.ogg", audio.to_vec()).await
    }

    #[tokio::test]
    async fn a_program_reads_the_recording_and_prints_the_text() {
        assert_eq!(run("tr a-z A-Z", b"six by seven\n").await.unwrap(), "SIX BY SEVEN");
        assert_eq!(
            run("echo heard $AUDIO_NAME", &vec![0; 1 << 20]).await.unwrap(),
            "heard voice.ogg"
        );
        let environment = run("env", b"").await.unwrap();
        assert!(!environment.contains("CARGO"), "{environment}");
    }

    #[tokio::test]
    async fn what_goes_wrong_has_a_name() {
        let check = async |script: &str, error: NotTranscribed| {
            assert_eq!(run(script, b"x").await.unwrap_err(), error, "{script}");
        };
        check("echo no >&2; exit 3", NotTranscribed::Failed(Some(3))).await;
        check("true", NotTranscribed::Silent).await;
        check("printf '\\377'", NotTranscribed::NotUnderstood).await;
        check("yes", NotTranscribed::TooLong).await;
        check("yes >&2 & sleep 0.2; kill $!; exit 1", NotTranscribed::Failed(Some(1))).await;
        let missing = text(&["/no/such/program".to_owned()], "a", Vec::new()).await;
        assert_eq!(missing, Err(NotTranscribed::NotStarted));
        let slow = Transcriber {
            by: Plugged::Command(vec!["/bin/sleep".to_owned(), "60".to_owned()]),
            at_most: Duration::from_millis(50),
        };
        assert_eq!(slow.text("a", Vec::new()).await, Err(NotTranscribed::TooSlow(0)));
    }
}
