//! Over TLS on admin.listen: operators, services and strangers, told apart by their certificates; and the CLI over it.

use std::path::Path;
use std::process::{Command, Output};

use foretoken_demo::servers::free_port;
use foretoken_token::Refusal;
use serde_json::Value;

use crate::certificates::{certificates, fingerprint};
use crate::support::{House, LONG_LEASE, Shown};

struct Over<'a> {
    dir: &'a Path,
    address: String,
}

impl Over<'_> {
    /// With curl, and the certificate of `name`, if there is one.
    fn curl(&self, name: Option<&str>, path: &str, more: &[&str]) -> (u16, Value) {
        let mut command = Command::new("curl");
        command.args(["-sS", "-m", "30", "-w", "\n%{http_code}", "--cacert"]).arg(self.dir.join("ca.pem"));
        if let Some(name) = name {
            command.arg("--cert").arg(self.dir.join(format!("{name}.pem")));
            command.arg("--key").arg(self.dir.join(format!("{name}.key")));
        }
        let output =
            command.args(more).arg(format!("https://{}{path}", self.address)).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stdout);
        let (body, status) = text.rsplit_once('\n').unwrap_or_else(|| panic!("{output:?}"));
        (status.parse().expect("a number"), serde_json::from_str(body).unwrap_or_default())
    }

    /// With the program itself.
    fn foretoken(&self, arguments: &[&str], address: &str, name: Option<&str>, ca: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foretoken"));
        command.args(arguments).args(["--admin", address]);
        if !ca.is_empty() {
            command.arg("--ca-file").arg(self.dir.join(ca));
        }
        if let Some(name) = name {
            command.arg("--cert-file").arg(self.dir.join(format!("{name}.pem")));
            command.arg("--key-file").arg(self.dir.join(format!("{name}.key")));
        }
        command.output().expect("it was built")
    }
}

async fn house() -> (House, String) {
    let address = format!("127.0.0.1:{}", free_port().expect("a port"));
    let house = House::open(|setup, dir| {
        certificates(dir, &["sidecar", "operator", "checkout", "stranger"]);
        let file = |name: &str| dir.join(name).display().to_string();
        setup.store = LONG_LEASE.to_owned();
        setup.process = format!(
            "[admin]\nlisten = {address:?}\n[admin.tls]\ncert_file = {:?}\nkey_file = {:?}\nclient_ca_file = {:?}\n\
             operator_sha256 = [\"{}\"]\n[[service]]\nname = \"checkout\"\ncertificate_sha256 = \"{}\"\n\
             [[service.grant]]\nstore = \"demo\"\n",
            file("sidecar.pem"),
            file("sidecar.key"),
            file("ca.pem"),
            fingerprint(dir, "operator"),
            fingerprint(dir, "checkout"),
        );
    })
    .await;
    (house, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_services_a_certificate_changes_things_only_if_it_is_an_operators() {
    let (house, address) = house().await;
    let over = Over { dir: house.dir.path(), address };
    let ask = ["-d", r#"{"serviceId":"checkout"}"#];
    let order = ["-d", r#"{"dry_run":true}"#];
    let callers = [Some("operator"), Some("checkout"), Some("stranger"), None];
    for (path, more, expected) in [
        ("/v1/stores", &[][..], [200, 200, 200, 200]),
        ("/v1/keys", &[], [200, 200, 200, 200]),
        ("/v1/tokens", &[], [200, 200, 200, 200]),
        ("/v1/tokens", &ask, [201, 201, 403, 401]),
        ("/v1/tokens/predictive", &ask, [200, 200, 403, 401]),
        ("/v1/stores/demo/switchover", &order, [200, 403, 403, 401]),
        ("/v1/keys/rotate", &["-X", "POST"], [200, 403, 403, 401]),
    ] {
        for (caller, expected) in callers.into_iter().zip(expected) {
            let (status, answer) = over.curl(caller, path, more);
            assert_eq!(status, expected, "{caller:?} {path}: {answer}");
        }
    }
    let (_, refused) = over.curl(Some("stranger"), "/v1/keys/rotate", &["-X", "POST"]);
    let own = fingerprint(over.dir, "stranger").to_string();
    assert!(
        refused["detail"].as_str().is_some_and(|words| words.contains(&own)),
        "it says which one: {refused}"
    );

    // A service's token is bound to the certificate that asked for it, and is refreshed by that one only.
    let (_, token) = over.curl(Some("checkout"), "/v1/tokens", &ask);
    let (text, epoch) =
        (token["token"].as_str().expect("a token"), token["epoch"].as_u64().expect("an epoch"));
    let shown = Shown::new(text, epoch);
    assert_eq!(shown.verify(&house), Err(Refusal::OtherHolder));
    let holder = Some(fingerprint(over.dir, "checkout"));
    assert_eq!(Shown { holder, ..shown }.verify(&house), Ok(()));
    let path = format!("/v1/tokens/{}/refresh", token["tokenId"].as_str().expect("an id"));
    let refresh = |caller| over.curl(Some(caller), &path, &["-X", "POST"]).0;
    assert_eq!((refresh("operator"), refresh("stranger"), refresh("checkout")), (404, 403, 200));
    let borrowed = format!(r#"{{"serviceId":"checkout","holder":"{own}"}}"#);
    assert_eq!(over.curl(Some("checkout"), "/v1/tokens", &["-d", &borrowed]).0, 403, "not for somebody else");
    // The end of the sidecar is for operators, too.
    let exit = |caller| over.curl(caller, "/v1/exit", &["-X", "POST"]).0;
    assert_eq!((exit(Some("checkout")), exit(Some("stranger")), exit(None)), (403, 403, 401));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cli_speaks_tls_to_the_admin_listener() {
    let (house, address) = house().await;
    let over = Over { dir: house.dir.path(), address };
    let https = format!("https://{}", over.address);
    let (status, order) = (&["status"][..], &["switchover", "demo", "--dry-run"][..]);
    for (arguments, address, name, ca, exit, words) in [
        (status, https.as_str(), None, "ca.pem", 0, ""),
        (status, &https, Some("stranger"), "ca.pem", 0, ""),
        (order, &https, Some("operator"), "ca.pem", 0, ""),
        (order, &https, Some("checkout"), "ca.pem", 1, "changing things is for operators"),
        (order, &https, None, "ca.pem", 1, "--cert-file of an operator"),
        (status, &https, None, "stranger.pem", 69, "no TLS with"),
        (status, &https, None, "nowhere.pem", 64, "can't be read"),
        (status, &over.address, None, "", 69, "write https://"),
        (status, &over.address, None, "ca.pem", 64, "--admin https://host:port"),
    ] {
        let output = over.foretoken(arguments, address, name, ca);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit), "{arguments:?} {address} {name:?} {ca}: {told}");
        assert!(told.contains(words), "{words} in {told}");
        if exit == 0 {
            assert!(String::from_utf8_lossy(&output.stdout).contains("demo"), "{output:?}");
        }
    }
}
