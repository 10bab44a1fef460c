//! The whole reading, files in and text out.

use std::os::unix::fs::PermissionsExt;

use super::grant::AllowRule;
use super::*;

const PIN: &str = "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A folder with a configuration, a password and, when `grant` is not empty, one grant and its component.
struct Files(tempfile::TempDir);

impl Files {
    fn new(config: &str, grant: &str) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        files.write("xapiary.toml", config);
        files.write("lab.password", "hunter2\n");
        let mode = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(files.path("lab.password"), mode).unwrap();
        std::fs::create_dir(files.path("plugins")).unwrap();
        if !grant.is_empty() {
            files.write("plugins/keeper.toml", grant);
            files.write("plugins/keeper.wasm", "not looked into here");
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn load(&self) -> Result<Config, Problems> {
        load_in(&self.path("xapiary.toml"), &Surroundings::default())
    }

    /// The problems as shown, with the folder's name taken out.
    fn problems(&self) -> String {
        let problems = self.load().expect_err("the configuration was accepted");
        problems.to_string().replace(&format!("{}/", self.0.path().display()), "")
    }
}

fn pool(rest: &str) -> String {
    format!("[[pool]]\nname = \"lab\"\nuser = \"root\"\npassword = {{ file = \"lab.password\" }}\n{rest}\n")
}

fn good_pool() -> String {
    pool(&format!("url = \"https://10.0.0.10\"\ntrust = {{ pin = [\"{PIN}\"] }}"))
}

#[test]
fn a_small_configuration_gets_its_defaults() {
    let config = Files::new(&good_pool(), "").load().unwrap();
    assert_eq!(config.state, Path::new("/var/lib/xapiary"));
    assert_eq!(config.log, Log { format: LogFormat::Auto, level: "info".into() });
    assert_eq!(config.drain, Duration::from_secs(20));
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    let retention = Retention { keep: days(30), keep_audit: days(365), max_size: None, max_events: None };
    assert_eq!(config.retention, retention);
    assert_eq!(config.pools[0].endpoint.to_string(), "https://10.0.0.10:443");
    assert_eq!(config.pools[0].user, "root");
    assert!(config.grants.is_empty());
    let control = &config.control;
    assert_eq!((control.socket.to_str(), control.chosen), (Some("/run/xapiary/control.sock"), false));
    assert_eq!(
        (&control.people, control.metrics),
        (&People::default(), None),
        "closed unless a line opens it"
    );
}

#[test]
fn what_is_wrong_with_control_is_told_with_what_to_write() {
    let section = "[control]\nsocket = \"here.sock\"\nobserve = [\"alice\", \"group:\"]\noperat = []\nmetrics = \"9187\"\n";
    let problems = Files::new(&format!("{section}{}", good_pool()), "").problems();
    for part in [
        "control.socket: \"here.sock\" is no absolute path",
        "write socket = \"/run/xapiary/control.sock\"",
        "control.observe: \"alice\" is neither a user nor a group",
        "control.observe: \"group:\" is neither a user nor a group",
        "such as observe = [\"group:operators\"]",
        "control.operat: unknown key",
        "control.metrics: \"9187\" is no address with a port",
        "write metrics = \"127.0.0.1:9187\"",
    ] {
        assert!(problems.contains(part), "{part} is missing in {problems}");
    }
}

#[test]
fn where_a_daemon_is_can_be_told_without_the_rest_being_right() {
    let files = Files::new("state = \"/srv/x\"\ncontrol.socket = \"/run/y.sock\"\nnonsense = 1\n", "");
    let found = whereabouts(&files.path("xapiary.toml")).unwrap();
    assert_eq!(found, Whereabouts { state: "/srv/x".into(), socket: "/run/y.sock".into() });
    let files = Files::new("control.socket = 3\n", "");
    assert!(whereabouts(&files.path("nowhere.toml")).is_err());
}

#[test]
fn everything_that_can_be_said_is_heard() {
    let head = "state = \"/srv/x\"\nlog = { format = \"json\", level = \"warn,xapiary::feed=debug\" }\nstop.drain = \"1m\"\n\
                journal = { keep = \"2d\", keep_audit = \"90d\" }\n\
                [control]\nsocket = \"/run/y.sock\"\nobserve = [\"group:staff\", \"user:1000\"]\noperate = [\"user:alice\"]\n\
                administer = []\nmetrics = \"[::1]:9187\"\n";
    let second = format!(
        "[[pool]]\nname = \"two\"\nurl = \"unix:/run/xapi\"\nuser = \"root\"\npassword = {{ credential = \"two\" }}\n{}",
        pool(
            "url = \"https://[fd00::1]:8443\"\ntrust = \"system\"\nmembers = [\"10.0.0.11\", \"fd00::2\", \"xen3\"]"
        )
    );
    let grant = format!(
        "file = \"keeper.wasm\"\ndigest = \"{}\"\npools = [\"l*\", \"two\"]\nenabled = false\nconcurrency = 2\nmode = \"dry-run\"\n\
         [settings]\ntag = \"keep\"\nlimit = 3\nratio = 0.5\nsince = 2026-01-01\nlist = [1, [2]]\nodd = nan\n\
         [limits]\nmemory = \"8MiB\"\ndeadline = \"5s\"\ncalls = 0\nlog = \"1KiB\"\n\
         [[allow]]\ncall = [\"VM.start\"]\non = 'self.power_state == \"Halted\"'\n\
         args = {{ force = 'value == false' }}\nper_event = 1\nper_minute = 30\nobjects_per_hour = 0x0a\n\
         [[read]]\nclass = [\"VM\"]\nfields = [\"*\"]\n",
        Digest::of(b"not looked into here")
    );
    let files = Files::new(&format!("{head}{second}"), &grant);
    files.write("two", "x");
    let surroundings = Surroundings {
        credentials_folder: Some(files.0.path().to_path_buf()),
        state_folder: Some("/not/used".into()),
        runtime_folder: Some("/run/x".into()),
    };
    let config = load_in(&files.path("xapiary.toml"), &surroundings).unwrap();
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    assert_eq!((config.state.to_str(), config.drain), (Some("/srv/x"), Duration::from_secs(60)));
    assert_eq!(config.log, Log { format: LogFormat::Json, level: "warn,xapiary::feed=debug".into() });
    let days = |days: u64| Duration::from_secs(days * 24 * 3600);
    assert_eq!((config.retention.keep, config.retention.keep_audit), (days(2), days(90)));
    let (user, group) = (|name: &str| Person::User(name.into()), |name: &str| Person::Group(name.into()));
    let people = People {
        observe: vec![group("staff"), user("1000")],
        operate: vec![user("alice")],
        administer: Vec::new(),
    };
    let control = Control {
        file: files.path("xapiary.toml"),
        socket: "/run/y.sock".into(),
        chosen: true,
        people,
        metrics: Some(([0, 0, 0, 0, 0, 0, 0, 1], 9187).into()),
    };
    assert_eq!(config.control, control);
    assert_eq!(config.pools[0].endpoint.to_string(), "unix:/run/xapi");
    assert_eq!(config.pools[0].password, Some(Password::Credential(files.path("two"))));
    assert_eq!(config.pools[1].endpoint.to_string(), "https://[fd00::1]:8443");
    assert_eq!(config.pools[1].members, ["10.0.0.11", "fd00::2", "xen3"]);
    let grant = &config.grants[0];
    assert_eq!((grant.name.as_str(), grant.enabled, grant.concurrency), ("keeper", false, 2));
    assert!(grant.dry_run);
    assert_eq!(grant.component, files.path("plugins/keeper.wasm"));
    assert_eq!(grant.pools.iter().map(|p| p.value.to_string()).collect::<Vec<_>>(), ["l*", "two"]);
    assert_eq!(grant.limits.memory, Some(8 << 20));
    assert_eq!((grant.limits.calls, grant.limits.log, grant.limits.state), (Some(0), Some(1024), None));
    assert_eq!(grant.allow[0].call[0].value, "VM.start");
    assert_eq!(grant.allow[0].on.as_ref().map(|on| on.place.line), Some(21));
    let (argument, force) = &grant.allow[0].args[0];
    assert_eq!((argument.as_str(), force.value.as_str(), force.place.line), ("force", "value == false", 22));
    let AllowRule { per_event, per_minute, objects_per_hour, .. } = &grant.allow[0];
    assert_eq!((*per_event, *per_minute, *objects_per_hour), (Some(1), Some(30), Some(10)));
    assert_eq!(grant.text, Digest::of(&std::fs::read(&grant.path).unwrap()));
    assert_eq!(grant.read[0].fields[0].value, "*");
    let settings: serde_json::Map<_, _> =
        grant.settings.iter().map(|(key, value)| (key.clone(), value.value.clone())).collect();
    assert_eq!(
        serde_json::Value::from(settings),
        serde_json::json!({"tag": "keep", "limit": 3, "ratio": 0.5, "since": "2026-01-01", "list": [1, [2]], "odd": "nan"})
    );
}

#[test]
fn all_problems_come_at_once_with_line_key_and_advice() {
    let config = "\
stat = \"/srv\"
[log]
format = \"jsn\"
level = \"inof\"
[stop]
drain = 20
[[pool]]
name = \"lab\"
url = \"http://10.0.0.10\"
user = 7
password = { file = \"lab.password\" }
[[pool]]
name = \"lab\"
url = \"https://10.0.0.11\"
usr = \"root\"
password = { credential = \"lab\" }
";
    let grant = "\
file = \"gone.wasm\"
digest = \"abc\"
pools = [\"lba\"]
[limits]
memory = \"64\"
[[allow]]
on = \"true\"
args = { value = 3 }
per_minute = 0
[[read]]
class = \"VM\"
fields = []
";
    let expected = "\
plugins/keeper.toml:1:8: file: plugins/gone.wasm: there is no such file
     1 | file = \"gone.wasm\"
       |        ^^^^^^^^^^^
        name a component; the path is relative to this file
plugins/keeper.toml:2:10: digest: \"abc\" is no digest
     2 | digest = \"abc\"
       |          ^^^^^
        write digest = \"sha256:\" and 64 hexadecimal digits
plugins/keeper.toml:5:10: limits.memory: \"64\" has no unit
     5 | memory = \"64\"
       |          ^^^^
        write a size with its unit, such as memory = \"64MiB\"
plugins/keeper.toml:6:1: allow[0].call: this key is missing
     6 | [[allow]]
       | ^^^^^^^^^
        write call = [\"VM.start\"]
plugins/keeper.toml:8:18: allow[0].args.value: expected an expression as a text, found a whole number
     8 | args = { value = 3 }
       |                  ^
        write value = 'value == \"...\"'
plugins/keeper.toml:9:14: allow[0].per_minute: 0 is not between 1 and 1000000
     9 | per_minute = 0
       |              ^
plugins/keeper.toml:10:1: read[0].fields: the list is empty, so the rule grants nothing
    10 | [[read]]
       | ^^^^^^^^
        write fields = [\"name_label\", \"power_state\"], or remove the rule
plugins/keeper.toml:11:9: read[0].class: expected a list of texts, found a text
    11 | class = \"VM\"
       |         ^^^^
        write class = [\"VM\"]
xapiary.toml:1:1: stat: unknown key
     1 | stat = \"/srv\"
       | ^^^^
        write `state`
xapiary.toml:3:10: log.format: \"jsn\" is none of the possible words
     3 | format = \"jsn\"
       |          ^^^^^
        write \"json\" (possible are \"auto\", \"human\", \"json\", \"journald\")
xapiary.toml:4:9: log.level: \"inof\" is no level
     4 | level = \"inof\"
       |         ^^^^^^
        write \"info\"
xapiary.toml:6:9: stop.drain: expected a time with its unit, found a whole number
     6 | drain = 20
       |         ^^
        write drain = \"30s\"
xapiary.toml:9:7: pool.lab.url: plain http is only for this machine itself, and 10.0.0.10 is not: write https://10.0.0.10
     9 | url = \"http://10.0.0.10\"
       |       ^^^^^^^^^^^^^^^^^^
xapiary.toml:10:8: pool.lab.user: expected a text, found a whole number
    10 | user = 7
       |        ^
        write user = \"root\"
xapiary.toml:12:1: pool.lab.user: this key is missing
    12 | [[pool]]
       | ^^^^^^^^
        write user = \"root\"
xapiary.toml:13:8: pool.lab.name: the pool of line 8 has this name too
    13 | name = \"lab\"
       |        ^^^^^
        give each pool a name of its own
xapiary.toml:14:7: pool.lab.trust: this key is missing: https needs to know whom to trust
    14 | url = \"https://10.0.0.11\"
       |       ^^^^^^^^^^^^^^^^^^^
        write trust = { pin = [\"sha256:...\"] }, with what this prints on the coordinator:
        openssl x509 -noout -fingerprint -sha256 -in /etc/xensource/xapi-ssl.pem
        or trust = { ca = \"authority.pem\" }, or trust = \"system\"
xapiary.toml:15:1: pool.lab.usr: unknown key
    15 | usr = \"root\"
       | ^^^
        write `user`
xapiary.toml:16:27: pool.lab.password.credential: credentials are handed over by systemd, and this process was given none (CREDENTIALS_DIRECTORY is not set)
    16 | password = { credential = \"lab\" }
       |                           ^^^^^
        start it as a service with LoadCredential=lab:/etc/xapiary/credentials/lab, or write password = { file = \"...\" }";
    let found = Files::new(config, grant).problems();
    assert_eq!(found, expected, "\n--- found:\n{found}\n--- expected:\n{expected}\n");
}

#[test]
fn each_mistake_has_its_word() {
    let pinned = format!("trust = {{ pin = [\"{PIN}\"] }}");
    let https = "url = \"https://h\"";
    for (config, expected) in [
        (String::new(), "pool: no pool is named, so there is nothing to watch"),
        ("pool = 1".into(), "pool: expected a list of tables, found a whole number"),
        ("pool = [1]".into(), "pool[0]: expected a table, found a whole number"),
        ("[[pool]]\nname = \"a b\"".into(), "pool.a b.name: \"a b\" cannot be a name"),
        (pool("url = \"10.0.0.1\""), "\"10.0.0.1\" is no address of a pool"),
        (pool("url = \"https://root:hunter2@h\""), "an address must not hold a user or a password"),
        (pool(&format!("{https}\ntrust = {{ pin = [] }}")), "pool.lab.trust.pin: no fingerprint is pinned"),
        (
            pool(&format!("{https}\ntrust = {{ pin = [\"sha256:12\"] }}")),
            "trust.pin[0]: \"sha256:12\" is no SHA-256",
        ),
        (pool(&format!("{https}\ntrust = \"all\"")), "pool.lab.trust: \"all\" is none of the possible words"),
        (pool(&format!("{https}\ntrust = {{ }}")), "pool.lab.trust: it does not say whom to trust"),
        (pool(&format!("{https}\ntrust = {{ ca = \"no.pem\" }}")), "no.pem: there is no such file"),
        (pool(&format!("{https}\ntrust = {{ ca = \"xapiary.toml\" }}")), "xapiary.toml holds no certificate"),
        (
            pool(&format!("{https}\ntrust = {{ ca = \"x\", pin = [\"{PIN}\"] }}")),
            "both fingerprints and an authority are named",
        ),
        (
            pool(&format!("url = \"http://127.0.0.1\"\n{pinned}")),
            "there is no certificate to trust without https",
        ),
        (pool(&format!("url = \"unix:/x\"\n{pinned}")), "there is no certificate to trust without https"),
        (
            pool("url = \"unix:/x\"\nmembers = [\"b\"]"),
            "members[0]: the local socket reaches this host alone",
        ),
        (pool(&format!("{https}\n{pinned}\nmembers = [\"b:1\"]")), "members[0]: \"b:1\" names a port"),
        (pool(&format!("{https}\n{pinned}\nmembers = [\"b/c\"]")), "members[0]: \"b/c\" is no host"),
        (
            pool(&format!("{https}\n{pinned}\nmembers = [1]")),
            "members[0]: expected a text, found a whole number",
        ),
        (
            pool("url = \"http://127.0.0.1\"\nmembers = [\"10.0.0.2:80\"]"),
            "plain http is only for this machine",
        ),
        (good_pool().replace("\"root\"", "\"\""), "user: this cannot be a user's name"),
        (good_pool().replace("lab.password", "gone"), "write the secret into"),
        (good_pool().replace("{ file", "{ fiel"), "pool.lab.password.fiel: unknown key"),
        (good_pool().replace("{ file", "{ fiel"), "it does not say where the secret is kept"),
        (
            good_pool().replace("{ file", "{ credential = \"x\", file"),
            "both a file and a credential are named",
        ),
        (
            good_pool().replace("{ file = \"lab.password\" }", "\"hunter2\""),
            "a password does not belong into this file",
        ),
        (good_pool().replace("{ file = \"lab.password\" }", "\"hunter2"), "this is no TOML"),
        (format!("stop = {{ drain = \"2h\" }}\n{}", good_pool()), "stop.drain: 2h is not between 0s and 1h"),
        (format!("journal.keep = \"2h\"\n{}", good_pool()), "journal.keep: 2h is not between "),
        (format!("journal.max_size = \"2KiB\"\n{}", good_pool()), "journal.max_size: 2KiB is not between "),
        (format!("journal.max_events = 5\n{}", good_pool()), "journal.max_events"),
        (format!("state = \"x\"\n{}", good_pool()), "state: \"x\" is no absolute path"),
        (format!("plugins = \"nowhere\"\n{}", good_pool()), "nowhere cannot be read"),
        (format!("log = {{ level = \"a=b=c\" }}\n{}", good_pool()), "is no filter for logs"),
        (format!("log = \"info\"\n{}", good_pool()), "log: expected a table, found a text"),
        (format!("{}\n[pool.x", good_pool()), "this is no TOML"),
    ] {
        let found = Files::new(&config, "").problems();
        assert!(found.contains(expected), "{config}\n--- gave:\n{found}\n--- without: {expected}");
        assert!(!found.contains("hunter2"), "a secret is shown:\n{found}");
    }
}

#[test]
fn secrets_of_a_grant_are_read_and_never_shown() {
    let grant = |line: &str| format!("file = \"keeper.wasm\"\npools = [\"*\"]\n[secrets]\n{line}\n");
    let files = Files::new(&good_pool(), &grant("token = { file = \"../lab.password\" }"));
    let config = files.load().unwrap();
    let (name, secret) = &config.grants[0].secrets[0];
    assert_eq!((name.as_str(), secret.place.line), ("token", 4));
    assert_eq!(secrecy::ExposeSecret::expose_secret(&secret.value), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
    for (line, expected) in [
        ("token = { file = \"gone\" }", "plugins/keeper.toml:4:18: secrets.token: reading the secret in"),
        (
            "token = { credential = \"token\" }",
            "secrets.token.credential: credentials are handed over by systemd",
        ),
        ("token = \"hunter2\"", "a secret does not belong into this file"),
        ("token = {}", "it does not say where the secret is kept"),
        ("token = { flie = \"../lab.password\" }", "write `file`"),
    ] {
        let found = Files::new(&good_pool(), &grant(line)).problems();
        assert!(found.contains(expected), "{line}\n--- gave:\n{found}\n--- without: {expected}");
    }
}

#[test]
fn each_mistake_in_a_grant_has_its_word() {
    let good = "file = \"keeper.wasm\"\npools = [\"*\"]\n";
    for (grant, expected) in [
        ("pools = [\"*\"]".to_owned(), "keeper.toml:1:1: file: this key is missing"),
        ("file = \"keeper.wasm\"".to_owned(), "keeper.toml:1:1: pools: this key is missing"),
        ("file = \"keeper.wasm\"\npools = []".to_owned(), "pools: no pool is named"),
        ("file = \"keeper.wasm\"\npools = [\"labb\"]".to_owned(), "pools: no pool is called \"labb\""),
        (format!("{good}enabled = \"yes\""), "enabled: expected true or false, found a text"),
        (format!("{good}mode = \"dryrun\""), "write \"dry-run\" (possible are \"enforce\", \"dry-run\")"),
        (format!("{good}concurrency = 0"), "concurrency: 0 is not between 1 and 64"),
        (format!("{good}digest = \"{PIN}\""), "is not the pinned component: its digest is sha256:"),
        (
            format!("{good}limits = {{ memory = \"1TiB\" }}"),
            "limits.memory: 1TiB is not between 1.0 MiB and 4.0 GiB",
        ),
        (format!("{good}limits = {{ cals = 1 }}"), "limits.cals: unknown key"),
        (format!("{good}[[allow]]\ncall = [\"VM.start\"]\non = true"), "allow[0].on: expected a text"),
        (format!("{good}[[alow]]"), "alow: unknown key"),
        (format!("{good}[[read]]\nclass = [\"VM\"]"), "read[0].fields: this key is missing"),
    ] {
        let found = Files::new(&good_pool(), &grant).problems();
        assert!(found.contains(expected), "{grant}\n--- gave:\n{found}\n--- without: {expected}");
    }
}

#[test]
fn what_is_unwise_is_a_warning() {
    let files = Files::new(&good_pool(), "file = \"keeper.wasm\"\npools = [\"*\", \"prod-*\"]\n");
    let warnings = files.load().unwrap().warnings;
    let shown: Vec<String> =
        warnings.iter().map(|warning| format!("{}: {}", warning.key, warning.what)).collect();
    assert_eq!(
        shown,
        [
            "file: the component is not pinned: whoever can change the file changes what runs",
            "pools: no pool is called \"prod-*\""
        ]
    );
    std::fs::remove_dir_all(files.path("plugins")).unwrap();
    let warnings = files.load().unwrap().warnings;
    assert!(warnings[0].what.ends_with("so no plugin will run"), "{warnings:?}");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let files = Files::new("", "");
    for (name, expected) in [("gone.toml", "there is no such file"), ("plugins", "this is a folder")] {
        let problems = load_in(&files.path(name), &Surroundings::default()).unwrap_err().to_string();
        assert!(problems.contains(expected), "{problems}");
    }
    std::fs::write(files.path("xapiary.toml"), b"a = 1\nb = \"\xff\"\n").unwrap();
    assert!(files.problems().contains("the first wrong byte is in line 2"));
}

#[test]
fn the_password_of_a_readable_file_is_refused() {
    let files = Files::new(&good_pool(), "");
    std::fs::set_permissions(files.path("lab.password"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let found = files.problems();
    assert!(found.contains("may be read or changed by others") && found.contains("chmod 600"), "{found}");
}

/// The shipped example must be right in everything but what only the place of installation has.
#[test]
fn the_shipped_example_is_right() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/xapiary.toml");
    let files = Files::new(&std::fs::read_to_string(shipped).unwrap(), "");
    files.write("lab", "x");
    let surroundings = Surroundings {
        credentials_folder: Some(files.0.path().to_path_buf()),
        state_folder: Some("/s".into()),
        runtime_folder: Some("/run/x".into()),
    };
    let config = load_in(&files.path("xapiary.toml"), &surroundings).unwrap();
    assert_eq!((config.pools[0].name.as_str(), config.state.to_str()), ("lab", Some("/s")));
    assert_eq!((config.control.socket.to_str(), config.control.chosen), (Some("/run/x/control.sock"), true));
}

/// Each shipped grant must be right once its component lies beside it.
#[test]
fn the_shipped_grants_are_right() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/plugins");
    let mut count = 0;
    for entry in std::fs::read_dir(shipped).unwrap() {
        let path = entry.unwrap().path();
        let files = Files::new(&good_pool(), "");
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        std::fs::copy(&path, files.path("plugins").join(&name)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let component = text.lines().find_map(|line| line.strip_prefix("file = \"")?.strip_suffix('"'));
        files.write(&format!("plugins/{}", component.expect("a grant names its component")), "");
        let config = files.load().unwrap();
        assert_eq!(format!("{}.toml", config.grants[0].name), name);
        assert!(!config.grants[0].read.is_empty(), "{name} can see nothing");
        count += 1;
    }
    assert!(count > 0);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Whatever befalls a file, reading it ends with a configuration or with problems that can be shown.
    #[test]
    fn no_text_brings_the_reading_down(
        cuts in proptest::collection::vec((0.0..1.0, 0_usize..12, "[\\PC\\n\"'\\[\\]{}=.,#0-9]{0,6}"), 1..4),
    ) {
        let mut text = format!(
            "state = \"/srv/x\"\nplugins = \"plugins\"\n[log]\nformat = \"json\"\nlevel = \"info\"\n[stop]\ndrain = \"1m\"\n{}",
            good_pool()
        );
        for (at, length, put) in cuts {
            let mut start = (text.len() as f64 * at) as usize;
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let end = text[start..].char_indices().nth(length).map_or(text.len(), |(index, _)| start + index);
            text.replace_range(start..end, &put);
        }
        match Files::new(&text, "").load() {
            Ok(config) => proptest::prop_assert!(!config.pools.is_empty()),
            Err(problems) => {
                proptest::prop_assert!(!problems.errors.is_empty());
                for problem in &problems.errors {
                    let line = problem.place.as_ref().map_or(1, |place| place.line);
                    proptest::prop_assert!(line <= text.lines().count().max(1) + 1, "{problem}");
                    proptest::prop_assert!(!problem.to_string().is_empty());
                }
            }
        }
    }
}

/// A pool that knows us by certificate; `rest` are further keys.
fn by_certificate(rest: &str) -> String {
    format!(
        "[[pool]]\nname = \"lab\"\nurl = \"https://10.0.0.10\"\ntrust = {{ pin = [\"{PIN}\"] }}\n\
         client_certificate = {{ certificate = \"our.pem\", key = \"our.key\" }}\n{rest}\n"
    )
}

/// With a certificate in `our.pem`, its key in `our.key` and another one's in `other.key`.
fn with_certificate(config: &str) -> Files {
    let files = Files::new(config, "");
    let made = || rcgen::generate_simple_self_signed(["xapiary".to_owned()]).unwrap();
    let (ours, other) = (made(), made());
    files.write("our.pem", &ours.cert.pem());
    for (name, key) in [("our.key", ours.signing_key), ("other.key", other.signing_key)] {
        files.write(name, &key.serialize_pem());
        std::fs::set_permissions(files.path(name), std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    files
}

#[test]
fn a_client_certificate_stands_for_user_and_password() {
    let pool = &with_certificate(&by_certificate("")).load().unwrap().pools[0];
    assert!(pool.endpoint.identity().is_some());
    assert_eq!((pool.user.as_str(), &pool.password), ("", &None));
    let both = by_certificate("user = \"root\"\npassword = { file = \"lab.password\" }");
    let pool = &with_certificate(&both).load().unwrap().pools[0];
    assert!(pool.endpoint.identity().is_some() && pool.user == "root" && pool.password.is_some());

    let credential = by_certificate("").replace("key = \"our.key\"", "key = { credential = \"other.key\" }");
    let files = with_certificate(&credential.replace("our.pem", "cert.pem"));
    let made = rcgen::generate_simple_self_signed(["xapiary".to_owned()]).unwrap();
    files.write("cert.pem", &made.cert.pem());
    files.write("other.key", &made.signing_key.serialize_pem());
    let surroundings =
        Surroundings { credentials_folder: Some(files.0.path().to_path_buf()), ..Surroundings::default() };
    assert!(load_in(&files.path("xapiary.toml"), &surroundings).is_ok());
}

#[test]
fn each_mistake_about_a_client_certificate_has_its_word() {
    let plain = by_certificate("").replace("https://10.0.0.10", "http://127.0.0.1");
    let plain = plain.lines().filter(|line| !line.starts_with("trust")).collect::<Vec<_>>().join("\n");
    for (config, expected) in [
        (by_certificate("user = \"root\""), "pool.lab.password: this key is missing"),
        (by_certificate("").replace("our.pem", "gone"), "client_certificate.certificate: gone: "),
        (by_certificate("").replace("our.pem", "our.key"), "there is no certificate in PEM form"),
        (by_certificate("").replace("our.key", "our.pem"), "our.pem may be read or changed by others"),
        (by_certificate("").replace("our.key", "lab.password"), "there is no unencrypted private key"),
        (by_certificate("").replace("our.key", "other.key"), "the key does not belong to the certificate"),
        (
            by_certificate("").replace(", key = \"our.key\"", ""),
            "client_certificate.key: this key is missing",
        ),
        (
            by_certificate("").replace("\"our.key\"", "{ credential = \"x\" }"),
            "client_certificate.key.credential: credentials are handed over by systemd",
        ),
        (plain, "a client certificate is shown over https only"),
    ] {
        let found = with_certificate(&config).problems();
        assert!(found.contains(expected), "{config}\n--- gave:\n{found}\n--- without: {expected}");
        assert!(!found.contains("PRIVATE KEY") && !found.contains("hunter2"), "a secret is shown:\n{found}");
    }
}

#[test]
fn the_wire_is_one_of_three_words() {
    let wire = |line: &str| Files::new(&format!("{}{line}", good_pool()), "");
    for (line, expected) in [
        ("", xapi::Wire::Auto),
        ("wire = \"auto\"", xapi::Wire::Auto),
        ("wire = \"xml\"", xapi::Wire::Xml),
        ("wire = \"json\"", xapi::Wire::Json),
    ] {
        assert_eq!(wire(line).load().unwrap().pools[0].wire, expected, "{line}");
    }
    let found = wire("wire = \"jsn\"").problems();
    assert!(found.contains("write \"json\" (possible are \"auto\", \"xml\", \"json\")"), "{found}");
}
