//! What is measured, as data.

use crate::stage::{ENVOY, ENVOY_TCP, Target};

/// How clients reach a target. Each way has targets of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Tcp,
    /// TLS between client and proxy; the proxy reaches the store in the clear.
    Tls,
    Unix,
    /// Over TCP, and each write is acknowledged when a mirror has it.
    Synchronous,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    Get,
    Set,
    /// Four GET, one SET, and so on, on each connection.
    Mix,
}

pub(crate) struct Cell {
    pub(crate) way: Way,
    pub(crate) load: Load,
    /// Bytes of the value.
    pub(crate) size: usize,
    pub(crate) clients: usize,
    /// Requests that a client has under way.
    pub(crate) pipeline: usize,
    /// Of one run: about half a second of direct.
    pub(crate) requests: usize,
}

const fn cell(way: Way, load: Load, size: usize, clients: usize, pipeline: usize, requests: usize) -> Cell {
    Cell { way, load, size, clients, pipeline, requests }
}

const KIB: usize = 1024;

pub(crate) const CELLS: [Cell; 18] = [
    cell(Way::Tcp, Load::Get, 32, 1, 1, 15_000),
    cell(Way::Tcp, Load::Get, 32, 50, 1, 80_000),
    cell(Way::Tcp, Load::Get, 32, 50, 16, 600_000),
    cell(Way::Tcp, Load::Get, 32, 50, 64, 800_000),
    cell(Way::Tcp, Load::Get, 32, 200, 1, 80_000),
    cell(Way::Tcp, Load::Get, 32, 200, 16, 600_000),
    cell(Way::Tcp, Load::Get, KIB, 50, 1, 60_000),
    cell(Way::Tcp, Load::Get, 64 * KIB, 50, 1, 10_000),
    cell(Way::Tcp, Load::Set, 32, 50, 1, 60_000),
    cell(Way::Tcp, Load::Set, 32, 50, 16, 300_000),
    cell(Way::Tcp, Load::Mix, 32, 50, 1, 60_000),
    cell(Way::Tcp, Load::Mix, 32, 50, 16, 400_000),
    cell(Way::Tls, Load::Get, 32, 50, 1, 40_000),
    cell(Way::Tls, Load::Get, 32, 50, 16, 300_000),
    cell(Way::Unix, Load::Get, 32, 1, 1, 15_000),
    cell(Way::Unix, Load::Get, 32, 50, 1, 80_000),
    cell(Way::Synchronous, Load::Set, 32, 50, 1, 60_000),
    cell(Way::Synchronous, Load::Set, 32, 50, 16, 300_000),
];

impl Cell {
    /// Whether a target takes part: Envoy with what is best for the cell.
    pub(crate) fn has(&self, target: &Target) -> bool {
        match target.name {
            ENVOY => self.pipeline == 1,
            ENVOY_TCP => self.pipeline > 1,
            _ => true,
        }
    }

    /// As in "GET 32 B, c50 P16, TLS".
    pub(crate) fn name(&self) -> String {
        let load = match self.load {
            Load::Get => "GET",
            Load::Set => "SET",
            Load::Mix => "four GET, one SET",
        };
        let size = match self.size {
            bytes if bytes < KIB => format!("{bytes} B"),
            bytes => format!("{} KiB", bytes / KIB),
        };
        let way = match self.way {
            Way::Tcp => "",
            Way::Tls => ", TLS",
            Way::Unix => ", Unix socket",
            Way::Synchronous => ", synchronous",
        };
        format!("{load} {size}, c{} P{}{way}", self.clients, self.pipeline)
    }
}
