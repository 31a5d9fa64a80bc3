//! The program as a person or a script meets it: what it prints, and with which status it ends.

#[path = "../support/mod.rs"]
mod support;

mod check;
mod cluster;
mod errors;
mod open_files;
mod permissions;
mod running;
mod unserved;

use std::path::Path;
use std::process::{Command, Output};

/// Runs the program to its end.
fn foretoken(arguments: &[&str]) -> Output {
    program(arguments).output().expect("it was built")
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foretoken"));
    command.args(arguments);
    command
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration of one store in `dir`, whose servers listen on `ports`: the first is the primary.
fn config(dir: &Path, ports: &[u16], more: &str) -> String {
    let file = dir.join("foretoken.toml");
    let mut text = format!(
        "[[store]]\nname = \"cart\"\nprotocol = \"redis\"\nlisten = [\"unix:{}\"]\nwriters = \"this-sidecar\"\n{more}",
        dir.join("redis.sock").display()
    );
    for (number, (port, name)) in ports.iter().zip(["a", "b", "c"]).enumerate() {
        let role = if number == 0 { "primary" } else { "mirror" };
        text.push_str(&format!(
            "[[store.endpoint]]\nname = \"{name}\"\nrole = \"{role}\"\nurl = \"redis://127.0.0.1:{port}\"\n"
        ));
    }
    std::fs::write(&file, text).expect("a directory of ours");
    file.display().to_string()
}

/// A port of this machine on which nobody listens, for as long as the socket lives.
fn dead_port() -> (u16, socket::Held) {
    socket::Held::new()
}

mod socket {
    use tokio::net::TcpSocket;

    /// Bound and not listening: connections are refused, and nobody else can get the port.
    pub(crate) struct Held(#[expect(dead_code, reason = "it is held")] TcpSocket);

    impl Held {
        pub(crate) fn new() -> (u16, Self) {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.bind(([127, 0, 0, 1], 0).into()).expect("a free port");
            (socket.local_addr().expect("it is bound").port(), Self(socket))
        }
    }
}
