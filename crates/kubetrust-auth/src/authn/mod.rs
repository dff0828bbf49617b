//! Who is asking: one scheme per file, and their union.
//!
//! ```text
//! Presented → front_proxy → x509 → bearer (token_file, service_account, bootstrap) → password_file → anonymous
//!                 │ each: declined (nothing for it), refused (not good), authenticated
//!                 ▼
//!       Authenticated: a User, or Refusal: 401
//! ```
//!
//! Everything here is a decision over values: what was presented, the time, what [`Lookup`] finds. A configuration in
//! force ([`Authenticators`]) never changes; whoever reloads files reads them into a new one, which fails with a
//! [`FileError`] before it takes effect.

pub mod anonymous;
pub mod bearer;
pub mod bootstrap;
mod csv;
mod digest;
mod file;
pub mod front_proxy;
mod lookup;
mod password_file;
mod presented;
pub mod service_account;
mod token;
mod token_file;
mod union;
mod verdict;
pub mod x509;

pub use anonymous::Anonymous;
pub use file::{FileError, FileWarning};
pub use front_proxy::{FrontProxy, RemoteHeaders};
pub use lookup::{Lookup, Nothing};
pub use password_file::PasswordFile;
pub use presented::{PeerChain, Presented};
pub use service_account::ServiceAccounts;
pub use token::LastToken;
pub use token_file::TokenFile;
pub use union::{Authenticators, Config};
pub use verdict::{Authenticated, Declined, Explanation, Outcome, Refusal, Refused, Scheme, Verdict};
