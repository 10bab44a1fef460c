//! Compiles plugins in a process of their own, which has no credentials, no environment, and bounds on memory and time. What
//! it gives is kept in the state folder, so the next start reads it.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use plugin_host::{CodeCache, Host, LoadError, Plugin, compile};
use rustix::process::{Resource, Rlimit, setrlimit};

/// The command of the program that is the compiler; people need not know of it.
pub(crate) const COMMAND: &str = "compile-plugin";

/// What compiling may use of memory, bytes. A Python interpreter of 18 MB takes a third of it.
const MEMORY: u64 = 2 << 30;
/// What compiling may use of a processor: ten times what that interpreter takes on a slow one.
const CPU: Duration = Duration::from_secs(600);

/// Loads plugins.
#[derive(Debug)]
pub(crate) struct Compiler {
    host: Host,
    cache: Option<CodeCache>,
}

impl Compiler {
    /// Compiles in a process of its own, and keeps the code below the state folder.
    pub(crate) fn apart(host: Host, state: &Path) -> Self {
        Compiler { host, cache: Some(CodeCache::new(state.join("compiled"))) }
    }

    /// Compiles here and keeps nothing, for whoever looks once and must not write where the daemon does.
    pub(crate) fn here(host: Host) -> Self {
        Compiler { host, cache: None }
    }

    /// From the bytes of a component to a plugin that is ready to run. Blocks, for up to minutes.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub(crate) fn load(&self, component: &[u8]) -> Result<Plugin, LoadError> {
        let Some(cache) = &self.cache else { return self.host.load(component) };
        let (plugin, not_kept) = cache.load(&self.host, component, apart)?;
        if let Some(not_kept) = not_kept {
            tracing::warn!(
                error = crate::router::chain(&not_kept),
                "the compiled plugin cannot be kept, so the next start compiles it again"
            );
        }
        Ok(plugin)
    }

    /// Removes the code of what was not loaded since the last time.
    pub(crate) fn forget_others(&self) {
        if let Some(Err(error)) = self.cache.as_ref().map(CodeCache::forget_others) {
            tracing::warn!(error = crate::router::chain(&error), "old compiled plugins stay where they are");
        }
    }
}

/// Has another process compile. The words of its refusal where it does not.
fn apart(component: &[u8]) -> Result<Vec<u8>, String> {
    converse(component).map_err(|error| format!("{error:#}"))?
}

fn converse(component: &[u8]) -> Result<Result<Vec<u8>, String>> {
    // Not by its path, where another version may lie by now.
    let mut child = Command::new("/proc/self/exe")
        .arg(COMMAND)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("starting the compiler")?;
    let mut stdin = child.stdin.take().context("speaking to the compiler")?;
    // It reads all before it writes anything. When it ends before, what it said tells more than this.
    let sent = stdin.write_all(component);
    drop(stdin);
    let output = child.wait_with_output().context("waiting for the compiler")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(match output.status.code() {
        Some(0) => {
            sent.context("handing the component to the compiler")?;
            Ok(output.stdout)
        }
        Some(_) => Err(said),
        None => Err(format!(
            "the compiler was ended ({}): it may use {} MiB of memory and {} s of a processor",
            output.status,
            MEMORY >> 20,
            CPU.as_secs()
        )),
    })
}

/// What the process does that compiles: a component in, machine code out, or the words why not.
pub(crate) fn serve() -> ExitCode {
    match served() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn served() -> Result<()> {
    let bound = |most: u64| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Data, bound(MEMORY)).context("bounding the compiler's memory")?;
    setrlimit(Resource::Cpu, bound(CPU.as_secs())).context("bounding the compiler's time")?;
    let mut component = Vec::new();
    std::io::stdin().lock().read_to_end(&mut component).context("reading the component")?;
    let code = match compile(&component) {
        Ok(code) => code,
        // Whoever called says that it is about compiling.
        Err(LoadError::Compile { what }) => bail!(what),
        Err(error) => return Err(error.into()),
    };
    std::io::stdout().lock().write_all(&code).context("writing the code")
}
