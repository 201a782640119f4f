//! A file that appears whole or not at all.

#[cfg(unix)]
use std::fs::Permissions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum CreateOutputError {
    /// There is something of that name, and it was not said to be in the way.
    #[error("{} exists; --force replaces it", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
}

/// A file being written beside its place. Dropped before [`OutputFile::publish`], it leaves
/// nothing behind.
#[derive(Debug)]
pub struct OutputFile {
    path: PathBuf,
    replace: bool,
    staged: BufWriter<NamedTempFile>,
}

impl OutputFile {
    /// Starts a file that will be at `path`, in place of another one only if `replace` says so.
    ///
    /// # Errors
    /// If there is one already, or the directory refuses.
    pub fn create(path: &Path, replace: bool) -> Result<Self, CreateOutputError> {
        if !replace && path.symlink_metadata().is_ok() {
            return Err(CreateOutputError::Exists {
                path: path.to_owned(),
            });
        }
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".query-").suffix(".tmp");
        // As any new file; a temporary one would be its owner's alone.
        #[cfg(unix)]
        builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o666));
        let staged = builder
            .tempfile_in(dir)
            .map_err(|source| CreateOutputError::Io {
                path: path.to_owned(),
                source,
            })?;
        Ok(Self {
            path: path.to_owned(),
            replace,
            staged: BufWriter::new(staged),
        })
    }

    /// Where the file is while it is being written.
    pub fn staged_path(&self) -> &Path {
        self.staged.get_ref().path()
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// If what is left cannot be written, or the name was taken meanwhile.
    pub fn publish(self) -> Result<(), CreateOutputError> {
        let path = self.path;
        let io_error = |source| CreateOutputError::Io {
            path: path.clone(),
            source,
        };
        let staged = self
            .staged
            .into_inner()
            .map_err(|e| io_error(e.into_error()))?;
        let persisted = match self.replace {
            true => staged.persist(&path),
            false => staged.persist_noclobber(&path),
        };
        match persisted {
            Ok(_) => Ok(()),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                Err(CreateOutputError::Exists { path })
            }
            Err(e) => Err(io_error(e.error)),
        }
    }
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.staged.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.staged.flush()
    }
}
