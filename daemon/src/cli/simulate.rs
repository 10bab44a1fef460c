//! `xapiary simulate`: a simulated pool that anybody can log in to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use simulator::{Doors, Options, Simulator};
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
  xapiary simulate --state /var/lib/xcp/state.db --https [::1]:0")]
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
    /// Begin with a copy of a real pool's state database (/var/lib/xcp/state.db)
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
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
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    crash_every: Option<Duration>,
    /// How much faster than nature operations run; 1 starts a VM in about four seconds
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    speed: f64,
    /// What made-up references and choices follow from: the same seed gives the same pool
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
    let simulator = match &arguments.state {
        None => Simulator::builtin(options).context("making up a pool")?,
        Some(path) => {
            let bytes = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
            Simulator::from_state_db(&bytes, options)
                .with_context(|| format!("loading {}", path.display()))?
        }
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
    describe(arguments, &simulator, &running);
    systemd::ready("simulating a pool");
    tokio::select! {
        _ = asked_to_stop.recv() => {}
        _ = interrupted.recv() => {}
    }
    systemd::stopping("closing the doors");
    running.stop().await;
    Ok(Answer::Done)
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
    let pool = running.pool();
    let count = |class: &str| pool.records(class).len();
    anstream::println!(
        "{} hosts, {} VMs, {} SRs, {} VDIs",
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
