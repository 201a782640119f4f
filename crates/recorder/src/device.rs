//! Which device to train on, and whether it is there.

#[cfg(feature = "cuda")]
mod cuda;

use std::fmt;
use std::str::FromStr;

/// What was asked for: `auto`, `cpu`, `cuda` or `cuda:N`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The first CUDA device if CUDA works here, the CPU if not.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// The CUDA device with that index.
    Cuda(usize),
}

/// A device that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolvedDevice {
    /// The CPU.
    Cpu,
    /// The CUDA device with that index.
    #[cfg(feature = "cuda")]
    Cuda(usize),
}

/// A device, and why it is the one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The device.
    pub device: ResolvedDevice,
    /// What was taken and why, for people to read.
    pub reason: String,
}

/// A text that names no device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no device {0:?}: say auto, cpu, cuda or cuda:N with a whole number N")]
pub struct ParseDeviceError(String);

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

impl FromStr for DeviceChoice {
    type Err = ParseDeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            _ => text
                .strip_prefix("cuda:")
                // A number alone: `parse` takes a sign, too.
                .filter(|index| index.bytes().all(|digit| digit.is_ascii_digit()))
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
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
        }
    }
}

impl fmt::Display for ResolvedDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl DeviceChoice {
    /// Finds the device. Nothing panics where CUDA is missing: it is looked for before it is used.
    ///
    /// # Errors
    /// If CUDA was asked for and cannot be used.
    pub fn resolve(self) -> Result<Resolution, CudaError> {
        #[cfg(feature = "cuda")]
        return self.resolve_with(cuda::count_devices);
        #[cfg(not(feature = "cuda"))]
        self.resolve_with(|| Err(CudaError::NotCompiled))
    }

    fn resolve_with(
        self,
        count_devices: impl FnOnce() -> Result<usize, CudaError>,
    ) -> Result<Resolution, CudaError> {
        let cpu = |reason| Resolution {
            device: ResolvedDevice::Cpu,
            reason,
        };
        match self {
            Self::Cpu => Ok(cpu("the CPU, as asked".to_owned())),
            Self::Cuda(index) => cuda_device(index, count_devices()?),
            Self::Auto => Ok(count_devices()
                .and_then(|num_devices| cuda_device(0, num_devices))
                .unwrap_or_else(|error| cpu(format!("the CPU: {error}")))),
        }
    }
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

#[cfg(test)]
mod tests;
