//! The static password file (S4): HTTP Basic, a line a user, `password,user,uid,"group1,group2"`.
//!
//! Kubernetes took `--basic-auth-file` out in 1.19; the document has it, so it is here, off unless it is configured.

use std::collections::HashMap;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::csv::Records;
use super::digest::{Digest, Hasher};
use super::file::{FileError, FileWarning};
use super::token_file::{groups, located};
use super::verdict::with_authenticated_group;
use crate::user::User;

/// How many users a file may have.
const USERS_LIMIT: usize = 100_000;

/// The users of a file, with keyed hashes of their passwords.
pub struct PasswordFile {
    hasher: &'static Hasher,
    users: HashMap<String, (Digest, Arc<User>)>,
    warnings: Vec<FileWarning>,
}

impl PasswordFile {
    /// Reads a file. `name` is how messages call it.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, FileError> {
        let hasher = Hasher::of_process().map_err(|error| FileError::whole(name, error.to_string()))?;
        let mut users = HashMap::new();
        let mut warnings = Vec::new();
        for record in Records::of(text).map_err(|fault| located(name, &fault))? {
            let record = record.map_err(|fault| located(name, &fault))?;
            let [password, user, uid, rest @ ..] = record.fields.as_slice() else {
                let fault = format!(
                    "password file must have at least 3 columns (password, user name, user uid), found {}",
                    record.fields.len()
                );
                return Err(FileError::at(name, record.line, 0, fault));
            };
            if password.is_empty() || user.is_empty() {
                let fault = "empty password or user name: the line is passed over";
                warnings.push(FileWarning(FileError::at(name, record.line, 0, fault)));
                continue;
            }
            if users.len() == USERS_LIMIT {
                let fault = format!("there are more than {USERS_LIMIT} users");
                return Err(FileError::at(name, record.line, 0, fault));
            }
            let identity = with_authenticated_group(User {
                name: user.to_string(),
                uid: uid.to_string(),
                groups: rest.first().into_iter().flat_map(|column| groups(column)).collect(),
                ..User::default()
            });
            let digest = hasher
                .digest(password.as_bytes())
                .ok_or_else(|| FileError::at(name, record.line, 0, "the password is too long"))?;
            let entry = (digest, identity);
            if users.insert(user.to_string(), entry).is_some() {
                let fault = "duplicate user: this line takes the place of the earlier one";
                warnings.push(FileWarning(FileError::at(name, record.line, 0, fault)));
            }
        }
        Ok(Self {
            hasher,
            users,
            warnings,
        })
    }

    /// The user, if the password is his. An unknown user takes as long as a wrong password.
    #[must_use]
    pub fn user(&self, name: &str, password: &str) -> Option<&Arc<User>> {
        let given = self.hasher.digest(password.as_bytes())?;
        let (expected, user) = self.users.get(name)?;
        verify_slices_are_equal(&given, expected).ok().map(|()| user)
    }

    /// What the file's author would want to know.
    #[must_use]
    pub fn warnings(&self) -> &[FileWarning] {
        &self.warnings
    }
}

/// User and password of an `Authorization: Basic` header; `None` if it is of another scheme or malformed, as
/// Go's `http.Request.BasicAuth` reads it.
pub(super) fn basic(header: &HeaderValue) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let (scheme, encoded) = header.as_bytes().split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((Zeroizing::new(user.to_owned()), Zeroizing::new(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_needs_his_own_password() {
        let file = PasswordFile::parse("p", b"pass,alice,1,\"a,b\"\nword,bob,2\n,eve,3\n").unwrap();
        for (name, password, expected) in [
            ("alice", "pass", Some("alice")),
            ("bob", "word", Some("bob")),
            ("alice", "word", None),
            ("alice", "", None),
            ("eve", "", None),
            ("mallory", "pass", None),
            ("", "", None),
        ] {
            let found = file.user(name, password).map(|user| user.name.as_str());
            assert_eq!(found, expected, "{name} {password}");
        }
        assert_eq!(
            file.user("alice", "pass").unwrap().groups,
            ["a", "b", "system:authenticated"]
        );
        assert_eq!(file.warnings().len(), 1);
    }

    #[test]
    fn basic_is_read_as_go_reads_it() {
        let read =
            |text: &str| basic(&HeaderValue::from_str(text).unwrap()).map(|(u, p)| (u.to_string(), p.to_string()));
        let both = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic YTpiOmM="), both("a", "b:c"));
        assert_eq!(read("bAsIc YTpi"), both("a", "b"));
        assert_eq!(read("Basic Og=="), both("", ""));
        for text in [
            "Basic",
            "Basic ",
            "Basic YQ==",
            "Bearer YTpi",
            "Basic  YTpi",
            "Basic ////",
            "BasicYTpi",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
