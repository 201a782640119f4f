//! Which device to train on, and whether it is there.

mod adapter;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "vulkan")]
mod vulkan;

use std::fmt;
use std::str::FromStr;

pub use adapter::{AdapterKind, VulkanAdapter, VulkanDevice};
pub use error::{CudaError, CudaPart, DeviceError, ParseDeviceError, VulkanError};

/// What was asked for: `auto`, `cpu`, `cuda`, `cuda:N`, `vulkan` or `vulkan:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if CUDA works here, the CPU if not.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with that index.
    Cuda(usize),
    /// The Vulkan device with that index.
    Vulkan(usize),
}

/// A device that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvedDevice {
    /// The CPU.
    Cpu,
    /// The CUDA device with that index.
    #[cfg(feature = "cuda")]
    Cuda(usize),
    /// A Vulkan device.
    #[cfg(feature = "vulkan")]
    Vulkan(VulkanDevice),
}

/// A device, and why it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The device.
    pub device: ResolvedDevice,
    /// What was taken and why, for people to read.
    pub reason: String,
}

impl FromStr for DeviceChoice {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbered = |name: &str| match text.strip_prefix(name)? {
            "" => Some(0),
            number => number
                .strip_prefix(':')
                // A number alone: `parse` takes a sign, too.
                .filter(|index| index.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|index| index.parse().ok()),
        };
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            _ => numbered("cuda")
                .map(Self::Cuda)
                .or_else(|| numbered("vulkan").map(Self::Vulkan))
                .ok_or_else(|| ParseDeviceError(text.to_owned())),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
        }
    }
}

impl fmt::Display for ResolvedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            #[cfg(feature = "vulkan")]
            Self::Vulkan(device) => write!(f, "vulkan:{}", device.index),
        }
    }
}

impl DeviceChoice {
    /// Finds the device. Nothing panics where CUDA or Vulkan is missing: it is looked for before it
    /// is used.
    ///
    /// # Errors
    /// If CUDA or Vulkan was asked for and cannot be used.
    pub fn resolve(self) -> Result<Resolution, DeviceError> {
        self.resolve_with(count_cuda_devices, list_vulkan_adapters)
    }

    fn resolve_with(
        self,
        count_cuda_devices: impl FnOnce() -> Result<usize, CudaError>,
        list_vulkan_adapters: impl FnOnce() -> Result<Vec<VulkanAdapter>, VulkanError>,
    ) -> Result<Resolution, DeviceError> {
        let cpu = |reason| Resolution {
            device: ResolvedDevice::Cpu,
            reason,
        };
        match self {
            Self::Cpu => Ok(cpu("the CPU, as asked".to_owned())),
            Self::Cuda(index) => Ok(cuda_device(index, count_cuda_devices()?)?),
            Self::Vulkan(index) => Ok(vulkan_device(index, list_vulkan_adapters()?)?),
            Self::Auto => Ok(count_cuda_devices()
                .and_then(|num_devices| cuda_device(0, num_devices))
                .unwrap_or_else(|error| cpu(format!("the CPU: {error}")))),
        }
    }
}

#[cfg(feature = "cuda")]
use cuda::count_devices as count_cuda_devices;

#[cfg(not(feature = "cuda"))]
fn count_cuda_devices() -> Result<usize, CudaError> {
    Err(CudaError::NotCompiled)
}

#[cfg(feature = "cuda")]
fn cuda_device(index: usize, num_devices: usize) -> Result<Resolution, CudaError> {
    match num_devices {
        0 => Err(CudaError::NoDevice),
        _ if index >= num_devices => Err(CudaError::NoSuchDevice { index, num_devices }),
        _ => Ok(Resolution {
            device: ResolvedDevice::Cuda(index),
            reason: format!("CUDA device {index} of {num_devices}"),
        }),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda_device(_: usize, _: usize) -> Result<Resolution, CudaError> {
    Err(CudaError::NotCompiled)
}

#[cfg(feature = "vulkan")]
use vulkan::list_adapters as list_vulkan_adapters;

#[cfg(not(feature = "vulkan"))]
fn list_vulkan_adapters() -> Result<Vec<VulkanAdapter>, VulkanError> {
    Err(VulkanError::NotCompiled)
}

#[cfg(feature = "vulkan")]
fn vulkan_device(index: usize, adapters: Vec<VulkanAdapter>) -> Result<Resolution, VulkanError> {
    if adapters.is_empty() {
        return Err(VulkanError::NoDevice);
    }
    let Some(VulkanAdapter { name, kind }) = adapters.get(index) else {
        return Err(VulkanError::NoSuchDevice { index, adapters });
    };
    let same_kind = |other: &&VulkanAdapter| other.kind == *kind;
    let device = VulkanDevice {
        index,
        kind: *kind,
        index_of_kind: adapters[..index].iter().filter(same_kind).count(),
    };
    Ok(Resolution {
        device: ResolvedDevice::Vulkan(device),
        reason: format!(
            "Vulkan device {index} of {}: {name}, {kind}",
            adapters.len()
        ),
    })
}

#[cfg(not(feature = "vulkan"))]
fn vulkan_device(_: usize, _: Vec<VulkanAdapter>) -> Result<Resolution, VulkanError> {
    Err(VulkanError::NotCompiled)
}

/// Calls a function that is generic over Burn's backends with the one of a [`ResolvedDevice`]: the
/// device as Burn has it comes first, then the arguments given here.
macro_rules! on_device {
    ($device:expr, $function:ident($($argument:expr),* $(,)?)) => {
        match $device {
            $crate::device::ResolvedDevice::Cpu => {
                $function::<::burn::backend::Flex>(&::std::default::Default::default(), $($argument),*)
            }
            #[cfg(feature = "cuda")]
            $crate::device::ResolvedDevice::Cuda(index) => {
                let device = ::burn::backend::cuda::CudaDevice::new(index);
                $function::<::burn::backend::Cuda>(&device, $($argument),*)
            }
            #[cfg(feature = "vulkan")]
            $crate::device::ResolvedDevice::Vulkan(device) => {
                $function::<::burn::backend::Vulkan>(&device.into(), $($argument),*)
            }
        }
    };
}
pub(crate) use on_device;

#[cfg(test)]
mod tests;
