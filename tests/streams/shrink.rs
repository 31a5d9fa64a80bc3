//! The fewest requests with which a session still differs.

use crate::both::Both;
use crate::session::Stream;
use crate::wire::Cut;

/// Requests shown at most.
const SHOWN: usize = 40;

/// What is left of `stream` when everything is taken out without which it differs as well, in words.
pub(crate) async fn shrink(both: &Both, stream: &Stream, seed: u64) -> String {
    let differs = async |stream: &Stream| {
        both.reset();
        // What comes to stand between MULTI and EXEC when a part is taken out may be what the sidecar refuses there.
        both.compare(stream, seed).await.filter(|why| !why.contains("-ERR Foretoken can"))
    };
    let whole = Stream { cut: Cut::WHOLE, ..stream.clone() };
    let (mut left, mut why) = match (differs(&whole).await, differs(stream).await) {
        (Some(why), _) => (whole, why),
        (None, Some(why)) => (stream.clone(), why),
        (None, None) => return "when it is alone it does not differ".to_owned(),
    };
    let mut size = left.requests.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < left.requests.len() {
            let mut fewer = left.clone();
            fewer.requests.drain(at..left.requests.len().min(at + size));
            match differs(&fewer).await {
                Some(still) => (left, why) = (fewer, still),
                None => at += size,
            }
        }
        size /= 2;
    }
    let Stream { requests, cut, .. } = left;
    let shown: String = requests
        .iter()
        .take(SHOWN)
        .map(|request| format!("\n    {}", request[..request.len().min(200)].escape_ascii()))
        .collect();
    format!("alone, {cut:?}, {} requests are enough:{shown}\n{why}", requests.len())
}
