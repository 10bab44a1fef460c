//! `xapiary simulate`: a simulated pool that anybody can log in to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use simulator::{
    CHURN_MAX, Doors, LoadError, Options, PoolHandle, Scenario, ScenarioProblem, Simulator, Size,
};
use tokio::signal::unix::{SignalKind, signal};
use xapi::model::schema::Role;

use super::{Answer, duration};
use crate::config::{LogFormat, Password};
use crate::{systemd, telemetry};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  xapiary simulate --https 127.0.0.1:8443
  xapiary simulate --http 127.0.0.1:8080 --unix /tmp/xapi --crash-every 30s
  xapiary simulate --https 127.0.0.1:8443 --role-user ada:vm-admin --role-user bob:read-only
  xapiary simulate --state /var/lib/xcp/state.db --https [::1]:0
  xapiary simulate --http 127.0.0.1:8080 --hosts 64 --vms 5000 --churn 100
  xapiary simulate --https 127.0.0.1:8443 --members --spare-hosts 2
  xapiary simulate --https 127.0.0.1:8443 --scenario flaky-network.toml")]
pub(super) struct Arguments {
    /// Open a plain HTTP door at ADDRESS:PORT (port 0: any free one)
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Open an HTTPS door with a certificate made for it; its fingerprint is printed
    #[arg(long, value_name = "ADDR")]
    https: Option<SocketAddr>,
    /// Open a Unix socket, on which anybody who may use the file is root
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Open doors for the pool's other hosts, too: at the loopback addresses after the first one, with its port
    #[arg(long)]
    members: bool,
    /// Open doors for so many hosts that belong to no pool yet, 50 at most: at the loopback addresses after those of the
    /// pool's hosts, with its port. `pool.join` at such a door lets the host join a pool
    #[arg(long, value_name = "N", value_parser = 1..=50)]
    spare_hosts: Option<i64>,
    /// Begin with a copy of a real pool's state database (/var/lib/xcp/state.db)
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Make up a pool of so many hosts, 2000 at most
    #[arg(long, value_name = "N", requires = "vms", conflicts_with = "state", value_parser = 1..=2000)]
    hosts: Option<i64>,
    /// Make up a pool of so many VMs, 200000 at most; about twenty objects come with each
    #[arg(long, value_name = "N", requires = "hosts", value_parser = 0..=200_000)]
    vms: Option<i64>,
    /// Let happen what a scenario says, and print a line for each thing that happens
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Make so many changes a second, of the kinds that pools have
    #[arg(long, value_name = "RATE", value_parser = rate)]
    churn: Option<f64>,
    /// The user who may log in
    #[arg(long, value_name = "NAME", default_value = "root")]
    user: String,
    /// The file with that user's password, readable by its owner alone; without it the password is `simulated`
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Somebody else who may log in with the same password, bound by one of XAPI's roles; may be given several times
    #[arg(long, value_name = "NAME:ROLE", value_parser = role_user)]
    role_user: Vec<RoleUser>,
    /// Every so often (30s, 5m), one of the running VMs goes Halted by itself
    #[arg(long, value_name = "DURATION", value_parser = pause)]
    crash_every: Option<Duration>,
    /// How much faster than nature operations and scenarios run; 1 starts a VM in about four seconds
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speed: f64,
    /// What made-up references and choices follow from: the same seed gives the same pool and the same run
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print which of XAPI's methods the simulated pool has, and end
    #[arg(long)]
    coverage: bool,
}

/// Somebody who is bound by a role.
#[derive(Debug, Clone)]
struct RoleUser {
    name: String,
    role: Role,
}

/// Reads `ada:vm-admin`. A name may hold colons, as those of directories do; a role never does.
fn role_user(text: &str) -> Result<RoleUser, String> {
    let (name, word) = text.rsplit_once(':').filter(|(name, _)| !name.is_empty()).ok_or("not NAME:ROLE")?;
    let roles = || simulator::role_names().collect::<Vec<_>>().join(", ");
    let role =
        simulator::role_named(word).ok_or_else(|| format!("no role {word:?}; there are {}", roles()))?;
    Ok(RoleUser { name: name.to_owned(), role })
}

pub(super) async fn simulate(arguments: &Arguments) -> Result<Answer> {
    if arguments.coverage {
        anstream::print!("{}", coverage());
        return Ok(Answer::Done);
    }
    if arguments.http.is_none() && arguments.https.is_none() && arguments.unix.is_none() {
        anstream::eprintln!(
            "error: a pool needs a door: give --http, --https or --unix (or several), for example"
        );
        anstream::eprintln!("  xapiary simulate --https 127.0.0.1:8443");
        return Ok(Answer::Misused);
    }
    if !arguments.speed.is_finite() || arguments.speed <= 0.0 {
        anstream::eprintln!("error: --speed {} is no speed: give a number above 0", arguments.speed);
        return Ok(Answer::Misused);
    }
    for (option, given) in
        [("--members", arguments.members), ("--spare-hosts", arguments.spare_hosts.is_some())]
    {
        if given && arguments.http.is_none() && arguments.https.is_none() {
            anstream::eprintln!(
                "error: {option} opens doors beside --http or --https: give one of them, too"
            );
            return Ok(Answer::Misused);
        }
    }
    let mut names = BTreeSet::from([arguments.user.as_str()]);
    if let Some(again) = arguments.role_user.iter().find(|user| !names.insert(&user.name)) {
        let name = &again.name;
        anstream::eprintln!(
            "error: user {name:?} is given twice: one login has one role, and --user has all"
        );
        return Ok(Answer::Misused);
    }
    let Some(scenario) = scenario(arguments) else { return Ok(Answer::Misused) };
    telemetry::start(LogFormat::Auto, "info")?;
    let defaults = Options::default();
    let password = match &arguments.password_file {
        None => defaults.password.clone(),
        Some(path) => {
            let password = Password::File(path.clone()).read()?;
            secrecy::ExposeSecret::expose_secret(&password).to_owned()
        }
    };
    let options = Options {
        user: arguments.user.clone(),
        password: password.clone(),
        speed: arguments.speed,
        crash_every: arguments.crash_every,
        seed: arguments.seed,
    };
    let size = arguments.hosts.zip(arguments.vms);
    let simulator = match (&arguments.state, size) {
        (None, None) => Simulator::builtin(options).context("making up a pool")?,
        (None, Some((hosts, vms))) => {
            let size = Size { hosts: usize::try_from(hosts)?, vms: usize::try_from(vms)? };
            Simulator::sized(size, options).context("making up a pool")?
        }
        (Some(path), _) => match copy(path, options)? {
            Some(simulator) => simulator,
            None => return Ok(Answer::Misused),
        },
    };
    for user in &arguments.role_user {
        simulator.pool().add_user(&user.name, &password, user.role);
    }
    let doors = Doors { http: arguments.http, https: arguments.https, unix: arguments.unix.clone() };
    let mut asked_to_stop = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut running = simulator.open(doors).await.context("opening the pool's doors")?;
    if arguments.members {
        running.open_members().await.context("opening the members' doors")?;
    }
    running.lead_nowhere_else();
    if let Some(count) = arguments.spare_hosts {
        let opened = running.open_spare_hosts(usize::try_from(count)?).await;
        opened.context("opening the spare hosts' doors")?;
    }
    describe(arguments, &simulator, &running);
    systemd::ready("simulating a pool");
    let pool = running.pool();
    if let Some(scenario) = &scenario.begins {
        pool.begin(scenario);
    }
    tokio::select! {
        () = tell(&pool) => {}
        _ = asked_to_stop.recv() => {}
        _ = interrupted.recv() => {}
    }
    systemd::stopping("closing the doors");
    running.stop().await;
    Ok(Answer::Done)
}

/// The pool of a saved state. Says what is wrong with the file and gives nothing where it cannot be used.
fn copy(path: &Path, options: Options) -> Result<Option<Simulator>> {
    let Some(bytes) = given(path, std::fs::read(path)) else { return Ok(None) };
    match Simulator::from_state_db(&bytes, options) {
        Ok(simulator) => Ok(Some(simulator)),
        Err(LoadError::State(error)) => {
            anstream::eprintln!("error: {}: {error}", path.display());
            Ok(None)
        }
        Err(error @ LoadError::Door(_)) => Err(error.into()),
    }
}

/// What was read of a file that an option names; says why it cannot be read.
fn given<T>(path: &Path, read: std::io::Result<T>) -> Option<T> {
    read.inspect_err(|error| anstream::eprintln!("error: cannot read {}: {error}", path.display())).ok()
}

/// What is to happen to the pool.
struct Course {
    /// A scenario, a load, or both; nothing where nobody asked for any.
    begins: Option<Scenario>,
}

/// Reads what is to happen. Says what is wrong with it and gives nothing where it cannot be used.
fn scenario(arguments: &Arguments) -> Option<Course> {
    let written = match &arguments.scenario {
        None => None,
        Some(path) => {
            let text = given(path, std::fs::read_to_string(path))?;
            match Scenario::parse(&text) {
                Ok(scenario) => Some(scenario),
                Err(error) => {
                    for ScenarioProblem { line, column, key, what } in error.problems {
                        let colon = if key.is_empty() { "" } else { ": " };
                        anstream::eprintln!("{}:{line}:{column}: {key}{colon}{what}", path.display());
                    }
                    return None;
                }
            }
        }
    };
    let begins = match (written, arguments.churn) {
        (None, rate) => rate.map(Scenario::load),
        (Some(written), None) => Some(written),
        (Some(written), Some(rate)) => Some(written.with_load(rate)),
    };
    Some(Course { begins })
}

/// Prints what happens, for ever. The many changes of a load are left out.
async fn tell(pool: &PoolHandle) {
    let mut next = 0;
    loop {
        for happening in pool.next_happenings(next).await {
            next = happening.number + 1;
            if !happening.load {
                anstream::println!("{happening}");
            }
        }
    }
}

/// Of an argument: a duration that is one.
fn pause(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("that is without a pause: write for example 30s or 5m".to_owned()),
        pause => Ok(pause),
    }
}

/// Of an argument.
fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|error| format!("{error}: write for example 50"))?;
    if rate.is_finite() && rate > 0.0 && rate <= CHURN_MAX {
        Ok(rate)
    } else {
        Err(format!("write a number above 0, {CHURN_MAX} at most: no processor does more"))
    }
}

/// A line for each class and what it lacks, then the sum. Methods that follow from the datamodel are all there.
fn coverage() -> String {
    let (mut text, mut done, mut all, mut generated) = (String::new(), 0, 0, 0);
    for class in simulator::coverage() {
        let written = class.done.len() + class.unknown.len();
        done += class.done.len();
        all += written;
        generated += class.generated;
        if written > 0 {
            text += &format!("{:20} {:3} of {written:3}", class.class, class.done.len());
            if !class.unknown.is_empty() {
                text += &format!("   without {}", class.unknown.join(", "));
            }
            text.push('\n');
        }
    }
    text + &format!(
        "{done} of {all} methods written by hand, and {generated} that follow from the datamodel\n"
    )
}

/// What a person or a script needs to log in, one fact a line.
fn describe(arguments: &Arguments, simulator: &Simulator, running: &simulator::Running) {
    let counts = running.pool().counts();
    let count = |class: &str| counts.iter().find(|(name, _)| *name == class).map_or(0, |(_, count)| *count);
    let objects: usize = counts.iter().map(|(_, count)| count).sum();
    anstream::println!(
        "{} hosts, {} VMs, {} SRs, {} VDIs, {objects} objects in all",
        count("host"),
        count("VM"),
        count("SR"),
        count("VDI")
    );
    let notes = simulator.notes();
    for (what, counts) in [("table", &notes.unknown_tables), ("column", &notes.unknown_columns)] {
        for (name, rows) in counts {
            anstream::println!("note: {what} {name} is not known and was left out ({rows} rows)");
        }
    }
    if let Some(address) = running.http_address() {
        anstream::println!("http: http://{address}");
    }
    if let Some(address) = running.https_address() {
        anstream::println!("https: https://{address}");
        anstream::println!("fingerprint: sha256:{}", running.fingerprint());
    }
    if let Some(path) = running.unix_path() {
        anstream::println!("unix: unix:{}", path.display());
    }
    for member in running.members() {
        for (scheme, address) in [("http", member.http), ("https", member.https)] {
            if let Some(address) = address {
                anstream::println!("member: {scheme}://{address}");
            }
        }
        if member.https.is_some() {
            anstream::println!("member's fingerprint: sha256:{}", member.fingerprint);
        }
    }
    for spare in running.spare_hosts() {
        for (scheme, address) in [("http", spare.http_address()), ("https", spare.https_address())] {
            if let Some(address) = address {
                anstream::println!("spare host: {scheme}://{address}");
            }
        }
        if spare.https_address().is_some() {
            anstream::println!("spare host's fingerprint: sha256:{}", spare.fingerprint());
        }
    }
    anstream::println!("user: {}", arguments.user);
    for user in &arguments.role_user {
        let role = simulator::role_names().find(|name| simulator::role_named(name) == Some(user.role));
        anstream::println!("user: {}, {}", user.name, role.unwrap_or_default());
    }
    match &arguments.password_file {
        Some(path) => anstream::println!("password: as in {}", path.display()),
        None => anstream::println!("password: {}", Options::default().password),
    }
    anstream::println!("It runs until it is stopped, by Ctrl-C for example.");
}
