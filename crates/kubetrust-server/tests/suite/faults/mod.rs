//! etcd fails under the whole server: whoever asks meanwhile is answered cleanly, and afterwards nothing is lost,
//! nothing is there twice, and no restart was needed. The embedded store has no such faults; its own are tried in
//! `kubetrust-store`.

mod compaction;
mod credentials;
mod load;
mod outages;
mod proxy;
mod site;
