//! Looks for Vulkan devices before Burn does, which panics where one is missing.

use burn::backend::wgpu::WgpuDevice;
use burn_std::future::block_on;
use wgpu::{Backends, DeviceType, Instance, InstanceDescriptor};

use super::{AdapterKind, VulkanAdapter, VulkanDevice, VulkanError};

/// The devices in the order in which Burn finds them. None where there is no loader or no driver.
pub(super) fn list_adapters() -> Result<Vec<VulkanAdapter>, VulkanError> {
    let instance = Instance::new(InstanceDescriptor {
        backends: Backends::VULKAN,
        ..InstanceDescriptor::new_without_display_handle()
    });
    let adapters = block_on(instance.enumerate_adapters(Backends::VULKAN));
    let mut has_cpu = false;
    let adapters = adapters.iter().filter_map(|adapter| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            DeviceType::DiscreteGpu => AdapterKind::DiscreteGpu,
            DeviceType::IntegratedGpu => AdapterKind::IntegratedGpu,
            DeviceType::VirtualGpu => AdapterKind::VirtualGpu,
            // Burn has no name for a second one, nor for those of no kind.
            DeviceType::Cpu if !std::mem::replace(&mut has_cpu, true) => AdapterKind::Cpu,
            DeviceType::Cpu | DeviceType::Other => return None,
        };
        let name = info.name;
        Some(VulkanAdapter { name, kind })
    });
    Ok(adapters.collect())
}

impl From<VulkanDevice> for WgpuDevice {
    fn from(device: VulkanDevice) -> Self {
        match device.kind {
            AdapterKind::DiscreteGpu => Self::DiscreteGpu(device.index_of_kind),
            AdapterKind::IntegratedGpu => Self::IntegratedGpu(device.index_of_kind),
            AdapterKind::VirtualGpu => Self::VirtualGpu(device.index_of_kind),
            AdapterKind::Cpu => Self::Cpu,
        }
    }
}
