//! What the credential files say: as they are now, or, where one can't be used, as it was when it last could.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::files::{self, BadFile};

type Content = Result<Zeroizing<Vec<u8>>, BadFile>;

/// The content of every file, read at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(BTreeMap<PathBuf, Content>);

impl Sources {
    /// These files, as they are now. One that can't be read is a fault of whoever asks for it.
    pub fn now(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let read = |path: PathBuf| {
            let content = files::read("", &path).map(Zeroizing::new);
            (path, content)
        };
        Self(paths.into_iter().map(read).collect())
    }

    /// The content of a file that a flag names.
    pub fn read(&self, flag: &'static str, path: &Path) -> Result<&[u8], BadFile> {
        match self.0.get(path) {
            Some(Ok(content)) => Ok(content),
            Some(Err(bad)) => Err(BadFile::new(flag, path, &bad.why)),
            None => Err(BadFile::new(flag, path, &"the file is not among those that are read")),
        }
    }

    /// Goes back to what these files said when all was good. `false` if they say that already.
    pub fn hold<'a>(&mut self, good: &Self, paths: impl IntoIterator<Item = &'a PathBuf>) -> bool {
        let mut is_changed = false;
        for path in paths {
            if let Some(content) = good.0.get(path)
                && self.0.get(path) != Some(content)
            {
                self.0.insert(path.clone(), content.clone());
                is_changed = true;
            }
        }
        is_changed
    }
}
