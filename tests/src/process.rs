//! Processes of the `odograph` binary.

use std::{
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::binary;

/// How long a process may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// A command of the binary that knows nothing of this machine but what is given here.
pub fn odograph(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ODOGRAPH_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs to the end; fails the test when that takes too long.
pub async fn run(command: &mut Command) -> Told {
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("{command:?} did not end"))
        .expect("a process");
    Told::from(output)
}

/// What a process said, and how it ended.
#[derive(Debug)]
pub struct Told {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl From<Output> for Told {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            status: output.status,
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Told {
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert!(
            self.status.success(),
            "{}\n--- out\n{}\n--- err\n{}",
            self.status,
            self.out,
            self.err
        );
        self
    }

    /// Fails unless it ended with 1, said something, and did not panic.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert_eq!(
            self.status.code(),
            Some(1),
            "\n--- out\n{}\n--- err\n{}",
            self.out,
            self.err
        );
        assert!(!self.err.is_empty() && !self.err.contains("panicked"), "{}", self.err);
        self
    }
}

/// As a power cut would.
pub async fn kill(mut child: Child) {
    child.start_kill().expect("a process to kill");
    child.wait().await.expect("a process that is gone");
}

/// Sends a signal by its name.
pub async fn signal(child: &Child, name: &str) {
    let id = child.id().expect("a running process").to_string();
    let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().await;
    assert!(sent.expect("kill").success(), "kill -{name} {id}");
}

/// Asks to stop, and waits until it has.
pub async fn terminate(child: Child) -> Told {
    signal(&child, "TERM").await;
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
    Told::from(output.expect("a process that stops when asked").expect("its output"))
}
