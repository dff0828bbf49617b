//! What the fuzz targets call; the workspace's tests call the same.

pub mod entries;
