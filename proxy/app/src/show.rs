//! Statuses and reports as text for people: what `foretoken status` and `foretoken switchover` print.

use std::fmt::Write as _;

use foretoken_admin::model::{
    AuthorityRole, EndpointStatus, HealthState, LastLoss, LastSwitchover, RiskStatus, StoreStatus,
    SwitchoverReport,
};
use foretoken_types::{EndpointId, Persistence};

/// Stands where there is nothing to say.
const NOTHING: &str = "-";

/// Every store with its endpoints, as aligned text that ends in a line break.
#[must_use]
pub fn stores(stores: &[StoreStatus]) -> String {
    if stores.is_empty() {
        return "no store is configured\n".to_owned();
    }
    stores.iter().map(store).collect::<Vec<_>>().join("\n")
}

fn store(status: &StoreStatus) -> String {
    let mut facts = vec![
        ["state".to_owned(), format!("{}, epoch {}", status.state, status.epoch)],
        ["primary".to_owned(), name(status.primary.as_ref())],
        ["traffic".to_owned(), traffic(status)],
        ["in charge".to_owned(), in_charge(status)],
        ["failover".to_owned(), failover(status)],
    ];
    if let Some(hold) = &status.hold {
        facts.push([
            "hold".to_owned(),
            format!("{} for {} ms: {}", hold.scope.as_str(), hold.since_ms, hold.reason),
        ]);
    }
    facts.extend(status.warnings.iter().map(|warning| ["warning".to_owned(), warning.clone()]));
    if let Some(last) = &status.last_switchover {
        facts.push(["last change".to_owned(), change(last)]);
    }
    if let Some(attempt) = &status.last_attempt {
        facts.push(["last attempt".to_owned(), format!("{}: {}", change(attempt), attempt.detail)]);
    }
    if let Some(risk) = &status.risk {
        facts.push(["risk".to_owned(), words_of(risk)]);
    }
    if let Some(loss) = &status.last_loss {
        facts.push(["last loss".to_owned(), last_loss(loss)]);
    }
    let head = [
        "ENDPOINT",
        "ADDRESS",
        "REGION",
        "ROLE",
        "HEALTH",
        "LAG",
        "CAN TAKE OVER",
        "RATE",
        "P99",
        "KEEPS",
        "VERSION",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(status.endpoints.iter().map(|endpoint| row(endpoint, status.primary.as_ref())));
    let mut text = format!("store {}\n", status.store);
    align(&mut text, &facts);
    if !status.endpoints.is_empty() {
        text.push('\n');
        align(&mut text, &rows);
    }
    for endpoint in &status.endpoints {
        let health = match endpoint.health {
            HealthState::Unknown => "can't be looked at".to_owned(),
            health => format!("is {}", health.as_str()),
        };
        if let Some(evidence) = &endpoint.evidence {
            push_line(&mut text, &format!("  {} {health}: {evidence}", endpoint.name));
        }
        for warning in &endpoint.warnings {
            push_line(&mut text, &format!("  {} needs help: {warning}", endpoint.name));
        }
        if let (false, Some(why)) = (endpoint.eligible_for_promotion, &endpoint.why_not)
            && status.primary.as_ref() != Some(&endpoint.name)
        {
            push_line(&mut text, &format!("  {} can't take over: {why}", endpoint.name));
        }
    }
    text
}

fn traffic(status: &StoreStatus) -> String {
    let clients = status.connections;
    let listen =
        if status.listen.is_empty() { String::new() } else { format!(" on {}", status.listen.join(", ")) };
    match (&status.reason, status.ready) {
        (_, true) => format!("served{listen}, {clients} client connection(s)"),
        (Some(why), false) => format!("NOT served{listen}: {why}"),
        (None, false) => format!("NOT served{listen}"),
    }
}

fn in_charge(status: &StoreStatus) -> String {
    let authority = &status.authority;
    let mut text = match (authority.role, &authority.owner) {
        (AuthorityRole::Owner, _) => "this sidecar".to_owned(),
        (AuthorityRole::Follower, Some(owner)) => format!("sidecar {owner}; this one follows"),
        (AuthorityRole::Follower, None) => "not this sidecar, which only follows".to_owned(),
        (AuthorityRole::Undecided, _) => "not decided yet".to_owned(),
    };
    if let Some(why) = &authority.why {
        text.push_str(": ");
        text.push_str(why);
    }
    text
}

fn failover(status: &StoreStatus) -> String {
    match (status.automatic_failover, &status.reason) {
        (true, _) => "automatic".to_owned(),
        // While traffic is not served the reason speaks of that, and stands there.
        (false, Some(why)) if status.ready => format!("by hand only: {why}"),
        (false, _) => "by hand only".to_owned(),
    }
}

fn words_of(risk: &RiskStatus) -> String {
    let Some(within) = risk.within else { return "not known yet".to_owned() };
    let percents: Vec<_> = within.iter().map(|p| format!("{:.0}", p * 100.0)).collect();
    let causes = if risk.causes.is_empty() { String::new() } else { format!("; {}", risk.causes.join(", ")) };
    let mut words = format!("{} % within 5, 15, 30 steps{causes}", percents.join(", "));
    if risk.raised {
        let RiskStatus { policy, action, would, why, .. } = risk;
        words = format!("{words}; policy {policy}: {action}, would {would}: {why}");
    }
    if risk.model.starts_with("off") {
        words = format!("{words}; model {}", risk.model);
    }
    if let Some(entry) = risk.journal.first() {
        let steps = entry.steps.map_or_else(String::new, |steps| format!(" within {steps} steps"));
        words = format!(
            "{words}; last in the journal: {} {}{steps}",
            utc(entry.at_unix_ms),
            entry.event.as_str()
        );
    }
    words
}

/// How much was lost, in words.
pub(crate) fn last_loss(loss: &LastLoss) -> String {
    let bytes = match (loss.exact, loss.bytes) {
        (true, 0) => "nothing".to_owned(),
        (true, bytes) => format!("{bytes} bytes of the change stream"),
        (false, 0) if loss.kept_until_unix_ms.is_none() => {
            format!("not known: {} was restarted and serves what it had on its disk", loss.endpoint)
        }
        (false, 0) => "not known to be any".to_owned(),
        (false, bytes) => format!("at least {bytes} bytes of the change stream"),
    };
    match loss.kept_until_unix_ms {
        Some(until) if loss.bytes > 0 || !loss.exact => {
            format!("{bytes}; nothing that was acknowledged before {}", utc(until))
        }
        _ => bytes,
    }
}

fn change(change: &LastSwitchover) -> String {
    let held = change.hold_us.map_or_else(String::new, |us| format!(", {}", change.held(&duration(us))));
    format!(
        "{} {} -> {} {}{held}, {}",
        change.kind.as_str(),
        name(change.from.as_ref()),
        name(change.to.as_ref()),
        change.outcome.as_str(),
        utc(change.at_unix_ms)
    )
}

fn row(endpoint: &EndpointStatus, primary: Option<&EndpointId>) -> [String; 11] {
    let or = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_owned());
    let role = match (endpoint.role, endpoint.link) {
        (None, _) => or(endpoint.was.map(|role| format!("was {}", role.as_str()))),
        (Some(role), None) => role.as_str().to_owned(),
        (Some(role), Some(link)) => format!("{}, link {}", role.as_str(), link.as_str()),
    };
    let lag = match (endpoint.lag_bytes, endpoint.lag_ms) {
        (None, None) => NOTHING.to_owned(),
        (Some(bytes), None) => size(bytes),
        (None, Some(ms)) => format!("{ms} ms"),
        (Some(bytes), Some(ms)) => format!("{}, {ms} ms", size(bytes)),
    };
    let able = match endpoint.eligible_for_promotion {
        _ if primary == Some(&endpoint.name) => NOTHING,
        true => "yes",
        false => "no",
    };
    let keeps = endpoint.persistence.map(|persistence| match persistence {
        Persistence::None => "nothing",
        Persistence::Snapshot => "snapshots",
        Persistence::Log => "log",
    });
    [
        endpoint.name.to_string(),
        endpoint.address.clone(),
        or(endpoint.region.as_ref().map(ToString::to_string)),
        role,
        endpoint.health.as_str().to_owned(),
        lag,
        able.to_owned(),
        or(endpoint.requests_per_second.map(|rate| format!("{rate:.0}/s"))),
        or(endpoint.latency_p99_us.map(duration)),
        or(keeps.map(str::to_owned)),
        or(endpoint.version.clone()),
    ]
}

/// A switchover, or its dry run, with every check and every step.
#[must_use]
pub fn switchover(report: &SwitchoverReport) -> String {
    let what = if report.dry_run { "dry run of a switchover" } else { "switchover" };
    let (from, to) = (name(report.from.as_ref()), name(report.to.as_ref()));
    let mut text = format!("{what} of store {} from {from} to {to}\n", report.store);
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| {
            [if check.passed { "ok" } else { "FAIL" }.to_owned(), check.name.clone(), check.detail.clone()]
        })
        .collect();
    align(&mut text, &checks);
    let steps: Vec<_> = report
        .steps
        .iter()
        .map(|step| ["step".to_owned(), step.name.clone(), duration(step.took_us)])
        .collect();
    align(&mut text, &steps);
    let outcome = report.word();
    let held = report.hold_us.map_or_else(String::new, |us| format!(", writes held {}", duration(us)));
    push_line(&mut text, &format!("{outcome}{held}, epoch {}: {}", report.epoch, report.detail));
    text
}

fn name(endpoint: Option<&EndpointId>) -> String {
    endpoint.map_or_else(|| NOTHING.to_owned(), ToString::to_string)
}

/// Appends rows whose columns begin at the same place, two blanks in.
fn align<const COLUMNS: usize>(text: &mut String, rows: &[[String; COLUMNS]]) {
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            // Writing to a `String` does not fail.
            write!(line, "  {cell:<width$}").unwrap_or_default();
        }
        push_line(text, line.trim_end());
    }
}

/// What comes from a server is shown as one line: a line break or an escape in it must not draw on the terminal.
fn push_line(text: &mut String, line: &str) {
    text.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    text.push('\n');
}

/// Microseconds in the unit that leaves one to four digits.
fn duration(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let float = us as f64;
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{:.1} ms", float / 1e3),
        _ => format!("{:.1} s", float / 1e6),
    }
}

/// Bytes in the unit that leaves one to four digits.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        10_485_760..10_737_418_240 => format!("{} MiB", bytes / (1024 * 1024)),
        _ => format!("{} GiB", bytes / (1024 * 1024 * 1024)),
    }
}

/// An instant as RFC 3339 has it, in UTC, to the second.
fn utc(unix_ms: u64) -> String {
    let seconds = unix_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant, "chrono-compatible low-level date algorithms", civil_from_days, for days after 1970: years begin in
    // March, so that the leap day is their last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests;
