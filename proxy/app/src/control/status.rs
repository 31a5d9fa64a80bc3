//! What is shown of a store, and the reports of changes.

use std::time::Duration;

use foretoken_admin::model::{
    AuthorityStatus, ChangeKind, Check, EndpointStatus, HealthState, HoldStatus, HorizonStatus, LastLoss,
    LastSwitchover, RiskStatus, StoreStatus, SwitchoverOutcome, SwitchoverReport, SwitchoverStep,
};
use foretoken_failover::{Change, Loss, Outcome};
use foretoken_health::Verdict;
use foretoken_predict::Risk;
use foretoken_predict::contract::HORIZONS;
use foretoken_types::{Authority, BootInstant, EndpointId, Epoch, Failure, Posture, Role, StoreId, Writers};

use super::engine::{Endpoint, Engine};
use super::foresee::{Foresight, Found};
use super::record;
use crate::check::trouble;

/// What requests wait for when nothing is wrong.
pub(super) const PLANNED: &str = "a planned switchover";

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const fn kind(change: &Change) -> ChangeKind {
    match change.kind {
        foretoken_failover::ChangeKind::Switchover => ChangeKind::Switchover,
        foretoken_failover::ChangeKind::Failover => ChangeKind::Failover,
    }
}

const fn outcome(outcome: Outcome) -> SwitchoverOutcome {
    match outcome {
        Outcome::Done => SwitchoverOutcome::Done,
        Outcome::Aborted => SwitchoverOutcome::Aborted,
        Outcome::Refused => SwitchoverOutcome::Refused,
    }
}

/// The report of a change, as the API gives it.
pub(super) fn report(store: &StoreId, change: &Change) -> SwitchoverReport {
    SwitchoverReport {
        store: store.clone(),
        from: change.from.clone(),
        to: change.to.clone(),
        dry_run: change.dry_run,
        outcome: outcome(change.outcome),
        checks: change
            .checks
            .iter()
            .map(|check| Check {
                name: check.name.to_owned(),
                passed: check.passed,
                detail: check.detail.clone(),
            })
            .collect(),
        steps: change
            .steps
            .iter()
            .map(|step| SwitchoverStep { name: step.name.to_owned(), took_us: micros(step.took) })
            .collect(),
        hold_us: change.held_for.map(micros),
        epoch: change.epoch,
        detail: change.detail.clone(),
    }
}

/// Logs it.
pub(super) fn log(report: &SwitchoverReport, change: &Change) {
    let (from, to) = (report.from.as_ref(), report.to.as_ref());
    let (from, to) = (from.map(tracing::field::display), to.map(tracing::field::display));
    let (store, plan_id, outcome, detail) = (&report.store, change.plan, report.word(), &report.detail);
    if report.dry_run {
        tracing::info!(%store, plan_id, from, to, outcome, %detail, "dry run of a switchover ended");
        return;
    }
    let (epoch, hold_us) = (&report.epoch, report.hold_us);
    tracing::info!(%store, plan_id, from, to, outcome, hold_us, %epoch, %detail, "change of primary ended");
}

/// The same for status.
pub(super) fn last(change: &Change, at_unix_ms: u64) -> LastSwitchover {
    LastSwitchover {
        from: change.from.clone(),
        to: change.to.clone(),
        kind: kind(change),
        hold_us: change.held_for.map(micros),
        outcome: outcome(change.outcome),
        detail: change.detail.clone(),
        at_unix_ms,
    }
}

/// What a failover may have lost, with what was known of the same one before.
pub(super) fn loss(
    known: Option<LastLoss>,
    epoch: Epoch,
    endpoint: EndpointId,
    loss: Loss,
    now: BootInstant,
) -> LastLoss {
    let known = known.filter(|known| known.endpoint == endpoint).and_then(|known| known.kept_until_unix_ms);
    match loss {
        Loss::Bounded { at_least, kept_until } => LastLoss {
            endpoint,
            epoch,
            bytes: at_least,
            exact: false,
            kept_until_unix_ms: kept_until
                .map(|until| record::unix_ms().saturating_sub(millis(now.since(until)))),
        },
        Loss::Exactly(bytes) => LastLoss { endpoint, epoch, bytes, exact: true, kept_until_unix_ms: known },
    }
}

fn risk(found: &Found, foresight: &Foresight) -> RiskStatus {
    let assessment = &found.assessment;
    let parts =
        [assessment.risk, assessment.rule, assessment.model.ok()].map(|risk| risk.map(Risk::to_array));
    let horizons = HORIZONS.into_iter().enumerate().map(|(place, steps)| {
        let [risk, rule, model] = parts.map(|risk| risk.map(|risk| risk[place]));
        HorizonStatus {
            steps,
            seconds: (foresight.pace() * u32::from(steps)).as_secs(),
            threshold: found.thresholds.enter()[place],
            risk,
            rule,
            model,
            raised: found.raised[place],
            rule_since_unix_ms: found.rule_since[place],
            model_since_unix_ms: found.model_since[place],
        }
    });
    RiskStatus {
        within: parts[0],
        raised: found.raised.contains(&true),
        causes: assessment.causes.iter().map(|cause| cause.words.clone()).collect(),
        policy: foresight.policy().as_str().to_owned(),
        action: found.decision.action.as_str().to_owned(),
        would: found.decision.would.as_str().to_owned(),
        why: found.decision.why.to_string(),
        horizons: horizons.collect(),
        model: foresight.model(),
        journal: foresight.journal(),
    }
}

/// Whether requests go through.
pub(super) fn is_served(posture: &Posture) -> bool {
    posture.primary.is_some() && posture.lease.is_some() && posture.hold.is_none()
}

/// Why not, as far as there is something to say; while it is not known who is primary, with the endpoints that don't tell.
pub(super) fn why_not_served(engine: &Engine) -> Option<String> {
    let mut why = engine.machine.reason()?.to_owned();
    if engine.machine.phase() == "start" {
        for at in &engine.endpoints {
            if let Some(refused) = &at.refused {
                why = format!("{why}; {}: {}", at.id, trouble(refused));
            }
        }
    }
    Some(why)
}

/// What is known of the store now.
pub(super) fn status(engine: &mut Engine, now: BootInstant) -> StoreStatus {
    let endpoints =
        (0..engine.endpoints.len()).map(|number| endpoint(engine, number, now)).collect::<Vec<_>>();
    let (machine, params) = (&engine.machine, &engine.params);
    let posture = machine.posture();
    let writers = params.live.borrow().settings.writers;
    let served = is_served(posture);
    let owner = matches!(machine.authority(), Authority::Owner);
    let followers = engine
        .endpoints
        .iter()
        .filter_map(|at| at.found.as_ref())
        .map(|found| found.followers)
        .max()
        .unwrap_or(0);
    let can_move = endpoints.iter().any(|at| at.eligible_for_promotion);
    let automatic = owner && writers == Writers::ThisSidecar && followers == 0 && can_move;
    let doubt = match machine.authority() {
        _ if automatic => None,
        Authority::Follower(why) => Some(format!("follows and changes nothing: {why}")),
        Authority::Undecided => Some("nobody is in charge yet".to_owned()),
        Authority::Owner if writers != Writers::ThisSidecar => {
            Some("no automatic failover: others may write to the store (writers = \"others\")".to_owned())
        }
        Authority::Owner if followers > 0 => {
            Some(format!("no automatic failover: {followers} other sidecar(s) follow this store"))
        }
        Authority::Owner => Some("no automatic failover: no mirror could be promoted now".to_owned()),
    };
    let mut authority = AuthorityStatus::from(machine.authority());
    authority.owner = if owner { Some(params.machine.instance.clone()) } else { machine.owner().cloned() };
    StoreStatus {
        listen: params.listen.clone(),
        state: posture.state,
        epoch: posture.epoch,
        authority,
        writers,
        durability: posture.durability,
        tier: foretoken_token::Situation { state: posture.state, validated: machine.is_validated() }
            .tier()
            .to_string(),
        temporary_ms: posture
            .temporary_until
            .filter(|until| now < *until)
            .map(|until| millis(now.until(until))),
        validated: machine.is_validated(),
        primary: posture.primary.clone(),
        hold: posture.hold.map(|hold| HoldStatus {
            scope: hold.scope.into(),
            since_ms: millis(machine.held_since().map_or(Duration::ZERO, |since| now.since(since))),
            reason: machine.reason().unwrap_or(PLANNED).to_owned(),
        }),
        ready: served,
        reason: why_not_served(engine).or_else(|| join(doubt, machine.moved_by_others())),
        automatic_failover: automatic,
        last_switchover: engine.last.clone(),
        last_attempt: engine.last_attempt.clone(),
        last_loss: engine.loss.clone(),
        risk: engine.foresight.last().map(|found| risk(found, &engine.foresight)),
        endpoints,
        ..StoreStatus::unknown(params.store.clone())
    }
}

/// What there is to say of a store that is served, in one line.
fn join(doubt: Option<String>, moved: Option<&str>) -> Option<String> {
    match (doubt, moved) {
        (Some(doubt), Some(moved)) => Some(format!("{doubt}; {moved}")),
        (doubt, moved) => doubt.or_else(|| moved.map(str::to_owned)),
    }
}

/// What is thought of an endpoint's health, and what that rests on.
fn health(at: &Endpoint) -> (HealthState, Option<String>) {
    let refused = at.refused.as_ref();
    match &at.verdict {
        None => (HealthState::Unknown, refused.map(trouble)),
        // It answers and does not say how it is, or could not be asked.
        Some(Verdict::Up) => match refused {
            Some(refused) if matches!(refused.failure, Failure::Credentials | Failure::OpenFiles) => {
                (HealthState::Unknown, Some(trouble(refused)))
            }
            _ => (HealthState::Up, None),
        },
        Some(Verdict::Suspect { evidence, .. }) => (HealthState::Suspect, Some(evidence.to_string())),
        Some(Verdict::Down { evidence, .. }) => (HealthState::Down, Some(evidence.to_string())),
    }
}

fn endpoint(engine: &mut Engine, number: usize, now: BootInstant) -> EndpointStatus {
    let spec = &engine.params.endpoints[number];
    let mut shown = EndpointStatus::unknown(spec.id.clone(), spec.address.clone());
    shown.region.clone_from(&spec.region);
    let primary = engine.machine.posture().primary.clone();
    let unfit = engine.machine.why_not_eligible(&spec.id);
    let role = engine.machine.seen(&spec.id).map(|found| found.role.clone());
    // How far one is behind that does not answer, or is no mirror, nobody knows.
    let lag = engine.tracker.lag(&spec.id, now).filter(|_| matches!(role, Some(Role::Mirror { .. })));
    let at: &mut Endpoint = &mut engine.endpoints[number];
    if let Some(found) = &at.found {
        shown.position = Some(found.position);
        shown.persistence = Some(found.persistence);
    }
    match (&role, &at.found) {
        (Some(role), _) => shown.set_role(role),
        (None, Some(found)) => shown.set_past_role(&found.role),
        (None, None) => {}
    }
    if !at.preflight.server.is_empty() {
        shown.version = Some(at.preflight.server.clone());
    }
    (shown.health, shown.evidence) = health(at);
    // Of one that does not answer nobody knows whether it still needs that help.
    shown.warnings = if at.refused.is_none() { at.warnings.list() } else { Vec::new() };
    if primary.as_ref() == Some(&at.id) {
        shown.why_not = Some("it is the primary".to_owned());
    } else {
        shown.lag_bytes = lag.map(|lag| lag.bytes);
        shown.lag_ms = lag.and_then(|lag| lag.time).map(millis);
        // The machine's own word: what is shown is what a failover would do.
        shown.eligible_for_promotion = unfit.is_none();
        shown.why_not = unfit;
    }
    let figures = at.detector.window().figures(now);
    shown.requests_per_second = Some(figures.rate);
    shown.latency_p99_us = figures.latency_p99.map(micros);
    shown
}
