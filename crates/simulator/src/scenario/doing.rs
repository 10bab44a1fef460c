//! Does to a pool what a step says, and tells it in a line. What lasts gives what ends it.

use std::time::Duration;

use smol_str::SmolStr;

use super::Planned;
use super::action::{Action, Ending};
use crate::churn::Kind;
use crate::membership::NewHost;
use crate::pool::Pool;
use crate::random::Random;
use crate::toolstack::Restart;
use crate::trouble::{Methods, Often, Reach};

/// Names that a line tells at most.
const NAMES_MAX: usize = 8;

impl Pool {
    /// Does a step for the n-th time.
    pub(super) fn do_step(&mut self, step: &Planned, nth: u64) -> Option<(Duration, Ending)> {
        let mut random = Random::branch(self.options.seed, "step", step.index << 32 | nth);
        let (what, ending) = self.act(&step.action, &mut random);
        let lasts = step.lasts.filter(|_| ending.is_some());
        let how_long = lasts.map(|lasts| format!(", for {}", humantime::format_duration(lasts)));
        self.note(what + &how_long.unwrap_or_default(), false);
        Some((lasts?, ending?))
    }

    /// Ends what lasted.
    pub(super) fn end_trouble(&mut self, ending: Ending) {
        let what = match ending {
            Ending::Rule(rule, what) => {
                self.trouble.end(rule);
                what.into()
            }
            Ending::Reach => {
                self.trouble.network.reach = Reach::Open;
                "connections reach the doors again".into()
            }
            Ending::Emergency => {
                self.trouble.emergency = None;
                "calls are answered again".into()
            }
            Ending::BootHost(host) => {
                self.host_up(&host);
                format!("host {} has booted", self.name("host", &host))
            }
            Ending::AttachSr(sr, pbds) => {
                for pbd in pbds {
                    self.database.write("PBD", &pbd, "currently_attached", true);
                }
                format!("hosts reach SR {} again", self.name("SR", &sr))
            }
            Ending::Churn(id) => match self.end_churn(id) {
                Some((done, 0)) => format!("the load ends after {done} changes"),
                Some((done, left_out)) => {
                    format!("the load ends after {done} changes, {left_out} were left out")
                }
                None => return,
            },
        };
        self.note(what, false);
    }

    /// Keeps in mind what was done.
    pub(crate) fn note(&mut self, what: String, load: bool) {
        self.log.add(self.clock.now(), self.clock.speed(), what, load);
        // Whoever reads the log waits for it.
        self.stirs += 1;
    }

    fn act(&mut self, action: &Action, random: &mut Random) -> (String, Option<Ending>) {
        match action {
            Action::Latency(latency) => {
                let rule = self.trouble.add_latency(latency.clone());
                let [min, max] = [latency.min, latency.max].map(humantime::format_duration);
                let calls = calls(&latency.methods);
                let ending = Ending::Rule(rule, "calls are as quick as before");
                (format!("{calls} take {min} to {max} longer"), Some(ending))
            }
            Action::Fail(failing) => {
                let rule = self.trouble.add_failing(failing.clone());
                let which = match failing.often {
                    Often::Nth(nth) if nth > 1 => format!("one of {nth} "),
                    Often::Nth(_) => String::new(),
                    Often::Chance(chance) => format!("{:.0} % of ", chance * 100.0),
                };
                let calls = calls(&failing.methods);
                let ending = Ending::Rule(rule, "calls that failed do so no longer");
                (format!("{which}{calls} fail with {}", failing.failure), Some(ending))
            }
            Action::Spoil { spoil, count, methods } => {
                for _ in 0..*count {
                    self.trouble.spoil_next(methods.clone(), *spoil);
                }
                (format!("the next {count} answers to {} are spoilt: {}", calls(methods), spoil.word()), None)
            }
            Action::Reach(reach) => {
                self.trouble.network.reach = *reach;
                let what = match reach {
                    Reach::Open => "connections reach the doors",
                    Reach::Refused => "connections are refused",
                    Reach::Silent => "connections are half-open: nothing is answered",
                };
                (what.into(), Some(Ending::Reach))
            }
            Action::DropConnections => {
                self.trouble.network.cuts += 1;
                ("all connections are closed".into(), None)
            }
            Action::EndSessions => {
                self.end_sessions();
                ("all sessions end".into(), None)
            }
            Action::RefuseLogins { count } => {
                self.trouble.refused_logins = *count;
                (format!("the next {count} logins are refused"), None)
            }
            Action::ForgetDeletions { class } => {
                self.database.forget_deletions(class.as_deref());
                let of = class.as_ref().map(|class| format!(" of class {class}")).unwrap_or_default();
                (format!("deletions{of} are forgotten"), None)
            }
            Action::RestartToolstack { loses } => {
                // One that loses its last writes has crashed.
                let way = if *loses == 0 { Restart::ByScript } else { Restart::ByItself };
                self.restart_losing(way, *loses);
                let lost = if *loses == 0 { String::new() } else { format!(" and loses {loses} changes") };
                (format!("the toolstack restarts{lost}"), None)
            }
            Action::RotateCertificate { host, notice } => (self.rotate(host.as_ref(), *notice), None),
            Action::LoseHost { host } => self.lose_host(host.as_ref(), random),
            Action::JoinHost { name, address, memory } => {
                let (name, address) = (name.to_string(), address.to_string());
                let told = format!("host {name} joins the pool");
                self.add_host(&NewHost { name, address, memory: *memory });
                (told, None)
            }
            Action::FailOver { host } => (self.fail_over(host.as_ref(), random), None),
            Action::Emergency { failure } => {
                self.trouble.emergency = Some(failure.clone());
                (format!("every call is answered with {failure}"), Some(Ending::Emergency))
            }
            Action::Crash { vm, count } => (self.crash_vms(vm.as_ref(), *count, random), None),
            Action::Storm { kind, count } => (self.storm(*kind, *count, random), None),
            Action::DetachSr { sr } => self.detach_sr(sr.as_ref(), random),
            Action::Churn { rate } => {
                let id = self.begin_churn(*rate);
                (format!("a load of {rate} changes a second begins"), Some(Ending::Churn(id)))
            }
        }
    }

    /// The object of this name, or some one for which a condition holds.
    fn named_or_some(
        &self,
        class: &str,
        name: Option<&SmolStr>,
        random: &mut Random,
        fits: impl Fn(&Pool, &SmolStr) -> bool,
    ) -> Result<SmolStr, String> {
        match name {
            Some(name) => {
                let table = self.database.table(class);
                let found = table.and_then(|table| table.with("name_label", name).next()).cloned();
                found.ok_or_else(|| format!("nothing happens: there is no {class} {name}"))
            }
            None => self
                .some(class, random, fits)
                .ok_or_else(|| format!("nothing happens: no {class} is there for it")),
        }
    }

    fn rotate(&mut self, host: Option<&SmolStr>, notice: Option<Duration>) -> String {
        let coordinator = self.coordinator();
        let named = host.map(|name| self.named_or_some("host", Some(name), &mut Random::new(0), |_, _| true));
        let host = match named.unwrap_or(Ok(coordinator)) {
            Ok(host) => host,
            Err(why) => return why,
        };
        let name = self.name("host", &host);
        let real = notice.map(|notice| self.clock.lasting(notice.as_secs_f64()));
        match (self.rotate_certificate(&host, real), notice) {
            (Err(error), _) => format!("nothing happens: host {name} gets no certificate: {error}"),
            (Ok(_), None) => format!("host {name} serves another certificate, which nobody announced"),
            (Ok(_), Some(notice)) => {
                let notice = humantime::format_duration(notice);
                format!("host {name} announces another certificate and serves it in {notice}")
            }
        }
    }

    fn lose_host(&mut self, host: Option<&SmolStr>, random: &mut Random) -> (String, Option<Ending>) {
        let member = |pool: &Pool, host: &SmolStr| {
            !pool.is_coordinator(host) && pool.is_live(host) && !pool.dark_hosts.contains(host)
        };
        let host = match self.named_or_some("host", host, random, member) {
            Ok(host) => host,
            Err(why) => return (why, None),
        };
        let name = self.name("host", &host);
        match self.crash_host(&host) {
            Ok(()) => (format!("host {name} is lost"), Some(Ending::BootHost(host))),
            Err(failure) => (format!("nothing happens: host {name} is not lost: {failure}"), None),
        }
    }

    fn fail_over(&mut self, host: Option<&SmolStr>, random: &mut Random) -> String {
        let member = |pool: &Pool, host: &SmolStr| {
            !pool.is_coordinator(host) && pool.is_live(host) && pool.assert_can_lead(host).is_ok()
        };
        let host = match self.named_or_some("host", host, random, member) {
            Ok(host) => host,
            Err(why) => return why,
        };
        let name = self.name("host", &host);
        match self.assert_can_lead(&host) {
            Ok(()) => {
                self.promote(&host, 0);
                format!("host {name} becomes the coordinator")
            }
            Err(failure) => {
                format!("nothing happens: host {name} does not become the coordinator: {failure}")
            }
        }
    }

    fn crash_vms(&mut self, vm: Option<&SmolStr>, count: usize, random: &mut Random) -> String {
        let running = |pool: &Pool, vm: &SmolStr| {
            pool.database.text("VM", vm, "power_state") == "Running"
                && !pool.database.truth("VM", vm, "is_control_domain")
        };
        let mut crashed = Vec::new();
        for _ in 0..count {
            let vm = match self.named_or_some("VM", vm, random, running) {
                Ok(vm) => vm,
                Err(why) if crashed.is_empty() => return why,
                Err(_) => break,
            };
            if let Err(failure) = self.crash(&vm) {
                return format!("nothing happens: VM {} does not crash: {failure}", self.name("VM", &vm));
            }
            crashed.push(self.name("VM", &vm));
        }
        format!("{} crash: {}", plural(crashed.len(), "VM"), listed(&crashed))
    }

    fn storm(&mut self, kind: Kind, count: usize, random: &mut Random) -> String {
        let mut done = Vec::new();
        for _ in 0..count {
            let Some(what) = self.make(kind, random) else { break };
            done.push(SmolStr::from(what));
            // What is chosen next depends on what may be done now.
            self.keep_allowed();
        }
        if done.is_empty() {
            return "nothing happens: nothing is there for this storm".into();
        }
        format!("a storm of {}: {}", plural(done.len(), "change"), listed(&done))
    }

    fn detach_sr(&mut self, sr: Option<&SmolStr>, random: &mut Random) -> (String, Option<Ending>) {
        let used = |pool: &Pool, sr: &SmolStr| {
            pool.is_plugged(sr) && !pool.database.words("SR", sr, "VDIs").is_empty()
        };
        let sr = match self.named_or_some("SR", sr, random, used) {
            Ok(sr) => sr,
            Err(why) => return (why, None),
        };
        let mut pbds = self.database.words("SR", &sr, "PBDs");
        pbds.retain(|pbd| self.database.write("PBD", pbd, "currently_attached", false));
        (format!("no host reaches SR {} any more", self.name("SR", &sr)), Some(Ending::AttachSr(sr, pbds)))
    }
}

fn calls(methods: &Methods) -> String {
    if methods.is_all() { "calls".into() } else { format!("calls of {methods}") }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn listed(names: &[SmolStr]) -> String {
    let shown = names.iter().take(NAMES_MAX).map(SmolStr::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
