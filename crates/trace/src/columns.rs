//! Whole columns between Arrow and parquet's column writers and readers.
//!
//! Every file of a run is small and its columns are of a few types, so it goes without parquet's
//! own Arrow writer and reader: those hold the encoders of all columns at once, make an index and a
//! copy of every list's values, and set up a tree of readers a file.

mod equal_lists;
mod paged;
mod pages;
mod planes;
mod read;
mod write;

pub(crate) use equal_lists::EqualLists;
pub use paged::RowFilter;
pub(crate) use paged::{PagedRows, num_rows_of_one};
pub(crate) use pages::MAX_PAGE_BYTES;
pub use pages::check_pages;
#[cfg(test)]
pub(crate) use pages::check_pages_within;
pub use planes::ZSTD_LEVEL;
pub(crate) use planes::{PAGE_VALUES, put_compressed_planes};
pub(crate) use read::read_row_group;
pub(crate) use write::{list_bytes, value_bytes, write_column};
