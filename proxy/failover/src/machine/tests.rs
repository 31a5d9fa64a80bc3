//! The machine in front of modelled servers (`tests/sim`): what it does in each situation, in order.

#[path = "../../tests/sim/mod.rs"]
mod sim;

mod asked;
mod direct;
mod loss;
mod others;
mod planned;
mod reactive;
mod repair;
mod seen;
mod start;
mod table;
mod waits;
mod walks;

use foretoken_types::{Epoch, HoldScope, StoreState};

use self::sim::{MS, Sim};
use crate as failover;
use crate::{Change, Effect, Loss, Order, Outcome};

/// What a row of a table does to the world.
type Given = fn(&mut Sim);

/// Three servers and one sidecar that is the only way in; nothing has begun.
fn world() -> Sim {
    world_with(|_| {})
}

fn world_with(change: impl FnOnce(&mut crate::Params)) -> Sim {
    let mut sim = Sim::new(1, &["a", "b", "c"]);
    let mut params = sim.params("one");
    change(&mut params);
    sim.add(params);
    sim
}

/// The same, after it has begun to serve.
fn serving() -> Sim {
    serving_with(|_| {})
}

fn serving_with(change: impl FnOnce(&mut crate::Params)) -> Sim {
    let mut sim = world_with(change);
    sim.start(0);
    assert!(sim.run_until(MS * 2000, |sim| sim.serves(0)), "it serves: {:?}", reason(&sim));
    // Every endpoint has been looked at since, and nobody can be left who was in charge before.
    sim.run_for(MS * 3000);
    sim
}

/// Who is primary, in which epoch and state, and whether writes go through.
fn standing(sim: &Sim) -> (String, u64, StoreState, bool) {
    let posture = sim.sidecars[0].machine.posture();
    let primary = posture.primary.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    (primary, posture.epoch.0, posture.state, sim.serves(0))
}

fn serves(primary: &str, epoch: u64, state: StoreState) -> (String, u64, StoreState, bool) {
    (primary.to_owned(), epoch, state, true)
}

fn reason(sim: &Sim) -> String {
    sim.sidecars[0].machine.reason().unwrap_or_default().to_owned()
}

fn is_healthy(sim: &Sim) -> bool {
    sim.serves(0) && sim.sidecars[0].machine.posture().state == StoreState::Healthy
}

fn is_unavailable(sim: &Sim) -> bool {
    sim.sidecars[0].machine.posture().state == StoreState::Unavailable
}

fn switchover(sim: &mut Sim, to: &str) {
    let event = crate::Event::Switchover { command: 7, to: Some(to.into()), dry_run: false };
    sim.tell(0, event);
}

/// The only report since the beginning, or since [`forget`].
fn report(sim: &Sim) -> Change {
    let reports = sim.reports(0);
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports[0].clone()
}

fn forget(sim: &mut Sim) {
    let sidecar = &mut sim.sidecars[0];
    sidecar.effects.clear();
    sidecar.before = sidecar.machine.posture().clone();
}

fn intent(sim: &Sim) -> Option<crate::Intent> {
    sim.sidecars[0].disk.record.as_ref().and_then(|record| record.intent.clone())
}

/// All that the machine wanted so far, a line each. Renewals of lease and owner record are left out.
fn trace(sim: &Sim) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut last = posture_line(&sim.sidecars[0].before);
    for (_, effect) in &sim.sidecars[0].effects {
        let line = match effect {
            Effect::Publish(posture) => {
                let line = posture_line(posture);
                if line == last {
                    continue;
                }
                last.clone_from(&line);
                line
            }
            Effect::Order { order: Order::Claim { .. }, .. } | Effect::Vouch(_) => continue,
            Effect::Order { endpoint, order, .. } => format!("{endpoint}: {}", order_line(order)),
            Effect::Save { record, .. } => {
                let intent = record.intent.as_ref();
                let intent =
                    intent.map_or(String::new(), |intent| format!(", {} to {}", intent.from, intent.to));
                format!("save epoch {} of {}{intent}", record.epoch, record.primary)
            }
            Effect::Report(change) => format!("report {:?} {:?}", change.kind, change.outcome),
            Effect::PublishLoss { epoch, endpoint, loss } => {
                format!("loss {endpoint} {epoch} {}", loss_line(loss))
            }
        };
        lines.push(line);
    }
    lines
}

/// The orders among it that make somebody primary or a mirror.
fn roles(sim: &Sim) -> Vec<String> {
    trace(sim).into_iter().filter(|line| line.contains("mote")).collect()
}

fn posture_line(posture: &foretoken_types::Posture) -> String {
    let primary = posture.primary.as_ref().map_or("nobody", |primary| primary.as_str());
    let lease = if posture.lease.is_some() { "" } else { ", no lease" };
    let hold = match posture.hold {
        None => "",
        Some(hold) if hold.fence => ", fence",
        Some(hold) if hold.scope == HoldScope::Writes => ", hold writes",
        Some(_) => ", hold all",
    };
    format!("publish {} {primary} {}{lease}{hold}", posture.state, posture.epoch)
}

fn order_line(order: &Order) -> String {
    match order {
        Order::Observe { probe: true } => "probe".to_owned(),
        Order::Observe { probe: false } => "look".to_owned(),
        Order::Position => "position".to_owned(),
        Order::PauseWrites { .. } => "pause".to_owned(),
        Order::ResumeWrites => "resume".to_owned(),
        Order::Demote { of } => format!("demote to {of}"),
        Order::Fence { of } => format!("fence to {of}"),
        Order::Promote => "promote".to_owned(),
        Order::DisconnectClients => "disconnect".to_owned(),
        Order::Mark(epoch) => format!("mark {epoch}"),
        Order::Claim { .. } => "claim".to_owned(),
        Order::RegisterFollower { .. } => "register".to_owned(),
    }
}

fn loss_line(loss: &Loss) -> String {
    match loss {
        Loss::Exactly(bytes) => format!("exactly {bytes}"),
        Loss::Bounded { at_least, kept_until } => {
            format!("at least {at_least}, bounded in time: {}", kept_until.is_some())
        }
    }
}
