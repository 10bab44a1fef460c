//! The policy, case by case: what differs from a plain crash is in sight, and so is what comes of it.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_767_323_045;

fn settings() -> VmKeepalive {
    VmKeepalive {
        tag: "keepalive".into(),
        max_starts: 3,
        window_minutes: 10,
        asked_within_seconds: 10,
        start_after_gap: true,
    }
}

/// A tagged VM that ran, is halted, and that nobody touched.
fn crash() -> Evidence {
    Evidence {
        name: "web".into(),
        was: "Running".into(),
        became: "Halted".into(),
        now: Some(halted()),
        operations: vec![],
        caused_by: None,
        gap: false,
        noted: None,
        tasks: vec![],
    }
}

fn halted() -> Now {
    Now { power_state: "Halted".into(), tagged: true, out_of_scope: false, start_blocked: None }
}

fn noted(external: bool, fresh: bool, at: Option<i64>) -> Option<NotedShutdown> {
    Some(NotedShutdown { external, fresh, at })
}

fn task(name: &str, finished: Option<i64>) -> Vec<HaltingTask> {
    vec![HaltingTask { name: name.into(), finished }]
}

fn decided(evidence: &Evidence) -> Decision {
    decide(evidence, &settings(), &[], NOW)
}

#[test]
fn a_crash_is_undone() {
    assert_eq!(decided(&crash()), Decision::Start);
}

#[test]
fn only_a_way_from_running_to_halted_is_a_stop() {
    for (was, became) in [
        ("Halted", "Running"),
        ("Running", "Paused"),
        ("Running", "Suspended"),
        ("Suspended", "Halted"),
        ("Paused", "Halted"),
    ] {
        let evidence = Evidence { was: was.into(), became: became.into(), ..crash() };
        assert_eq!(decided(&evidence), Decision::LeaveAlone(Reason::NotStopped), "{was} to {became}");
    }
}

#[test]
fn a_vm_that_is_not_ours_is_left_alone() {
    let cases = [
        (None, Reason::Gone),
        (Some(Now { tagged: false, ..halted() }), Reason::NoTag),
        (Some(Now { out_of_scope: true, ..halted() }), Reason::NoOrdinaryVm),
        (Some(Now { power_state: "Running".into(), ..halted() }), Reason::RunsAgain),
        (
            Some(Now { power_state: "Suspended".into(), ..halted() }),
            Reason::OtherState(VmPowerState::Suspended),
        ),
    ];
    for (now, reason) in cases {
        assert_eq!(decided(&Evidence { now, ..crash() }), Decision::LeaveAlone(reason));
    }
}

#[test]
fn a_hand_on_the_vm_leaves_it_alone() {
    let blocked = Now { start_blocked: Some("maintenance".into()), ..halted() };
    let cases = [
        (Evidence { now: Some(blocked), ..crash() }, Reason::StartBlocked("maintenance".into())),
        (
            Evidence { operations: vec!["snapshot".into(), "clean_shutdown".into()], ..crash() },
            Reason::Handled(VmOperations::CleanShutdown),
        ),
        (Evidence { operations: vec!["suspend".into()], ..crash() }, Reason::Handled(VmOperations::Suspend)),
        (Evidence { caused_by: Some("night/17".into()), ..crash() }, Reason::CausedBy("night/17".into())),
        (Evidence { noted: noted(true, true, None), ..crash() }, Reason::Noted),
        (Evidence { noted: noted(true, false, Some(NOW - 10)), ..crash() }, Reason::Noted),
        (
            Evidence { tasks: task("VM.clean_shutdown", None), ..crash() },
            Reason::TaskNearby { name: "VM.clean_shutdown".into(), running: true },
        ),
        (
            Evidence { tasks: task("Async.VM.hard_shutdown", Some(NOW + 10)), ..crash() },
            Reason::TaskNearby { name: "Async.VM.hard_shutdown".into(), running: false },
        ),
    ];
    for (evidence, reason) in cases {
        assert_eq!(decided(&evidence), Decision::LeaveAlone(reason), "{evidence:?}");
    }
}

#[test]
fn what_lies_too_far_back_or_came_from_inside_is_no_hand() {
    let cases = [
        Evidence { noted: noted(true, false, Some(NOW - 11)), ..crash() },
        Evidence { noted: noted(true, false, None), ..crash() },
        Evidence { noted: noted(false, true, Some(NOW)), ..crash() },
        Evidence { tasks: task("VM.clean_shutdown", Some(NOW - 11)), ..crash() },
        Evidence { operations: vec!["start".into(), "snapshot".into()], ..crash() },
    ];
    for evidence in cases {
        assert_eq!(decided(&evidence), Decision::Start, "{evidence:?}");
    }
}

#[test]
fn a_stop_that_nobody_saw_is_undone_unless_the_settings_say_otherwise() {
    let unseen = Evidence { gap: true, ..crash() };
    assert_eq!(decided(&unseen), Decision::Start);
    let settings = VmKeepalive { start_after_gap: false, ..settings() };
    assert_eq!(decide(&unseen, &settings, &[], NOW), Decision::LeaveAlone(Reason::Unseen));
    assert_eq!(decide(&crash(), &settings, &[], NOW), Decision::Start);
}

#[test]
fn it_gives_up_after_so_many_starts_within_the_window() {
    let settings = VmKeepalive { max_starts: 3, window_minutes: 10, ..settings() };
    let old = NOW - 600;
    assert_eq!(decide(&crash(), &settings, &[old, NOW - 20, NOW - 10], NOW), Decision::Start);
    assert_eq!(
        decide(&crash(), &settings, &[old + 1, NOW - 20, NOW - 10], NOW),
        Decision::GiveUp { starts: 3 }
    );
    assert_eq!(
        decide(&crash(), &VmKeepalive { max_starts: 0, ..settings }, &[], NOW),
        Decision::GiveUp { starts: 0 }
    );
}

#[test]
fn a_vm_that_somebody_stopped_is_never_a_reason_to_give_up() {
    let evidence = Evidence { operations: vec!["hard_shutdown".into()], ..crash() };
    let decision = decide(&evidence, &settings(), &[NOW, NOW, NOW], NOW);
    assert_eq!(decision, Decision::LeaveAlone(Reason::Handled(VmOperations::HardShutdown)));
}

proptest! {
    /// However often a VM crashes, no window of the given length ever holds more starts than allowed.
    #[test]
    fn no_window_holds_more_starts_than_allowed(
        pauses in prop::collection::vec(0_i64..400, 1..60),
        max_starts in 0_u32..5,
        window_minutes in 1_u32..12,
    ) {
        let settings = VmKeepalive { max_starts, window_minutes, ..settings() };
        let (mut now, mut kept, mut all) = (NOW, Vec::new(), Vec::new());
        for pause in pauses {
            now += pause;
            if decide(&crash(), &settings, &kept, now) == Decision::Start {
                kept = within_window(&kept, &settings, now).chain([now]).collect();
                all.push(now);
            }
        }
        for &start in &all {
            let length = i64::from(window_minutes) * 60;
            let inside = all.iter().filter(|&&other| other >= start && other < start + length).count();
            prop_assert!(inside <= max_starts as usize, "{inside} starts from {start} on: {all:?}");
        }
    }

    /// Whatever else is the case, a VM without the tag is never started.
    #[test]
    fn a_vm_without_the_tag_is_never_started(starts in prop::collection::vec(any::<i64>(), 0..4), now: i64, gap: bool) {
        let evidence = Evidence { now: Some(Now { tagged: false, ..halted() }), gap, ..crash() };
        prop_assert_eq!(
            decide(&evidence, &settings(), &starts, now),
            Decision::LeaveAlone(Reason::NoTag)
        );
    }
}
