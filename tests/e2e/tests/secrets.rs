//! Secrets that a grant gives to a plugin: told by name, and found nowhere else.

use e2e::{Config, Grant, LIMIT, World, until, write_secret};

const TOKEN: &str = "tok-5b1f0e77c2";
const READ: &str = "[[read]]\nclass = [\"VM\"]\nfields = [\"uuid\"]\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_its_plugin_and_neither_log_nor_journal() {
    let world = World::builtin().await;
    let file = world.folder().join("webhook");
    write_secret(&file, TOKEN);
    let given = format!("{READ}[secrets]\nwebhook_token = {{ file = \"{}\" }}\n", file.display());
    let poor = Grant { name: "poor".into(), ..Grant::guest("confidant", READ) };
    let config = Config { grants: vec![Grant::guest("confidant", &given), poor], ..world.config() };
    let daemon = world.start(&config);
    daemon.following().await;
    let asks = daemon.wait_for_message("the plugin asks for more than its grant allows").await;
    assert_eq!(asks.text("plugin"), "poor");
    assert!(asks.text("missing").contains("webhook_token = { credential = \"webhook_token\" }"), "{asks:?}");

    let pool = world.pool();
    let vm = pool.find_vm("web-1").unwrap();
    pool.set("VM", &vm, "name_description", "another one").unwrap();
    let said = daemon.wait_for_message("it is (secret webhook_token)").await;
    let length = format!("length=\"{}\"", TOKEN.len());
    assert!(said.text("fields").contains(&length), "it was given the real one: {}", said.text("fields"));
    let stored = world.stored();
    let dead = until(LIMIT, "both have given up", || {
        let mut dead = stored.dead();
        dead.sort();
        if dead.len() == 2 { Ok(dead) } else { Err(format!("{dead:?}")) }
    })
    .await;
    assert_eq!(dead[0].2, "(secret webhook_token) opens no door");
    for words in ["gives no secret `webhook_token`", "[secrets]\nwebhook_token = { credential = "] {
        assert!(dead[1].2.contains(words), "{}", dead[1].2);
    }

    let ended = daemon.terminate().await;
    assert!(ended.status.success());
    assert!(!ended.everything().contains(TOKEN));
    for (path, bytes) in world.state_files() {
        let found = bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes());
        assert!(!found, "it lies in {}", path.display());
    }
}
