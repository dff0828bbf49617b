//! The embedded store's disk is full under the whole server. A test that wants a full disk gets one in a process of its
//! own, whose files have a limit; the limit is lifted while the process runs.

use std::process::Command;
use std::time::Duration;

use kubetrust_store::embedded::check;
use serde_json::{Value, json};

use crate::registry::world::{World, config_map, names, revision, until};
use crate::support::Engine;

/// Tells this test, in a process of its own, that its disk fills up.
const CHILD: &str = "KUBETRUST_FULL_DISK";
const TEST: &str = "faults::full_disk::writes_are_refused_cleanly_while_the_disk_is_full_and_taken_when_there_is_room";

/// Most bytes of a file: a store that was just made has less. The shell counts in blocks of 512.
const BLOCKS: usize = (12 << 20) / 512;

/// Objects until it is full, at most.
const OBJECTS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_refused_cleanly_while_the_disk_is_full_and_taken_when_there_is_room() {
    if std::env::var_os(CHILD).is_some() {
        Box::pin(fill_up()).await;
        return;
    }
    // Without the trap, the first write past the limit would end the process.
    let output = Command::new("sh")
        .args([
            "-c",
            &format!("trap '' XFSZ; ulimit -S -f {BLOCKS}; exec \"$0\" --exact {TEST} --nocapture"),
        ])
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// A config map that fills some of the disk.
fn big(name: &str) -> Value {
    let mut map = config_map(name);
    map["data"] = json!({"key": "x".repeat(900 << 10)});
    map
}

async fn fill_up() {
    let world = World::alone(Engine::Embedded).await;
    let maps = format!("{}/configmaps", world.namespace("full").await);
    let begin = revision(&world.read(&maps).await);
    let mut watch = world.watch(&format!("{maps}?watch=1&resourceVersion={begin}")).await;
    let mut taken = vec!["kube-root-ca.crt".to_owned()];
    let refused = loop {
        assert!(taken.len() < OBJECTS, "it never was full");
        let name = format!("map-{:03}", taken.len());
        let reply = world.admin.post(&maps, &big(&name)).await;
        if reply.code != 201 {
            break reply;
        }
        taken.push(name);
    };
    assert!(taken.len() > 2, "it was full from the beginning");
    // A Status that says to try again, for the first who comes upon it and for those after.
    let mut refusals = vec![refused];
    for number in 0..20 {
        refusals.push(world.admin.post(&maps, &big(&format!("late-{number}"))).await);
        // Whoever reads is served all the time.
        assert_eq!(names(&world.read(&maps).await).len(), taken.len());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for refusal in &refusals {
        let status = refusal.json();
        assert!(matches!(refusal.code, 503 | 504), "{status}");
        assert_eq!(
            (&status["kind"], &status["status"]),
            (&json!("Status"), &json!("Failure")),
            "{status}"
        );
        assert_eq!(status["code"], json!(refusal.code), "{status}");
        assert_eq!(status["details"]["retryAfterSeconds"], json!(1), "{status}");
    }

    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &std::process::id().to_string()])
        .status();
    assert!(lifted.unwrap().success());
    until("there is room again", async || {
        world.admin.post(&maps, &big("zz-after")).await.code == 201
    })
    .await;
    taken.push("zz-after".to_owned());
    assert_eq!(names(&world.read(&maps).await), taken);
    let added: Vec<String> = taken[1..].iter().map(|name| format!("ADDED {name}")).collect();
    assert_eq!(watch.names(added.len()).await, added);

    let World {
        options,
        running,
        cluster,
        ..
    } = world;
    running.stop().await;
    let kubetrust_server::options::StoreOptions::Embedded(folder) = &options.store else {
        unreachable!("it was asked for");
    };
    let report = check(folder, |_| {}).unwrap();
    assert!(report.is_good(), "{:?}", report.faults);
    drop(cluster);
}
