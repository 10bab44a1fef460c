//! A pool's state: dumped, loaded again, damaged.

use std::collections::BTreeMap;

use simulator::Simulator;
use xapi::model::Record;

use crate::client;
use crate::real::{files, shared};

/// Everything that is served of a pool, but for what does not survive a restart, and the certificate, which each
/// simulated pool makes for itself.
fn served(simulator: &Simulator) -> BTreeMap<String, Vec<Record>> {
    let pool = simulator.pool();
    let classes = pool.counts().into_iter().map(|(class, _)| class);
    let persistent = classes
        .filter(|class| *class != "Certificate" && xapi::model::schema::class(class).unwrap().persistent);
    persistent.map(|class| (class.to_owned(), pool.records(class))).collect()
}

/// A dump's attributes without those that loading makes anew: the certificate and the generations. Values hold no
/// spaces.
fn comparable(dump: &str) -> Vec<&str> {
    let lines =
        dump.lines().filter(|line| !line.contains(" fingerprint_sha256=") && !line.contains("<manifest>"));
    const MADE_ANEW: [&str; 3] = ["__ctime=", "__mtime=", "certificates="];
    let kept = |part: &&str| !MADE_ANEW.iter().any(|attribute| part.starts_with(attribute));
    lines.flat_map(|line| line.split(' ').filter(kept)).collect()
}

/// What differs between two pools, a line each.
fn differences(one: &Simulator, other: &Simulator) -> Vec<String> {
    let (one, other) = (served(one), served(other));
    let mut told = Vec::new();
    for class in one.keys().chain(other.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (these, those) = (one.get(class), other.get(class));
        let count = |records: Option<&Vec<Record>>| records.map_or(0, Vec::len);
        if count(these) != count(those) {
            told.push(format!("{class}: {} objects and {}", count(these), count(those)));
        }
        for (this, that) in these.into_iter().flatten().zip(those.into_iter().flatten()) {
            // It points to the certificate.
            for field in this.changed_since(that).into_iter().filter(|field| field != "certificates") {
                told.push(format!("{class}.{field}: {:?} and {:?}", this.get(&field), that.get(&field)));
            }
        }
    }
    told
}

fn loaded(text: &str) -> Simulator {
    Simulator::from_state_db(text.as_bytes(), client::options()).unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test]
async fn the_made_up_pool_is_dumped_and_loads_again_equal() {
    let simulator = Simulator::builtin(client::options()).unwrap();
    let first = simulator.pool().state_db();
    let again = loaded(&first);
    assert_eq!(differences(&again, &simulator), Vec::<String>::new());
    let second = again.pool().state_db();
    assert_eq!(comparable(&loaded(&second).pool().state_db()), comparable(&second));
}

#[tokio::test]
async fn every_saved_pool_is_dumped_and_loads_again_equal() {
    let Some(folder) = shared("pools") else { return };
    let mut tried = 0;
    for file in files(&folder) {
        let simulator = loaded(&std::fs::read_to_string(&file).unwrap());
        let dump = simulator.pool().state_db();
        let again = loaded(&dump);
        assert_eq!(differences(&again, &simulator), Vec::<String>::new(), "{}", file.display());
        let (before, after) = (simulator.notes(), again.notes());
        assert_eq!(after.unknown_columns, before.unknown_columns, "{}", file.display());
        assert_eq!(after.unknown_tables, before.unknown_tables, "{}", file.display());
        assert_eq!(comparable(&again.pool().state_db()), comparable(&dump), "{}", file.display());
        tried += 1;
    }
    assert!(tried >= 5);
}

#[tokio::test]
async fn what_is_not_known_comes_back_and_a_token_does_not() {
    let text = "<database><manifest><pair key=\"pool_token\" value=\"hush\"/><pair key=\"pool_conf\" value=\"master\"/>\
                </manifest><table name=\"pool\"><row ref=\"OpaqueRef:p\" glow=\"a%.&lt;b&gt;\" master=\"OpaqueRef:h\"/></table>\
                <table name=\"host\"><row ref=\"OpaqueRef:h\"/></table>\
                <table name=\"Lamp\"><row ref=\"OpaqueRef:l\" bright=\"yes%n\"/></table></database>";
    let simulator = loaded(text);
    assert_eq!(simulator.notes().unknown_columns, [("pool.glow".to_owned(), 1)].into());
    assert_eq!(simulator.notes().unknown_tables, [("Lamp".to_owned(), 1)].into());
    let dump = simulator.pool().state_db();
    assert!(dump.contains(" glow=\"a%.&lt;b&gt;\""), "{dump}");
    assert!(dump.contains("<table name=\"Lamp\">\n<row ref=\"OpaqueRef:l\" bright=\"yes%n\"/>"), "{dump}");
    assert!(dump.contains("key=\"pool_conf\"") && !dump.contains("hush"), "{dump}");
    assert_eq!(comparable(&loaded(&dump).pool().state_db()), comparable(&dump));
}

/// Every damage is either harmless or refused with its place; nothing panics, nothing hangs.
#[tokio::test]
async fn a_damaged_state_is_refused_with_reason_and_line() {
    let mut states = vec![Simulator::builtin(client::options()).unwrap().pool().state_db().into_bytes()];
    if let Some(folder) = shared("pools") {
        states.extend(files(&folder).iter().map(|file| std::fs::read(file).unwrap()));
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % below as u64).unwrap()
    };
    for (index, whole) in states.into_iter().enumerate() {
        // Each of them takes its time to read.
        let rounds = if index == 0 { 60 } else { 9 };
        let lines = whole.iter().filter(|byte| **byte == b'\n').count() + 1;
        let mut refused = 0;
        for round in 0..rounds {
            let mut bytes = whole.clone();
            match round % 3 {
                0 => bytes.truncate(next(whole.len())),
                1 => {
                    let at = next(whole.len());
                    bytes[at] = b"<>\"'&%()\0\xff"[next(10)];
                }
                _ => {
                    let (at, length) = (next(whole.len()), next(200));
                    bytes.drain(at..(at + length).min(whole.len()));
                }
            }
            if let Err(error) = Simulator::from_state_db(&bytes, client::options()) {
                let text = format!("{error}");
                assert!(text.contains("byte "), "{text}");
                let line: usize =
                    text.split("(line ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
                assert!((1..=lines).contains(&line), "{text}");
                refused += 1;
            }
        }
        assert!(refused * 5 > rounds, "only {refused} of {rounds} were refused");
    }
}

/// The line that is told is the one that is damaged.
#[tokio::test]
async fn damage_is_found_in_its_line() {
    let whole = Simulator::builtin(client::options()).unwrap().pool().state_db();
    let lines: Vec<&str> = whole.lines().collect();
    let damaged = lines.iter().position(|line| line.contains(" name__label=\"web-1\"")).unwrap();
    for (from, to) in
        [("\" uuid=\"", "\" uuid="), ("<row ", "<row < "), (" user_version=\"1\"", " user_version=\"one\"")]
    {
        let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        changed[damaged] = changed[damaged].replacen(from, to, 1);
        assert_ne!(changed[damaged], lines[damaged], "{from}");
        let error = Simulator::from_state_db(changed.join("\n").as_bytes(), client::options()).unwrap_err();
        let text = format!("{error}");
        assert!(text.contains(&format!("(line {},", damaged + 1)), "{text}, and it was line {}", damaged + 1);
    }
}

#[tokio::test]
async fn the_dump_is_for_whoever_has_a_session() {
    let (running, client) = client::fast().await;
    let http = client::plain();
    let url = format!("http://{}/pool/xmldbdump", running.http_address().unwrap());
    let refused = http.get(&url).send().await.unwrap();
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
    let refused = http.get(format!("{url}?session_id=OpaqueRef:guessed")).send().await.unwrap();
    assert_eq!(refused.status(), 401);

    let session = client.session.as_str().unwrap();
    let dumped = http.get(format!("{url}?session_id={session}")).send().await.unwrap();
    assert_eq!(dumped.status(), 200);
    assert!(dumped.headers().get("content-length").is_none(), "xapi does not tell the length");
    let text = dumped.text().await.unwrap();
    assert_eq!(loaded(&text).pool().records("VM"), running.pool().records("VM"));
    let cookie = http.get(&url).header("cookie", format!("a=b; session_id={session}")).send().await.unwrap();
    assert_eq!(cookie.status(), 200);
}
