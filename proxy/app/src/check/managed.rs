//! What can be promised where somebody else moves the primary role.

use super::verdict::{AUTOMATIC, Answer, NO_LOSS, ONE_PRIMARY, PLANNED, Promise};
use super::{Found, Look};

/// Who moves roles there, as far as a look tells.
pub(super) fn manager(looks: &[Look]) -> Option<&str> {
    let found = looks.iter().filter_map(|look| look.found.as_ref().ok());
    found.filter_map(|Found { observation, .. }| observation.managed_by.as_deref()).next()
}

/// What is left to promise beside that manager.
pub(super) fn promises(by: &str) -> Vec<Promise> {
    let rows = if by == "cluster" { cluster() } else { promoter(by) };
    let promise = |(what, answer, because): (&'static str, Answer, String)| Promise { what, answer, because };
    rows.into_iter().map(promise).collect()
}

type Row = (&'static str, Answer, String);

fn cluster() -> [Row; 4] {
    let row = |what, because: &str| (what, Answer::No, because.to_owned());
    [
        row(PLANNED, "the cluster moves roles and slots by itself, and this sidecar neither"),
        row(
            AUTOMATIC,
            "for the same reason; when this node fails its clients must turn to another by themselves",
        ),
        row(NO_LOSS, "what is lost when the cluster promotes a replica is the cluster's affair"),
        row(
            ONE_PRIMARY,
            "replies pass as they are, MOVED and ASK among them, and who follows those goes past this sidecar",
        ),
    ]
}

fn promoter(by: &str) -> [Row; 4] {
    [
        (PLANNED, Answer::No, format!("{by} moves the primary role here, and this sidecar follows")),
        (
            AUTOMATIC,
            Answer::No,
            format!("{by} decides whom to promote; this sidecar serves that one as soon as it sees it"),
        ),
        (NO_LOSS, Answer::No, format!("what is lost when {by} promotes a mirror is the affair of {by}")),
        (
            ONE_PRIMARY,
            Answer::Partly,
            format!(
                "nothing that an old primary executes is acknowledged through this sidecar once it has seen that {by} \
                 promoted another; clients that bypass it are not stopped"
            ),
        ),
    ]
}
