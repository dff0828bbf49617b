//! Who is asking: one scheme per file, and their union.
