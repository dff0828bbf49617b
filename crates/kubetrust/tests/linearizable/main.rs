//! Clients, servers that are killed under them, and whether what the clients saw is what one server could have done that
//! never fails: linearizable, object by object, and in the order of the versions over all of them.
//!
//! A run prints its seed, which decides what clients ask; `KUBETRUST_SEED` gives it to another run. Nothing is asserted
//! of time: what breaks servers waits until clients have had so many answers more.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it did"
)]

mod answer;
mod checker;
#[path = "../../../kubetrust-server/tests/suite/support/client.rs"]
#[allow(dead_code, reason = "each test takes its part of it")]
mod client;
mod events;
mod history;
mod judge;
mod load;
mod model;
mod random;
mod run;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod under_load;
mod versions;
mod watcher;

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use kubetrust_testkit::etcd;

use random::Random;
use servers::Hosts;
use under_load::UnderLoad;
use watcher::Habit;

/// The hosts with a member of etcd.
const MEMBERS: [&str; 3] = ["m1", "m2", "m3"];

/// Answers of each server that runs, between one fault and the next.
const ANSWERS: usize = 200;

/// Answers while something is stopped: so few that not every client waits for it by then.
const STOPPED: usize = 30;

/// Kills of the server that has a store of its own.
const KILLS: usize = 10;

/// Answers between them, at most.
const BETWEEN_KILLS: usize = 400;

#[test]
fn two_servers_on_three_members_are_linearizable_while_members_and_servers_are_killed() {
    let random = seeded();
    let hosts = Hosts::issue(3);
    let members = MEMBERS.map(|host| hosts.files.etcd_member(host));
    let mut etcd = etcd::Cluster::start(members.into(), hosts.files.etcd_client("m1"));
    let mut servers = [hosts.on_etcd(1), hosts.on_etcd(2)];
    let habits = [Habit::at(0), Habit::at(1), Habit::RESTLESS];
    let under_load = UnderLoad::begin(hosts.access(2), &random, &habits);

    under_load.wait_for(&[0, 1], ANSWERS, &servers);
    // Each server asks a member of its own. What a member is asked while it is stopped it answers when it goes on, and
    // has not heard of what the others did meanwhile.
    for member in 0..MEMBERS.len() {
        etcd.member(member).signal("STOP");
        under_load.wait_for_any(STOPPED, &servers);
        etcd.member(member).signal("CONT");
        under_load.wait_for(&[0, 1], ANSWERS, &servers);
    }
    // First the leader, then whoever the servers have gone to.
    let leader = etcd.leader();
    for member in (0..MEMBERS.len()).map(|step| (leader + step) % MEMBERS.len()) {
        etcd.kill(member);
        under_load.wait_for(&[0, 1], ANSWERS, &servers);
        etcd.replace(member);
        under_load.wait_for(&[0, 1], ANSWERS, &servers);
    }
    for number in 0..servers.len() {
        servers[number].signal("STOP");
        under_load.wait_for_any(STOPPED, &servers);
        servers[number].signal("CONT");
        under_load.wait_for(&[0, 1], ANSWERS, &servers);
        servers[number].kill();
        under_load.wait_for(&[1 - number], ANSWERS, &servers);
        servers[number].start_again();
        under_load.wait_for(&[0, 1], ANSWERS, &servers);
    }
    under_load.end(&servers);
}

#[test]
fn a_server_on_its_own_store_is_linearizable_while_it_is_killed_again_and_again() {
    let mut random = seeded();
    let hosts = Hosts::issue(1);
    let mut servers = [hosts.on_its_own(1)];
    let habits = [Habit::at(0), Habit::RESTLESS];
    let under_load = UnderLoad::begin(hosts.access(1), &random, &habits);

    for kill in 0..KILLS {
        under_load.wait_for(&[0], random.below(BETWEEN_KILLS), &servers);
        // Every watch is taken up again.
        under_load.wait_for_watches(kill + 1, &servers);
        servers[0].kill();
        servers[0].start_again();
    }
    under_load.wait_for(&[0], ANSWERS, &servers);
    under_load.end(&servers);
}

/// Numbers that another run can have too.
fn seeded() -> Random {
    let seed = match env::var("KUBETRUST_SEED") {
        Ok(text) => text.parse().expect("KUBETRUST_SEED is a number"),
        Err(_) => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .subsec_nanos()
            .into(),
    };
    eprintln!("KUBETRUST_SEED={seed}");
    Random::new(seed)
}
