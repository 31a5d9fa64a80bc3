//! Requests and strings of our own.

use bytes::BufMut;

/// Appends a request of these arguments.
pub fn append_request(out: &mut impl BufMut, args: &[&[u8]]) {
    out.put_slice(format!("*{}\r\n", args.len()).as_bytes());
    for arg in args {
        append_bulk(out, arg);
    }
}

/// Appends a bulk string.
pub fn append_bulk(out: &mut impl BufMut, bytes: &[u8]) {
    out.put_slice(format!("${}\r\n", bytes.len()).as_bytes());
    out.put_slice(bytes);
    out.put_slice(b"\r\n");
}
