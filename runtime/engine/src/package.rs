//! A package file in memory, checked once when it is opened.

use crate::buffer::AlignedBuffer;
use crate::error::{Error, ErrorKind};
use crate::mapping;
use candor_core::package::{Geometry, Package as View};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

#[derive(Debug)]
enum Storage {
    Mapped(Mmap),
    Owned(AlignedBuffer),
}

/// An opened package: mapped, or in private memory.
#[derive(Debug)]
pub struct Package {
    storage: Storage,
}

impl Package {
    /// Maps the file at `path` and checks every section; weights stay on disk until they are used.
    ///
    /// # Errors
    /// [`ErrorKind::File`] when it cannot be read, [`ErrorKind::Package`] naming the damaged section.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let refused =
            |error: std::io::Error| Error::new(ErrorKind::File, error.to_string()).at(path.display());
        // Asked before opening, because opening a pipe would block.
        let metadata = std::fs::metadata(path).map_err(refused)?;
        if !metadata.is_file() || metadata.len() == 0 {
            let what =
                "not a candor package (empty, or not a regular file); name a file that candor-lab pack wrote";
            return Err(Error::new(ErrorKind::Package, what).at(path.display()));
        }
        let file = File::open(path).map_err(refused)?;
        let package = Self { storage: Storage::Mapped(mapping::map(&file).map_err(refused)?) };
        package.check().map_err(|error| error.at(path.display()))?;
        Ok(package)
    }

    /// Reads a private copy of `bytes`, for storage that may change under a mapping and for embedded
    /// packages.
    ///
    /// # Errors
    /// [`ErrorKind::Package`] naming the damaged section.
    pub fn load(bytes: &[u8]) -> Result<Self, Error> {
        let package = Self { storage: Storage::Owned(AlignedBuffer::copy_of(bytes)) };
        package.check()?;
        Ok(package)
    }

    fn check(&self) -> Result<(), Error> {
        let view = View::parse(self.bytes())?;
        let input = view.plan()?.tensor(0)?.layout;
        // Tiles that share more would repeat the work of a frame more than sixteen times.
        let most = input.height.min(input.width) * 3 / 4;
        if let Geometry::Tile { overlap } = view.preprocess()?.geometry
            && overlap > most
        {
            let what = format!(
                "tiles of {}x{} cannot overlap by {overlap} pixels; pack it again with at most {}",
                input.width, input.height, most
            );
            return Err(Error::new(ErrorKind::Package, what));
        }
        let head = view.head()?;
        let classes = view.classes()?.count();
        if classes != head.classes() {
            let what = format!(
                "section 'classes' names {classes} but the head has {}; pack it again",
                head.classes()
            );
            return Err(Error::new(ErrorKind::Package, what));
        }
        Ok(())
    }

    fn bytes(&self) -> &[u8] {
        match &self.storage {
            Storage::Mapped(map) => map,
            Storage::Owned(buffer) => buffer.as_slice(),
        }
    }

    /// The checked view that everything else reads.
    ///
    /// # Errors
    /// Never after the package was opened, unless the file changed under the mapping.
    pub fn view(&self) -> Result<View<'_>, Error> {
        Ok(View::reopen(self.bytes())?)
    }

    /// The package digest, by which logs and metrics name it.
    ///
    /// # Errors
    /// Never after the package was opened, unless the file changed under the mapping.
    pub fn digest(&self) -> Result<[u8; 32], Error> {
        Ok(self.view()?.digest())
    }

    /// Size of the file in bytes.
    pub fn size(&self) -> usize {
        self.bytes().len()
    }
}
