//! Roles that others move while this sidecar is not to: what it makes of them, and when.

use super::sim::redis::Command;
use super::*;

/// These servers, which others manage; `a` is served.
fn followed_among(servers: &[&str]) -> Sim {
    let mut sim = Sim::new(1, servers);
    let mut params = sim.params("one");
    params.follow = Some("others manage it".to_owned());
    sim.add(params);
    sim.start(0);
    assert!(sim.run_until(MS * 4000, serves_from("a")), "{}", reason(&sim));
    sim.run_for(MS * 3000);
    sim
}

fn followed() -> Sim {
    followed_among(&["a", "b", "c"])
}

fn promote(sim: &mut Sim, id: &str) {
    sim.command(id, &Command::Promote);
}

fn demote(sim: &mut Sim, id: &str, of: &str) {
    sim.command(id, &Command::Demote(of.into()));
}

fn serves_from(primary: &'static str) -> impl Fn(&Sim) -> bool {
    move |sim| sim.serves(0) && standing(sim).0 == primary
}

fn assert_no_role_was_changed(sim: &Sim) {
    let roles: Vec<_> =
        trace(sim).into_iter().filter(|line| line.contains("mote") || line.contains("fence to")).collect();
    assert_eq!(roles, Vec::<String>::new());
}

#[test]
fn a_promoted_mirror_that_the_others_copy_is_followed_though_the_old_primary_is_one_still() {
    let mut sim = followed();
    promote(&mut sim, "b");
    assert!(sim.run_until(MS * 600, |sim| !sim.serves(0)), "nothing more is sent to the old one");
    assert_eq!(sim.sidecars[0].machine.posture().epoch, Epoch(1));
    demote(&mut sim, "c", "b");
    assert!(sim.run_until(MS * 1000, serves_from("b")), "{}", reason(&sim));
    assert_eq!(standing(&sim).1, 2);
    let moved = sim.sidecars[0].machine.moved_by_others().unwrap_or_default();
    assert_eq!(moved, "the primary role was moved by others, from a to b");
    // The old one is made a mirror much later, or comes back as a primary: neither is news.
    sim.run_for(MS * 10_000);
    assert_eq!((standing(&sim).0.as_str(), standing(&sim).1, sim.serves(0)), ("b", 2, true));
    demote(&mut sim, "a", "b");
    sim.run_for(MS * 1000);
    assert_eq!((standing(&sim).1, sim.serves(0)), (2, true));
    assert_no_role_was_changed(&sim);
}

#[test]
fn a_mirror_that_was_only_taken_away_costs_a_wait_and_no_more() {
    let mut sim = followed();
    promote(&mut sim, "b");
    assert!(sim.run_until(MS * 600, |sim| !sim.serves(0)));
    sim.run_for(MS * 1000);
    assert!(reason(&sim).contains("b was promoted by others, and a is a primary too"), "{}", reason(&sim));
    assert!(sim.run_until(MS * 4000, serves_from("a")), "{}", reason(&sim));
    let epoch = standing(&sim).1;
    sim.run_for(MS * 10_000);
    assert_eq!((standing(&sim).1, sim.serves(0)), (epoch, true), "it is known by now");
    assert_eq!(sim.sidecars[0].machine.moved_by_others(), None);
    // Until the others go by it after all.
    demote(&mut sim, "c", "b");
    assert!(sim.run_until(MS * 2000, serves_from("b")), "{}", reason(&sim));
    assert_no_role_was_changed(&sim);
}

#[test]
fn of_two_primaries_of_which_nothing_tells_the_right_one_neither_is_served() {
    let mut sim = followed_among(&["a", "b"]);
    promote(&mut sim, "b");
    sim.run_for(MS * 10_000);
    assert!(!sim.serves(0));
    assert!(reason(&sim).contains("make one of them a mirror of the other"), "{}", reason(&sim));
    demote(&mut sim, "a", "b");
    assert!(sim.run_until(MS * 1000, serves_from("b")), "{}", reason(&sim));
    assert_no_role_was_changed(&sim);
}

#[test]
fn an_old_primary_that_goes_on_is_not_taken_up_again_when_a_mirror_was_promoted_meanwhile() {
    let mut sim = followed();
    sim.freeze("a");
    assert!(sim.run_until(MS * 4000, |sim| sim.sidecars[0].machine.phase() == "down"));
    promote(&mut sim, "b");
    demote(&mut sim, "c", "b");
    sim.thaw("a");
    let served = std::cell::Cell::new(false);
    assert!(sim.run_until(MS * 4000, |sim| {
        served.set(served.get() || serves_from("a")(sim));
        serves_from("b")(sim)
    }));
    assert!(!served.get(), "the old one was served again");
}

#[test]
fn a_crash_of_a_primary_that_a_sidecar_managed_once_is_followed_as_well() {
    let mut sim = serving();
    for id in ["a", "b", "c"] {
        sim.cluster.server(id).managed_by = Some("sentinel".to_owned());
    }
    sim.run_for(MS * 1000);
    // It has begun no epoch since it is not in charge.
    sim.crash(0);
    sim.start(0);
    assert!(sim.run_until(MS * 8000, serves_from("a")), "{}", reason(&sim));
    sim.run_for(MS * 4000);
    sim.kill("a");
    sim.run_for(MS * 1000);
    promote(&mut sim, "b");
    demote(&mut sim, "c", "b");
    assert!(sim.run_until(MS * 2000, serves_from("b")), "{}", reason(&sim));
}

#[test]
fn a_role_that_moved_to_a_server_which_is_not_configured_is_told() {
    let mut sim = Sim::new(1, &["a", "b", "c"]);
    let mut params = sim.params("one");
    params.endpoints.pop();
    params.follow = Some("others manage it".to_owned());
    sim.add(params);
    sim.cluster.server("c").stranger = true;
    sim.start(0);
    assert!(sim.run_until(MS * 4000, serves_from("a")), "{}", reason(&sim));
    let told = |sim: &Sim| reason(sim).contains("copies a server that is not configured");
    promote(&mut sim, "c");
    demote(&mut sim, "b", "c");
    sim.run_for(MS * 1000);
    assert!(sim.serves(0), "a mirror less is no news");
    sim.kill("a");
    assert!(sim.run_until(MS * 4000, |sim| !sim.serves(0) && told(sim)), "{}", reason(&sim));
    sim.restart("a");
    demote(&mut sim, "a", "c");
    sim.run_for(MS * 4000);
    assert!(!sim.serves(0) && told(&sim), "{}", reason(&sim));
    assert_no_role_was_changed(&sim);
}
