use std::path::Path;

use super::*;

/// Holds a generated file to the code, or writes it when FORETOKEN_BLESS is set.
fn hold(name: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name);
    if std::env::var_os("FORETOKEN_BLESS").is_some() {
        std::fs::write(&path, expected).expect("the folder is there");
    }
    let found = std::fs::read_to_string(&path).expect("the file is there");
    assert!(found == expected, "config/{name} is stale: FORETOKEN_BLESS=1 cargo test -p foretoken-config");
}

#[test]
fn the_reference_and_the_schema_are_those_of_the_code() {
    hold("foretoken.toml", &reference());
    hold("schema.json", &schema());
}

#[test]
fn the_table_of_a_gates_keys_is_that_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/gate.md");
    let mut page = std::fs::read_to_string(&path).expect("the page is there");
    let expected = gate_keys();
    let head = expected.lines().next().expect("a head");
    let begin = page.find(head).expect("the page has the table");
    let end = begin + page[begin..].find("\n\n").expect("something follows") + 1;
    if std::env::var_os("FORETOKEN_BLESS").is_some() {
        page.replace_range(begin..end, &expected);
        std::fs::write(&path, &page).expect("the folder is there");
    } else {
        assert!(
            page[begin..end] == expected,
            "docs/gate.md is stale: FORETOKEN_BLESS=1 cargo test -p foretoken-config"
        );
    }
}

#[test]
fn the_reference_reads_and_says_the_defaults() {
    let text = reference();
    let shown = Config::parse(&text, "reference").unwrap_or_else(|faults| panic!("{faults}"));
    let bare = "[[store]]\nname = \"cache\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\"]\n\
        [[store.endpoint]]\nname = \"primary\"\nurl = \"redis://127.0.0.1:6379\"\nrole = \"primary\"\n";
    assert_eq!(shown, Config::parse(bare, "bare").unwrap_or_else(|faults| panic!("{faults}")));
    let names =
        |line: &&str| line.starts_with('#') && line.as_bytes().get(1).is_some_and(u8::is_ascii_lowercase);
    assert!(text.lines().filter(names).count() > 25, "defaults are shown");
}

#[test]
fn every_example_reads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        let faults =
            if path.ends_with("gate.toml") { Gate::load(&path).err() } else { Config::load(&path).err() };
        assert_eq!(faults.map(|faults| faults.to_string()), None, "{}", path.display());
        read += 1;
    }
    assert!(read >= 2, "only {read} examples");
}

/// A file with `text`, read as a gate's.
fn gate(text: &str) -> Result<Gate, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("gate.toml");
    std::fs::write(&file, text).expect("a directory of ours");
    Gate::load(&file).map_err(|faults| faults.to_string())
}

#[test]
fn the_example_of_a_gate_reads_and_what_would_leave_it_open_is_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/examples/gate.toml");
    let example = std::fs::read_to_string(&path).expect("it is there");
    let read = gate(&example).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(read.limits.ttl, std::time::Duration::from_secs(2));
    for (from, to, told) in [
        ("127.0.0.1:7379", "0.0.0.0:7379", "add the table [tls]"),
        ("127.0.0.1:7379", "unix:/run/gate", "is a Unix socket"),
        ("127.0.0.1:7001", "10.0.0.1:7001", "could open the gate"),
        ("redis://127.0.0.1:6379", "redis://127.0.0.1:7379", "our own listener"),
        ("[sidecar]", "[limits]\nttl = \"300ms\"\n[sidecar]", "limits.guard"),
        ("[sidecar]", "[server_tls]\nca_file = \"x\"\n[sidecar]", "not a TLS URL"),
        ("[sidecar]", "ttl = \"1s\"\n[sidecar]", "ttl: is not a key; move it under [limits]"),
        (
            "[sidecar]",
            "colour = 1\n[sidecar]",
            "colour: is not a key; remove it; docs/gate.md lists every key",
        ),
        ("store = \"cache\"", "", "add a line such as"),
    ] {
        let faults = gate(&example.replace(from, to)).expect_err(to);
        assert!(faults.contains(told), "{to}: {faults}");
    }
}

#[test]
fn an_endpoint_behind_a_gate_needs_a_holder_for_its_tokens_and_an_address_for_replication() {
    let with = |endpoint: &str| {
        let text = format!(
            "[[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\"]\n\
             [[store.endpoint]]\nname = \"p\"\nrole = \"primary\"\ngate = true\n{endpoint}\n\
             [[store.endpoint]]\nname = \"m\"\nrole = \"mirror\"\nurl = \"redis://10.0.0.2:1\""
        );
        Config::parse(&text, "f").map(drop).map_err(|faults| faults.to_string())
    };
    let own = "advertise = \"10.0.0.1:6379\"";
    assert_eq!(with(&format!("url = \"redis://127.0.0.1:1\"\n{own}")), Ok(()));
    let tls = "[store.endpoint.tls]\ncert_file = \"c\"\nkey_file = \"k\"";
    assert_eq!(with(&format!("url = \"rediss://10.0.0.1:1\"\n{own}\n{tls}")), Ok(()));
    for (endpoint, told) in [
        ("url = \"redis://127.0.0.1:1\"".to_owned(), "can't copy through a gate"),
        (format!("url = \"redis://10.0.0.1:1\"\n{own}"), "without TLS"),
        (format!("url = \"rediss://10.0.0.1:1\"\n{own}"), "no certificate"),
        (format!("url = \"redis+unix:///s\"\n{own}"), "TCP only"),
    ] {
        let faults = with(&endpoint).expect_err(told);
        assert!(faults.contains(told), "{endpoint}: {faults}");
    }
}

#[test]
fn a_configuration_reads_back_as_it_was_written() {
    let quick = Quick {
        listen: "127.0.0.1:7000".to_owned(),
        admin: Some("127.0.0.1:7001".to_owned()),
        primary: "redis://127.0.0.1:6379".to_owned(),
        mirrors: vec!["redis://127.0.0.1:6380".to_owned()],
        sole_writer: true,
        state_dir: Some("/tmp/x".into()),
    };
    let config = Config::quick(&quick).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(Config::parse(&config.to_toml(), "again"), Ok(config.clone()));
    let names: Vec<_> = config.store[0].endpoint.iter().map(|endpoint| endpoint.name.as_str()).collect();
    assert_eq!(names, ["primary", "mirror-1"]);
    assert_eq!(config.admin_listen().map(ToString::to_string).as_deref(), Some("127.0.0.1:7001"));
    let mut other = config.clone();
    other.store[0].hold_max = std::time::Duration::from_secs(7);
    other.data.threads = 2;
    let changes = Config::reloadable_changes(&config, &other);
    assert_eq!(changes.applied, ["store.redis.hold_max"]);
    assert_eq!(changes.needs_restart, ["data.threads"]);
}

#[test]
fn a_file_of_a_thousand_times_the_usual_size_reads_and_a_larger_one_does_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("foretoken.toml");
    let load = |length: usize| {
        let text = "#".repeat(length);
        std::fs::write(&file, text).expect("a directory of ours");
        Config::load(&file).expect_err("there is no store in it").to_string()
    };
    assert!(load(4 << 20).ends_with("store: is missing; write it under the head [[store]]"));
    assert!(load((4 << 20) + 1).contains("has 4194305 bytes, more than 4194304"));
}

#[test]
fn what_is_optional_reads_back_too() {
    let text = format!(
        "region = \"eu\"\n[admin]\nlisten = \"127.0.0.1:7001\"\n[admin.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n\
         client_ca_file = \"a\"\n[[service]]\nname = \"s\"\ncertificate_sha256 = \"{}\"\n[[service.grant]]\nstore = \"a\"\n\
         [[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\", \"unix:/s\"]\n\
         [store.control]\nuser = \"sidecar\"\npassword_file = \"p\"\n\
         [[store.endpoint]]\nname = \"p\"\nurl = \"redis://h:1\"\nrole = \"primary\"\n\
         node_exporter = \"http://h:9100/figures\"\n",
        "0f".repeat(32)
    );
    let config = Config::parse(&text, "f").unwrap_or_else(|faults| panic!("{faults}"));
    let written = config.to_toml();
    assert_eq!(Config::parse(&written, "again"), Ok(config));
    for value in ["\"sidecar\"", "\"http://h:9100/figures\"", "\"unix:/s\""] {
        assert!(written.contains(value), "{value} in\n{written}");
    }
}

#[test]
fn a_store_knows_its_primary_its_mirrors_and_its_leases() {
    let quick = |mirrors: &[&str]| {
        let quick = Quick {
            listen: "127.0.0.1:7000".to_owned(),
            primary: "redis://h:1".to_owned(),
            mirrors: mirrors.iter().map(|url| (*url).to_owned()).collect(),
            ..Quick::default()
        };
        Config::quick(&quick).unwrap_or_else(|faults| panic!("{faults}"))
    };
    let (alone, mirrored) = (quick(&[]), quick(&["redis://h:2"]));
    assert!(!alone.store[0].has_mirror() && mirrored.store[0].has_mirror());
    assert_eq!(mirrored.store[0].primary().map(|endpoint| endpoint.name.as_str()), Some("primary"));
    let mut lease = alone.store[0].lease.clone();
    lease.ttl = std::time::Duration::from_secs(7);
    let times = lease.times();
    assert_eq!((times.ttl, times.guard, times.renew), (lease.ttl, lease.guard, lease.renew));
    assert_eq!(times.send_margin, lease.send_margin);
}

#[test]
fn a_level_of_the_log_has_the_word_of_the_file() {
    use crate::value::Text as _;
    for word in ["error", "warn", "info", "debug", "trace"] {
        assert_eq!(LogLevel::parse(word).map(LogLevel::as_str), Ok(word));
    }
}

#[test]
fn faults_of_arguments_have_no_lines() {
    let quick = Quick { listen: "nowhere".to_owned(), primary: "redis://h:1".to_owned(), ..Quick::default() };
    let told = Config::quick(&quick).expect_err("that is no address").to_string();
    assert!(told.starts_with("arguments: store.redis.listen: "), "{told}");
}

#[test]
fn relative_paths_count_from_the_directory_of_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let bare = "[[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\"]\n\
        [[store.endpoint]]\nname = \"p\"\nurl = \"rediss://h:1\"\nrole = \"primary\"\n";
    let load = |text: String| {
        let file = dir.path().join("foretoken.toml");
        std::fs::write(&file, text).expect("a directory of ours");
        Config::load(&file).unwrap_or_else(|faults| panic!("{faults}"))
    };
    assert_eq!(load(bare.to_owned()).state_dir, dir.path().join("state"), "the default counts from it too");
    let config = load(format!(
        "state_dir = \"x1\"\n[admin]\nsocket = \"x2\"\nbearer_file = \"x3\"\n{bare}\
        [store.endpoint.tls]\nca_file = \"x4\"\ncert_file = \"x5\"\nkey_file = \"x6\"\n\
        [store.tls]\ncert_file = \"x7\"\nkey_file = \"x8\"\nclient_ca_file = \"x9\"\n\
        [store.control]\npassword_file = \"/x0\"\n"
    ));
    let text = config.to_toml();
    for number in 1..=9 {
        let path = dir.path().join(format!("x{number}"));
        assert!(text.contains(&format!("\"{}\"", path.display())), "x{number} in\n{text}");
    }
    assert!(text.contains("\"/x0\""), "an absolute path stays as it is:\n{text}");
}

#[test]
fn every_fault_is_told_in_one_go_with_line_and_remedy() {
    let text = "[data]\nthreds = 2\n[[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"nowhere\"]\nhold_max = \"5\"\n\
        [[store.endpoint]]\nname = \"p\"\nurl = \"redis://user:secret@h:1\"\nrole = \"mirror\"\n\
        [store.lease]\nttl = \"300ms\"\nguard = \"200ms\"\nsend_margin = \"200ms\"\n";
    let faults = Config::parse(text, "f.toml").expect_err("it is full of faults");
    let told = faults.to_string();
    for part in
        ["f.toml:2", "threds", "threads", "f.toml:6", "nowhere", "f.toml:7", "hold_max", "primary", "lease"]
    {
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    assert!(!told.contains("secret"), "a credential is never shown:\n{told}");
    assert!(told.lines().count() >= 6, "{told}");
}

#[test]
fn services_and_blocks_read_back_and_what_does_not_fit_is_told() {
    let bare = "[[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\"]\n\
        [[store.endpoint]]\nname = \"p\"\nurl = \"redis://h:1\"\nrole = \"primary\"\n\
        [[store.block]]\nname = \"carts\"\nprefix = \"cart:\"\n";
    let service = "[[service]]\nname = \"checkout\"\nuid = 1001\n[[service.grant]]\nstore = \"a\"\nblock = \"carts\"\n\
        access = [\"read\"]\n[[service.grant]]\nstore = \"a\"\n";
    let text = format!("{service}{bare}");
    let config = Config::parse(&text, "f").unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(Config::parse(&config.to_toml(), "again"), Ok(config.clone()));
    assert_eq!(config.service[0].grant[1].access, [Right::Read, Right::Write, Right::Queue]);
    let mut other = config.clone();
    other.service[0].grant.pop();
    let changes = Config::reloadable_changes(&config, &other);
    assert!(changes.applied.contains(&"service.checkout.grant.1.access".to_owned()), "{changes:?}");
    other.service[0].secret_file = Some("x".into());
    other.service.push(Service { name: "report".into(), ..config.service[0].clone() });
    let changes = Config::reloadable_changes(&config, &other);
    assert!(changes.applied.contains(&"service.checkout.secret_file".to_owned()), "{changes:?}");
    assert!(changes.applied.contains(&"service.report.grant.0.store".to_owned()), "services come and go");
    assert_eq!(changes.needs_restart, [""; 0]);
    other.store[0].risk.threshold_percent = Some(60);
    other.store[0].endpoint.push(Endpoint { name: "q".into(), ..config.store[0].endpoint[0].clone() });
    let changes = Config::reloadable_changes(&config, &other);
    assert!(changes.applied.contains(&"store.a.risk.threshold_percent".to_owned()), "{changes:?}");
    assert!(changes.needs_restart.contains(&"store.a.endpoint.q.url".to_owned()), "{changes:?}");

    for (from, to, part) in [
        ("uid = 1001\n", "", "can't be recognised"),
        ("store = \"a\"\nblock", "store = \"b\"\nblock", "there is no store b"),
        ("block = \"carts\"", "block = \"users\"", "has no block users"),
        ("uid = 1001", "certificate_sha256 = \"ab\"", "SHA-256"),
        ("access = [\"read\"]", "access = [\"reed\"]", "not a choice"),
        ("prefix = \"cart:\"", "prefix = \"*\"", "not a key prefix"),
        ("name = \"carts\"\nprefix", "name = \"*\"\nprefix", "choose a name of its own"),
    ] {
        assert!(text.contains(from), "{from}");
        let told = Config::parse(&text.replacen(from, to, 1), "f").expect_err(part).to_string();
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
    let certificate =
        text.replacen("uid = 1001", &format!("certificate_sha256 = \"{}\"", "AB:".repeat(31) + "ab"), 1);
    let told = Config::parse(&certificate, "f").expect_err("nobody asks for certificates").to_string();
    assert!(told.contains("admin.tls"), "{told}");

    let hash = "ab".repeat(32);
    let tls = |ca: &str, hash: &str| {
        format!(
            "[admin]\nlisten = \"127.0.0.1:7001\"\n[admin.tls]\ncert_file = \"c\"\nkey_file = \"k\"\n{ca}\
             operator_sha256 = [\"{hash}\"]\n{certificate}"
        )
    };
    let ca = "client_ca_file = \"a\"\n";
    assert!(Config::parse(&tls(ca, &"cd".repeat(32)), "f").is_ok());
    for (text, part) in
        [(tls("", &"cd".repeat(32)), "asked for no certificate"), (tls(ca, &hash), "of their own")]
    {
        let told = Config::parse(&text, "f").expect_err(part).to_string();
        assert!(told.contains(part), "{part} is missing in:\n{told}");
    }
}

#[test]
fn blocks_inherit_what_they_leave_unset_and_only_narrow_the_lag() {
    let with = |store: &str, blocks: &str| {
        let text = format!(
            "[[store]]\nname = \"a\"\nprotocol = \"redis\"\nlisten = [\"127.0.0.1:7000\"]\n{store}\
             [[store.endpoint]]\nname = \"p\"\nurl = \"redis://h:1\"\nrole = \"primary\"\n{blocks}"
        );
        Config::parse(&text, "f").map_err(|faults| faults.to_string())
    };
    let block = |number: usize, keys: &str| {
        format!("[[store.block]]\nname = \"b{number}\"\nprefix = \"{number}:\"\n{keys}\n")
    };
    let config = with("", &block(1, "")).unwrap_or_else(|faults| panic!("{faults}"));
    let bare = &config.store[0].block[0];
    assert_eq!((bare.reads, bare.read_lag_max, bare.writes_when_held), (None, None, None));
    assert_eq!(config.store[0].writes_when_held, HeldWrites::Queue);

    let own = "reads = \"mirror-when-held\"\nread_lag_max = \"5s\"\nwrites_when_held = \"refuse\"";
    let set = with("", &block(1, own)).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(Config::parse(&set.to_toml(), "again"), Ok(set.clone()));
    // A key of a table that stays is applied also when it comes or goes, a table that comes is not.
    let keys = ["read_lag_max", "reads", "writes_when_held"].map(|key| format!("store.a.block.b1.{key}"));
    assert_eq!(Config::reloadable_changes(&config, &set).applied, keys);
    assert_eq!(Config::reloadable_changes(&set, &config).applied, keys);
    let more = with("", &(block(1, own) + &block(2, own))).unwrap_or_else(|faults| panic!("{faults}"));
    let changes = Config::reloadable_changes(&set, &more);
    assert_eq!((changes.applied.len(), changes.needs_restart.len()), (0, 5), "{changes:?}");

    let told = with("", &block(1, "read_lag_max = \"5001ms\"")).expect_err("it is above the store's");
    assert!(told.contains("store.a.block.b1.read_lag_max") && told.contains("5001ms > 5s"), "{told}");
    assert!(with("read_lag_max = \"6s\"\n", &block(1, "read_lag_max = \"5001ms\"")).is_ok());
    let many = |count| (0..count).map(|number| block(number, "")).collect::<String>();
    assert!(with("", &many(DataBlock::MOST)).is_ok());
    let told = with("", &many(DataBlock::MOST + 1)).expect_err("they are too many");
    assert!(told.contains("64 times"), "{told}");
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused_without_a_panic(text in "[\\[\\]a-z_\"=0-9 .\n#{},:/]{0,200}") {
        Config::parse(&text, "any").ok();
    }
}
