//! Requests at a fixed rate, whether or not those before them are answered (an open loop).
//!
//! Each request has its moment, and its latency counts from there: what waits for a slow target, or for this program, is not left
//! out. A thread of its own sends, because tokio's timers wake by the millisecond, in which many requests are due.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::address::Address;
use crate::exchange::Exchange;

const CONNECTIONS: usize = 50;
const SIZE: usize = 32;
/// Time to connect everything before the first request is due.
const LEAD: Duration = Duration::from_millis(20);
/// A target that has not answered everything so long after the last request was due is given up.
const LATE_MAX: Duration = Duration::from_secs(20);

/// Of a hundred requests, or of a thousand, so many were answered within.
#[derive(Clone, Copy)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) p999: Duration,
}

/// Asks for a value of 32 bytes, `rate` times a second for as long as `lasts`.
pub(crate) fn measure(address: &Address, rate: f64, lasts: Duration) -> Result<Latency, String> {
    let Address::Tcp(port) = *address else { return Err("latency is measured over TCP only".to_owned()) };
    run(port, rate, lasts).map_err(|error| format!("at a fixed rate: {error}"))
}

/// When each request is due.
#[derive(Clone, Copy)]
struct Schedule {
    begin: Instant,
    rate: f64,
    requests: usize,
}

impl Schedule {
    fn due(&self, number: usize) -> Instant {
        self.begin + Duration::from_secs_f64(number as f64 / self.rate)
    }
}

fn run(port: u16, rate: f64, lasts: Duration) -> io::Result<Latency> {
    let get = Exchange::get(SIZE);
    Exchange::set(SIZE).with(&mut TcpStream::connect(("127.0.0.1", port))?)?;
    let mut receivers = Vec::with_capacity(CONNECTIONS);
    let mut senders = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        // Whatever a target does only once for a connection.
        get.with(&mut stream)?;
        stream.set_nonblocking(true)?;
        senders.push(stream.try_clone()?);
        receivers.push(stream);
    }
    let requests = (rate * lasts.as_secs_f64()) as usize;
    let schedule = Schedule { begin: Instant::now() + LEAD, rate, requests };
    let ended = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let sender = threads.spawn(|| send(schedule, &senders, &get.request, &ended));
        let latencies = receive(schedule, receivers, &get);
        ended.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| io::Error::other("the sender panicked"))??;
        latencies
    })
}

fn send(schedule: Schedule, streams: &[TcpStream], request: &[u8], ended: &AtomicBool) -> io::Result<()> {
    for (number, mut stream) in (0..schedule.requests).zip(streams.iter().cycle()) {
        let early = schedule.due(number).duration_since(Instant::now());
        if !early.is_zero() {
            std::thread::sleep(early);
        }
        let mut rest = request;
        while !rest.is_empty() && !ended.load(Ordering::Relaxed) {
            match stream.write(rest) {
                Ok(sent) => rest = &rest[sent..],
                // The target reads no more for now.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

fn receive(schedule: Schedule, streams: Vec<TcpStream>, get: &Exchange) -> io::Result<Latency> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let get = Arc::new(get.clone());
    let end = schedule.due(schedule.requests) + LATE_MAX;
    let late = |_| io::Error::other(format!("not answered {LATE_MAX:?} after the last request"));
    let mut latencies = runtime.block_on(async {
        let mut receivers: JoinSet<_> = streams
            .into_iter()
            .enumerate()
            .map(|(first, stream)| receive_on(stream, first, schedule, Arc::clone(&get)))
            .collect();
        let mut all = Vec::with_capacity(schedule.requests);
        while let Some(latencies) = tokio::time::timeout_at(end, receivers.join_next()).await.map_err(late)? {
            all.extend(latencies.map_err(io::Error::other)??);
        }
        io::Result::Ok(all)
    })?;
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = ((latencies.len() as f64 * share).ceil() as usize).saturating_sub(1);
        latencies.get(place).copied().unwrap_or_default()
    };
    Ok(Latency { p50: at(0.5), p99: at(0.99), p999: at(0.999) })
}

/// Connection number `first` of all has every so many-th request.
async fn receive_on(
    stream: TcpStream,
    first: usize,
    schedule: Schedule,
    get: Arc<Exchange>,
) -> io::Result<Vec<Duration>> {
    let mut stream = BufReader::new(tokio::net::TcpStream::from_std(stream)?);
    let mut reply = vec![0; get.reply.len()];
    let mut latencies = Vec::with_capacity(schedule.requests / CONNECTIONS + 1);
    for number in (first..schedule.requests).step_by(CONNECTIONS) {
        stream.read_exact(&mut reply).await?;
        get.check(&reply)?;
        latencies.push(Instant::now().duration_since(schedule.due(number)));
    }
    Ok(latencies)
}
