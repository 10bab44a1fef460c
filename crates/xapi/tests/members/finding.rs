//! Which member is asked, and what becomes of its answer.

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::Semaphore;
use xapi::codec::Failure;
use xapi::{Client, Error, Settings};

use super::pool::{Member, Pool, settings};
use super::server::{Act, Server, ok};

/// Members on plain HTTP, the first of which is the coordinator.
async fn pool_of(count: usize) -> (Pool, Vec<Member>) {
    let pool = Pool::new();
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(pool.plain().await);
    }
    pool.change(|known| {
        known.coordinator = members[0].name();
        known.hosts = members.iter().map(Member::name).collect();
    });
    (pool, members)
}

/// Waits until the pool is as wanted; a test that waits for ever is stopped from outside.
async fn until(wanted: impl Fn() -> bool) {
    while !wanted() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn however_many_ask_there_is_one_login() {
    let (pool, members) = pool_of(1).await;
    let client = Client::new(settings(members[0].endpoint())).unwrap();
    let asking: Vec<_> = (0..20)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.lease().await.unwrap().number() })
        })
        .collect();
    for lease in asking {
        assert_eq!(lease.await.unwrap(), 1);
    }
    assert_eq!((pool.logins(), pool.sessions()), (1, 1));
    client.logout().await;
    assert_eq!(pool.sessions(), 0);
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_no_session_that_nobody_knows() {
    let (pool, members) = pool_of(1).await;
    let client = Client::new(settings(members[0].endpoint())).unwrap();
    let asking = client.clone();
    let caller = tokio::spawn(async move { asking.lease().await.map(|_| ()) });
    until(|| pool.logins() == 1).await;
    caller.abort();
    // What was begun is finished, and the next one gets it.
    client.lease().await.unwrap();
    assert_eq!((pool.logins(), pool.sessions()), (1, 1));
    client.logout().await;
    assert_eq!(pool.sessions(), 0);
}

#[tokio::test]
async fn a_member_leads_to_the_coordinator() {
    let (pool, members) = pool_of(3).await;
    let client = Client::new(settings(members[2].endpoint())).unwrap();
    client.lease().await.unwrap();
    assert_eq!(client.endpoint(), members[0].endpoint());
    assert_eq!((members[2].requests(), pool.logins()), (1, 1));
    assert_eq!(client.pool_uuid().as_deref(), Some("11111111-2222-3333-4444-555555555555"));
}

#[tokio::test]
async fn members_that_the_pool_named_are_asked_when_the_coordinator_is_lost() {
    let (pool, mut members) = pool_of(3).await;
    // Only the coordinator is configured.
    let client = Client::new(settings(members[0].endpoint())).unwrap();
    let first = client.lease().await.unwrap();
    drop(members.remove(0));
    // The others still name the one that is dead, until one of them takes over.
    client.abandon(first.number()).await;
    let error = client.lease().await.unwrap_err();
    assert!(matches!(&error, Error::Login { .. }) && error.failure().is_none(), "{}", error.chain());
    assert!(members.iter().all(|member| member.requests() == 1), "each was asked once");

    pool.change(|known| known.coordinator = members[1].name());
    let due = client.login_due().await;
    assert!(due > Duration::ZERO && due < Duration::from_secs(2), "{due:?}");
    tokio::time::sleep(due).await;
    assert_eq!(client.lease().await.unwrap().number(), 2);
    assert_eq!(client.endpoint(), members[1].endpoint());
}

#[tokio::test]
async fn a_pool_that_moves_is_followed_on_the_next_call() {
    let (pool, members) = pool_of(2).await;
    let client = Client::new(settings(members[0].endpoint())).unwrap();
    assert_eq!(client.call("VM.get_all", &[]).await.unwrap(), "VM.get_all".into());
    pool.change(|known| known.coordinator = members[1].name());
    assert_eq!(client.call("VM.get_all", &[]).await.unwrap(), "VM.get_all".into());
    assert_eq!(client.endpoint(), members[1].endpoint());
}

#[tokio::test]
async fn a_member_in_trouble_is_passed_over_and_tried_again_soon() {
    let (pool, members) = pool_of(2).await;
    let booting = Failure::new::<&str>("HOST_STILL_BOOTING", []);
    pool.change(|known| {
        known.emergencies.insert(members[0].name(), booting.clone());
        known.coordinator = members[1].name();
    });
    let both = Settings { members: vec![members[1].endpoint()], ..settings(members[0].endpoint()) };
    let client = Client::new(both).unwrap();
    client.lease().await.unwrap();
    assert_eq!(client.endpoint(), members[1].endpoint());

    let alone = Client::new(settings(members[0].endpoint())).unwrap();
    let error = alone.lease().await.unwrap_err();
    assert!(error.is("HOST_STILL_BOOTING"), "{}", error.chain());
    assert!(alone.login_due().await < Duration::from_secs(2));
    assert!(matches!(alone.lease().await, Err(Error::Waiting { .. })));
}

#[tokio::test]
async fn a_wrong_password_is_tried_once_however_many_members_there_are() {
    let (pool, members) = pool_of(6).await;
    // The one that we begin with is dead, and all others name the same coordinator.
    let dead = pool.plain().await;
    let wrong = Settings {
        members: members.iter().map(Member::endpoint).collect(),
        password: Arc::new(SecretString::from("wrong")),
        ..settings(dead.endpoint())
    };
    drop(dead);
    let client = Client::new(wrong).unwrap();
    let error = client.lease().await.unwrap_err();
    assert!(error.is("SESSION_AUTHENTICATION_FAILED"), "{}", error.chain());
    // Once where it was named, and once when it was asked itself.
    assert!(pool.logins() <= 2, "{} tries", pool.logins());
    assert!(client.login_due().await > Duration::from_secs(40));
    assert!(matches!(client.lease().await, Err(Error::Waiting { .. })), "nothing is sent before that");
    assert!(pool.logins() <= 2);
}

#[tokio::test]
async fn a_host_that_has_become_another_pool_is_left_at_once() {
    let (pool, members) = pool_of(2).await;
    let client = Client::new(settings(members[0].endpoint())).unwrap();
    let lease = client.lease().await.unwrap();
    // It was ejected: a pool of its own with the same password.
    pool.change(|known| known.uuid = "99999999-2222-3333-4444-555555555555".into());
    client.abandon(lease.number()).await;
    until(|| pool.sessions() == 0).await;
    let error = client.lease().await.unwrap_err();
    let Error::Login { source, .. } = &error else { panic!("{}", error.chain()) };
    assert!(matches!(&**source, Error::OtherPool { .. }), "{}", error.chain());
    assert_eq!(pool.sessions(), 0, "the session there was ended");
    let later = Settings { pool_uuid: Some("elsewhere".into()), ..settings(members[0].endpoint()) };
    let error = Client::new(later).unwrap().call("VM.get_all", &[]).await.unwrap_err();
    assert!(error.chain().contains("belongs to pool 99999999-"), "{}", error.chain());
    assert!(error.nothing_done());
}

#[tokio::test]
async fn a_member_that_never_answers_keeps_nobody_waiting_and_its_late_session_is_ended() {
    let (pool, members) = pool_of(1).await;
    // It takes the login and answers only when the test lets it, with a session that must not stay.
    let gate = Arc::new(Semaphore::new(0));
    let late = Server::start(|request| {
        let session = r#"{"jsonrpc":"2.0","result":"OpaqueRef:late","id":1}"#;
        if request.contains("login_with_password") {
            Act::Wait(ok("application/json", session))
        } else {
            Act::Answer(ok("application/json", r#"{"jsonrpc":"2.0","result":"","id":1}"#))
        }
    })
    .await;
    drop(gate);
    let dead = pool.plain().await;
    let silent = members[0].endpoint().at(&late.address.to_string()).unwrap();
    let all = Settings { members: vec![silent, members[0].endpoint()], ..settings(dead.endpoint()) };
    drop(dead);
    let client = Client::new(all).unwrap();
    client.lease().await.unwrap();
    assert_eq!(client.endpoint(), members[0].endpoint());
    late.go_on.add_permits(1);
    late.until(|seen| {
        seen.requests.iter().any(|request| String::from_utf8_lossy(request).contains("logout"))
    })
    .await;
    assert_eq!(client.call("VM.get_all", &[]).await.unwrap(), "VM.get_all".into(), "ours is as it was");
}
