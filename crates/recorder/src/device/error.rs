//! Why a device cannot be had.

use std::fmt;

use super::adapter::VulkanAdapter;

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no device {0:?}: say auto, cpu, cuda, cuda:N, vulkan or vulkan:N with a whole number N"
)]
pub struct ParseDeviceError(pub(super) String);

/// Why a device cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// CUDA cannot be used.
    #[error(transparent)]
    Cuda(#[from] CudaError),
    /// Vulkan cannot be used.
    #[error(transparent)]
    Vulkan(#[from] VulkanError),
}

/// Why CUDA cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    /// Left out when the program was built.
    #[error("this program was built without CUDA: build it with the feature \"cuda\"")]
    NotCompiled,
    /// Parts of CUDA are not installed.
    #[error("CUDA is not installed here, {} missing", list_missing(.0))]
    Missing(Vec<CudaPart>),
    /// The driver is there, but says no.
    #[error("the NVIDIA driver does not work: {0}")]
    Driver(String),
    /// The driver knows of no device.
    #[error("there is no CUDA device in this machine")]
    NoDevice,
    /// Fewer devices than that.
    #[error("there is no device cuda:{index}: this machine has {num_devices}, counted from 0")]
    NoSuchDevice {
        /// The index that was asked for.
        index: usize,
        /// How many there are.
        num_devices: usize,
    },
}

/// Why Vulkan cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VulkanError {
    /// Left out when the program was built.
    #[error("this program was built without Vulkan: build it with the feature \"vulkan\"")]
    NotCompiled,
    /// Neither the loader nor a driver tells of any.
    #[error(
        "no Vulkan device was found: install the loader (libvulkan) and a driver; the Debian \
         packages libvulkan1 and mesa-vulkan-drivers have one that runs on the CPU"
    )]
    NoDevice,
    /// Fewer devices than that.
    #[error("there is no device vulkan:{index}, this machine has {}", list_adapters(.adapters))]
    NoSuchDevice {
        /// The index that was asked for.
        index: usize,
        /// Those that there are.
        adapters: Vec<VulkanAdapter>,
    },
}

/// `vulkan:0 (its name, what it is), vulkan:1 (...)`.
fn list_adapters(adapters: &[VulkanAdapter]) -> String {
    let adapters = adapters.iter().enumerate();
    let adapters = adapters
        .map(|(index, VulkanAdapter { name, kind })| format!("vulkan:{index} ({name}, {kind})"));
    adapters.collect::<Vec<_>>().join(", ")
}

/// What has to be installed for CUDA to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CudaPart {
    /// The driver's library.
    Driver,
    /// The compiler of the kernels.
    Nvrtc,
    /// What the kernels include.
    Headers,
}

impl fmt::Display for CudaPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "the NVIDIA driver's library (libcuda)",
            Self::Nvrtc => "the run-time compiler NVRTC (libnvrtc)",
            Self::Headers => "the toolkit's headers (cuda_runtime.h, found through CUDA_PATH)",
        })
    }
}

/// `a is`, `a and b are`, `a, b and c are`.
fn list_missing(parts: &[CudaPart]) -> String {
    let names: Vec<String> = parts.iter().map(CudaPart::to_string).collect();
    match names.split_last() {
        Some((last, [])) => format!("{last} is"),
        Some((last, others)) => format!("{} and {last} are", others.join(", ")),
        None => "nothing is".to_owned(),
    }
}
