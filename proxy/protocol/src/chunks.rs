//! The rest of a long reply: a bounded pipe between the connection that reads it and the session that forwards it.
//!
//! Both ends live on one data thread, so it is plain cells and two wakers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use foretoken_types::Fault;

struct Pipe {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    limit: usize,
    end: Option<Result<(), Fault>>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The connection's end.
pub struct ChunkSender(Rc<RefCell<Pipe>>);

/// The session's end.
pub struct ChunkReceiver(Rc<RefCell<Pipe>>);

/// A pipe that takes chunks as long as fewer than `limit` bytes wait in it.
#[must_use]
pub fn chunks(limit: usize) -> (ChunkSender, ChunkReceiver) {
    let pipe = Rc::new(RefCell::new(Pipe {
        chunks: VecDeque::new(),
        bytes: 0,
        limit,
        end: None,
        reader_gone: false,
        reader: None,
        writer: None,
    }));
    (ChunkSender(Rc::clone(&pipe)), ChunkReceiver(pipe))
}

impl ChunkSender {
    /// Ready when the pipe takes another chunk, or when nobody reads it any more.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pipe = self.0.borrow_mut();
        if pipe.reader_gone || pipe.bytes < pipe.limit {
            return Poll::Ready(());
        }
        pipe.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Whether the session has gone: what is sent is dropped.
    #[must_use]
    pub fn abandoned(&self) -> bool {
        self.0.borrow().reader_gone
    }

    /// Adds a chunk. Call it after [`ChunkSender::poll_room`], so that the pipe holds at most one chunk above its limit.
    pub fn send(&self, chunk: Bytes) {
        let mut pipe = self.0.borrow_mut();
        if pipe.reader_gone || pipe.end.is_some() || chunk.is_empty() {
            return;
        }
        pipe.bytes += chunk.len();
        pipe.chunks.push_back(chunk);
        pipe.wake_reader();
    }

    /// Ends the reply, well or not. What waits in the pipe is dropped if it did not end well.
    pub fn end(&self, result: Result<(), Fault>) {
        let mut pipe = self.0.borrow_mut();
        if pipe.end.is_some() {
            return;
        }
        if result.is_err() {
            pipe.chunks.clear();
            pipe.bytes = 0;
        }
        pipe.end = Some(result);
        pipe.wake_reader();
    }
}

impl Pipe {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }

    fn wake_writer(&mut self) {
        if let Some(waker) = self.writer.take() {
            waker.wake();
        }
    }
}

impl ChunkReceiver {
    /// The next chunk, `None` at the end of the reply.
    ///
    /// # Errors
    /// The fault that cut the reply off.
    ///
    /// # Cancel safety
    /// Nothing is lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        poll_fn(|cx| {
            let mut pipe = self.0.borrow_mut();
            if let Some(chunk) = pipe.chunks.pop_front() {
                pipe.bytes -= chunk.len();
                pipe.wake_writer();
                return Poll::Ready(Ok(Some(chunk)));
            }
            match pipe.end {
                Some(Ok(())) => Poll::Ready(Ok(None)),
                Some(Err(fault)) => Poll::Ready(Err(fault)),
                None => {
                    pipe.reader = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

impl std::fmt::Debug for ChunkReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChunkReceiver")
    }
}

impl Drop for ChunkReceiver {
    fn drop(&mut self) {
        let mut pipe = self.0.borrow_mut();
        pipe.reader_gone = true;
        pipe.chunks.clear();
        pipe.bytes = 0;
        pipe.wake_writer();
    }
}
