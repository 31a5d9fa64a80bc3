//! Reads and writes on the same connections, which redis-benchmark does not do.

use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::address::Address;
use crate::cells::Cell;
use crate::exchange::Exchange;

/// One SET, then four GET.
const CYCLE: usize = 5;

/// Sends `requests` over the clients of the cell, each with as many under way as the cell says.
pub(crate) fn run(cell: &Cell, address: &Address, requests: usize) -> Result<(), String> {
    let Address::Tcp(port) = *address else { return Err("the mix is measured over TCP only".to_owned()) };
    let batches = batches(cell);
    let rounds = requests / cell.clients / cell.pipeline;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| format!("a runtime: {error}"))?;
    LocalSet::new().block_on(&runtime, async {
        let clients: Vec<_> = (0..cell.clients)
            .map(|_| tokio::task::spawn_local(client(port, Rc::clone(&batches), rounds)))
            .collect();
        for client in clients {
            client.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        }
        Ok(())
    })
}

/// What a client sends at once, in turn: the mix goes on from one batch to the next.
fn batches(cell: &Cell) -> Rc<[Exchange]> {
    let (set, get) = (Exchange::set(cell.size), Exchange::get(cell.size));
    let request = |number: usize| if number.is_multiple_of(CYCLE) { &set } else { &get };
    let batch = |number: usize| {
        (number * cell.pipeline..(number + 1) * cell.pipeline)
            .fold(Exchange::default(), |batch, number| batch.then(request(number)))
    };
    (0..CYCLE).map(batch).collect()
}

async fn client(port: u16, batches: Rc<[Exchange]>, rounds: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.set_nodelay(true)?;
    let mut reply = Vec::new();
    for batch in batches.iter().cycle().take(rounds) {
        stream.write_all(&batch.request).await?;
        reply.resize(batch.reply.len(), 0);
        stream.read_exact(&mut reply).await?;
        batch.check(&reply)?;
    }
    Ok(())
}
