//! A daemon as a process: started, listened to, stopped or killed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::log::{Line, Log};
use crate::programs;
use crate::waiting::LIMIT;

/// A running daemon. It is killed when this is dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    log: Log,
    output: PathBuf,
}

/// A daemon that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// All that it logged.
    pub lines: Vec<Line>,
    /// All that it wrote to its standard output.
    pub output: String,
}

impl Daemon {
    /// Starts `xapiary run` with this configuration; its log is kept in `folder`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(config: &Path, folder: &Path) -> Daemon {
        let mut command = programs::command(&programs::xapiary());
        command.arg("run").arg("--config").arg(config);
        Daemon::start_as(command, folder)
    }

    /// Starts `xapiary run` with further variables in its environment.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_with(config: &Path, folder: &Path, variables: &[(&str, &str)]) -> Daemon {
        let mut command = programs::command(&programs::xapiary());
        command.arg("run").arg("--config").arg(config).envs(variables.iter().copied());
        Daemon::start_as(command, folder)
    }

    /// Starts a command that is, or becomes, the program.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start_as(mut command: Command, folder: &Path) -> Daemon {
        let number = (1..).find(|number| !folder.join(format!("daemon-{number}.log")).exists());
        let number = number.expect("numbers do not end");
        let output = folder.join(format!("daemon-{number}.out"));
        let stdout = File::create(&output).expect("a file for the output can be made");
        let spawned = command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn();
        let mut child = spawned.expect("the program can be started");
        let stderr = child.stderr.take().expect("standard error is a pipe");
        let log = Log::read(stderr, &folder.join(format!("daemon-{number}.log")));
        Daemon { child, log, output }
    }

    /// Waits for a line of the log, from its beginning on.
    ///
    /// # Panics
    /// When it does not come within [`LIMIT`], or the daemon ends before.
    pub async fn wait_for(&self, what: &str, fits: impl Fn(&Line) -> bool) -> Line {
        self.wait_after(0, what, fits).await
    }

    /// Waits for a line of the log, from line `from` on (see [`Daemon::heard`]).
    ///
    /// # Panics
    /// When it does not come within [`LIMIT`], or the daemon ends before.
    pub async fn wait_after(&self, from: usize, what: &str, fits: impl Fn(&Line) -> bool) -> Line {
        match tokio::time::timeout(LIMIT, self.log.find(from, fits)).await {
            Ok(Some(line)) => line,
            Ok(None) => panic!("{what}: the daemon ended before that; {}", self.log.tail()),
            Err(_) => panic!("{what}: not within {LIMIT:?}; {}", self.log.tail()),
        }
    }

    /// Waits for a line with this message.
    ///
    /// # Panics
    /// When it does not come within [`LIMIT`], or the daemon ends before.
    pub async fn wait_for_message(&self, message: &str) -> Line {
        self.wait_for(message, |line| line.message() == message).await
    }

    /// Waits until it follows its pool: the whole picture is durable.
    ///
    /// # Panics
    /// When that does not happen within [`LIMIT`].
    pub async fn following(&self) -> Line {
        self.wait_for_message("compared the whole pool").await
    }

    /// How many lines were logged so far.
    #[must_use]
    pub fn heard(&self) -> usize {
        self.log.len()
    }

    /// What was logged so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.log.lines()
    }

    /// The process's number.
    #[must_use]
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Whether the process still runs.
    ///
    /// # Panics
    /// When the system cannot tell.
    #[must_use]
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("the system knows its processes").is_none()
    }

    /// Stops the process where it stands, or lets it go on.
    ///
    /// # Panics
    /// When it is gone.
    pub fn freeze(&self, freeze: bool) {
        self.signal(if freeze { Signal::STOP } else { Signal::CONT });
    }

    /// Asks it to stop by SIGTERM and waits for its end.
    ///
    /// # Panics
    /// When it does not end within [`LIMIT`].
    pub async fn terminate(self) -> Ended {
        self.signal(Signal::TERM);
        self.ended(LIMIT).await
    }

    /// Asks it to read its configuration anew by SIGHUP, and waits for nothing.
    ///
    /// # Panics
    /// When it is gone.
    pub fn ask_to_reload(&self) {
        self.signal(Signal::HUP);
    }

    /// Asks it to stop, and waits for nothing.
    ///
    /// # Panics
    /// When it is gone.
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// Waits for an end that comes by itself.
    ///
    /// # Panics
    /// When it does not end within the limit.
    pub async fn ended(mut self, limit: Duration) -> Ended {
        if tokio::time::timeout(limit, self.log.closed()).await.is_err() {
            panic!("the daemon did not end within {limit:?}; {}", self.log.tail());
        }
        self.collect()
    }

    /// Kills it with SIGKILL and waits until it is gone.
    ///
    /// # Panics
    /// When the system does not let us.
    pub fn kill(mut self) -> Ended {
        self.child.kill().expect("our own child can be killed");
        self.collect()
    }

    fn collect(&mut self) -> Ended {
        let status = self.child.wait().expect("our own child can be waited for");
        self.log.join();
        let output = std::fs::read(&self.output).expect("the output was kept");
        Ended { status, lines: self.log.lines(), output: String::from_utf8_lossy(&output).into_owned() }
    }

    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let process = process.expect("a process has a number above 0");
        kill_process(process, signal).expect("our own child takes signals");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, and a test that fails must not fail twice.
        _ = self.child.kill();
        _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.log.tail());
        }
    }
}

impl Ended {
    /// Everything that it wrote anywhere, as one text.
    #[must_use]
    pub fn everything(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.raw.as_str()).collect();
        format!("{}\n{}", lines.join("\n"), self.output)
    }
}
