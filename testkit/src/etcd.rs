//! A real etcd cluster over mutual TLS, started with the very flags or variables that kubetrust writes for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Output, Process, peers, run, run_within};

/// How long a cluster may take until every member is healthy.
const START: Duration = Duration::from_secs(30);

/// How long one call of etcdctl may take, retries of its own included.
const CALL: Duration = Duration::from_secs(15);

const DATA_DIR_VARIABLE: &str = "ETCD_DATA_DIR";

/// What one member is started with.
#[derive(Clone, Debug, Default)]
pub struct Member {
    /// Its name, for messages.
    pub name: String,
    /// Every flag, as etcd takes it.
    pub arguments: Vec<String>,
    /// The `ETCD_…` variables, for a member that is configured by its environment.
    pub environment: Vec<(String, String)>,
    /// Where it keeps its data, whatever a flag or a variable says.
    pub data_dir: PathBuf,
    /// Whether a write waits for the disk, as in production. A test asks for safety of credentials, not of data, and has
    /// no disk to wait for (`--unsafe-no-fsync`); what measures etcd has.
    pub fsync: bool,
}

/// How a client reaches a cluster, and as whom.
#[derive(Clone, Debug, Default)]
pub struct Client {
    /// The client URLs of the members.
    pub endpoints: Vec<String>,
    /// The authority that signed the members' serving certificates.
    pub cacert: Option<PathBuf>,
    /// The client's certificate; none to try without.
    pub cert: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

impl Client {
    /// Calls etcdctl. A refusal is an [`Output`] too: assert with `.success()` or `.failure()`.
    #[track_caller]
    pub fn etcdctl(&self, arguments: &[&str]) -> Output {
        run_within(CALL, self.command("5s").args(arguments))
    }

    /// etcdctl tries again until its patience ends, whatever the reason.
    fn command(&self, patience: &str) -> Command {
        let mut command = peers::etcdctl();
        command.arg(format!("--endpoints={}", self.endpoints.join(",")));
        for (flag, file) in [("cacert", &self.cacert), ("cert", &self.cert), ("key", &self.key)] {
            if let Some(file) = file {
                command.arg(format!("--{flag}={}", file.display()));
            }
        }
        command
            .arg("--dial-timeout=2s")
            .arg(format!("--command-timeout={patience}"));
        command
    }
}

/// A running cluster. Dropping it ends every member.
#[derive(Debug)]
pub struct Cluster {
    members: Vec<(Member, Process)>,
    client: Client,
}

impl Cluster {
    /// Starts every member, and waits until `client` finds each of them healthy.
    ///
    /// Panics, with the members' logs, when that does not happen.
    #[track_caller]
    #[must_use]
    pub fn start(members: Vec<Member>, client: Client) -> Self {
        let start = |member: Member| {
            let process = spawn(&member);
            (member, process)
        };
        let mut cluster = Self {
            members: members.into_iter().map(start).collect(),
            client,
        };
        cluster.wait_healthy();
        cluster
    }

    /// The client that the cluster was started with.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Speaks to the cluster as somebody else from now on: after a rotation, with the new credentials.
    pub fn set_client(&mut self, client: Client) {
        self.client = client;
    }

    /// Calls etcdctl as the cluster's own client.
    #[track_caller]
    pub fn etcdctl(&self, arguments: &[&str]) -> Output {
        self.client.etcdctl(arguments)
    }

    /// Asserts that no member serves this client, and returns why, as a member's log has it
    /// (`tls: client didn't provide a certificate`): a mere time-out is no refusal.
    #[track_caller]
    pub fn refusal(&self, client: &Client) -> String {
        let before: Vec<usize> = self.rejections().iter().map(Vec::len).collect();
        let mut answer = None;
        // etcdctl does not give up on a refusal, so that patience is time lost; a slow machine gets more of it.
        for patience in ["300ms", "5s"] {
            answer = Some(run_within(CALL, client.command(patience).args(["get", "any"])).failure());
            let mut new = self.rejections().into_iter().zip(&before);
            if let Some(reason) = new.find_map(|(member, before)| member.into_iter().nth(*before)) {
                return reason;
            }
        }
        panic!(
            "failed, but no member turned the client away: {}\n{}",
            answer.expect("an answer"),
            self.tails()
        )
    }

    /// Why each member turned connections away so far.
    fn rejections(&self) -> Vec<Vec<String>> {
        let reason = |line: &str| {
            let entry: Value = serde_json::from_str(line).ok()?;
            (entry["msg"] == "rejected connection").then(|| entry["error"].as_str().unwrap_or_default().to_owned())
        };
        let logs = self.members.iter().map(|(_, process)| process.log());
        logs.map(|log| log.lines().filter_map(reason).collect()).collect()
    }

    /// The process of one member, in the order given at the start.
    pub fn member(&mut self, index: usize) -> &mut Process {
        &mut self.members[index].1
    }

    /// Ends every member, and removes this folder, when this process is gone: for a cluster in a `static`.
    #[track_caller]
    pub fn end_with_this_process(&mut self, folder: &Path) {
        for (_, process) in &mut self.members {
            process.end_with_this_process(folder);
        }
    }

    /// Stops one member and starts it again with the same flags, as after a change of its files. The others go on.
    #[track_caller]
    pub fn restart(&mut self, index: usize) {
        self.end(index);
        self.start_again(index);
    }

    /// Stops one member, which closes what it has.
    #[track_caller]
    pub fn end(&mut self, index: usize) {
        let process = self.member(index);
        process.signal("TERM");
        process.wait_exit(CALL);
    }

    /// Starts a member that has ended, with the same flags and what it had.
    #[track_caller]
    pub fn start_again(&mut self, index: usize) {
        let (member, process) = &mut self.members[index];
        *process = spawn(member);
        self.wait_healthy();
    }

    /// Which member leads, in the order given at the start. All have to run.
    #[track_caller]
    #[must_use]
    pub fn leader(&self) -> usize {
        let status = json(&self.etcdctl(&["endpoint", "status", "-w", "json"]));
        let of = |endpoint: &String| {
            let mut members = status.as_array().into_iter().flatten();
            members.find(|member| member["Endpoint"] == **endpoint)
        };
        let leads = |endpoint: &String| {
            let status = &of(endpoint).expect("the status of each endpoint")["Status"];
            status["leader"] == status["header"]["member_id"]
        };
        let leader = self.client.endpoints.iter().position(leads);
        leader.unwrap_or_else(|| panic!("nobody leads: {status}"))
    }

    /// Ends one member at once, as a crash would. The others go on.
    pub fn kill(&mut self, index: usize) {
        self.members[index].1.kill();
    }

    /// Puts a new member, with no data, in the place of one that has ended, and waits until all are healthy.
    ///
    /// A member that was killed does not come back with what it has: etcd 3.5.0 to 3.5.2 can lose the entry that it was
    /// applying, and serves other revisions than the other members from then on (etcd-io/etcd#13766).
    #[track_caller]
    pub fn replace(&mut self, index: usize) {
        let name = self.members[index].0.name.clone();
        let list = json(&self.etcdctl(&["member", "list", "-w", "json"]));
        let mut listed = list["members"].as_array().into_iter().flatten();
        let member = listed
            .find(|member| member["name"] == name)
            .expect("the member is listed");
        let id = format!("{:x}", member["ID"].as_u64().expect("a number of a member"));
        let peers = member["peerURLs"][0]
            .as_str()
            .expect("where a member listens")
            .to_owned();
        self.retry(&["member", "remove", &id]);
        self.retry(&["member", "add", &name, &format!("--peer-urls={peers}")]);
        let (member, process) = &mut self.members[index];
        fs::remove_dir_all(&member.data_dir).expect("remove the data of a member");
        member.arguments.push("--initial-cluster-state=existing".to_owned());
        *process = spawn(member);
        self.wait_healthy();
    }

    /// Changes of members are refused until the others have been together for a while.
    #[track_caller]
    fn retry(&self, arguments: &[&str]) {
        let deadline = Instant::now() + START;
        loop {
            let output = self.etcdctl(arguments);
            if output.succeeded() {
                return;
            }
            assert!(Instant::now() < deadline, "{output}\n{}", self.tails());
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until every endpoint answers as healthy.
    #[track_caller]
    pub fn wait_healthy(&mut self) {
        let deadline = Instant::now() + START;
        loop {
            let health = run(self.client.command("5s").args(["endpoint", "health"]));
            if health.succeeded() {
                return;
            }
            let dead = self.members.iter_mut().position(|(_, process)| !process.is_running());
            if let Some(index) = dead {
                panic!(
                    "etcd member `{}` ended: {}",
                    self.members[index].0.name,
                    self.members[index].1.tail()
                );
            }
            assert!(
                Instant::now() < deadline,
                "etcd is not healthy: {health}\n{}",
                self.tails()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The last lines of every member's log.
    #[must_use]
    pub fn tails(&self) -> String {
        let tail = |(member, process): &(Member, Process)| format!("== member `{}`: {}\n", member.name, process.tail());
        self.members.iter().map(tail).collect()
    }
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[track_caller]
fn spawn(member: &Member) -> Process {
    let mut etcd = peers::etcd();
    etcd.args(&member.arguments).envs(member.environment.iter().cloned());
    // The last flag counts; but a flag beside its own variable is an error.
    if member.environment.iter().any(|(name, _)| name == DATA_DIR_VARIABLE) {
        etcd.env(DATA_DIR_VARIABLE, &member.data_dir);
    } else {
        etcd.arg(format!("--data-dir={}", member.data_dir.display()));
    }
    // etcd 3.4 has no such flag.
    if !member.fsync && peers::another_etcd().is_none() {
        etcd.arg("--unsafe-no-fsync");
    }
    Process::spawn(&mut etcd)
}
