//! How large a pool can be and how much it can change: makes one of a size, puts load on it, lets subscribers follow it
//! over its HTTP door, and prints what that took.
//!
//! `cargo run --release -p simulator --example scale -- HOSTS VMS CHANGES_PER_SECOND SUBSCRIBERS SECONDS`

#![expect(clippy::unwrap_used, reason = "in an example a panic is the report")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use simulator::{Doors, Options, PoolHandle, Scenario, Simulator, Size};

/// Between two marks, by which it is seen how late subscribers are.
const MARK_EVERY: Duration = Duration::from_millis(200);

/// When each mark was written, by its number.
type Marks = Arc<Mutex<Vec<Instant>>>;

/// What one subscriber saw.
#[derive(Default)]
struct Seen {
    answers: u64,
    bytes: u64,
    /// How late each mark came.
    late: Vec<Duration>,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let given: Vec<usize> = std::env::args().skip(1).map(|argument| argument.parse().unwrap()).collect();
    let [hosts, vms, rate, subscribers, seconds] =
        <[usize; 5]>::try_from(given).unwrap_or([64, 5000, 1000, 10, 20]);

    let (began, cpu) = (Instant::now(), processor_seconds());
    let simulator = Simulator::sized(Size { hosts, vms }, Options::default()).unwrap();
    let made = (began.elapsed().as_secs_f64(), processor_seconds() - cpu);
    let pool = simulator.pool();
    let objects: usize = pool.counts().iter().map(|(_, count)| count).sum();
    println!(
        "{hosts} hosts, {vms} VMs, {objects} objects: {:.1} s ({:.1} s of a processor), {} MB",
        made.0,
        made.1,
        memory("VmHWM")
    );

    let running =
        simulator.open(Doors { http: Some(([127, 0, 0, 1], 0).into()), ..Doors::default() }).await.unwrap();
    let address = running.http_address().unwrap();
    let began = Instant::now();
    let first = whole_picture(address).await;
    println!(
        "the first event.from: {:.1} s, {} MB of JSON",
        began.elapsed().as_secs_f64(),
        first.1 / 1_000_000
    );

    let marks = Marks::default();
    let ends = Instant::now() + Duration::from_secs(seconds as u64);
    let mut followers = Vec::new();
    for _ in 0..subscribers {
        followers.push(tokio::spawn(follow(address, first.0.clone(), marks.clone(), ends)));
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate is small")]
    pool.begin(&Scenario::load(rate as f64));
    let (began, cpu) = (Instant::now(), processor_seconds());
    let generation = |pool: &PoolHandle| pool.counts().iter().map(|(_, count)| count).sum::<usize>();
    let before = generation(&pool);
    let vm = pool.find_vm("web-00001").unwrap();
    while Instant::now() < ends {
        let number = {
            let mut marks = marks.lock().unwrap();
            marks.push(Instant::now());
            marks.len() - 1
        };
        pool.set("VM", &vm, "user_version", i64::try_from(1_000_000_000 + number).unwrap()).unwrap();
        tokio::time::sleep(MARK_EVERY).await;
    }
    let lasted = began.elapsed().as_secs_f64();
    let happened = pool.happenings(0);
    let done = happened.last().map_or(0, |last| last.number);
    for trouble in happened.iter().filter(|happening| !happening.load) {
        println!("{trouble}");
    }
    println!(
        "load: {:.0} changes a second for {lasted:.0} s ({rate} asked), {} objects more, {:.1} processors busy",
        done as f64 / lasted,
        generation(&pool) as i64 - before as i64,
        (processor_seconds() - cpu) / lasted,
    );
    let (mut late, mut answers, mut bytes) = (Vec::new(), 0, 0);
    for follower in followers {
        let seen = follower.await.unwrap();
        late.extend(seen.late);
        answers += seen.answers;
        bytes += seen.bytes;
    }
    late.sort();
    let at =
        |part: f64| late.get((late.len() as f64 * part) as usize).copied().unwrap_or_default().as_millis();
    println!(
        "{subscribers} subscribers: {:.1} answers a second each, {:.1} MB/s in all; a change is known after {} ms (median), {} ms (99 %), {} ms (worst); {} of {} marks seen",
        answers as f64 / subscribers as f64 / lasted,
        bytes as f64 / lasted / 1e6,
        at(0.5),
        at(0.99),
        late.last().copied().unwrap_or_default().as_millis(),
        late.len() / subscribers.max(1),
        marks.lock().unwrap().len(),
    );
    println!("memory at most: {} MB, with the subscribers", memory("VmHWM"));
}

/// Asks for everything, and gives the token and the size of the answer.
async fn whole_picture(address: SocketAddr) -> (String, usize) {
    let http = client();
    let session = log_in(&http, address).await;
    let text = events(&http, address, &session, "").await;
    (token(&text).to_owned(), text.len())
}

/// Follows everything from a token on.
async fn follow(address: SocketAddr, mut since: String, marks: Marks, ends: Instant) -> Seen {
    let http = client();
    let session = log_in(&http, address).await;
    let mut seen = Seen::default();
    let mut next = 0;
    while Instant::now() < ends {
        let text = events(&http, address, &session, &since).await;
        seen.answers += 1;
        seen.bytes += text.len() as u64;
        if let Some(at) = text.find("\"user_version\":1000") {
            let digits = text[at + "\"user_version\":".len()..].split(',').next().unwrap();
            let number = digits.parse::<usize>().unwrap() - 1_000_000_000;
            let written = marks.lock().unwrap().clone();
            // Marks that were overtaken by a newer one were not seen, the newest was.
            seen.late.extend(written.get(number).filter(|_| number >= next).map(Instant::elapsed));
            next = number + 1;
        }
        since = token(&text).to_owned();
    }
    seen
}

fn token(text: &str) -> &str {
    let at = text.rfind("\"token\":\"").unwrap() + "\"token\":\"".len();
    text[at..].split('"').next().unwrap()
}

fn client() -> reqwest::Client {
    _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

async fn log_in(http: &reqwest::Client, address: SocketAddr) -> String {
    let text = call(http, address, "session.login_with_password", json!(["root", "simulated"])).await;
    let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
    reply["result"].as_str().unwrap().to_owned()
}

async fn events(http: &reqwest::Client, address: SocketAddr, session: &str, token: &str) -> String {
    call(http, address, "event.from", json!([session, ["*"], token, 30.0])).await
}

async fn call(
    http: &reqwest::Client,
    address: SocketAddr,
    method: &str,
    params: serde_json::Value,
) -> String {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    http.post(format!("http://{address}/jsonrpc")).body(body).send().await.unwrap().text().await.unwrap()
}

/// A line of this process' status, in megabytes.
fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(':')).unwrap();
    line.trim().split(' ').next().unwrap().parse::<u64>().unwrap() / 1024
}

/// Processor time that this process took so far, in seconds.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Ticks in user and in kernel mode, a hundred a second.
    fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
