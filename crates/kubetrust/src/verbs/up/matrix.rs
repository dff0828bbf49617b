//! The matrix: what the server says over real connections, beside what it must say.

use std::fmt::Write as _;
use std::future::Future;
use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use kubetrust_api::status::Status;
use kubetrust_auth::authz::{Attributes, Authorizer, forbidden, message};
use kubetrust_auth::user::User;
use kubetrust_pki::issue;
use kubetrust_pki::key::PrivateKey;
use kubetrust_pki::profile::{Kind, Profile, Subject, Usages};
use kubetrust_pki::spec::{KeyAlgorithm, SubjectExtras};
use kubetrust_server::start::Running;
use serde_json::{Value, json};

use super::accounts::Account;
use super::identities::{self, Identity, Place};
use super::probes::{self, Probe};
use super::refused::{self, Fate, Refused};
use crate::cli::Format;
use crate::client::{Answer, ClientError, Connection, Credential, Endpoint};
use crate::exit::Failure;
use crate::ui::Ui;
use crate::verbs::whom;

/// Connections at once.
const AT_ONCE: usize = 8;
/// Stands behind a code that admission gave, not an authorizer.
const BY_ADMISSION: &str = "a";
/// Stands behind what is not as it must be.
const WRONG: &str = "!";

/// What is to be known to read the table.
const NOTES: &str = "  Groups stand below the user; all but system:anonymous are in system:authenticated too.
  403 is an authorizer's no, 403a admission's. 404 is no refusal: there is no such object.
";

/// What was asked, and what was answered.
pub struct Matrix {
    probes: Vec<Probe>,
    identities: Vec<Row>,
    refused: Vec<Tried>,
    untried: Vec<String>,
    wrong: Vec<String>,
    milliseconds: u128,
}

/// An identity's answers.
struct Row {
    name: String,
    taken: Taken,
    cells: Vec<Cell>,
}

/// Whom the server takes somebody for.
struct Taken {
    /// The answer, as `401 Unauthorized`.
    answer: String,
    user: Option<User>,
    wrong: Option<String>,
}

/// The answer to a probe.
struct Cell {
    /// 0 where there was no answer.
    code: u16,
    allowed: bool,
    /// An authorizer allowed it, and admission did not.
    by_admission: bool,
    wrong: Option<String>,
}

/// A credential that is to be refused.
struct Tried {
    what: String,
    taken: Taken,
}

/// Asks everything.
pub async fn take(place: &Place, running: &Running) -> Result<Matrix, Failure> {
    let begun = Instant::now();
    let now = Timestamp::now();
    let endpoint = place.endpoint(running)?;
    let mut everyone = place.everyone(running)?;
    let account = account(&mut everyone).await;
    if let Some(account) = &account {
        everyone.identities.push(identities::of_account(account, &endpoint)?);
    }
    everyone.identities.push(identities::anonymous(&endpoint));

    let mut refused = everyone.strangers;
    let mixtures = refused::mixtures(&everyone.identities, &refused);
    for (forged, unmade) in [
        refused::certificates(place, now),
        refused::tokens(place, account.as_ref(), now),
    ] {
        refused.extend(forged);
        everyone.untried.extend(unmade);
    }
    refused.extend(mixtures);

    let probes = probes::probes(place.host.name.as_str(), &request(place)?);
    let authorizer = &*running.authorizer;
    let rows = everyone
        .identities
        .iter()
        .map(|identity| row(identity, &probes, authorizer));
    let rows: Vec<Row> = in_order(rows).await;
    let tried = refused.into_iter().map(|refused| tried(refused, &endpoint, authorizer));
    let tried: Vec<Tried> = in_order(tried).await;
    let mut matrix = Matrix {
        wrong: Vec::new(),
        probes,
        identities: rows,
        refused: tried,
        untried: everyone.untried,
        milliseconds: begun.elapsed().as_millis(),
    };
    matrix.wrong = matrix.find_wrong();
    Ok(matrix)
}

async fn in_order<F: Future>(questions: impl Iterator<Item = F>) -> Vec<F::Output> {
    stream::iter(questions).buffered(AT_ONCE).collect().await
}

/// The service account's tokens, asked for by the admin.
async fn account(everyone: &mut identities::Everyone) -> Option<Account> {
    let admin = everyone
        .identities
        .iter()
        .find(|identity| identity.name == "admin.conf");
    let asked = match admin {
        Some(admin) => Account::ask(admin).await.map_err(|error| error.to_string()),
        None => Err("there is no admin to ask for them".to_owned()),
    };
    match asked {
        Ok(account) => Some(account),
        Err(why) => {
            everyone.untried.push(format!("service-account tokens: {why}"));
            None
        }
    }
}

/// A request for the certificate of the host's kubelet, in PEM.
fn request(place: &Place) -> Result<String, Failure> {
    let profile = Profile {
        subject: Subject {
            common_name: kubetrust_pki::catalog::node_user(&place.host),
            organizations: vec![kubetrust_auth::user::NODES.to_owned()],
            extras: SubjectExtras::default(),
        },
        sans: std::collections::BTreeSet::new(),
        kind: Kind::Leaf(Usages::Client),
        lifetime: place.cluster.validity.client,
    };
    let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).map_err(|error| Failure::Usage(error.to_string()))?;
    issue::request(&profile, &key).map_err(|error| Failure::Usage(error.to_string()))
}

/// All that one identity asks, on one connection.
async fn row(identity: &Identity, probes: &[Probe], authorizer: &Authorizer) -> Row {
    let mut connection = match Connection::open(&identity.endpoint, &identity.credential).await {
        Ok(connection) => connection,
        Err(error) => return Row::unreachable(identity, probes, &error),
    };
    let who = probes::who_am_i();
    let answer = ask(&mut connection, &who).await;
    let taken = Taken::judge(answer, &identity.user, &who.attributes, authorizer);
    let mut cells = Vec::with_capacity(probes.len());
    for probe in probes {
        let answer = ask(&mut connection, probe).await;
        cells.push(Cell::judge(answer, &identity.user, &probe.attributes, authorizer));
    }
    Row {
        name: identity.name.clone(),
        taken,
        cells,
    }
}

async fn ask(connection: &mut Connection, probe: &Probe) -> Result<Answer, ClientError> {
    connection
        .send(probe.method.clone(), &probe.path, probe.body.as_ref())
        .await
}

async fn tried(refused: Refused, endpoint: &Endpoint, authorizer: &Authorizer) -> Tried {
    let Refused {
        what,
        endpoint: own,
        credential,
        fate,
    } = refused;
    let who = probes::who_am_i();
    let answer = once(own.as_ref().unwrap_or(endpoint), &credential, &who).await;
    let taken = match fate {
        Fate::Counts(user) => Taken::judge(answer, &user, &who.attributes, authorizer),
        Fate::Unauthorized => Taken::refused(answer, &Status::unauthorized()),
        Fate::Forbidden(user, attributes) => {
            let decision = authorizer.authorize(&user, &attributes);
            let mut taken = Taken::refused(answer, &forbidden(&user, &attributes, decision.reason()));
            if decision.is_allowed() {
                taken.wrong = Some(format!("{} may impersonate", user.name));
            }
            taken
        }
    };
    Tried { what, taken }
}

async fn once(endpoint: &Endpoint, credential: &Credential, probe: &Probe) -> Result<Answer, ClientError> {
    ask(&mut Connection::open(endpoint, credential).await?, probe).await
}

impl Row {
    fn unreachable(identity: &Identity, probes: &[Probe], error: &ClientError) -> Self {
        let cell = |_: &Probe| Cell {
            code: 0,
            allowed: false,
            by_admission: false,
            // It is said once, of the connection.
            wrong: None,
        };
        Self {
            name: identity.name.clone(),
            taken: Taken::no_answer(error),
            cells: probes.iter().map(cell).collect(),
        }
    }
}

impl Taken {
    fn no_answer(error: &ClientError) -> Self {
        Self {
            answer: "no answer".to_owned(),
            user: None,
            wrong: Some(error.to_string()),
        }
    }

    /// Whether the server takes somebody for who they are. Who may not ask is told no by their name.
    fn judge(answer: Result<Answer, ClientError>, user: &User, asked: &Attributes, authorizer: &Authorizer) -> Self {
        let decision = authorizer.authorize(user, asked);
        if !decision.is_allowed() {
            return Self::refused(answer, &forbidden(user, asked, decision.reason()));
        }
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::no_answer(&error),
        };
        let body = answer.json();
        let info = &body["status"]["userInfo"];
        let found = (answer.is_success() && info.is_object()).then(|| whom::from_info(info));
        let found = found.or_else(|| named_in(&body));
        let wrong = (found.as_ref() != Some(user)).then(|| format!("it must be taken for {}", described(user)));
        Self {
            answer: answered(&answer, &body),
            user: found,
            wrong,
        }
    }

    /// Whether the server refuses with this status.
    fn refused(answer: Result<Answer, ClientError>, must: &Status) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::no_answer(&error),
        };
        let body = answer.json();
        let info = &body["status"]["userInfo"];
        let user = if info.is_object() {
            Some(whom::from_info(info))
        } else {
            named_in(&body)
        };
        let is = answer.code == must.code && body["reason"] == must.reason && body["message"] == must.message.as_str();
        Self {
            answer: answered(&answer, &body),
            user,
            wrong: (!is).then(|| format!("it must be answered {} {}: {}", must.code, must.reason, must.message)),
        }
    }
}

impl Cell {
    fn judge(answer: Result<Answer, ClientError>, user: &User, asked: &Attributes, authorizer: &Authorizer) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                return Self {
                    code: 0,
                    allowed: false,
                    by_admission: false,
                    wrong: Some(error.to_string()),
                };
            }
        };
        let body = answer.json();
        let decision = authorizer.authorize(user, asked);
        let refusal = forbidden(user, asked, decision.reason());
        let said = body["message"].as_str().unwrap_or_default();
        let by_authorizer = answer.code == 403 && said.contains(&message(user, asked));
        let wrong = if decision.is_allowed() {
            // Whether it is there, and admission's opinion, are no matter of who may.
            let reached = answer.code != 401 && answer.code < 500 && !by_authorizer;
            (!reached).then(|| format!("it is allowed, and the answer is {} {said}", answer.code))
        } else {
            let refused = answer.code == refusal.code && said == refusal.message;
            (!refused).then(|| format!("it is forbidden, and the answer is {} {said}", answer.code))
        };
        Self {
            code: answer.code,
            allowed: answer.code != 401 && !by_authorizer,
            by_admission: answer.code == 403 && !by_authorizer,
            wrong,
        }
    }

    fn text(&self) -> String {
        let code = if self.code == 0 {
            "-".to_owned()
        } else {
            self.code.to_string()
        };
        let wrong = if self.wrong.is_some() { WRONG } else { "" };
        let admission = if self.by_admission { BY_ADMISSION } else { "" };
        format!("{code}{admission}{wrong}")
    }
}

/// `401 Unauthorized`; the reason of the Status, where it is one.
fn answered(answer: &Answer, body: &Value) -> String {
    let reason = body["reason"].as_str();
    let known = http::StatusCode::from_u16(answer.code)
        .ok()
        .and_then(|code| code.canonical_reason());
    format!("{} {}", answer.code, reason.or(known).unwrap_or_default())
}

/// Whom a refusal names: `User "x" cannot …`.
fn named_in(body: &Value) -> Option<User> {
    let (_, rest) = body["message"].as_str()?.split_once("User \"")?;
    let (name, _) = rest.split_once("\" cannot ")?;
    Some(User {
        name: name.to_owned(),
        ..User::default()
    })
}

fn described(user: &User) -> String {
    if user.groups.is_empty() {
        user.name.clone()
    } else {
        format!("{} in {}", user.name, user.groups.join(", "))
    }
}

impl Matrix {
    /// Whether every cell is as it must be.
    pub fn is_right(&self) -> bool {
        self.wrong.is_empty()
    }

    fn find_wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for row in &self.identities {
            wrong.extend(row.taken.wrong.iter().map(|why| format!("{}: {why}", row.name)));
            for (cell, probe) in row.cells.iter().zip(&self.probes) {
                wrong.extend(
                    cell.wrong
                        .iter()
                        .map(|why| format!("{}, {} {}: {why}", row.name, probe.letter, probe.what)),
                );
            }
        }
        for tried in &self.refused {
            wrong.extend(tried.taken.wrong.iter().map(|why| format!("{}: {why}", tried.what)));
        }
        wrong
    }

    /// Prints it.
    pub fn print(&self, format: Format, ui: &Ui) -> Result<(), Failure> {
        if format == Format::Json {
            ui.print_json(&self.to_json())?;
        } else {
            self.print_identities(ui)?;
            self.print_refused(ui)?;
            self.print_rest(ui)?;
        }
        ui.say(&format!("The matrix took {} ms.", self.milliseconds));
        Ok(())
    }

    fn print_identities(&self, ui: &Ui) -> Result<(), Failure> {
        let letters = self.probes.iter().map(|probe| probe.letter.clone());
        let header = ["IDENTITY", "TAKEN FOR"].map(str::to_owned).into_iter().chain(letters);
        let rows = self.identities.iter().map(|row| {
            let cells = row.cells.iter().map(Cell::text);
            [row.name.clone(), row.taken.text()].into_iter().chain(cells).collect()
        });
        ui.print_grid(header.collect(), rows.collect(), 2)?;
        let width = self
            .probes
            .iter()
            .map(|probe| probe.what.len())
            .max()
            .unwrap_or_default();
        let legend: Vec<String> = self
            .probes
            .iter()
            .map(|probe| format!("{} {:width$}", probe.letter, probe.what))
            .collect();
        let mut text = String::from("\n");
        for pair in legend.chunks(2) {
            let _ = writeln!(text, "  {}", pair.join("  ").trim_end());
        }
        text.push_str(NOTES);
        ui.print(&text)
    }

    fn print_refused(&self, ui: &Ui) -> Result<(), Failure> {
        let rows = self.refused.iter().map(|tried| {
            let mark = if tried.taken.wrong.is_some() { WRONG } else { "" };
            let user = tried.taken.user.as_ref().map_or("nobody", |user| user.name.as_str());
            [
                tried.what.clone(),
                format!("{}{mark}", tried.taken.answer),
                user.to_owned(),
            ]
        });
        ui.print("")?;
        ui.print_table(["MUST NOT BE BELIEVED", "ANSWER", "TAKEN FOR"], rows.collect())
    }

    fn print_rest(&self, ui: &Ui) -> Result<(), Failure> {
        let mut text = String::from("\n");
        for (title, lines) in [("Not tried", &self.untried), ("Wrong", &self.wrong)] {
            for line in lines {
                let _ = writeln!(text, "{title}: {line}");
            }
        }
        let all = self.identities.len() * (self.probes.len() + 1) + self.refused.len();
        let _ = match self.wrong.len() {
            0 => writeln!(text, "All {all} answers are as they must be."),
            wrong => writeln!(text, "{wrong} of {all} answers are not as they must be."),
        };
        ui.print(&text)
    }

    fn to_json(&self) -> Value {
        let taken = |taken: &Taken| {
            json!({
                "answer": taken.answer,
                "user": taken.user.as_ref().map(whom::to_info),
                "wrong": taken.wrong,
            })
        };
        let identity = |row: &Row| {
            let cells = self.probes.iter().zip(&row.cells).map(|(probe, cell)| {
                json!({
                    "probe": probe.what,
                    "code": cell.code,
                    "allowed": cell.allowed,
                    "wrong": cell.wrong,
                })
            });
            json!({"identity": row.name, "takenFor": taken(&row.taken), "probes": cells.collect::<Vec<_>>()})
        };
        json!({
            "identities": self.identities.iter().map(identity).collect::<Vec<_>>(),
            "refused": self
                .refused
                .iter()
                .map(|tried| json!({"credential": tried.what, "takenFor": taken(&tried.taken)}))
                .collect::<Vec<_>>(),
            "notTried": self.untried,
            "wrong": self.wrong,
        })
    }
}

impl Taken {
    /// The user, and below it the groups.
    fn text(&self) -> String {
        let mark = if self.wrong.is_some() { WRONG } else { "" };
        let Some(user) = &self.user else {
            return format!("{}{mark}", self.answer);
        };
        let groups = user
            .groups
            .iter()
            .filter(|group| *group != kubetrust_auth::user::AUTHENTICATED);
        let first = format!("{}{mark}", user.name);
        groups.fold(first, |text, group| text + "\n  in " + group)
    }
}
