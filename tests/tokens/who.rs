//! Who gets what: services, blocks, secrets, certificates.

use serde_json::json;

use crate::support::{House, LONG_LEASE, curl};

/// Two services: `checkout` may have its carts, and `report` may read everything.
pub(crate) fn configured(setup: &mut foretoken_demo::sidecar::Setup, dir: &std::path::Path) {
    let secret = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        let file = dir.join(format!("{name}.secret"));
        std::fs::write(&file, format!("{name}-{}", "x".repeat(32))).expect("a directory of ours");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("is ours");
        file
    };
    let service = |name: &str, block: &str, access: &str| {
        format!(
            "\n[[service]]\nname = {name:?}\nsecret_file = {:?}\n[[service.grant]]\nstore = \"demo\"\nblock = {block:?}\n\
             access = {access}\n",
            secret(name)
        )
    };
    setup.store = LONG_LEASE.to_owned()
        + "\n[[store.block]]\nname = \"carts\"\nprefix = \"cart:\"\n\n[[store.block]]\nname = \"users\"\nprefix = \"user:\"\n";
    setup.process = service("checkout", "carts", r#"["read", "write", "queue"]"#)
        + &service("report", "*", r#"["read"]"#);
}

/// How a service shows who it is.
pub(crate) fn bearer(name: &str) -> String {
    format!("Authorization: Bearer {name}-{}", "x".repeat(32))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_gets_its_blocks_and_nothing_else() {
    let house = House::open(configured).await;
    let ask =
        |name: &str, body: &str| curl(&house.socket(), &["/v1/tokens", "-H", &bearer(name), "-d", body]);

    let own = ask("checkout", r#"{"serviceId":"checkout","dataBlockId":"carts"}"#);
    assert_eq!((own.status, &own.json["keyPrefix"]), (201, &json!("cart:")), "{own:?}");
    assert_eq!(
        (&own.json["dataBlockId"], &own.json["access"]),
        (&json!("carts"), &json!(["read", "write", "queue"]))
    );
    for (name, body, status, problem) in [
        ("checkout", r#"{"serviceId":"checkout","dataBlockId":"users"}"#, 403, "not-permitted"),
        ("checkout", r#"{"serviceId":"checkout"}"#, 403, "not-permitted"),
        ("checkout", r#"{"serviceId":"report"}"#, 403, "other-service"),
        (
            "checkout",
            r#"{"serviceId":"checkout","dataBlockId":"carts","access":["admin"]}"#,
            403,
            "not-permitted",
        ),
        ("checkout", r#"{"serviceId":"checkout","dataBlockId":"orders"}"#, 404, "unknown-block"),
        ("checkout", r#"{"serviceId":"checkout","dataBlockId":"nowhere/carts"}"#, 404, "unknown-store"),
        ("checkout", r#"{"serviceId":"checkout","access":["reed"]}"#, 400, "bad-request"),
        ("report", r#"{"serviceId":"report","access":["write"]}"#, 403, "not-permitted"),
        ("nobody", r#"{"serviceId":"report"}"#, 401, "unauthorized"),
    ] {
        let answer = ask(name, body);
        assert_eq!((answer.status, answer.problem().as_str()), (status, problem), "{name} {body}");
    }
    let reading = ask("report", r#"{"serviceId":"report"}"#);
    assert_eq!(
        (reading.status, &reading.json["access"]),
        (201, &json!(["read"])),
        "what it may have, unasked"
    );
    let within = ask("report", r#"{"serviceId":"report","dataBlockId":"demo/users"}"#);
    assert_eq!(within.status, 201, "all of the store holds the block: {within:?}");

    // An id is no credential: another service can neither see, refresh nor take back the token.
    let id = own.text("tokenId");
    let with = bearer("report");
    let look = curl(&house.socket(), &[&format!("/v1/tokens/{id}"), "-H", &with]);
    assert_eq!((look.status, look.problem().as_str()), (404, "unknown-token"));
    let refresh = curl(&house.socket(), &[&format!("/v1/tokens/{id}/refresh"), "-X", "POST", "-H", &with]);
    assert_eq!(refresh.problem(), "unknown-token");
    let revoke = curl(&house.socket(), &[&format!("/v1/tokens/{id}"), "-X", "DELETE", "-H", &with]);
    assert_eq!(revoke.problem(), "unknown-token");
    let list = curl(&house.socket(), &["/v1/tokens", "-H", &with]);
    assert!(
        list.json.as_array().is_some_and(|list| list.iter().all(|one| one["serviceId"] == "report")),
        "{list:?}"
    );

    // The operator acts for the services, within what they may have, and for nobody else.
    let operator = house.post("/v1/tokens", r#"{"serviceId":"checkout","dataBlockId":"carts"}"#);
    assert_eq!(operator.status, 201, "{operator:?}");
    assert_eq!(house.post("/v1/tokens", r#"{"serviceId":"stranger"}"#).problem(), "other-service");
    assert_eq!(
        house.post("/v1/tokens", r#"{"serviceId":"checkout","dataBlockId":"users"}"#).problem(),
        "not-permitted"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_take_turns_when_they_are_told_to() {
    let house = House::open(|_, _| {}).await;
    let before = house.get("/v1/keys").json;
    let answer = house.post("/v1/keys/rotate", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let (old, new) =
        (before["keys"].as_array().expect("keys").len(), answer.json["keys"].as_array().expect("keys").len());
    assert_eq!((old, new), (2, 4), "one more of each form");
    let pending =
        answer.json["keys"].as_array().expect("keys").iter().filter(|key| key["notAfter"].is_null()).count();
    assert_eq!(pending, 2, "the old ones have an end now");
    assert_eq!(house.post("/v1/keys/rotate", "").problem(), "keys", "one rotation at a time");
    let token = house.post("/v1/tokens", r#"{"serviceId":"checkout"}"#);
    let kid = foretoken_token::paseto::key_id(&token.text("token")).expect("a token").to_string();
    assert!(
        before["keys"].as_array().expect("keys").iter().any(|key| key["kid"] == kid.as_str()),
        "the old key signs on"
    );
}
