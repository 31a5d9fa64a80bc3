//! The examples of docs/token.md, as a reader would type them.

use std::process::Command;

use crate::support::{House, LONG_LEASE};

/// Every shell example of the page is run, in order, in one shell, against a real sidecar.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_example_of_the_page_works() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/token.md")).expect("the page");
    let mut script = String::from("set -eu\n");
    let (mut inside, mut curls) = (false, 0);
    for line in page.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            line if inside => {
                curls += usize::from(line.contains("curl "));
                script.push_str(line);
                script.push('\n');
            }
            _ => {}
        }
    }
    assert!(curls >= 8, "the page has an example of each call");
    let house = House::open(|setup, _| setup.store = LONG_LEASE.to_owned()).await;
    let output =
        Command::new("sh").arg("-c").arg(&script).current_dir(house.dir.path()).output().expect("sh runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{out}\n{err}");
    for word in
        ["v4.public.", "\"valid\":true", "\"revoked\":", "event: heartbeat", "\"publicKey\"", "\"openapi\""]
    {
        assert!(out.contains(word), "{word} is missing in:\n{out}");
    }
}
