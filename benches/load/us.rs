//! Ourselves.

use std::process::Command;

use crate::address::Address;
use crate::peers::Task;

/// Everything that watches, foretells and writes down. Nothing moves the role in the middle of a measurement.
pub(crate) const WATCHFUL: &str =
    "risk = { policy = \"prepare\", step = \"1s\", judges = \"both\", record = \"on\" }\n";
/// Everything left out of it that can be.
pub(crate) const BLIND: &str =
    "risk = { policy = \"observe\", step = \"10min\", judges = \"rule\", record = \"off\" }\n";
pub(crate) const SYNCHRONOUS: &str = "durability = \"synchronous\"\n";

/// `keys`: lines of the store. `mirror`: its port.
pub(crate) fn foretoken(task: &Task<'_>, keys: &[&str], mirror: Option<u16>) -> Result<Command, String> {
    let listen = match task.listen {
        Address::Tcp(port) | Address::Tls(port) => format!("127.0.0.1:{port}"),
        Address::Unix(path) => format!("unix:{}", path.display()),
    };
    let tls = match task.listen {
        Address::Tls(_) => {
            let file = |name: &str| task.certificates.join(name);
            let (certificate, key) = (file("listener.pem"), file("listener.key"));
            format!("[store.tls]\ncert_file = {certificate:?}\nkey_file = {key:?}\n")
        }
        Address::Tcp(_) | Address::Unix(_) => String::new(),
    };
    let endpoint = |role: &str, port: u16| {
        format!("[[store.endpoint]]\nname = {role:?}\nrole = {role:?}\nurl = \"redis://127.0.0.1:{port}\"\n")
    };
    let text = format!(
        "state_dir = {:?}\n[[store]]\nname = \"bench\"\nprotocol = \"redis\"\nlisten = [{listen:?}]\nwriters = \"this-sidecar\"\n\
         {}{tls}{}{}",
        task.home.join("state"),
        keys.concat(),
        endpoint("primary", task.store),
        mirror.map(|port| endpoint("mirror", port)).unwrap_or_default()
    );
    let mut command = Command::new(env!("CARGO_BIN_EXE_foretoken"));
    command.args(["run", "--config"]).arg(task.write("foretoken.toml", &text)?);
    Ok(command)
}
