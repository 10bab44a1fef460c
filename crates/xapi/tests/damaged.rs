//! Recorded answers with damage of every kind go through what the fuzz targets run: nothing panics, nothing hangs, and
//! what is still an answer survives being written again. The seeds are fixed, so a failure comes back.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "it is a library elsewhere")]
mod entries;
#[expect(dead_code, reason = "another test uses more of it")]
mod recorded;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Longer answers are mostly more of the same; a damaged one of this length still has hundreds of records.
const BODY_MAX: usize = 100_000;
/// How often each answer is damaged.
const ROUNDS: u64 = 40;

/// What decoders look for.
const WORDS: [&[u8]; 22] = [
    b"<value>",
    b"</value>",
    b"<struct>",
    b"</struct>",
    b"<member><name>",
    b"</name>",
    b"<array><data>",
    b"<nil/>",
    b"<![CDATA[",
    b"]]>",
    b"&lt;",
    b"&#0;",
    b"<!--",
    b"{",
    b"}",
    b"[",
    b"\"",
    b"\\ud800",
    b"NaN",
    b"-Infinity",
    b"null",
    b"9223372036854775808",
];

fn bodies() -> Vec<Vec<u8>> {
    let all = recorded::own().into_iter().map(|exchange| exchange.body);
    all.filter(|body| body.len() <= BODY_MAX).collect()
}

/// Feeds every recorded answer to `entry`, whole and damaged; how many that were.
fn feed(entry: impl Fn(&[u8])) -> usize {
    let bodies = bodies();
    let mut fed = 0;
    for (index, body) in bodies.iter().enumerate() {
        entry(body);
        for round in 0..ROUNDS {
            let mut random = StdRng::seed_from_u64(index as u64 * ROUNDS + round);
            entry(&damaged(body, &bodies, &mut random));
            fed += 1;
        }
    }
    fed
}

fn damaged(body: &[u8], others: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    let mut body = body.to_vec();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=body.len());
        let end = (at + random.random_range(0..200)).min(body.len());
        match random.random_range(0..7) {
            0 => body.truncate(at),
            1 => drop(body.drain(at..end)),
            2 => {
                let again = body[at..end].to_vec();
                body.splice(at..at, again);
            }
            3 => {
                let word = WORDS[random.random_range(0..WORDS.len())];
                body.splice(at..at, word.iter().copied());
            }
            4 => {
                let other = &others[random.random_range(0..others.len())];
                let from = random.random_range(0..=other.len());
                let to = (from + random.random_range(0..500)).min(other.len());
                body.splice(at..end, other[from..to].iter().copied());
            }
            _ => {
                if let Some(byte) = body.get_mut(at) {
                    *byte = random.random();
                }
            }
        }
    }
    body
}

#[test]
fn damaged_answers_on_the_xml_wire() {
    assert!(feed(entries::xml_reply) > 4000);
}

#[test]
fn damaged_answers_on_the_json_wire() {
    assert!(feed(entries::json_reply) > 4000);
}

#[test]
fn damaged_batches_of_events() {
    assert!(feed(entries::event_batch) > 4000);
}

/// What libFuzzer found in batches, made small.
#[test]
fn findings_stay_fixed() {
    // A field that the schema does not know, twice: the record seemed to differ from itself.
    entries::event_batch(
        br#"{"result":{"token":"1,1","valid_ref_counts":{"vm":1},"events":[{"id":"1","class":"vm",
        "operation":"mod","ref":"OpaqueRef:a","snapshot":{"uuid":"u","new":"1","new":"2","uuid":"v"}}]}}"#,
    );
}

#[test]
fn damaged_results_of_tasks() {
    // The value inside an answer is written as a task's result is.
    let fed = feed(|body| {
        let at = body.windows(7).skip(1).position(|bytes| bytes == b"<value>").map_or(0, |at| at + 1);
        let end = body.len().saturating_sub(b"</param></params></methodResponse>".len());
        entries::xml_value(body.get(at..end).unwrap_or(body));
    });
    assert!(fed > 4000);
}
