//! What nobody well-behaved sends, over real TLS: each gets an answer or is cut off within bounds, nobody gets what is
//! another's, and everybody else is served as before.

mod bombs;
mod connections;
mod explain;
mod frames;
mod kept_headers;
mod limits;
mod paths;
mod refusals;
mod routes;
mod spoofing;
mod wire;
mod world;
