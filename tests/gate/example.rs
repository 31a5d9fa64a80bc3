//! The example starts, and the documentation lists what is exported.

use std::collections::BTreeSet;
use std::path::Path;

use foretoken_demo::servers::free_port;

use crate::support::House;

fn text(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("it is there")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documentation_lists_what_a_gate_exports() {
    let house = House::start(1).await;
    let exported = house.gates[0].admin.metrics().await.expect("answers");
    let named = |text: &str, before: &str| -> BTreeSet<String> {
        let words = text.lines().filter_map(|line| line.strip_prefix(before)?.split([' ', '`']).next());
        words.filter(|name| name.starts_with("foretoken_gate_")).map(str::to_owned).collect()
    };
    assert_eq!(named(&exported, "# TYPE "), named(&text("docs/gate.md"), "| `"));
}

#[test]
fn the_example_starts() {
    let dir = tempfile::TempDir::new().expect("a directory");
    let port = free_port().expect("a port");
    let example = text("config/examples/gate.toml").replace("127.0.0.1:7379", &format!("127.0.0.1:{port}"));
    let file = dir.path().join("gate.toml");
    std::fs::write(&file, example).expect("a directory of ours");
    let mut child = std::process::Command::new(crate::support::program())
        .args(["gate", "--config"])
        .arg(file)
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it was built");
    let deadline = tokio::time::Instant::now() + crate::support::LONG;
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        let ended = child.try_wait().expect("a child of ours");
        assert!(ended.is_none() && tokio::time::Instant::now() < deadline, "it does not listen: {ended:?}");
        std::thread::yield_now();
    }
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
}
