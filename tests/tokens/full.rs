//! The disk of the registry is full.
//!
//! A file system of its own takes root's rights; without them this test says so and tests nothing.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use foretoken_demo::exhaustion::{Disk, Kind};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Answer, House, LONG_LEASE};

/// Far more tokens than free pages of the registry could take.
const MOST: usize = 800;

/// Takes all the room that is left.
fn fill(dir: &Path) -> File {
    let mut file = File::create(dir.join("neighbour")).expect("there is room");
    let piece = vec![0; 1 << 20];
    while file.write_all(&piece).is_ok() {}
    // The last bytes, too.
    while file.write_all(&[0; 512]).is_ok() {}
    file
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_written_down_is_not_handed_out_and_the_store_is_served_all_the_same() {
    if let Err(why) = Kind::Disk.possible() {
        eprintln!("SKIPPED: {why}");
        return;
    }
    let dir = TempDir::new().expect("a directory");
    let disk = Disk::mount(&dir.path().join("state")).expect("was possible");
    let mut house = House::open_in(dir, |setup, _| setup.store = LONG_LEASE.to_owned()).await;
    let ask = || house.ask("/v1/tokens", r#"{"serviceId":"checkout"}"#);
    let good = ask();
    assert_eq!(good.status, 201, "{good:?}");
    let state = house.dir.path().join("state");
    let neighbour = fill(&state);
    // What the file has free already is used up first.
    let refused = (0..MOST).map(|_| ask()).find(|answer| answer.status != 201).expect("the disk is full");
    assert_eq!((refused.status, refused.problem().as_str()), (507, "not-stored"), "{refused:?}");
    assert!(refused.json["token"].is_null() && !refused.text("detail").contains("v4.public"), "{refused:?}");

    // Nothing that was not handed out is known; what was, is still good; and changes are told as what they are.
    let ids = |answer: &Answer| answer.json.as_array().map(Vec::len);
    let known = house.get("/v1/tokens");
    assert_eq!(ask().status, 507, "it stays so while there is no room");
    assert_eq!(ids(&house.get("/v1/tokens")), ids(&known));
    let id = good.text("tokenId");
    let refresh = house.ask(&format!("/v1/tokens/{id}/refresh"), "");
    assert_eq!((refresh.status, refresh.problem().as_str()), (507, "not-stored"));
    let keys = house.get("/v1/keys").json["keys"].clone();
    assert_eq!(house.post("/v1/keys/rotate", "").problem(), "not-stored");
    assert_eq!(house.get("/v1/keys").json["keys"], keys, "no key that a restart would not know");
    let revoked = house.delete(&format!("/v1/tokens/{id}"));
    assert_eq!((revoked.status, revoked.problem().as_str()), (507, "not-stored"), "a restart may forget it");
    assert_eq!(house.get(&format!("/v1/tokens/{id}")).json["revoked"], json!(true), "here it holds");

    let client = redis::Client::open(house.sidecar.url()).expect("a URL");
    let mut client = client.get_connection().expect("it serves");
    redis::cmd("SET").arg("k").arg(1).exec(&mut client).expect("the data path needs no disk of ours");

    neighbour.set_len(0).expect("there was room");
    let again = ask();
    assert_eq!(again.status, 201, "it is tried anew: {again:?}");
    house.sidecar.restart().expect("starts again");
    house.wait("the API", |_| true).await;
    assert_eq!(house.get(&format!("/v1/tokens/{}", again.text("tokenId"))).status, 200, "it was on disk");
    // The sidecar goes before its disk.
    house.sidecar.kill().expect("it runs");
    drop(disk);
}
