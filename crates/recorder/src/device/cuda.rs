//! Looks for CUDA before anything uses it: Burn and cudarc panic where a library is missing.

use cudarc::driver::CudaContext;
use cudarc::driver::sys::cudaError_enum::CUDA_ERROR_NO_DEVICE;

use super::{CudaError, CudaPart};

/// How many CUDA devices there are.
pub(super) fn count_devices() -> Result<usize, CudaError> {
    let parts = [
        (CudaPart::Driver, has_driver()),
        (CudaPart::Nvrtc, has_nvrtc()),
        (CudaPart::Headers, has_headers()),
    ];
    let missing: Vec<CudaPart> = parts
        .into_iter()
        .filter_map(|(part, present)| (!present).then_some(part))
        .collect();
    if !missing.is_empty() {
        return Err(CudaError::Missing(missing));
    }
    match CudaContext::device_count() {
        Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
        Err(error) if error.0 == CUDA_ERROR_NO_DEVICE => Ok(0),
        Err(error) => Err(CudaError::Driver(error.to_string())),
    }
}

#[expect(unsafe_code, reason = "cudarc offers no safe way to ask")]
fn has_driver() -> bool {
    // SAFETY: loading the driver's library runs its initialisers, which any program that uses
    // CUDA runs; no symbol is taken from it here.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

#[expect(unsafe_code, reason = "cudarc offers no safe way to ask")]
fn has_nvrtc() -> bool {
    // SAFETY: as above, for NVRTC.
    unsafe { cudarc::nvrtc::sys::is_culib_present() }
}

/// Every kernel that CubeCL compiles starts by including CUDA's runtime header, and CubeCL panics
/// when it finds no toolkit.
fn has_headers() -> bool {
    cubecl_cuda::install::cuda_path()
        .is_some_and(|toolkit| toolkit.join("include/cuda_runtime.h").is_file())
}
