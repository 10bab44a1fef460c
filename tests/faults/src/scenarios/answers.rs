//! What answers is no pool, or no longer one.

use std::sync::Arc;

use e2e::{LIMIT, Line, until};
use simulator::Spoil;

use crate::invariants::{self, ALL};
use crate::proxy::Treatment;
use crate::scene::{Door, Scene};
use crate::table::Outcome;

/// What the daemon may have in memory while it is sent an answer without end: its limit for one answer, twice while a
/// buffer grows, and what it needs anyway.
const MEMORY_MAX_KIB: u64 = 420 * 1024;

fn away(line: &Line) -> bool {
    line.message() == "the pool cannot be followed for now"
}

/// F14: 300 MiB that are announced, chunks without end, a head without end. It is cut at the limit, memory stays bounded.
pub(crate) async fn without_end(seed: u64) -> Outcome {
    let mut scene = Scene::new(seed, Door::Http).await;
    scene.begin().await;
    let piece = |text: String| -> Arc<[u8]> { text.into_bytes().into() };
    let body = "[0,".repeat(20_000);
    let floods = [
        ("announced", "HTTP/1.1 200 OK\r\ncontent-length: 314572800\r\n\r\n".to_owned(), body.clone()),
        (
            "chunked",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            format!("{:x}\r\n{body}\r\n", body.len()),
        ),
        ("until it closes", "HTTP/1.1 200 OK\r\n\r\n".to_owned(), body),
        ("head", "HTTP/1.1 200 OK\r\n".to_owned(), format!("x-more: {}\r\n", "y".repeat(4_000))),
    ];
    for (name, head, endless) in floods {
        scene.write(10);
        scene.settle().await;
        let heard = scene.daemon().heard();
        let before = scene.proxy.bytes_of_answers();
        scene.proxy.treat(Treatment::Flood(piece(head), piece(endless)));
        scene.write(10);
        // The poll that is under way ends when the pool answers it; the one after it gets the flood.
        scene.daemon().wait_after(heard, &format!("{name}: the answer is given up"), away).await;
        let taken = scene.proxy.bytes_of_answers() - before;
        assert!(taken > 0, "{name}: the daemon took nothing of it");
        scene.proxy.treat(Treatment::Forward);
        scene.settle().await;
    }
    let peak = memory_peak(scene.daemon().process());
    assert!(peak < MEMORY_MAX_KIB, "it took {peak} KiB of memory");
    scene.stop().await;
    Outcome::Held(format!("{}; at most {} MiB of memory", invariants::check(&scene, &ALL), peak / 1024))
}

/// The most memory that a process ever had, in KiB.
pub(super) fn memory_peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
    line.trim().trim_end_matches("kB").trim().parse().expect("it is a number")
}

/// Bodies that are no answer to a poll, in JSON.
fn bad_json() -> Vec<(&'static str, Vec<u8>)> {
    let result = |inside: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{inside}}}"#).into_bytes();
    vec![
        ("empty", Vec::new()),
        ("null", b"null".to_vec()),
        ("not UTF-8", b"{\"jsonrpc\":\"2.0\",\"result\":\"\xff\xfe\"}".to_vec()),
        ("nested a million times", "[".repeat(1_000_000).into_bytes()),
        ("another type", result("42")),
        ("no events", result(r#"{"token":"1","valid_ref_counts":{}}"#)),
        (
            "duplicate members",
            result(r#"{"events":[],"events":{},"token":"0","token":7,"valid_ref_counts":[]}"#),
        ),
        (
            "a huge number",
            result(&format!(r#"{{"events":[],"token":{},"valid_ref_counts":{{}}}}"#, "9".repeat(400))),
        ),
        ("not a number", result(r#"{"events":[],"token":NaN,"valid_ref_counts":{}}"#)),
        ("cut short", br#"{"jsonrpc":"2.0","id":1,"result":{"events":[{"class":"vm","oper"#.to_vec()),
        ("a page", b"<html><body>502 Bad Gateway</body></html>".to_vec()),
    ]
}

/// The same in XML.
fn bad_xml() -> Vec<(&'static str, Vec<u8>)> {
    let entities: String = (1..10)
        .map(|level| format!("<!ENTITY a{level} \"{}\">", format!("&a{};", level - 1).repeat(10)))
        .collect();
    let laughs = format!(
        "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY a0 \"ha\">{entities}]><methodResponse><params><param><value>&a9;\
         </value></param></params></methodResponse>"
    );
    vec![
        ("empty", Vec::new()),
        ("not UTF-8", b"<methodResponse><params><param><value>\xff\xfe</value>".to_vec()),
        ("a billion laughs", laughs.into_bytes()),
        ("nested a million times", "<value><array><data>".repeat(1_000_000).into_bytes()),
        ("cut short", b"<?xml version=\"1.0\"?><methodResponse><params><param><value><struct><memb".to_vec()),
        (
            "another type",
            b"<methodResponse><params><param><value><int>7</int></value></param></params></methodResponse>"
                .to_vec(),
        ),
        ("a page", b"<html><body>502 Bad Gateway</body></html>".to_vec()),
    ]
}

/// F15: each of these costs a moment and nothing else; then bytes of good answers are changed on the way.
pub(crate) async fn malformed(seed: u64) -> Outcome {
    let mut told = Vec::new();
    for (wire, bodies) in [("json", bad_json()), ("xml", bad_xml())] {
        let mut scene = Scene::new(seed, Door::Http).await;
        for pool in &mut scene.config.pools {
            pool.wire = Some(wire.to_owned());
        }
        scene.begin().await;
        let count = bodies.len();
        for (name, body) in bodies {
            scene.write(3);
            scene.settle().await;
            let heard = scene.daemon().heard();
            let last = scene.stored().last();
            let mut answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len())
                    .into_bytes();
            answer.extend(body);
            scene.proxy.treat(Treatment::Answer(answer.into()));
            scene.write(3);
            let what = format!("{wire}, {name}: it is no answer");
            let refused = scene.daemon().wait_after(heard, &what, away);
            let line = refused.await;
            assert!(line.raw.len() < 4_000, "{wire}, {name}: the answer is in the log: {}", line.raw.len());
            scene.proxy.treat(Treatment::Forward);
            let changed = scene.stored().last() - last;
            assert!(changed < 100, "{wire}, {name}: {changed} events of nonsense");
            scene.settle().await;
        }
        spoilt_and_flipped(&mut scene).await;
        assert!(scene.daemon().lines().iter().all(|line| !line.message().contains("panicked")));
        scene.stop().await;
        told.push(format!("{wire}: {count} bodies, {}", invariants::check(&scene, &ALL)));
    }
    Outcome::Held(told.join(" + "))
}

/// Answers that the pool itself spoils, that are cut on the way, and one bit that changes on the way. A bit in the text of a value cannot be seen
/// in plain HTTP; here it falls on the head, where it can.
async fn spoilt_and_flipped(scene: &mut Scene) {
    for spoil in [Spoil::Garbage, Spoil::ServerError, Spoil::Truncated, Spoil::Close] {
        let heard = scene.daemon().heard();
        scene.pool().spoil_next(1, Some("event.from"), spoil);
        until(LIMIT, "the answer is none", || {
            scene.write(1);
            let lines = scene.daemon().lines();
            if lines.iter().skip(heard).any(away) { Ok(()) } else { Err(format!("{spoil:?}")) }
        })
        .await;
        scene.settle().await;
    }
    let cuts = [0, 9, 60, 250, 700].map(Treatment::CutAfter);
    for treatment in cuts.into_iter().chain([0, 5, 9].map(Treatment::FlipByte)) {
        let heard = scene.daemon().heard();
        scene.proxy.treat(treatment.clone());
        until(LIMIT, "the answer is none", || {
            scene.write(1);
            let lines = scene.daemon().lines();
            if lines.iter().skip(heard).any(away) { Ok(()) } else { Err(format!("{treatment:?}")) }
        })
        .await;
        scene.proxy.treat(Treatment::Forward);
        scene.settle().await;
    }
}
