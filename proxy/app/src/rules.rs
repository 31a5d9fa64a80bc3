//! Which safety rules are switched off, in the test-only build that proves that the history checker notices.

/// Names of the rules that are off, separated by commas.
const VARIABLE: &str = "FORETOKEN_UNSAFE_RULES_OFF";

fn is_on(rule: &str) -> bool {
    let off = std::env::var(VARIABLE).unwrap_or_default();
    !off.split(',').any(|name| name == rule)
}

pub(crate) fn data_path() -> foretoken_outbound::Rules {
    foretoken_outbound::Rules { drop_late: is_on("drop-late"), drain: is_on("drain") }
}

pub(crate) fn machine() -> foretoken_failover::Rules {
    foretoken_failover::Rules {
        equality: is_on("equality"),
        // The store's own pause would catch what a hold that does not drain lets through.
        pause: is_on("drain"),
        lease_wait: is_on("lease-wait"),
    }
}
