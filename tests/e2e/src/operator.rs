//! A person at the command line of a daemon.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::config::socket;
use crate::programs;
use crate::world::World;

/// Who asks the daemon of a world, by its configuration.
#[derive(Debug)]
pub struct Operator {
    config: PathBuf,
    socket: PathBuf,
}

/// What a command answered.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub error: String,
}

impl Answer {
    fn of(output: &Output) -> Answer {
        Answer {
            code: output.status.code().expect("it ended by itself"),
            output: String::from_utf8_lossy(&output.stdout).into_owned(),
            error: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The standard output, of a command that went well.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.output
    }
}

impl World {
    /// A person who asks the daemon of this world; its configuration must have been written.
    #[must_use]
    pub fn operator(&self) -> Operator {
        Operator { config: self.folder().join("xapiary.toml"), socket: socket(self.folder()) }
    }
}

impl Operator {
    /// The control socket.
    #[must_use]
    pub fn socket(&self) -> &PathBuf {
        &self.socket
    }

    /// Runs a command, such as `["dead", "list"]`.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Answer {
        let config = self.config.to_str().expect("a test's path is text");
        Answer::of(&programs::run(&[arguments, &["--config", config]].concat()))
    }

    /// Runs a command that is to answer in JSON and to end well.
    ///
    /// # Panics
    /// When it does not.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Value {
        let answer = self.run(&[arguments, &["--json"]].concat());
        assert_eq!(answer.code, 0, "{arguments:?}: {answer:?}");
        answer.json()
    }

    /// How the daemon does, whether well or not.
    #[must_use]
    pub fn status(&self) -> (i32, Value) {
        let answer = self.run(&["status", "--json"]);
        (answer.code, answer.json())
    }

    /// Runs a command as the user `nobody`, who can read neither configuration nor journal; only root can do so.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run_as_nobody(&self, arguments: &[&str]) -> Answer {
        // Where the program was built others may not be able to look.
        let program = self.config.with_file_name("xapiary-of-nobody");
        if !program.exists() {
            let built = programs::xapiary();
            std::fs::hard_link(&built, &program)
                .or_else(|_| std::fs::copy(&built, &program).map(|_| ()))
                .expect("the program can be put where others can run it");
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
        command.args(arguments).arg("--socket").arg(&self.socket);
        Answer::of(&command.output().expect("setpriv can be started"))
    }

    /// What the socket answers to `GET` of a path, head and all.
    ///
    /// # Panics
    /// When it does not answer.
    #[must_use]
    pub fn raw(&self, path: &str) -> String {
        let mut stream = UnixStream::connect(&self.socket).expect("the socket is open");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers with text");
        answer
    }
}
