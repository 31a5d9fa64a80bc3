//! Who is primary in a store of which no registry tells: what the servers themselves say. A function of what was seen, because
//! whoever looks a store over before a sidecar runs must come to the same end.

use foretoken_types::{EndpointId, Observation};

use crate::endpoints::is_primary;

/// An endpoint that serves its data, and what it shows.
type Seen<'a> = (&'a EndpointId, &'a Observation);

/// The primary of a store that no sidecar here has in its registry.
///
/// `configured`: the endpoint that is declared as the primary. `all`: whether `seen` are all endpoints. `is_empty`: whether an
/// endpoint holds no data, so that it may become a mirror of any other.
///
/// # Errors
/// Why it can't be told, with what to do.
pub fn primary_by_markers<'a>(
    configured: Option<&EndpointId>,
    seen: &[Seen<'a>],
    all: bool,
    is_empty: impl Fn(&EndpointId) -> bool,
) -> Result<Seen<'a>, String> {
    let primaries: Vec<_> = seen.iter().copied().filter(|(_, found)| is_primary(found)).collect();
    match seen.iter().filter_map(|(_, found)| found.marker).max() {
        // Nobody managed it before: the configuration says which one is the primary.
        None => match primaries.as_slice() {
            [only] if all || Some(only.0) == configured => Ok(*only),
            [] => Err("no endpoint that answers is a primary".to_owned()),
            [(only, _)] => {
                Err(format!("{only} is a primary but not the configured one, and not every endpoint answers"))
            }
            several => {
                let others_are_empty =
                    several.iter().filter(|(id, _)| Some(*id) != configured).all(|(id, _)| is_empty(id));
                let own = several.iter().find(|(id, _)| Some(*id) == configured);
                own.copied().filter(|_| others_are_empty).ok_or_else(|| undecided(configured, several))
            }
        },
        Some(_) if !all => {
            Err("the registry is empty and the store was managed before: every endpoint must answer, \
                                for the one that does not may be the primary"
                .to_owned())
        }
        Some(newest) => {
            let mut holders = primaries.into_iter().filter(|(_, found)| found.marker == Some(newest));
            match (holders.next(), holders.next()) {
                (Some(only), None) => Ok(only),
                (None, _) => {
                    Err(format!("no endpoint that carries the marker of epoch {newest} is a primary"))
                }
                (Some(_), Some(_)) => Err(format!(
                    "several primaries carry the marker of epoch {newest}: see which one has the writes that count, and make \
                     the others its mirrors (REPLICAOF)"
                )),
            }
        }
    }
}

/// Why nobody is chosen among several primaries. Where one alone has data nothing is said that could empty it.
fn undecided(configured: Option<&EndpointId>, primaries: &[Seen<'_>]) -> String {
    let names: Vec<_> = primaries.iter().map(|(id, _)| id.as_str()).collect();
    let mut with_data = primaries.iter().filter(|(_, found)| found.keys > 0).map(|(id, _)| *id);
    let declared = configured.filter(|declared| names.contains(&declared.as_str()));
    let what = match (with_data.next(), with_data.next(), declared) {
        (Some(only), None, Some(declared)) if only != declared => format!(
            "{only} has keys and {declared}, the declared primary, has none: are the roles swapped? correct `role` or \
             --primary, or make the others mirrors of {only} (REPLICAOF)"
        ),
        (Some(only), None, _) => format!(
            "only {only} has keys: correct `role` or --primary, or make the others mirrors of it (REPLICAOF)"
        ),
        _ => "correct `role` or --primary if it names the wrong one, and make all but one mirrors of it (REPLICAOF), or \
              empty them (FLUSHALL)"
            .to_owned(),
    };
    format!("{} are primaries and nothing tells whose data counts: {what}", names.join(" and "))
}

#[cfg(test)]
mod tests;
