//! Vulkan devices, as their drivers describe them and as Burn counts them.

use std::fmt;

/// A Vulkan device that is there: Burn counts those of each kind by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VulkanDevice {
    /// Among all Vulkan devices.
    pub index: usize,
    /// What it is.
    pub kind: AdapterKind,
    /// Among those of its kind.
    pub index_of_kind: usize,
}

/// A Vulkan device as its driver describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VulkanAdapter {
    /// What the driver calls it.
    pub name: String,
    /// What it is.
    pub kind: AdapterKind,
}

/// What a Vulkan device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdapterKind {
    /// A graphics card.
    DiscreteGpu,
    /// A part of the processor.
    IntegratedGpu,
    /// A virtual machine's.
    VirtualGpu,
    /// A driver that computes on the CPU, as Mesa's llvmpipe.
    Cpu,
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DiscreteGpu => "a graphics card",
            Self::IntegratedGpu => "an integrated GPU",
            Self::VirtualGpu => "a virtual GPU",
            Self::Cpu => "software on the CPU",
        })
    }
}
