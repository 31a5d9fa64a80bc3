//! `docs/metrics.md` against what a running sidecar exports: names, types, labels with their values, units and texts. Each
//! side must have what the other has.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;

use foretoken_app::client::Client;
use foretoken_app::telemetry::LogFormat;
use foretoken_app::{RunOptions, run};
use foretoken_config::Config;
use tokio::time::Instant;

use support::{PATIENCE, Server};

/// What there is to know of a metric.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Facts {
    kind: String,
    help: String,
    /// Labels, with their values where those come from a closed list.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// Labels whose values are names of the configuration or of the build.
const OPEN: [&str; 4] = ["store", "endpoint", "version", "commit"];

/// The rows of the tables, and the unit of each.
fn documented() -> BTreeMap<String, (Facts, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = std::fs::read_to_string(path).expect("the list is there");
    let mut rows = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, unit, help, alert] = cells[..] else { panic!("not six cells: {line}") };
        assert!(!unit.is_empty() && !alert.is_empty(), "{line}");
        let facts = Facts { kind: kind.to_owned(), help: help.to_owned(), labels: label_cell(labels) };
        let before = rows.insert(name.trim_matches('`').to_owned(), (facts, unit.to_owned()));
        assert!(before.is_none(), "twice: {line}");
    }
    rows
}

/// `store, outcome (done, in_doubt)`.
fn label_cell(cell: &str) -> BTreeMap<String, BTreeSet<String>> {
    let (open, values) = cell.split_once(" (").unwrap_or((cell, ""));
    let mut labels: BTreeMap<_, _> =
        open.split(", ").map(|label| (label.to_owned(), BTreeSet::new())).collect();
    let closed = open.rsplit(", ").next().and_then(|label| labels.get_mut(label));
    if let (Some(closed), Some(values)) = (closed, values.strip_suffix(')')) {
        closed.extend(values.split(", ").map(str::to_owned));
    }
    labels
}

/// What a page of the text format (0.0.4) holds.
fn exported(page: &str) -> BTreeMap<String, Facts> {
    let mut all: BTreeMap<String, Facts> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            all.entry(name.to_owned()).or_default().help = help.to_owned();
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            all.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else {
            let (name, rest) = line.split_at(line.find(['{', ' ']).expect("a sample has a value"));
            let base = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|part| name.strip_suffix(part))
                .find(|base| all.contains_key(*base))
                .unwrap_or(name);
            let facts = all.entry(base.to_owned()).or_default();
            let labels =
                rest.strip_prefix('{').and_then(|rest| rest.split_once('}')).map_or("", |(in_, _)| in_);
            for (label, value) in labels.split(',').filter_map(|pair| pair.split_once('=')) {
                if label != "le" {
                    let values = facts.labels.entry(label.to_owned()).or_default();
                    if !OPEN.contains(&label) {
                        values.insert(value.trim_matches('"').to_owned());
                    }
                }
            }
        }
    }
    all
}

/// A node_exporter that knows one disk.
fn node_exporter() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}/metrics", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let page = "node_load1 0.5\nnode_memory_MemAvailable_bytes 1e9\n\
                node_filesystem_avail_bytes{device=\"/dev/vda1\",fstype=\"ext4\",mountpoint=\"/\"} 5e9\n";
            let mut request = [0; 4096];
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}", page.len());
            // A sidecar that has gone asks again, or never.
            stream.read(&mut request).and_then(|_| stream.write_all(answer.as_bytes())).ok();
        }
    });
    url
}

/// Starts the sidecar as the program does; it ends with this process.
fn sidecar(dir: &Path, a: &Server, b: &Server) -> Client {
    let (listen, exporter) = (dir.join("redis.sock"), node_exporter());
    let file = dir.join("foretoken.toml");
    let text = format!(
        "[log]\nlevel = \"error\"\n\
        [[store]]\nname = \"cart\"\nprotocol = \"redis\"\nlisten = [\"unix:{}\"]\nwriters = \"this-sidecar\"\n\
        [[store.endpoint]]\nname = \"a\"\nrole = \"primary\"\nurl = \"redis://127.0.0.1:{}\"\n\
        [[store.endpoint]]\nname = \"b\"\nrole = \"mirror\"\nurl = \"redis://127.0.0.1:{}\"\nnode_exporter = \"{exporter}\"\n",
        listen.display(),
        a.port,
        b.port,
    );
    std::fs::write(&file, text).expect("a directory of ours");
    let config = Config::load(&file).unwrap_or_else(|faults| panic!("{faults}"));
    let socket = config.admin_socket();
    let options =
        RunOptions { config_file: Some(file), log_format: Some(LogFormat::Text), ..RunOptions::default() };
    std::thread::spawn(move || run(config, options).expect("it starts"));
    Client::unix(socket)
}

/// Asks the sidecar's client until `enough` is satisfied.
async fn until(client: &Client, what: &str, enough: impl Fn(&str) -> Result<(), String>) -> String {
    let deadline = Instant::now() + PATIENCE;
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        tick.tick().await;
        let seen = match client.metrics().await {
            Ok(page) => match enough(&page) {
                Ok(()) => return page,
                Err(why) => why,
            },
            Err(error) => error.to_string(),
        };
        assert!(Instant::now() < deadline, "{what}: {seen}");
    }
}

fn value(page: &str, sample: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

#[tokio::test]
async fn the_list_is_what_a_running_sidecar_exports() {
    let a = Server::start(&["--appendonly", "yes", "--maxmemory", "64mb"]);
    let b = Server::start(&["--appendonly", "yes"]);
    let dir = tempfile::tempdir().unwrap();
    let client = sidecar(dir.path(), &a, &b);
    let ready = r#"foretoken_failover_automatic{store="cart"}"#;
    until(&client, "it manages the store", |page| match value(page, ready) {
        Some(1.0) => Ok(()),
        _ => Err(page.to_owned()),
    })
    .await;

    let mut app = UnixStream::connect(dir.path().join("redis.sock")).unwrap();
    app.write_all(b"SET k v\r\nNOSUCH\r\nGET k\r\n").unwrap();
    let counted = [
        (r#"foretoken_outbound_requests_total{store="cart",outcome="done"}"#, 3.0),
        (r#"foretoken_outbound_answers_total{store="cart",endpoint="a"}"#, 3.0),
        (r#"foretoken_outbound_errors_total{store="cart",endpoint="a",class="application"}"#, 1.0),
        (r#"foretoken_outbound_first_byte_seconds_count{store="cart",endpoint="a"}"#, 3.0),
        (r#"foretoken_outbound_request_duration_seconds_count{store="cart"}"#, 3.0),
        (r#"foretoken_outbound_sessions{store="cart"}"#, 1.0),
        (r#"foretoken_mirror_can_take_over{store="cart",endpoint="b"}"#, 1.0),
        (r#"foretoken_mirror_can_take_over{store="cart",endpoint="a"}"#, 0.0),
        (r#"foretoken_health_host_disk_available_bytes{store="cart",endpoint="b"}"#, 5e9),
        (r#"foretoken_health_memory_limit_bytes{store="cart",endpoint="a"}"#, 67_108_864.0),
    ];
    let page = until(&client, "the traffic is counted", |page| {
        match counted.iter().find(|(sample, expected)| value(page, sample) != Some(*expected)) {
            None => Ok(()),
            Some((sample, expected)) => Err(format!("{sample} is not {expected} in\n{page}")),
        }
    })
    .await;
    let of_primary = value(&page, r#"foretoken_mirror_lag_bytes{store="cart",endpoint="a"}"#);
    assert!(of_primary.is_some_and(f64::is_nan), "the primary has no lag: {of_primary:?}");

    let (documented, exported) = (documented(), exported(&page));
    let names = |all: BTreeSet<&String>| all.into_iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(documented.keys().collect()), names(exported.keys().collect()));
    for (name, (facts, _)) in &documented {
        assert_eq!(facts, &exported[name], "{name}");
    }
}

#[test]
fn the_name_says_the_unit() {
    for (name, (facts, unit)) in documented() {
        let base = name.strip_suffix("_total").unwrap_or(&name);
        assert_eq!(facts.kind == "counter", base != name, "{name}: counters, and only they, end in _total");
        for word in ["seconds", "bytes"] {
            let per = base.ends_with(&format!("_per_{}", word.trim_end_matches('s')));
            assert_eq!(unit == word, base.ends_with(&format!("_{word}")) && !per, "{name} in {unit}");
        }
        assert_eq!(unit == "share", base.ends_with("_ratio"), "{name}");
        assert!(name.starts_with("foretoken_") && !facts.help.is_empty(), "{name}");
    }
}
