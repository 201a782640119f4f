//! Runs and answers as tables of the Python package `datafusion`, whose engine is another copy of DataFusion in the
//! same process. What crosses between them are structs of C's layout, in capsules.
#![expect(
    unsafe_code,
    reason = "a capsule hands over a pointer: what it points to is what the capsule's name says"
)]

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, TableProvider};
use datafusion_ffi::catalog_provider::FFI_CatalogProvider;
use datafusion_ffi::proto::logical_extension_codec::FFI_LogicalExtensionCodec;
use datafusion_ffi::table_provider::FFI_TableProvider;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use tokio::runtime::Handle;

use crate::error::QueryError;

/// The package that asks, and what of it is understood.
const PACKAGE: &str = "datafusion";

/// A table for a session of the package's, or for what knows how the session writes down its functions.
pub(super) fn table<'py>(
    host: &Bound<'py, PyAny>,
    table: Arc<dyn TableProvider>,
    threads: Handle,
) -> PyResult<Bound<'py, PyCapsule>> {
    let table = FFI_TableProvider::new_with_ffi_codec(table, true, Some(threads), codec(host)?);
    PyCapsule::new_with_value(host.py(), table, c"datafusion_table_provider")
}

/// A catalogue for a session of the package's.
pub(super) fn catalog<'py>(
    host: &Bound<'py, PyAny>,
    catalog: Arc<dyn CatalogProvider>,
    threads: Handle,
) -> PyResult<Bound<'py, PyCapsule>> {
    let catalog = FFI_CatalogProvider::new_with_ffi_codec(catalog, Some(threads), codec(host)?);
    PyCapsule::new_with_value(host.py(), catalog, c"datafusion_catalog_provider")
}

/// How the other engine writes down what its filters call.
fn codec(host: &Bound<'_, PyAny>) -> PyResult<FFI_LogicalExtensionCodec> {
    understood(host)?;
    let capsule = match host.cast::<PyCapsule>() {
        Ok(capsule) => capsule.clone(),
        Err(_) => host
            .call_method0("__datafusion_logical_extension_codec__")?
            .cast_into::<PyCapsule>()?,
    };
    let pointer = capsule.pointer_checked(Some(c"datafusion_logical_extension_codec"))?;
    // SAFETY: capsules of this name hold such a codec, of a version whose layout is this one's; the capsule lives
    // until after the copy, which holds what it needs by itself.
    let codec = unsafe { pointer.cast::<FFI_LogicalExtensionCodec>().as_ref() }.clone();
    Ok(codec)
}

/// Refuses a package of another version: the layout of what crosses is the major version's.
fn understood(host: &Bound<'_, PyAny>) -> PyResult<()> {
    let modules = host.py().import("sys")?.getattr("modules")?;
    let version = modules
        .get_item(PACKAGE)
        .and_then(|package| package.getattr("__version__")?.extract::<String>());
    let Ok(version) = version else {
        let text = format!("a run is a table of the package {PACKAGE}, which is not what asks");
        return Err(QueryError::new_err(text));
    };
    let understood = datafusion_ffi::version();
    let major = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok());
    if major == Some(understood) {
        return Ok(());
    }
    let next = understood + 1;
    Err(QueryError::new_err(format!(
        "a run is a table of {PACKAGE} {understood}, and this is {version}: pip install \
         '{PACKAGE}>={understood},<{next}'"
    )))
}
