//! One object as a sequence of requests changes it: what a single server would do that never fails.

use std::sync::Arc;

use crate::history::{Call, Content, Facts, Operation, Outcome, Seen, Version};

/// An object, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    present: Option<Object>,
    /// The last version that was written to it, as far as anyone knows: writes come in the order of their versions.
    floor: Version,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Object {
    content: Content,
    /// Nobody knows the version of a write that nobody has seen.
    version: Option<Version>,
    uid: Option<Arc<str>>,
}

/// What a request comes to.
enum Effect {
    Read(Object),
    Written { content: Content, anew: bool },
    Removed(Object),
    Absent,
    Conflict,
}

impl State {
    /// The state after a request that was answered; `None` if this state can't have led to the answer.
    pub fn after(&self, operation: &Operation, facts: &Facts) -> Option<Self> {
        if operation.outcome == Outcome::Conflict && gives_up(&operation.call) {
            return Some(self.clone());
        }
        match (self.effect(&operation.call), &operation.outcome) {
            (Effect::Read(object), Outcome::Saw(seen)) => object.is(seen).then(|| self.clone()),
            (Effect::Written { content, anew }, Outcome::Saw(seen)) => {
                (seen.content == content).then(|| self.written(content, anew, facts))?
            }
            (Effect::Removed(object), Outcome::Removed(uid)) => object.may_be(uid).then(|| self.without()),
            (Effect::Absent, Outcome::Absent) | (Effect::Conflict, Outcome::Conflict) => Some(self.clone()),
            _ => None,
        }
    }

    /// The state after a request that may have taken effect; `None` if it would have none here.
    pub fn if_effective(&self, call: &Call, facts: &Facts) -> Option<Self> {
        match self.effect(call) {
            Effect::Written { content, anew } => self.written(content, anew, facts),
            Effect::Removed(_) => Some(self.without()),
            Effect::Read(_) | Effect::Absent | Effect::Conflict => None,
        }
    }

    fn effect(&self, call: &Call) -> Effect {
        let Some(object) = &self.present else {
            return match call {
                Call::Create(mark) => Effect::Written {
                    content: Content::whole(*mark),
                    anew: true,
                },
                _ => Effect::Absent,
            };
        };
        let changed = |content| Effect::Written { content, anew: false };
        match call {
            Call::Get => Effect::Read(object.clone()),
            Call::Replace(mark) => changed(Content::whole(*mark)),
            Call::Patch(mark) => changed(object.content.with_patch(*mark)),
            Call::Swap(mark, read) if object.version == Some(read.version) => {
                changed(read.content.with_replacement(*mark))
            }
            Call::Delete { version, uid }
                if version.is_none_or(|version| object.version == Some(version))
                    && uid.as_ref().is_none_or(|uid| object.uid.as_ref() == Some(uid)) =>
            {
                Effect::Removed(object.clone())
            }
            Call::Create(_) | Call::Swap(..) | Call::Delete { .. } => Effect::Conflict,
        }
    }

    /// `None` if what is known of the write contradicts it here.
    fn written(&self, content: Content, anew: bool, facts: &Facts) -> Option<Self> {
        let before = self
            .present
            .as_ref()
            .filter(|_| !anew)
            .and_then(|object| object.uid.clone());
        let Some(seen) = facts.of(content.writer) else {
            return Some(Self {
                present: Some(Object {
                    content,
                    version: None,
                    uid: before,
                }),
                floor: self.floor,
            });
        };
        // It lasts as long as the object; an object that comes again is another one.
        let lasts = before.is_none_or(|uid| uid == seen.uid);
        let next = facts.is_next(content.writer, self.floor);
        (seen.content == content && next && lasts).then(|| Self {
            present: Some(Object {
                content,
                version: Some(seen.version),
                uid: Some(Arc::clone(&seen.uid)),
            }),
            floor: seen.version,
        })
    }

    fn without(&self) -> Self {
        Self {
            present: None,
            floor: self.floor,
        }
    }
}

impl Object {
    fn is(&self, seen: &Seen) -> bool {
        self.content == seen.content && self.version == Some(seen.version) && self.may_be(&seen.uid)
    }

    fn may_be(&self, uid: &Arc<str>) -> bool {
        self.uid.as_ref().is_none_or(|own| own == uid)
    }
}

/// A server tries a change of whatever is there only so often over the changes of others, and then says 409.
fn gives_up(call: &Call) -> bool {
    !call.is_conditional() && matches!(call, Call::Replace(_) | Call::Patch(_) | Call::Delete { .. })
}
