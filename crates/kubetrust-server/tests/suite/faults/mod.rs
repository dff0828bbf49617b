//! etcd fails under the whole server: whoever asks meanwhile is answered cleanly, and afterwards nothing is lost,
//! nothing is there twice, and no restart was needed. The embedded store has a full disk; its other faults are tried in
//! `kubetrust-store`.

mod compaction;
mod credentials;
mod full_disk;
mod load;
mod outages;
mod proxy;
mod site;
