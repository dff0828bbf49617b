//! The schemas of everything that is served, for `kubectl explain` and for clients that check before they send.
