//! Lists: whole, in pages, selected.

use std::sync::Arc;

use bytes::Bytes;
use kubetrust_api::status::Status;
use kubetrust_store::{self as store, Range, Revision, prefix_end};

use super::Registry;
use super::cache::status_of;
use super::continue_token::ContinueToken;
use super::object::Object;
use super::options::{ListOptions, Shows};
use super::select::Selection;
use super::target::Target;

/// One page of a list.
#[derive(Debug)]
pub struct List {
    /// The objects, in the order of their keys.
    pub items: Vec<Arc<Object>>,
    /// The revision that the list shows.
    pub revision: Revision,
    /// The token of the next page; empty at the end.
    pub continue_token: String,
    /// How many objects follow, where that is known.
    pub remaining: Option<usize>,
}

impl Registry {
    /// The objects that `target` names and `selection` has.
    pub async fn list(&self, target: &Target, options: &ListOptions, selection: &Selection) -> Result<List, Status> {
        let prefix = self.prefix(target);
        if !options.continue_token.is_empty() {
            let token = ContinueToken::decode(&options.continue_token, &prefix)?;
            return match token.revision {
                Some(revision) => {
                    self.list_at(target, &prefix, revision, Some(token.start), options.limit, selection)
                        .await
                }
                None => {
                    self.list_now(target, &prefix, Some(token.start), options.limit, selection)
                        .await
                }
            };
        }
        match options.shows {
            Shows::Exactly(revision) => {
                return self
                    .list_at(target, &prefix, revision, None, options.limit, selection)
                    .await;
            }
            Shows::Newest => self.cache.fresh().await?,
            Shows::NotOlderThan(revision) => self.cache.wait_for(revision).await?,
            Shows::Any => {}
        }
        // "Whatever is at hand" is all of it: upstream ignores the limit there, and so informers get one page.
        let limit = if options.shows == Shows::Any { 0 } else { options.limit };
        self.list_now(target, &prefix, None, limit, selection).await
    }

    async fn list_now(
        &self,
        target: &Target,
        prefix: &[u8],
        start: Option<Vec<u8>>,
        limit: usize,
        selection: &Selection,
    ) -> Result<List, Status> {
        let table = self.table(target)?;
        if start.is_some() {
            self.cache.fresh().await?;
        }
        if selection.is_everything() {
            let snapshot = table.snapshot(prefix, start.as_deref(), limit);
            let last = snapshot
                .items
                .last()
                .filter(|_| snapshot.remaining > 0)
                .map(|(key, _)| key.clone());
            let items = snapshot.items.into_iter().map(|(_, object)| object).collect();
            let continue_token = last.map_or_else(String::new, |key| token_after(&key, snapshot.revision, prefix));
            let remaining = (!continue_token.is_empty()).then_some(snapshot.remaining);
            return Ok(List {
                items,
                revision: snapshot.revision,
                continue_token,
                remaining,
            });
        }
        let snapshot = table.snapshot(prefix, start.as_deref(), 0);
        let mut page = PageOf::new(limit);
        for (key, object) in snapshot.items {
            if !page.takes(&key, object, selection) {
                break;
            }
        }
        Ok(page.finish(snapshot.revision, prefix))
    }

    /// As it was at a revision, read from the store.
    async fn list_at(
        &self,
        target: &Target,
        prefix: &[u8],
        revision: Revision,
        start: Option<Vec<u8>>,
        limit: usize,
        selection: &Selection,
    ) -> Result<List, Status> {
        let mut page = PageOf::new(limit);
        let first = start.map_or_else(|| Bytes::copy_from_slice(prefix), Bytes::from);
        let mut range = Range {
            start: first.clone(),
            end: prefix_end(prefix),
            // One more than asked, to see whether there are more.
            limit: if limit == 0 { 0 } else { limit + 1 },
            at: Some(revision),
            count: selection.is_everything(),
            later: 0,
        };
        loop {
            let found = self
                .store()
                .range(range.clone())
                .await
                .map_err(|error| gone(&error, &first, revision, prefix))?;
            let read = found.items.len();
            let count = found.count;
            for (index, kv) in found.items.into_iter().enumerate() {
                let key = kv.key.clone();
                let Some(object) = self.cache().object_of(target.resource.storage, kv) else {
                    continue;
                };
                if !page.takes(&key, Arc::new(object), selection) {
                    if selection.is_everything() {
                        page.remaining = Some(count - index);
                    }
                    return Ok(page.finish(revision, prefix));
                }
                range.start = [key.as_ref(), b"\0"].concat().into();
            }
            if range.limit == 0 || read < range.limit {
                return Ok(page.finish(revision, prefix));
            }
        }
    }
}

/// 410 with a token that goes on inconsistently from where the page began, as upstream gives.
fn gone(error: &store::Error, first: &Bytes, asked: Revision, prefix: &[u8]) -> Status {
    if !matches!(error, store::Error::Compacted { .. }) {
        return status_of(error);
    }
    if first.as_ref() == prefix {
        return Status::expired(format!("The resourceVersion for the provided list is too old: {asked}"));
    }
    inconsistent_continue(
        &ContinueToken {
            revision: None,
            start: first.to_vec(),
        }
        .encode(prefix),
    )
}

/// 410 for a page whose revision is gone, with a token that goes on with what there is now.
fn inconsistent_continue(token: &str) -> Status {
    let mut status = Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter, or use the continue token in this response to retrieve the remainder of the results. \
         Continuing with the provided token results in an inconsistent list - objects that were created, modified, or \
         deleted between the time the first chunk was returned and now may show up in the list.",
    );
    status.continue_token = Some(token.to_owned());
    status
}

fn token_after(key: &[u8], revision: Revision, prefix: &[u8]) -> String {
    ContinueToken {
        revision: Some(revision),
        start: [key, b"\0"].concat(),
    }
    .encode(prefix)
}

/// A page that is being filled.
struct PageOf {
    limit: usize,
    items: Vec<Arc<Object>>,
    last: Bytes,
    more: bool,
    remaining: Option<usize>,
}

impl PageOf {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            items: Vec::new(),
            last: Bytes::new(),
            more: false,
            remaining: None,
        }
    }

    /// Takes an object if it is selected. `false` when the page is full and this object would begin the next.
    fn takes(&mut self, key: &Bytes, object: Arc<Object>, selection: &Selection) -> bool {
        if !selection.has(&object) {
            return true;
        }
        if self.limit > 0 && self.items.len() == self.limit {
            self.more = true;
            return false;
        }
        self.last = key.clone();
        self.items.push(object);
        true
    }

    fn finish(self, revision: Revision, prefix: &[u8]) -> List {
        let continue_token = if self.more {
            token_after(&self.last, revision, prefix)
        } else {
            String::new()
        };
        List {
            items: self.items,
            revision,
            continue_token,
            remaining: self.remaining,
        }
    }
}
