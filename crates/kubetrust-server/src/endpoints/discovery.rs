//! Which groups, versions and resources there are (`/api`, `/apis` and below).

use http::HeaderMap;
use kubetrust_api::discovery;
use kubetrust_api::status::Status;

use crate::http::accept::{self, Encoding};
use crate::http::respond::{self, Reply};
