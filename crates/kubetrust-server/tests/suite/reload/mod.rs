//! Every credential is replaced while clients of several kinds are at work: nobody is dropped, and what is put in place
//! is in force within a second.

mod broken;
pub mod files;
mod load;
mod replaced;
