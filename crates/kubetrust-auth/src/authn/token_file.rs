//! `--token-auth-file` (S12): a line a token, `token,user,uid,"group1,group2"`.

use std::collections::HashMap;
use std::sync::Arc;

use super::csv::{Fault, Records};
use super::digest::{Digest, Hasher};
use super::file::{FileError, FileWarning};
use super::token::Token;
use super::verdict::with_authenticated_group;
use crate::user::User;

/// How many tokens a file may have.
const TOKENS_LIMIT: usize = 100_000;

/// The tokens of a file. It holds no token, only keyed hashes, so that looking one up takes no time that tells
/// anything about the others.
pub struct TokenFile {
    hasher: &'static Hasher,
    users: HashMap<Digest, Arc<User>>,
    warnings: Vec<FileWarning>,
}

impl TokenFile {
    /// Reads a file. `name` is how messages call it.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, FileError> {
        let hasher = Hasher::of_process().map_err(|error| FileError::whole(name, error.to_string()))?;
        let mut file = Self {
            hasher,
            users: HashMap::new(),
            warnings: Vec::new(),
        };
        for record in Records::of(text).map_err(|fault| located(name, &fault))? {
            let record = record.map_err(|fault| located(name, &fault))?;
            let [token, user, uid, rest @ ..] = record.fields.as_slice() else {
                let fault = format!(
                    "token file must have at least 3 columns (token, user name, user uid), found {}",
                    record.fields.len()
                );
                return Err(FileError::at(name, record.line, 0, fault));
            };
            let mut warn = |what: &str| {
                file.warnings
                    .push(FileWarning(FileError::at(name, record.line, 0, what)));
            };
            if token.is_empty() {
                warn("empty token: the line is passed over");
                continue;
            }
            if file.users.len() == TOKENS_LIMIT {
                let fault = format!("there are more than {TOKENS_LIMIT} tokens");
                return Err(FileError::at(name, record.line, 0, fault));
            }
            let user = with_authenticated_group(User {
                name: user.to_string(),
                uid: uid.to_string(),
                // Upstream makes one empty group of an empty column; it names nobody.
                groups: rest.first().into_iter().flat_map(|column| groups(column)).collect(),
                ..User::default()
            });
            let digest = file
                .hasher
                .digest(token.as_bytes())
                .ok_or_else(|| FileError::at(name, record.line, 0, "the token is too long"))?;
            if file.users.insert(digest, user).is_some() {
                warn("duplicate token: this line takes the place of the earlier one");
            }
        }
        Ok(file)
    }

    /// Whose token it is.
    #[must_use]
    pub fn user(&self, token: &str) -> Option<&Arc<User>> {
        self.find(&Token::new(token))
    }

    pub(super) fn find(&self, token: &Token<'_>) -> Option<&Arc<User>> {
        self.users.get(&token.digest(self.hasher)?)
    }

    /// How many tokens there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// What the file's author would want to know.
    #[must_use]
    pub fn warnings(&self) -> &[FileWarning] {
        &self.warnings
    }
}

/// The groups of a column, split at commas.
pub(super) fn groups(column: &str) -> impl Iterator<Item = String> {
    column.split(',').filter(|group| !group.is_empty()).map(str::to_owned)
}

pub(super) fn located(name: &str, fault: &Fault) -> FileError {
    FileError::at(name, fault.line, fault.column, fault.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "s3cret,alice,1,\"dev,ops\"\n\n\"with,comma\",bob,2\n,nobody,3\ns3cret,carol,4,dev,rest\n";

    #[test]
    fn a_line_is_a_user_and_the_last_of_two_wins() {
        let file = TokenFile::parse("token.csv", FILE.as_bytes()).unwrap();
        let carol = file.user("s3cret").unwrap();
        assert_eq!((carol.name.as_str(), carol.uid.as_str()), ("carol", "4"));
        assert_eq!(carol.groups, ["dev", "system:authenticated"]);
        let bob = file.user("with,comma").unwrap();
        assert_eq!(
            (bob.name.as_str(), bob.groups.as_slice()),
            ("bob", ["system:authenticated".to_owned()].as_slice())
        );
        assert_eq!(file.len(), 2);
        let warnings: Vec<_> = file.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("token.csv:4: empty token"), "{warnings:?}");
        assert!(warnings[1].starts_with("token.csv:5: duplicate token"), "{warnings:?}");
        assert!(warnings.iter().all(|text| !text.contains("s3cret")));
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let file = TokenFile::parse("token.csv", FILE.as_bytes()).unwrap();
        for token in ["", "s3cre", "s3cret ", "S3CRET", "s3cret,alice", "with", "s3cret\0"] {
            assert!(file.user(token).is_none(), "{token:?}");
        }
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_without_the_token() {
        for (text, message) in [
            (
                "s3cret,alice\n",
                "t:1: token file must have at least 3 columns (token, user name, user uid), found 2",
            ),
            ("a,b,c\ns3\"cret,alice,1\n", "t:2:3: bare \" in a field without quotes"),
        ] {
            let error = TokenFile::parse("t", text.as_bytes()).err().unwrap().to_string();
            assert!(error.starts_with(message), "{error}");
            assert!(!error.contains("cret,"), "{error}");
        }
    }
}
